//! CSV files whose columns are those of either table, or contain records of the audit log. Each row becomes an object
//! with its columns as members.
//!
//! The format is RFC 4180, with a comma, a semicolon or a tab between fields. Every value is a string; the decoder
//! interprets it. Portals write the name of a time column as `TimeGenerated [UTC]` and its values as `3/1/2026,
//! 10:00:00.123 AM`; these become `TimeGenerated` and `2026-03-01T10:00:00.123Z`.

use std::io::{self, BufRead, Read};
use std::ops::Range;

use serde::Serializer as _;

use super::limit::{MAX_RECORD_BYTES, TooLong};

/// A file of either table or of the audit log has one of these columns.
const COLUMNS: [&str; 4] = ["SystemAlertId", "RawEventData", "AuditData", "auditData"];
/// Windows PowerShell writes this before the column names.
const TYPE_LINE: &[u8] = b"#TYPE";
/// Portals append this to the name of a time column.
const UTC: &str = " [UTC]";

/// A CSV file that is being read.
pub(super) struct Table {
    rows: csv::Reader<Bounded>,
    columns: Vec<Column>,
}

struct Column {
    name: String,
    is_time: bool,
}

/// Returns the separator of a file that begins with this line, if its columns are those of either table.
pub(super) fn separator(line: &[u8]) -> Option<u8> {
    // The line is JSON. With white space around its names, a part of it could look like a column.
    if matches!(line.trim_ascii_start().first(), Some(b'{' | b'[')) {
        return None;
    }
    let is_known = |separator: &u8| {
        let mut names = csv::ReaderBuilder::new();
        let mut names = names.has_headers(false).delimiter(*separator).from_reader(line);
        let names = names.byte_records().next().and_then(Result::ok).unwrap_or_default();
        names
            .iter()
            .any(|name| COLUMNS.iter().any(|column| name == column.as_bytes()))
    };
    [b',', b';', b'\t'].into_iter().find(is_known)
}

/// Returns whether a line is a type line, which precedes the column names.
pub(super) fn is_type_line(line: &[u8]) -> bool {
    line.starts_with(TYPE_LINE)
}

impl Table {
    /// Creates a table from `begin`, which ends with the column names, and the rest of the file in `reader`.
    pub(super) fn new(begin: Vec<u8>, reader: Box<dyn BufRead + Send>, separator: u8) -> io::Result<Self> {
        let bounded = Bounded {
            inner: Box::new(io::Cursor::new(begin).chain(reader)),
            remaining: MAX_RECORD_BYTES,
        };
        let mut rows = csv::ReaderBuilder::new()
            .delimiter(separator)
            .flexible(true)
            .from_reader(bounded);
        let columns = rows.byte_headers()?.iter().map(Column::new).collect();
        Ok(Self { rows, columns })
    }

    /// Appends rows to `bytes` until it has `max_bytes` bytes. Returns their ranges, and the row that exceeds the
    /// limit, if there is one; nothing after it can be read.
    pub(super) fn read(&mut self, bytes: &mut Vec<u8>, max_bytes: usize) -> io::Result<(Vec<Range<usize>>, Option<TooLong>)> {
        let (mut objects, mut row) = (Vec::new(), csv::ByteRecord::new());
        while bytes.len() < max_bytes {
            self.rows.get_mut().remaining = MAX_RECORD_BYTES;
            let is_row = self.rows.read_byte_record(&mut row)?;
            if self.rows.get_ref().remaining == 0 {
                let more = io::copy(&mut self.rows.get_mut().inner, &mut io::sink())?;
                return Ok((objects, Some(TooLong::new(row.as_slice(), more))));
            }
            if !is_row {
                break;
            }
            let begin = bytes.len();
            self.write(&row, bytes)?;
            objects.push(begin..bytes.len());
        }
        Ok((objects, None))
    }

    /// Writes a row as an object. A row with a different number of fields is written unchanged, which is not valid
    /// JSON.
    fn write(&self, row: &csv::ByteRecord, bytes: &mut Vec<u8>) -> io::Result<()> {
        if row.len() != self.columns.len() {
            let mut line = csv::Writer::from_writer(&mut *bytes);
            line.write_byte_record(row)?;
            return line.flush();
        }
        let members = self.columns.iter().zip(row);
        let members = members.map(|(column, value)| (&column.name, column.value(value)));
        Ok(serde_json::Serializer::new(bytes).collect_map(members)?)
    }
}

impl Column {
    fn new(name: &[u8]) -> Self {
        let name = String::from_utf8_lossy(name);
        let stripped = name.strip_suffix(UTC);
        Self {
            is_time: stripped.is_some(),
            name: stripped.unwrap_or(&name).to_owned(),
        }
    }

    fn value(&self, value: &[u8]) -> String {
        let text = String::from_utf8_lossy(value);
        match self.is_time {
            true => iso_8601(&text).unwrap_or_else(|| text.into_owned()),
            false => text.into_owned(),
        }
    }
}

