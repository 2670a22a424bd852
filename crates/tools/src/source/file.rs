//! Messages from files: JSON lines, JSON documents, or rows of CSV, plain or compressed with gzip or zstd; or the
//! events of Event Hubs Capture in Avro.
//!
//! A line is a message, like the value of a Kafka record, and so is a JSON text on several lines between other lines. A
//! file whose first line is the beginning of a longer JSON text contains documents instead, one after another, each of
//! which is a message (and is kept in memory as a whole, like a Kafka record). Compression is recognised by the first
//! bytes of a file, not by its name.

use std::fs::File;
use std::io::{self, BufRead, Read};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use super::capture::Capture;
use super::detect::{Compression, Layout, decompress, detect};
use super::growing::{Growth, is_unfinished};
use super::limit::{self, CHUNK, Rest};
use super::table::Table;
use super::texts::Splitter;
use crate::open;

/// A file, or standard input, that is being read.
pub struct FileSource {
    name: Arc<str>,
    messages: Messages,
    next_offset: i64,
    /// Whether the layout has been detected.
    is_detected: bool,
    /// The file itself, if its bytes are read unchanged, so that they can be read again at any position.
    plain: Option<Arc<File>>,
    /// The position in the file after the bytes that were read.
    position: u64,
    growth: Growth,
    splitter: Splitter,
}

/// Some messages in the order of their file.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// The file's name, `-` for standard input.
    pub file: Arc<str>,
    bytes: Vec<u8>,
    messages: Vec<(i64, Range<usize>)>,
    position: Option<FilePosition>,
    rest: Option<(i64, Rest)>,
}

/// The position of bytes in a file that can be read again.
#[derive(Clone, Debug)]
pub struct FilePosition {
    /// The file.
    pub file: Arc<File>,
    /// The number of bytes before them.
    pub offset: u64,
}

impl Chunk {
    /// Creates a chunk of messages that are already in memory, numbered from 0, as if they came from a file of this
    /// name.
    pub fn of<'m>(name: &str, messages: impl IntoIterator<Item = &'m [u8]>) -> Self {
        let mut bytes = Vec::new();
        let mut ranges = Vec::new();
        for (number, message) in (0..).zip(messages) {
            let start = bytes.len();
            bytes.extend_from_slice(message);
            ranges.push((number, start..bytes.len()));
        }
        Self {
            file: name.into(),
            bytes,
            messages: ranges,
            position: None,
            rest: None,
        }
    }

    /// Returns what follows the messages, with its number within the file.
    pub fn rest(&self) -> Option<(i64, &Rest)> {
        self.rest.as_ref().map(|(number, rest)| (*number, rest))
    }

    /// Returns all bytes, including those between messages.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the position of the bytes in the file, unless they came from a pipe or were compressed.
    pub fn position(&self) -> Option<&FilePosition> {
        self.position.as_ref()
    }

    /// Returns each message's number within its file (of a line or a document, from 0), and its bytes.
    pub fn messages(&self) -> impl Iterator<Item = (i64, &[u8])> {
        let message = |(offset, range): &(i64, Range<usize>)| (*offset, self.bytes.get(range.clone()).unwrap_or_default());
        self.messages.iter().map(message)
    }

    /// Returns the number within its file and the bytes of the message with this index.
    pub fn message(&self, index: usize) -> Option<(i64, &[u8])> {
        let (offset, range) = self.messages.get(index)?;
        Some((*offset, self.bytes.get(range.clone()).unwrap_or_default()))
    }
}

/// The error for a file that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {file}: {cause}")]
pub struct Error {
    file: Arc<str>,
    cause: io::Error,
}

enum Messages {
    Text(Box<dyn BufRead + Send>),
    Rows(Box<Table>),
    Events(Box<Capture>),
}

impl Error {
    /// Creates the error for a `file` that cannot be read for this reason.
    pub fn new(file: &Path, cause: impl Into<String>) -> Self {
        Self {
            file: file.display().to_string().into(),
            cause: io::Error::other(cause.into()),
        }
    }
}

