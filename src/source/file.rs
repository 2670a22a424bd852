//! Messages from files: JSON lines, or JSON documents, plain, gzip or zstd; or the events of Event Hubs Capture, in Avro.
//!
//! A line is a message, as a Kafka record's value is. A file whose first line is the beginning of a longer JSON text holds documents instead,
//! one after another, each of which is a message (and is held in memory as a whole, as a Kafka record is). What a file is compressed with
//! is told by its first bytes, not by its name.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use serde::de::IgnoredAny;

use super::avro::MAGIC;
use super::capture::Capture;
use super::growing::{Grows, is_unfinished};
use super::limit::{self, TooLong};
use super::open;

/// Lines are handed on in chunks of about this many bytes.
const CHUNK: usize = 1 << 20;

/// A file, or standard input, as it is read.
pub struct FileSource {
    name: Arc<str>,
    messages: Messages,
    next_offset: i64,
    begun: bool,
    /// The file itself, when its bytes are what is read: it can be read again anywhere.
    plain: Option<Arc<File>>,
    /// The place in the file behind what was read.
    behind: u64,
    grows: Grows,
}

/// Some messages in the order of their file.
#[derive(Debug)]
pub struct Chunk {
    /// The file's name, `-` for standard input.
    pub file: Arc<str>,
    bytes: Vec<u8>,
    messages: Vec<(i64, Range<usize>)>,
    place: Option<Place>,
    rest: Option<(i64, Rest)>,
}

/// Something that follows the messages of a chunk and is not a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Rest {
    /// A record or document that exceeds its limit.
    TooLong(TooLong),
    /// The beginning of a record that is still being written.
    Unfinished,
}

/// Where bytes stand in a file that can be read again.
#[derive(Clone, Debug)]
pub struct Place {
    /// The file.
    pub file: Arc<File>,
    /// How many bytes of it stand before them.
    pub offset: u64,
}

impl Chunk {
    /// Messages that are in memory already, numbered from 0, as if they came from a file of this name.
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
            place: None,
            rest: None,
        }
    }

    /// Returns what follows the messages, with its number within the file.
    pub fn rest(&self) -> Option<(i64, &Rest)> {
        self.rest.as_ref().map(|(number, rest)| (*number, rest))
    }

    /// All bytes, between messages too.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where the bytes stand, unless they come out of a pipe or were compressed.
    pub fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    /// Each message's number within its file (of a line or a document, from 0), and its bytes.
    pub fn messages(&self) -> impl Iterator<Item = (i64, &[u8])> {
        let message = |(offset, range): &(i64, Range<usize>)| (*offset, self.bytes.get(range.clone()).unwrap_or_default());
        self.messages.iter().map(message)
    }

    /// The same of the message at `place`, counted from 0.
    pub fn message(&self, place: usize) -> Option<(i64, &[u8])> {
        let (offset, range) = self.messages.get(place)?;
        Some((*offset, self.bytes.get(range.clone()).unwrap_or_default()))
    }
}

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {file}: {cause}")]
pub struct Error {
    file: Arc<str>,
    cause: io::Error,
}

enum Messages {
    Text(Box<dyn BufRead + Send>),
    Events(Box<Capture>),
}

impl Error {
    /// `file` cannot be read for this reason.
    pub fn new(file: &Path, cause: impl Into<String>) -> Self {
        Self {
            file: file.display().to_string().into(),
            cause: io::Error::other(cause.into()),
        }
    }
}

impl FileSource {
    /// Opens `path`; `-` is standard input. `watch` may wrap the raw bytes, to follow how far reading has come.
    pub fn open(path: &Path, watch: impl FnOnce(Box<dyn Read + Send>) -> Box<dyn Read + Send>) -> Result<Self, Error> {
        let name: Arc<str> = path.display().to_string().into();
        let failed = |cause| Error {
            file: name.clone(),
            cause,
        };
        let (raw, again): (Box<dyn Read + Send>, _) = match open::is_standard_input(path) {
            true => (Box::new(open::standard_input().map_err(failed)?), None),
            false => {
                let file = open::file(path).map_err(failed)?;
                let again = file.metadata().map_err(failed)?.is_file();
                let again = again.then(|| file.try_clone()).transpose().map_err(failed)?;
                (Box::new(file), again)
            }
        };
        let (reader, compression) = decompress(watch(raw)).map_err(failed)?;
        let messages = match compression {
            Compression::Avro => Messages::Events(Box::new(Capture::new(reader).map_err(failed)?)),
            _ => Messages::Text(reader),
        };
        Ok(Self {
            name,
            messages,
            next_offset: 0,
            begun: false,
            plain: again.filter(|_| compression == Compression::None).map(Arc::new),
            behind: 0,
            grows: Grows::of(path),
        })
    }