/// Converts a portal's time to ISO 8601.
fn iso_8601(text: &str) -> Option<String> {
    let (time, format) = match text.trim().contains(',') {
        true => (text.trim(), "%m/%d/%Y, %I:%M:%S%.f %p"),
        false => (text.trim(), "%m/%d/%Y %I:%M:%S%.f %p"),
    };
    let time = chrono::NaiveDateTime::parse_from_str(time, format).ok()?;
    Some(time.format("%Y-%m-%dT%H:%M:%S%.fZ").to_string())
}

/// A reader that limits the bytes of one row, because a quote that is never closed would read the rest of the file.
struct Bounded {
    inner: Box<dyn Read + Send>,
    remaining: usize,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let buffer = match buffer.len().min(self.remaining) {
            0 => return Ok(0),
            length => &mut buffer[..length],
        };
        let read = self.inner.read(buffer)?;
        self.remaining -= read;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::super::file::FileSource;
    use super::super::limit::Rest;
    use super::*;

    fn read(text: &str) -> Vec<String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().write_all(text.as_bytes()).unwrap();
        let mut source = FileSource::open(file.path(), |raw| raw).unwrap();
        let mut messages = Vec::new();
        while let Some(chunk) = source.next_chunk().unwrap() {
            assert!(chunk.position().is_none(), "the file does not contain a row in this form");
            messages.extend(chunk.messages().map(|(_, bytes)| String::from_utf8(bytes.to_vec()).unwrap()));
        }
        messages
    }

    #[test]
    fn json_with_tabs_around_its_columns_is_no_table() {
        let line = b"{\t\"RawEventData\"\t:\t{}}";
        assert_eq!(separator(line), None);
        assert_eq!(separator(&[b" [", &line[..], b"]"].concat()), None);
        assert_eq!(separator(b"\"RawEventData\"\tType"), Some(b'\t'));
    }

    #[test]
    fn a_row_is_an_object_of_its_columns() {
        let expected = [
            r#"{"RawEventData":"{\"a\":1}","Type":"x"}"#,
            "{\"RawEventData\":\"two\\nlines\",\"Type\":\"\"}",
        ];
        for separator in [",", ";", "\t"] {
            for begin in ["", "\u{feff}", "\r\n", "#TYPE Selected.System.Object\r\n"] {
                let text = format!(
                    "{begin}\"RawEventData\"{separator}Type\r\n\"{{\"\"a\"\":1}}\"{separator}x\r\n\"two\nlines\"{separator}\r\n"
                );
                assert_eq!(read(&text), expected, "{text:?}");
            }
        }
    }

    #[test]
    fn times_of_the_portals_become_iso_8601() {
        let text = concat!(
            "SystemAlertId,\"TimeGenerated [UTC]\",StartTime\n",
            "x,\"3/1/2026, 10:00:00.123 PM\",\"3/1/2026, 10:00:00.123 PM\"\n",
            "y,2026-03-01T10:00:00Z,\n"
        );
        assert_eq!(
            read(text),
            [
                r#"{"SystemAlertId":"x","TimeGenerated":"2026-03-01T22:00:00.123Z","StartTime":"3/1/2026, 10:00:00.123 PM"}"#,
                r#"{"SystemAlertId":"y","TimeGenerated":"2026-03-01T10:00:00Z","StartTime":""}"#
            ]
        );
    }

    #[test]
    fn a_row_with_another_number_of_fields_is_not_changed() {
        assert_eq!(
            read("AuditData,b\n1\n2,3,4\n5,6\n"),
            ["1\n", "2,3,4\n", r#"{"AuditData":"5","b":"6"}"#]
        );
    }

    #[test]
    fn other_files_are_no_tables() {
        for text in ["a,b\n1,2\n", "{\"RawEventData\":1}\n", "RawEventDat,b\n", "#TYPE x\na,b\n"] {
            let file = tempfile::NamedTempFile::new().unwrap();
            file.as_file().write_all(text.as_bytes()).unwrap();
            let chunk = FileSource::open(file.path(), |raw| raw)
                .unwrap()
                .next_chunk()
                .unwrap()
                .unwrap();
            assert_eq!(chunk.bytes(), text.as_bytes());
        }
    }

    #[test]
    fn an_unclosed_quote_affects_one_row_at_most() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut text = b"AuditData\n1\n\"".to_vec();
        text.resize(MAX_RECORD_BYTES + (1 << 20), b'x');
        file.as_file().write_all(&text).unwrap();
        let mut source = FileSource::open(file.path(), |raw| raw).unwrap();
        let chunk = source.next_chunk().unwrap().unwrap();
        assert_eq!(chunk.messages().count(), 1);
        let rest = chunk.rest();
        assert!(matches!(rest, Some((1, Rest::TooLong(long))) if long.length > MAX_RECORD_BYTES as u64));
        assert!(source.next_chunk().unwrap().is_none());
    }
}
