use serde::de::IgnoredAny;

use super::envelope::Fields;
use super::reject::{Fault, Reason};
use crate::json::{Cursor, Index, NotJson};

/// The records of a message.
pub(super) enum Records<'i, 'a> {
    /// The message is one record.
    One(Record<'i, 'a>),
    /// The message is a list of records.
    Batch(Batch<'i, 'a>),
}

/// A record of a message.
pub(super) struct Record<'i, 'a> {
    /// Its JSON text as it is in the message, or the whole message if the message is one record.
    pub(super) json: &'a [u8],
    /// The beginning of the record.
    pub(super) start: Cursor<'i, 'a>,
    /// The fields that determine what the record is; `None` if it is not an object.
    pub(super) fields: Option<Fields<'i, 'a>>,
}

impl<'i, 'a> Record<'i, 'a> {
    /// Reads the value at `start`.
    pub(super) fn at(start: &Cursor<'i, 'a>) -> Self {
        Self::read(&mut start.clone())
    }

    /// Reads the next value and moves the cursor after it.
    // Every record of a batch is read here, and a function call for each would make decoding one percent slower.
    #[inline(always)]
    fn read(cursor: &mut Cursor<'i, 'a>) -> Self {
        let start = cursor.clone();
        let mut fields = None;
        let json = cursor.across(|cursor| {
            if cursor.enter(b'{') {
                fields = Some(Fields::read(cursor));
            } else {
                cursor.value();
            }
        });
        Self { json, start, fields }
    }
}

/// The records of a list, which are read one by one during iteration.
pub(super) struct Batch<'i, 'a>(Cursor<'i, 'a>);

impl<'i, 'a> Iterator for Batch<'i, 'a> {
    type Item = Record<'i, 'a>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.has_element().then(|| Record::read(&mut self.0))
    }
}

/// Splits a message: a batch `{"records":[…]}`, an array, or one record. Afterwards `index` contains the structure of
/// the message.
///
/// This is the only validation of the bytes: everything after it is valid JSON in valid UTF-8. It is iterative, so that
/// depth costs nothing.
pub(super) fn split<'i, 'a>(message: &'a [u8], index: &'i mut Index) -> Result<Records<'i, 'a>, NotJson> {
    if simdutf8::basic::from_utf8(message).is_err() || index.read(message).is_err() {
        return Err(NotJson);
    }
    let start = Cursor::indexed(message, index);
    let mut cursor = start.clone();
    if cursor.enter(b'[') {
        return Ok(Records::Batch(Batch(cursor)));
    }
    let fields = cursor.enter(b'{').then(|| Fields::read(&mut cursor));
    if let Some(mut list) = fields.as_ref().and_then(|fields| fields.records.clone())
        && list.enter(b'[')
    {
        return Ok(Records::Batch(Batch(list)));
    }
    Ok(Records::One(Record {
        json: message,
        start,
        fields,
    }))
}

/// Returns what is wrong with a message that is not JSON in UTF-8. Parses it again with slower parsers, which report
/// the position.
pub(super) fn fault(message: &[u8]) -> Fault {
    Fault::new(
        Reason::InvalidJson,
        match std::str::from_utf8(message).map(serde_json::from_str::<IgnoredAny>) {
            Err(error) => format!("the message is not UTF-8 from byte {} on", error.valid_up_to()),
            Ok(Err(error)) => format!("the message is not JSON: {error}"),
            Ok(Ok(_)) => "the message is not JSON".to_owned(),
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(message: &str) -> Vec<&str> {
        let mut index = Index::default();
        let records = match split(message.as_bytes(), &mut index).unwrap() {
            Records::One(record) => vec![record],
            Records::Batch(records) => records.collect(),
        };
        records
            .into_iter()
            .map(|record| std::str::from_utf8(record.json).unwrap())
            .collect()
    }

    fn error(message: &[u8]) -> String {
        let mut index = Index::default();
        assert!(split(message, &mut index).is_err());
        let fault = fault(message);
        assert_eq!(fault.reason, Reason::InvalidJson);
        fault.error
    }

    #[test]
    fn every_form_of_message_is_taken_apart() {
        assert_eq!(records("{\"records\":[{\"a\":1}, 2 ,[]]}"), ["{\"a\":1}", "2", "[]"]);
        assert_eq!(records(" [ {\"a\":1} ,\n{} ] "), ["{\"a\":1}", "{}"]);
        assert_eq!(records("{\"a\":1}"), ["{\"a\":1}"]);
        assert_eq!(records("{\"\\u0072ecords\":[1]}"), ["1"]);
        assert_eq!(records("{\"records\":[]}"), [""; 0]);
        assert_eq!(records("null"), ["null"]);
        assert_eq!(records("\"[]\""), ["\"[]\""]);
    }

    #[test]
    fn records_that_are_no_array_make_a_record_of_the_message() {
        let message = "{\"records\":{\"a\":[1]}}";
        assert_eq!(records(message), [message]);
        let repeated = "{\"records\":[1],\"records\":null}";
        assert_eq!(records(repeated), [repeated]);
        assert_eq!(records("{\"records\":null,\"records\":[1]}"), ["1"]);
    }

    #[test]
    fn errors_say_where_but_not_what() {
        assert_eq!(error(b"{\"secret\":\xff}"), "the message is not UTF-8 from byte 10 on");
        assert_eq!(error(b"\"\xed\xa0\x80\""), "the message is not UTF-8 from byte 1 on");
        let syntax = error(b"{\"secret\":hidden}");
        assert!(
            syntax.starts_with("the message is not JSON: ") && syntax.ends_with("at line 1 column 11"),
            "{syntax}"
        );
        assert!(!syntax.contains("secret") && !syntax.contains("hidden"));
    }

    #[test]
    fn broken_json_is_refused_wherever_it_breaks() {
        for message in [
            " ",
            "\u{feff}{}",
            "{",
            "[1,]",
            "{}{}",
            "[] x",
            "01",
            "1.",
            "-",
            "nul",
            "'a'",
            "{\"a\"}",
            "{a:1}",
            "[\"\n\"]",
            "\"\\x\"",
            "\"\\u12g4\"",
            "[{},{\"a\":tru}]",
            "NaN",
            "\u{c}{}",
        ] {
            error(message.as_bytes());
        }
        error("[".repeat(10_000_000).as_bytes());
        error("{\"a\":".repeat(20_000).as_bytes());
    }
}