impl FileSource {
    /// Opens `path`; `-` is standard input. `watch` may wrap the raw bytes, to measure progress.
    pub fn open(path: &Path, watch: impl FnOnce(Box<dyn Read + Send>) -> Box<dyn Read + Send>) -> Result<Self, Error> {
        let name: Arc<str> = path.display().to_string().into();
        let failed = |cause| Error {
            file: name.clone(),
            cause,
        };
        let (raw, reopened): (Box<dyn Read + Send>, _) = match open::is_standard_input(path) {
            true => (Box::new(open::standard_input().map_err(failed)?), None),
            false => {
                let file = open::file(path).map_err(failed)?;
                let is_regular = file.metadata().map_err(failed)?.is_file();
                let reopened = is_regular.then(|| file.try_clone()).transpose().map_err(failed)?;
                (Box::new(file), reopened)
            }
        };
        let (reader, compression) = decompress(watch(raw)).map_err(failed)?;
        let messages = match compression {
            Compression::Avro => Messages::Events(Box::new(Capture::new(reader).map_err(failed)?)),
            _ => Messages::Text(reader),
        };
        let growth = Growth::from_file_name(path);
        Ok(Self {
            name,
            messages,
            next_offset: 0,
            is_detected: false,
            plain: reopened.filter(|_| compression == Compression::None).map(Arc::new),
            position: 0,
            growth,
            splitter: Splitter::new(growth),
        })
    }

    /// Fails if `path` cannot be read. Does not wait for the writer of a pipe.
    pub fn check(path: &Path) -> Result<(), Error> {
        open::check(path).map_err(|cause| Error {
            file: path.display().to_string().into(),
            cause,
        })
    }

    /// Returns the next messages, or `None` at the end.
    pub fn next_chunk(&mut self) -> Result<Option<Chunk>, Error> {
        let chunk = self.read_chunk();
        chunk.map_err(|cause| Error {
            file: self.name.clone(),
            cause,
        })
    }

