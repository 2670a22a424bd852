//! The flat row that the query returns: the columns of CloudAppEvents, `correlationId1`, `correlationId`, the columns of SecurityAlert, and
//! `alerttrail`, a dynamic column with all that the native format says beside the two rows.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::Told;
use super::native;
use super::object::Object;
use crate::json::{self, members, unescape};

/// The column that holds what is not the query's. A column of the input with this name gets a number, like any that collides.
const OWN: &str = "alerttrail";

/// What the query's `extend` makes: it takes the place of a column that has its name.
const EXTENDED: [&str; 2] = ["correlationId1", "correlationId"];

pub(super) fn write(told: &Told<'_>, out: &mut Vec<u8>) {
    Object::write(out, |row| {
        let mut names = Names::default();
        names.0.insert(OWN.as_bytes().to_vec());
        if let Some(activity) = told.activity {
            names.0.extend(EXTENDED.map(|name| name.as_bytes().to_vec()));
            let is_extended = |name: &[u8]| EXTENDED.iter().any(|extended| extended.as_bytes() == name);
            let columns = columns(activity);
            names.add(columns.into_iter().filter(|(name, _)| !is_extended(name)), row);
            let id = told.correlation_id();
            match number(activity, id) {
                Some(number) => row.json(EXTENDED[0], &number),
                None => row.text(EXTENDED[0], id),
            }
            row.text(EXTENDED[1], id);
        }
        names.add(told.alert.map(columns).into_iter().flatten(), row);
        let facts = row.member(OWN.as_bytes());
        native::write_facts(told.output, told.headers, told.widening, told.how, facts);
        facts.push(b'}');
    });
}

/// A column: what its name says, and its value as JSON text.
type Column<'a> = (Cow<'a, [u8]>, &'a [u8]);

/// The columns of a row in their order; of a repeated one the last value, where the name stands first.
fn columns(row: &[u8]) -> Vec<Column<'_>> {
    let mut columns: Vec<Column<'_>> = Vec::new();
    let mut places = BTreeMap::new();
    for member in members(row) {
        match places.entry(member.name()) {
            std::collections::btree_map::Entry::Occupied(place) => {
                let place: &usize = place.get();
                columns[*place].1 = member.value;
            }
            std::collections::btree_map::Entry::Vacant(vacant) => {
                columns.push((vacant.key().clone(), member.value));
                vacant.insert(columns.len() - 1);
            }
        }
    }
    columns
}

/// The names that are taken.
#[derive(Default)]
struct Names(BTreeSet<Vec<u8>>);

impl Names {
    /// Writes columns, each under its own name or, where that is taken, with the least number behind it that makes it free: as `join` does.
    fn add<'a>(&mut self, columns: impl Iterator<Item = Column<'a>>, row: &mut Object<'_>) {
        for (name, value) in columns {
            let mut free = name.to_vec();
            let mut number = 0u64;
            while !self.0.insert(free.clone()) {
                number += 1;
                free = [&*name, number.to_string().as_bytes()].concat();
            }
            row.member(&free).extend_from_slice(value);
        }
    }
}

/// `parse_json(tostring(RawEventData.Data)).cid` where that is no string but says `id`: a number or a boolean, as it is spelled.
fn number(activity: &[u8], id: &[u8]) -> Option<Vec<u8>> {
    let data = member(&opened(&member(activity, b"RawEventData")?)?, b"Data")?;
    let cid = member(&opened(&data)?, b"cid")?;
    let is_plain = matches!(cid.first(), Some(b'-' | b'0'..=b'9' | b't' | b'f'));
    // `Data` may be a string that is no JSON: what was found there is looked at before it is believed.
    let is_json = || serde_json::from_slice::<&serde_json::value::RawValue>(&cid).is_ok();
    (is_plain && cid == id && is_json()).then_some(cid)
}

/// The last member of this name.
fn member(object: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    let found = members(object).filter(|member| json::says(member.key, name)).last()?;
    Some(found.value.to_vec())
}

/// A value, or what the string says that it is.
fn opened(value: &[u8]) -> Option<Cow<'_, [u8]>> {
    match value.first()? {
        b'"' => unescape(value),
        _ => Some(value.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_that_is_there_already_gets_the_next_number() {
        let mut out = Vec::new();
        Object::write(&mut out, |row| {
            let mut names = Names::default();
            names.add(columns(br#"{"a":1,"b":2,"a":1.0,"a1":3}"#).into_iter(), row);
            names.add(columns(br#"{"\u0061":4,"c":5}"#).into_iter(), row);
        });
        let said = String::from_utf8(out).unwrap();
        assert_eq!(said, r#"{"a":1.0,"b":2,"a1":3,"a2":4,"c":5}"#);
    }

    #[test]
    fn only_what_is_no_string_keeps_its_spelling() {
        let number =
            |activity: &str, id: &str| number(activity.as_bytes(), id.as_bytes()).map(|found| String::from_utf8(found).unwrap());
        let object = r#"{"RawEventData":{"Data":{"cid":10}}}"#;
        let string = r#"{"RawEventData":"{\"Data\":\"{\\\"cid\\\":true}\"}"}"#;
        assert_eq!(number(object, "10").as_deref(), Some("10"));
        assert_eq!(number(string, "true").as_deref(), Some("true"));
        // Joined on something else.
        assert_eq!(number(object, "11"), None);
        assert_eq!(number(r#"{"RawEventData":{"Data":{"cid":"10"}}}"#, "10"), None);
        assert_eq!(number(r#"{"RawEventData":{"Data":"{\"cid\":1-"}}"#, "1-"), None);
        assert_eq!(number("{}", "1"), None);
    }
}
