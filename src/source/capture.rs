//! Avro files of Event Hubs Capture: each record is an event, whose `Body` is the message that was sent.
//!
//! The fields are `SequenceNumber`, `Offset`, `EnqueuedTimeUtc`, `SystemProperties`, `Properties` and `Body`, the last of them null or bytes; that is the
//! schema that Microsoft documents for Capture. Only `Body` is read.

use std::io::{self, BufRead};
use std::ops::Range;

use apache_avro::Reader;
use apache_avro::types::Value;

/// How an Avro object container file begins.
pub(super) const MAGIC: [u8; 4] = *b"Obj\x01";

/// A file of Capture, as it is read.
pub(super) struct Capture(Reader<'static, Box<dyn BufRead + Send>>);

impl Capture {
    pub(super) fn new(reader: Box<dyn BufRead + Send>) -> io::Result<Self> {
        Reader::new(reader).map(Self).map_err(invalid)
    }

    /// Appends bodies to `bytes` until there are `most` of them; where each is. An event without a body has an empty one.
    pub(super) fn read(&mut self, bytes: &mut Vec<u8>, most: usize) -> io::Result<Vec<Range<usize>>> {
        let mut bodies = Vec::new();
        while bytes.len() < most
            && let Some(event) = self.0.next()
        {
            let begin = bytes.len();
            if let Some(body) = body(event.map_err(invalid)?)? {
                bytes.extend_from_slice(&body);
            }
            bodies.push(begin..bytes.len());
        }
        Ok(bodies)
    }
}

fn body(event: Value) -> io::Result<Option<Vec<u8>>> {
    let Value::Record(fields) = event else {
        return Err(invalid("its values are no records"));
    };
    let body = fields.into_iter().find(|(name, _)| name == "Body");
    let (_, mut value) = body.ok_or_else(|| invalid("its records have no Body, so it is no file of Event Hubs Capture"))?;
    if let Value::Union(_, inner) = value {
        value = *inner;
    }
    match value {
        Value::Bytes(bytes) => Ok(Some(bytes)),
        Value::String(text) => Ok(Some(text.into_bytes())),
        Value::Null => Ok(None),
        _ => Err(invalid(
            "the Body of a record is no bytes, so it is no file of Event Hubs Capture",
        )),
    }
}

fn invalid(cause: impl ToString) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("as Avro: {}", cause.to_string()))
}

#[cfg(test)]
pub(super) mod tests {
    use apache_avro::types::Record;
    use apache_avro::{Codec, DeflateSettings, Schema, Writer};

    use super::super::file::FileSource;
    use super::*;

    /// The schema of Capture, as Microsoft documents it.
    const SCHEMA: &str = r#"{"type":"record","name":"EventData","namespace":"Microsoft.ServiceBus.Messaging","fields":[
        {"name":"SequenceNumber","type":"long"},{"name":"Offset","type":"string"},{"name":"EnqueuedTimeUtc","type":"string"},
        {"name":"SystemProperties","type":{"type":"map","values":["long","double","string","bytes"]}},
        {"name":"Properties","type":{"type":"map","values":["long","double","string","bytes","null"]}},
        {"name":"Body","type":["null","bytes"]}]}"#;

    fn file(bodies: &[Option<&[u8]>], codec: Codec) -> tempfile::NamedTempFile {
        let schema = Schema::parse_str(SCHEMA).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut writer = Writer::with_codec(&schema, file.reopen().unwrap(), codec);
        for (number, body) in (0_i64..).zip(bodies) {
            let mut event = Record::new(writer.schema()).unwrap();
            event.put("SequenceNumber", number);
            event.put("Offset", number.to_string());
            event.put("EnqueuedTimeUtc", "3/1/2026 10:00:00 AM");
            event.put("SystemProperties", Value::Map(std::collections::HashMap::new()));
            event.put("Properties", Value::Map(std::collections::HashMap::new()));
            event.put(
                "Body",
                match body {
                    Some(body) => Value::Union(1, Box::new(Value::Bytes(body.to_vec()))),
                    None => Value::Union(0, Box::new(Value::Null)),
                },
            );
            writer.append(event).unwrap();
        }
        writer.flush().unwrap();
        file
    }

    fn read(file: &tempfile::NamedTempFile) -> Result<Vec<(i64, Vec<u8>)>, super::super::file::Error> {
        let mut source = FileSource::open(file.path(), |raw| raw)?;
        let mut messages = Vec::new();
        while let Some(chunk) = source.next_chunk()? {
            assert!(chunk.place().is_none(), "a body does not stand in the file as it is");
            messages.extend(chunk.messages().map(|(number, bytes)| (number, bytes.to_vec())));
        }
        Ok(messages)
    }

    #[test]
    fn the_body_of_each_event_is_a_message_whatever_the_codec() {
        let batch = b"{\"records\":[\n{\"a\":1},\n{\"a\":2}]}\n".as_slice();
        for codec in [Codec::Null, Codec::Deflate(DeflateSettings::default()), Codec::Snappy] {
            let file = file(&[Some(batch), None, Some(b""), Some(b"{\"b\":1}")], codec);
            let expected = vec![(0, batch.to_vec()), (3, b"{\"b\":1}".to_vec())];
            assert_eq!(
                read(&file).unwrap(),
                expected,
                "events without a body count, but are no messages"
            );
        }
    }

    #[test]
    fn a_file_larger_than_a_chunk_is_read_to_its_end() {
        let body = vec![b'x'; 300_000];
        let file = file(&[Some(body.as_slice()); 11], Codec::Null);
        let numbers: Vec<i64> = read(&file).unwrap().iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, (0..11).collect::<Vec<_>>());
    }

    #[test]
    fn other_avro_and_damaged_files_are_errors_that_say_so() {
        let schema = Schema::parse_str(r#"{"type":"record","name":"x","fields":[{"name":"a","type":"long"}]}"#).unwrap();
        let other = tempfile::NamedTempFile::new().unwrap();
        let mut writer = Writer::new(&schema, other.reopen().unwrap());
        let mut record = Record::new(writer.schema()).unwrap();
        record.put("a", 1_i64);
        writer.append(record).unwrap();
        writer.flush().unwrap();
        let error = read(&other).unwrap_err().to_string();
        assert!(error.contains("no file of Event Hubs Capture"), "{error}");
        let whole = file(&[Some(b"{}".as_slice()); 50], Codec::Null);
        let bytes = std::fs::read(whole.path()).unwrap();
        std::fs::write(whole.path(), &bytes[..bytes.len() - 20]).unwrap();
        let error = read(&whole).unwrap_err().to_string();
        assert!(error.starts_with("cannot read ") && error.contains("as Avro: "), "{error}");
    }
}