    /// Fails when `path` cannot be read. Does not wait for the writer of a pipe.
    pub fn check(path: &Path) -> Result<(), Error> {
        open::check(path).map_err(|cause| Error {
            file: path.display().to_string().into(),
            cause,
        })
    }

    /// The next messages; `None` at the end.
    pub fn next_chunk(&mut self) -> Result<Option<Chunk>, Error> {
        let chunk = self.read_chunk();
        chunk.map_err(|cause| Error {
            file: self.name.clone(),
            cause,
        })
    }

    fn read_chunk(&mut self) -> io::Result<Option<Chunk>> {
        let mut bytes = Vec::new();
        let reader = match &mut self.messages {
            Messages::Text(reader) => reader,
            Messages::Events(capture) => {
                let bodies = capture.read(&mut bytes, CHUNK)?;
                return Ok((!bodies.is_empty()).then(|| self.chunk(bytes, bodies, None)));
            }
        };
        if !self.begun {
            self.begun = true;
            match begin(reader, &mut bytes, &mut self.behind)? {
                Begin::Lines => {}
                Begin::Documents(documents, rest) => return Ok(Some(self.chunk(bytes, documents, rest))),
                Begin::TooLong(rest) => {
                    let lines = lines(&bytes);
                    return Ok(Some(self.chunk(bytes, lines, Some(rest))));
                }
            }
        }
        let mut filled = bytes.len();
        bytes.resize(filled.max(CHUNK), 0);
        // In reads so large that nothing buffers them on the way.
        while let Some(room) = bytes.get_mut(filled..)
            && !room.is_empty()
        {
            match reader.read(room) {
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
        let mut lines = lines(&bytes);
        if self.grows == Grows::ByAppending
            && let Some(line) = lines.pop_if(|line| bytes.get(line.clone()).is_some_and(is_unfinished))
        {
            bytes.truncate(line.start);
            rest = Some(Rest::Unfinished);
        }
        Ok(Some(self.chunk(bytes, lines, rest)))
    }

    /// Numbers the messages; those without anything but white space count, but are not messages.
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
        let offset = self.behind;
        self.behind += bytes.len() as u64;
        let rest = rest.map(|rest| (self.next_offset, rest));
        if let Some((_, Rest::TooLong(long))) = &rest {
            self.next_offset += 1;
            // The end of its line was skipped with it.
            self.behind += long.length + 1;
        }
        Chunk {
            file: self.name.clone(),
            bytes,
            messages,
            place: self.plain.clone().map(|file| Place { file, offset }),
            rest,
        }
    }
}

/// The beginning of a file.
enum Begin {
    /// One message per line.
    Lines,
    /// Documents, and what follows them.
    Documents(Vec<Range<usize>>, Option<Rest>),
    /// A line that exceeds its limit, after nothing but empty lines.
    TooLong(Rest),
}

/// Reads the first line. When that is the beginning of something longer, reads everything and finds the documents in it.
fn begin(reader: &mut dyn BufRead, bytes: &mut Vec<u8>, behind: &mut u64) -> io::Result<Begin> {
    loop {
        let line = bytes.len();
        if let Some(long) = limit::finish_line(reader, bytes, line)? {
            return Ok(Begin::TooLong(Rest::TooLong(long)));
        }
        if bytes.starts_with(b"\xef\xbb\xbf") {
            // A byte order mark is no part of the text.
            bytes.drain(..3);
            *behind += 3;
        }
        let line = bytes.get(line..).unwrap_or_default();
        if line.is_empty() || bytes.len() > CHUNK {
            return Ok(Begin::Lines);
        }
        if !line.trim_ascii().is_empty() {
            break;
        }
    }
    let first = serde_json::from_slice::<IgnoredAny>(bytes);
    if !first.is_err_and(|error| error.is_eof()) {
        return Ok(Begin::Lines);
    }
    let is_whole = limit::finish(reader, bytes)?;
    let mut documents = Vec::new();
    let mut stream = serde_json::Deserializer::from_slice(bytes).into_iter::<IgnoredAny>();
    let mut begin = 0;
    while let Some(document) = stream.next() {
        match document {
            Ok(_) => {}
            Err(error) if error.is_eof() && !is_whole => break,
            // Then it was a damaged line after all.
            Err(_) => return Ok(Begin::Lines),
        }
        documents.push(begin..stream.byte_offset());
        begin = stream.byte_offset();
    }
    if is_whole {
        return Ok(Begin::Documents(documents, None));
    }
    let more = limit::skip_all(reader)?;
    let rest = TooLong::of(bytes.get(begin..).unwrap_or_default(), more);
    bytes.truncate(begin);
    Ok(Begin::Documents(documents, Some(Rest::TooLong(rest))))
}

fn lines(bytes: &[u8]) -> Vec<Range<usize>> {
    if bytes.is_empty() {
        return Vec::new();
    }
    let ends = memchr::memchr_iter(b'\n', bytes).chain([bytes.len()]);
    let mut begin = 0;
    ends.map(|end| std::mem::replace(&mut begin, end + 1)..end).collect()
}

fn decompress(mut raw: Box<dyn Read + Send>) -> io::Result<(Box<dyn BufRead + Send>, Compression)> {
    let mut magic = Vec::with_capacity(4);
    raw.by_ref().take(4).read_to_end(&mut magic)?;
    let compression = match magic.as_slice() {
        [0x1f, 0x8b, ..] => Compression::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd] => Compression::Zstd,
        magic if magic == MAGIC => Compression::Avro,
        _ => Compression::None,
    };
    let whole = BufReader::with_capacity(1 << 16, io::Cursor::new(magic).chain(raw));
    let reader: Box<dyn BufRead + Send> = match compression {
        Compression::None | Compression::Avro => Box::new(whole),
        Compression::Gzip => Box::new(BufReader::with_capacity(1 << 16, flate2::bufread::MultiGzDecoder::new(whole))),
        Compression::Zstd => Box::new(BufReader::with_capacity(1 << 16, zstd::Decoder::with_buffer(whole)?)),
    };
    Ok((reader, compression))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Compression {
    None,
    Gzip,
    Zstd,
    Avro,
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
            let owned = |(offset, bytes): (i64, &[u8])| (offset, String::from_utf8_lossy(bytes).into_owned());
            messages.extend(chunk.messages().map(owned));
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
    }