    fn read_chunk(&mut self) -> io::Result<Option<Chunk>> {
        let mut bytes = self.splitter.take_carried();
        let reader = match &mut self.messages {
            Messages::Text(reader) => reader,
            Messages::Events(capture) => {
                let bodies = capture.read(&mut bytes, CHUNK)?;
                return Ok((!bodies.is_empty()).then(|| self.chunk(bytes, bodies, None)));
            }
            Messages::Rows(_) => return self.read_rows(),
        };
        if !self.is_detected {
            self.is_detected = true;
            match detect(reader, &mut bytes, &mut self.position, self.growth)? {
                Layout::Lines => {}
                Layout::Columns(separator) => {
                    let reader = std::mem::replace(reader, Box::new(io::empty()));
                    self.messages = Messages::Rows(Box::new(Table::new(bytes, reader, separator)?));
                    self.plain = None;
                    return self.read_rows();
                }
                Layout::Documents(documents, rest) => return Ok(Some(self.chunk(bytes, documents, rest))),
                Layout::TooLong(rest) => {
                    let lines = lines(&bytes);
                    return Ok(Some(self.chunk(bytes, lines, Some(rest))));
                }
            }
        }
        let mut filled = bytes.len();
        bytes.resize(filled.max(CHUNK), 0);
        // Reads into a large buffer, so that no other buffer is filled in between.
        while let Some(buffer) = bytes.get_mut(filled..)
            && !buffer.is_empty()
        {
            match reader.read(buffer) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        bytes.truncate(filled);
        let mut rest = None;
        if bytes.last().is_some_and(|last| *last != b'\n') {
            let begin = memchr::memrchr(b'\n', &bytes).map_or(0, |end| end + 1);
            rest = limit::finish_line(reader, &mut bytes, begin)?.map(Rest::TooLong);
        }
        if bytes.is_empty() && rest.is_none() {
            return Ok(None);
        }
        let mut lines = self.splitter.split(reader, &mut bytes, &mut rest)?;
        if self.growth == Growth::ByAppending
            && !bytes.ends_with(b"\n")
            && let Some(line) = lines.pop_if(|line| bytes.get(line.clone()).is_some_and(is_unfinished))
        {
            bytes.truncate(line.start);
            rest = Some(Rest::Unfinished);
        }
        Ok(Some(self.chunk(bytes, lines, rest)))
    }

    fn read_rows(&mut self) -> io::Result<Option<Chunk>> {
        let Messages::Rows(table) = &mut self.messages else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        let (rows, rest) = table.read(&mut bytes, CHUNK)?;
        let is_end = rows.is_empty() && rest.is_none();
        Ok((!is_end).then(|| self.chunk(bytes, rows, rest.map(Rest::TooLong))))
    }

    /// Numbers the messages. Those with only white space are counted but left out.
    fn chunk(&mut self, bytes: Vec<u8>, ranges: Vec<Range<usize>>, rest: Option<Rest>) -> Chunk {
        let mut messages = Vec::with_capacity(ranges.len());
        let ends_in_newline = bytes.last() == Some(&b'\n');
        for range in ranges {
            let offset = self.next_offset;
            if !(range.start >= bytes.len() && ends_in_newline) {
                self.next_offset += 1;
            }
            let line = bytes.get(range.clone()).unwrap_or_default();
            if !line.trim_ascii().is_empty() {
                messages.push((offset, range));
            }
        }
        let offset = self.position;
        self.position += bytes.len() as u64;
        let rest = rest.map(|rest| (self.next_offset, rest));
        if let Some((_, Rest::TooLong(long))) = &rest {
            self.next_offset += 1;
            // The end of the line was skipped as well.
            self.position += long.length + 1;
        }
        Chunk {
            file: self.name.clone(),
            bytes,
            messages,
            position: self.plain.clone().map(|file| FilePosition { file, offset }),
            rest,
        }
    }
}

fn lines(bytes: &[u8]) -> Vec<Range<usize>> {
    if bytes.is_empty() {
        return Vec::new();
    }
    let ends = memchr::memchr_iter(b'\n', bytes).chain([bytes.len()]);
    let mut begin = 0;
    ends.map(|end| std::mem::replace(&mut begin, end + 1)..end).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn read(bytes: &[u8]) -> Vec<(i64, String)> {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().write_all(bytes).unwrap();
        let mut source = FileSource::open(file.path(), |raw| raw).unwrap();
        let mut messages = Vec::new();
        while let Some(chunk) = source.next_chunk().unwrap() {
            let to_owned_pair = |(offset, bytes): (i64, &[u8])| (offset, String::from_utf8_lossy(bytes).into_owned());
            messages.extend(chunk.messages().map(to_owned_pair));
        }
        messages
    }

    fn pairs(expected: &[(i64, &str)]) -> Vec<(i64, String)> {
        expected.iter().map(|(offset, text)| (*offset, (*text).to_owned())).collect()
    }

    #[test]
    fn a_line_is_a_message_and_keeps_its_number() {
        assert_eq!(read(b"{\"a\":1}\n\n{\"b\":2}"), pairs(&[(0, "{\"a\":1}"), (2, "{\"b\":2}")]));
        assert_eq!(read(b""), pairs(&[]));
        assert_eq!(read(b"\n"), pairs(&[]));
    }

    #[test]
    fn a_damaged_line_is_a_message_like_any_other() {
        assert_eq!(read(b"{\"a\":\n{\"b\":2}\n"), pairs(&[(0, "{\"a\":"), (1, "{\"b\":2}")]));
        assert_eq!(read(b"\xff\n1\n"), pairs(&[(0, "\u{fffd}"), (1, "1")]));
        for first in ["{\"a\":x}", "[{\"a\":x}]", "{}{}", "{\"a\":x"] {
            let text = format!("{first}\n{{\"b\":y}}\n{{\"c\":1}}\n");
            assert_eq!(
                read(text.as_bytes()),
                pairs(&[(0, first), (1, "{\"b\":y}"), (2, "{\"c\":1}")])
            );
        }
        assert_eq!(read(b"{\"a\":x}\n"), pairs(&[(0, "{\"a\":x}")]));
    }

    #[test]
    fn a_document_that_is_broken_is_one_message() {
        for text in [
            "[\n {\"a\":1},\n {\"b\":nope}\n]\n",
            "{\n \"a\": 1,\n \"b\"",
            "[\n{\"a\":1}\n",
        ] {
            assert_eq!(read(text.as_bytes()), pairs(&[(0, text)]));
        }
        for text in [
            "{\"records\":[{\"a\":x},\n{\"b\":1}\n]}\n",
            "[{\"a\":x},\n{\"b\":1}]",
            "[{\"a\":x\n,\"b\":1}]",
        ] {
            assert_eq!(read(text.as_bytes()), pairs(&[(0, text)]));
        }
        let two = "{\n\"a\":1\n}\n\u{feff}[\n2\n]\n";
        assert_eq!(
            read(two.as_bytes()),
            pairs(&[(0, "{\n\"a\":1\n}"), (1, "\n\u{feff}[\n2\n]\n")])
        );
    }

    #[test]
    fn utf_16_is_read_as_utf_8() {
        let units: Vec<u16> = "\u{feff}{\"a\":\"\u{e9}\"}\r\n[2]".encode_utf16().collect();
        let little: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        let big: Vec<u8> = units.iter().flat_map(|unit| unit.to_be_bytes()).collect();
        for bytes in [little, big] {
            assert_eq!(read(&bytes), pairs(&[(0, "{\"a\":\"\u{e9}\"}\r"), (1, "[2]")]));
        }
    }

    #[test]
    fn the_position_of_a_chunk_is_the_offset_of_its_bytes() {
        let line = format!("\"{}\"\n", "x".repeat(300_000));
        for (text, begin) in [
            (line.repeat(10), 0),
            (format!("\u{feff}{}", line.repeat(10)), 3),
            ("{\n}\n{}\n".to_owned(), 0),
        ] {
            let file = tempfile::NamedTempFile::new().unwrap();
            file.as_file().write_all(text.as_bytes()).unwrap();
            let mut source = FileSource::open(file.path(), |raw| raw).unwrap();
            let mut at = begin;
            while let Some(chunk) = source.next_chunk().unwrap() {
                assert_eq!(chunk.position().unwrap().offset, at as u64);
                assert_eq!(chunk.bytes(), &text.as_bytes()[at..at + chunk.bytes().len()]);
                at += chunk.bytes().len();
            }
            assert_eq!(at, text.len());
        }
    }

    #[test]
    fn compressed_chunks_have_no_position() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().write_all(&zstd::encode_all(&b"1\n"[..], 1).unwrap()).unwrap();
        let mut source = FileSource::open(file.path(), |raw| raw).unwrap();
        assert!(source.next_chunk().unwrap().unwrap().position().is_none());
    }

