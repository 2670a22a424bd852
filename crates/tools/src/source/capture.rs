//! Avro files of Event Hubs Capture: each record is an event, whose `Body` is the message that was sent.
//!
//! The fields are `SequenceNumber`, `Offset`, `EnqueuedTimeUtc`, `SystemProperties`, `Properties` and `Body`, which is
//! null or bytes. This is the schema that Microsoft documents for Capture. Only `Body` is read, and `EnqueuedTimeUtc`
//! of the first event.

use std::io::{self, BufRead};
use std::ops::Range;
use std::path::Path;

use apache_avro::Reader;
use apache_avro::types::Value;
use chrono::{Datelike as _, NaiveDateTime, Timelike as _};

use super::avro::{Decompressed, invalid};
use super::format::StartTime;
use crate::open;

/// A Capture file that is being read.
pub(super) struct Capture(Reader<'static, Decompressed>);

impl Capture {
    pub(super) fn new(reader: Box<dyn BufRead + Send>) -> io::Result<Self> {
        Reader::new(Decompressed::new(reader)?).map(Self).map_err(to_io_error)
    }

    /// Appends bodies to `bytes` until it has `max_bytes` bytes. Returns their ranges. An event without a body has an
    /// empty range.
    pub(super) fn read(&mut self, bytes: &mut Vec<u8>, max_bytes: usize) -> io::Result<Vec<Range<usize>>> {
        let mut bodies = Vec::new();
        while bytes.len() < max_bytes
            && let Some(event) = self.0.next()
        {
            let begin = bytes.len();
            if let Some(body) = body(event.map_err(to_io_error)?)? {
                bytes.extend_from_slice(&body);
            }
            bodies.push(begin..bytes.len());
        }
        Ok(bodies)
    }
}

/// An event.
pub(super) struct CaptureEvent {
    /// The time at which the event hub received it.
    pub(super) enqueued: Option<StartTime>,
    pub(super) body: Vec<u8>,
}

/// Returns the first event of a file, if it has one.
pub(super) fn first_event(path: &Path) -> io::Result<Option<CaptureEvent>> {
    let mut reader = Capture::new(Box::new(io::BufReader::new(open::file(path)?)))?;
    let Some(event) = reader.0.next() else {
        return Ok(None);
    };
    let event = event.map_err(to_io_error)?;
    let enqueued = match &event {
        Value::Record(fields) => fields.iter().find(|(name, _)| name == "EnqueuedTimeUtc"),
        _ => None,
    };
    let enqueued = match enqueued {
        Some((_, Value::String(text))) => parse_time(text),
        _ => None,
    };
    let body = body(event)?.unwrap_or_default();
    Ok(Some(CaptureEvent { enqueued, body }))
}

/// Reads a time in the format that Microsoft documents, `11/20/2026 8:34:11 AM`.
fn parse_time(text: &str) -> Option<StartTime> {
    let time = NaiveDateTime::parse_from_str(text, "%m/%d/%Y %I:%M:%S %p").ok()?;
    let parts = [time.month(), time.day(), time.hour(), time.minute(), time.second()];
    let mut start = [u16::try_from(time.year()).ok()?, 0, 0, 0, 0, 0];
    for (field, part) in start.iter_mut().skip(1).zip(parts) {
        *field = u16::try_from(part).ok()?;
    }
    Some(start)
}

fn body(event: Value) -> io::Result<Option<Vec<u8>>> {
    let Value::Record(fields) = event else {
        return Err(invalid("its values are not records"));
    };
    let body = fields.into_iter().find(|(name, _)| name == "Body");
    let (_, mut value) = body.ok_or_else(|| invalid("its records have no Body, so it is not a file of Event Hubs Capture"))?;
    if let Value::Union(_, inner) = value {
        value = *inner;
    }
    match value {
        Value::Bytes(bytes) => Ok(Some(bytes)),
        Value::String(text) => Ok(Some(text.into_bytes())),
        Value::Null => Ok(None),
        _ => Err(invalid(
            "the Body of a record is not of type bytes, so it is not a file of Event Hubs Capture",
        )),
    }
}

/// Returns the error of the library, or the error of a block that it wraps.
fn to_io_error(error: apache_avro::Error) -> io::Error {
    use std::error::Error as _;
    let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    match source.filter(|source| source.kind() == io::ErrorKind::InvalidData) {
        Some(source) => io::Error::new(source.kind(), source.to_string()),
        None => invalid(error),
    }
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

    /// Writes a file with one event.
    pub(in crate::source) fn write(path: &Path, enqueued: &str, body: &[u8]) {
        fill(std::fs::File::create(path).unwrap(), &[Some(body)], Codec::Null, enqueued);
    }

    fn file(bodies: &[Option<&[u8]>], codec: Codec) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        fill(file.reopen().unwrap(), bodies, codec, "3/1/2026 10:00:00 AM");
        file
    }

    fn fill(file: std::fs::File, bodies: &[Option<&[u8]>], codec: Codec, enqueued: &str) {
        let schema = Schema::parse_str(SCHEMA).unwrap();
        let mut writer = Writer::with_codec(&schema, file, codec).unwrap();
        for (number, body) in (0_i64..).zip(bodies) {
            let mut event = Record::new(writer.schema()).unwrap();
            event.put("SequenceNumber", number);
            event.put("Offset", number.to_string());
            event.put("EnqueuedTimeUtc", enqueued);
            event.put("SystemProperties", Value::Map(std::collections::HashMap::new()));
            event.put("Properties", Value::Map(std::collections::HashMap::new()));
            event.put(
                "Body",
                match body {
                    Some(body) => Value::Union(1, Box::new(Value::Bytes(body.to_vec()))),
                    None => Value::Union(0, Box::new(Value::Null)),
                },
            );
            writer.append_value(event).unwrap();
        }
        writer.flush().unwrap();
    }

    fn read(file: &tempfile::NamedTempFile) -> Result<Vec<(i64, Vec<u8>)>, super::super::file::Error> {
        let mut source = FileSource::open(file.path(), |raw| raw)?;
        let mut messages = Vec::new();
        while let Some(chunk) = source.next_chunk()? {
            assert!(
                chunk.position().is_none(),
                "the bytes of a body differ from those in the file"
            );
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
                "events without a body are numbered, but are not messages"
            );
        }
    }

    #[test]
    fn a_file_larger_than_a_chunk_is_read_completely() {
        let body = vec![b'x'; 300_000];
        let file = file(&[Some(body.as_slice()); 11], Codec::Null);
        let numbers: Vec<i64> = read(&file).unwrap().iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, (0..11).collect::<Vec<_>>());
    }

    #[test]
    fn other_avro_and_damaged_files_are_distinct_errors() {
        let schema = Schema::parse_str(r#"{"type":"record","name":"x","fields":[{"name":"a","type":"long"}]}"#).unwrap();
        let other = tempfile::NamedTempFile::new().unwrap();
        let mut writer = Writer::new(&schema, other.reopen().unwrap()).unwrap();
        let mut record = Record::new(writer.schema()).unwrap();
        record.put("a", 1_i64);
        writer.append_value(record).unwrap();
        writer.flush().unwrap();
        let error = read(&other).unwrap_err().to_string();
        assert!(error.contains("not a file of Event Hubs Capture"), "{error}");
        let whole = file(&[Some(b"{}".as_slice()); 50], Codec::Null);
        let bytes = std::fs::read(whole.path()).unwrap();
        std::fs::write(whole.path(), &bytes[..bytes.len() - 20]).unwrap();
        let error = read(&whole).unwrap_err().to_string();
        assert!(error.starts_with("cannot read ") && error.contains("as Avro: "), "{error}");
    }
}