    #[test]
    fn the_place_of_a_chunk_is_where_its_bytes_stand() {
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
                assert_eq!(chunk.place().unwrap().offset, at as u64);
                assert_eq!(chunk.bytes(), &text.as_bytes()[at..at + chunk.bytes().len()]);
                at += chunk.bytes().len();
            }
            assert_eq!(at, text.len());
        }
    }

    #[test]
    fn what_was_compressed_has_no_place() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().write_all(&zstd::encode_all(&b"1\n"[..], 1).unwrap()).unwrap();
        let mut source = FileSource::open(file.path(), |raw| raw).unwrap();
        assert!(source.next_chunk().unwrap().unwrap().place().is_none());
    }

    #[test]
    fn documents_may_span_lines_and_follow_each_other() {
        assert_eq!(
            read(b"\xef\xbb\xbf{\n\"a\":1\n}\n[\n2]\n"),
            pairs(&[(0, "{\n\"a\":1\n}"), (1, "\n[\n2]")])
        );
    }

    #[test]
    fn what_is_too_long_is_told_of_and_what_is_around_it_is_read() {
        let long = vec![0; limit::LONGEST_RECORD + 5];
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
    fn lines_go_on_across_chunks() {
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
    fn compression_is_told_by_the_first_bytes() {
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
