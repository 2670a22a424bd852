//! The flat row that the query returns: the columns of CloudAppEvents, `correlationId1`, `correlationId`, the columns
//! of SecurityAlert, and `alerttrail`, a dynamic column with everything that the native format contains besides the two
//! rows.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::OutputRecord;
use super::native;
use super::object::Object;
use crate::json::{self, members, unescape};

/// The column for what is not part of the query. A column of the input with this name gets a number, like any column
/// whose name collides.
const OWN: &str = "alerttrail";

/// The columns that the query's `extend` adds. Each replaces a column of the same name.
const EXTENDED: [&str; 2] = ["correlationId1", "correlationId"];

pub(super) fn write(record: &OutputRecord<'_>, out: &mut Vec<u8>) {
    Object::write(out, |row| {
        let alert = record.alert.map(columns).unwrap_or_default();
        let Some(activity) = record.activity else {
            Names::new(&[OWN], &[&alert]).add(&alert, row);
            return write_own(record, row);
        };
        let mut activity_columns = columns(activity);
        activity_columns.retain(|(name, _)| !EXTENDED.iter().any(|extended| extended.as_bytes() == &**name));
        let mut names = Names::new(&[OWN, EXTENDED[0], EXTENDED[1]], &[&activity_columns, &alert]);
        names.add(&activity_columns, row);
        let id = record.correlation_id();
        match number(activity, id) {
            Some(number) => row.json(EXTENDED[0], &number),
            None => row.text(EXTENDED[0], id),
        }
        row.text(EXTENDED[1], id);
        names.add(&alert, row);
        write_own(record, row);
    });
}

fn write_own(record: &OutputRecord<'_>, row: &mut Object<'_>) {
    let facts = row.member(OWN.as_bytes());
    native::write_facts(record.output, record.headers, record.links, record.how, facts);
    facts.push(b'}');
}

/// A column: its unescaped name, and its value as JSON text.
type Column<'a> = (Cow<'a, [u8]>, &'a [u8]);

/// Returns the columns of a row in their order. A repeated column has its first place and its last value.
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

/// The names of the row's columns, as `join` assigns them.
struct Names {
    /// The names of columns that have been written.
    given: BTreeSet<Vec<u8>>,
    /// The names that columns of either side have. None of them is assigned to another column.
    theirs: BTreeSet<Vec<u8>>,
}