    #[test]
    fn documents_may_span_lines_and_follow_each_other() {
        assert_eq!(
            read(b"\xef\xbb\xbf{\n\"a\":1\n}\n[\n2]\n"),
            pairs(&[(0, "{\n\"a\":1\n}"), (1, "\n[\n2]")])
        );
    }

    #[test]
    fn records_over_the_limit_are_reported_and_the_others_read() {
        let long = vec![0; limit::MAX_RECORD_BYTES + 5];
        for before in ["1\n\n", "", "\n\n"] {
            let mut zstd = zstd::Encoder::new(Vec::new(), 1).unwrap();
            for part in [before.as_bytes(), &long, b"\n3\n"] {
                zstd.write_all(part).unwrap();
            }
            let file = tempfile::NamedTempFile::new().unwrap();
            file.as_file().write_all(&zstd.finish().unwrap()).unwrap();
            let mut source = FileSource::open(file.path(), |raw| raw).unwrap();
            let (mut numbers, mut rests) = (Vec::new(), Vec::new());
            while let Some(chunk) = source.next_chunk().unwrap() {
                numbers.extend(chunk.messages().map(|(number, _)| number));
                rests.extend(chunk.rest().map(|(number, rest)| (number, rest.clone())));
            }
            let at = before.len() as i64;
            let expected: Vec<i64> = (0..at / 3).chain([at - at / 3 + 1]).collect();
            assert_eq!(numbers, expected, "{before:?}");
            let [(number, Rest::TooLong(found))] = rests.as_slice() else {
                panic!("{before:?}: {rests:?}");
            };
            assert_eq!((*number, found.length), (at - at / 3, long.len() as u64));
        }
    }

    #[test]
    fn lines_continue_across_chunks() {
        let line = format!("\"{}\"\n", "x".repeat(300_000));
        let messages = read(line.repeat(10).as_bytes());
        assert_eq!(messages.len(), 10);
        assert!(
            messages
                .iter()
                .enumerate()
                .all(|(at, (offset, text))| at as i64 == *offset && text.len() == 300_002)
        );
    }

    #[test]
    fn compression_is_detected_by_the_first_bytes() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(b"1\n").unwrap();
        let gzip = gzip.finish().unwrap();
        assert_eq!(
            read(&[gzip.clone(), gzip].concat()),
            pairs(&[(0, "1"), (1, "1")]),
            "members follow each other"
        );
        let zstd = zstd::encode_all(&b"1\n2\n"[..], 1).unwrap();
        assert_eq!(read(&zstd), pairs(&[(0, "1"), (1, "2")]));
    }
}