impl Names {
    /// Returns the names for a row that has the columns `fixed` and receives those of `sides`.
    fn new(fixed: &[&str], sides: &[&[Column<'_>]]) -> Self {
        let given: BTreeSet<Vec<u8>> = fixed.iter().map(|name| name.as_bytes().to_vec()).collect();
        let sides = sides.iter().flat_map(|side| side.iter()).map(|(name, _)| name.to_vec());
        Self {
            theirs: given.iter().cloned().chain(sides).collect(),
            given,
        }
    }

    /// Writes columns, each under its own name. If that name is taken, the least number is appended that makes a name
    /// which no column of either side has.
    fn add(&mut self, columns: &[Column<'_>], row: &mut Object<'_>) {
        for (name, value) in columns {
            let free = self.free(name);
            row.member(&free).extend_from_slice(value);
            self.given.insert(free);
        }
    }

    fn free(&self, name: &[u8]) -> Vec<u8> {
        if !self.given.contains(name) {
            return name.to_vec();
        }
        let numbered = |number: u64| [name, number.to_string().as_bytes()].concat();
        let is_free = |name: &Vec<u8>| !self.given.contains(name) && !self.theirs.contains(name);
        (1..).map(numbered).find(is_free).unwrap_or_default()
    }
}

/// Returns `parse_json(tostring(RawEventData.Data)).cid` as it is spelled, if it is a number or a boolean with the text
/// `id`.
fn number(activity: &[u8], id: &[u8]) -> Option<Vec<u8>> {
    let data = member(&opened(&member(activity, b"RawEventData")?)?, b"Data")?;
    let cid = member(&opened(&data)?, b"cid")?;
    let is_plain = matches!(cid.first(), Some(b'-' | b'0'..=b'9' | b't' | b'f'));
    // `Data` may be a string that is not JSON, so what was found in it is checked before it is used.
    let is_json = || serde_json::from_slice::<&serde_json::value::RawValue>(&cid).is_ok();
    (is_plain && cid == id && is_json()).then_some(cid)
}

/// Returns the value of the last member with this name.
fn member(object: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    let found = members(object).filter(|member| json::key_is(member.key, name)).last()?;
    Some(found.value.to_vec())
}

/// Returns the value; for a string, the text that it contains.
fn opened(value: &[u8]) -> Option<Cow<'_, [u8]>> {
    match value.first()? {
        b'"' => unescape(value),
        _ => Some(value.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the names that the columns of both sides get, those of the activity first.
    fn joined(activity: &[&str], alert: &[&str]) -> Vec<String> {
        let row = |names: &[&str]| {
            let members: Vec<String> = names.iter().map(|name| format!("\"{name}\":0")).collect();
            format!("{{{}}}", members.join(","))
        };
        let (activity, alert) = (row(activity), row(alert));
        let (activity, alert) = (columns(activity.as_bytes()), columns(alert.as_bytes()));
        let mut out = Vec::new();
        Object::write(&mut out, |row| {
            let mut names = Names::new(&[], &[&activity, &alert]);
            names.add(&activity, row);
            names.add(&alert, row);
        });
        members(&out)
            .map(|member| String::from_utf8(member.name().into_owned()).unwrap())
            .collect()
    }

    /// Expects the column names that `join kind=inner` gives the columns of two tables, according to Microsoft's Kusto
    /// language service 12.4.1.
    #[test]
    fn columns_are_renamed_as_the_query_renames_them() {
        let cases: [(&[&str], &[&str], &[&str]); 12] = [
            (&["T"], &["T", "T1"], &["T", "T2", "T1"]),
            (&["T"], &["T1", "T"], &["T", "T1", "T2"]),
            (&["T", "T1"], &["T", "T1"], &["T", "T1", "T2", "T11"]),
            (&["T", "T1"], &["T1", "T"], &["T", "T1", "T11", "T2"]),
            (&["a", "a2"], &["a", "a1"], &["a", "a2", "a3", "a1"]),
            (&["a"], &["a", "a1", "a2"], &["a", "a3", "a1", "a2"]),
            (&["a", "b"], &["a", "a1", "b"], &["a", "b", "a2", "a1", "b1"]),
            (&["a1"], &["a1", "a"], &["a1", "a11", "a"]),
            (&["a1"], &["a1", "a11", "a12"], &["a1", "a13", "a11", "a12"]),
            (
                &["a", "a1"],
                &["a", "a11", "a1", "a2"],
                &["a", "a1", "a3", "a11", "a12", "a2"],
            ),
            (
                &["B", "T", "A"],
                &["A", "T", "B", "B1"],
                &["B", "T", "A", "A1", "T1", "B2", "B1"],
            ),
            (&["a"], &["A", "a"], &["a", "A", "a1"]),
        ];
        for (activity, alert, expected) in cases {
            assert_eq!(joined(activity, alert), expected, "{activity:?} with {alert:?}");
        }
    }

    #[test]
    fn of_a_repeated_column_the_last_value_counts() {
        let found = columns(br#"{"a":1,"b":2,"\u0061":1.0}"#);
        let found: Vec<(&[u8], &[u8])> = found.iter().map(|(name, value)| (&**name, *value)).collect();
        assert_eq!(found, [(&b"a"[..], &b"1.0"[..]), (b"b", b"2")]);
    }

    #[test]
    fn only_what_is_no_string_keeps_its_spelling() {
        let number =
            |activity: &str, id: &str| number(activity.as_bytes(), id.as_bytes()).map(|found| String::from_utf8(found).unwrap());
        let object = r#"{"RawEventData":{"Data":{"cid":10}}}"#;
        let string = r#"{"RawEventData":"{\"Data\":\"{\\\"cid\\\":true}\"}"}"#;
        assert_eq!(number(object, "10").as_deref(), Some("10"));
        assert_eq!(number(string, "true").as_deref(), Some("true"));
        // The alert was joined on another id.
        assert_eq!(number(object, "11"), None);
        assert_eq!(number(r#"{"RawEventData":{"Data":{"cid":"10"}}}"#, "10"), None);
        assert_eq!(number(r#"{"RawEventData":{"Data":"{\"cid\":1-"}}"#, "1-"), None);
        assert_eq!(number("{}", "1"), None);
    }
}
