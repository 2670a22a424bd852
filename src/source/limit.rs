//! How much of a file is held at once, whatever is in it.

use std::io::{self, BufRead, Read as _};

/// The longest line, in bytes, that is taken for a record. No broker takes a message near to it: Event Hubs ends at 20 MiB, Kafka at 1 MiB
/// unless it is told otherwise.
pub const LONGEST_RECORD: usize = 64 << 20;
/// The longest JSON text that begins with a bracket, in bytes, on one line or on several: it may hold many records, and is held as a whole.
pub const LONGEST_DOCUMENT: usize = 512 << 20;
/// How much is kept of what is longer.
const HEAD: usize = 64 << 10;

/// Something in a file that is too long to be held.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TooLong {
    /// Its bytes.
    pub length: u64,
    /// More than this many are too many.
    pub most: usize,
    /// The first of them.
    pub head: Vec<u8>,
}

impl TooLong {
    /// Of what `bytes` begin with, while `more` were passed over.
    pub(super) fn of(bytes: &[u8], more: u64) -> Self {
        Self {
            length: bytes.len() as u64 + more,
            most: longest(bytes),
            head: bytes.get(..HEAD).unwrap_or(bytes).to_vec(),
        }
    }

    /// Says so in a sentence that holds nothing of the content.
    pub fn sentence(&self) -> String {
        let Self { length, most, .. } = self;
        match *most == LONGEST_DOCUMENT {
            true => format!(
                "the JSON text has {length} bytes, more than the {most} that are held of one in a file; write its records on a line each"
            ),
            false => format!("the record has {length} bytes, more than the {most} that a record in a file may have"),
        }
    }
}

/// How long the line or document that begins so may be.
fn longest(text: &[u8]) -> usize {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    match text.trim_ascii_start().first() {
        Some(b'{' | b'[') => LONGEST_DOCUMENT,
        _ => LONGEST_RECORD,
    }
}

/// Appends to `bytes` up to the end of the line that begins at `begin` of them. A line that is too long is taken out of `bytes`, and passed
/// over.
pub(super) fn finish_line(reader: &mut dyn BufRead, bytes: &mut Vec<u8>, begin: usize) -> io::Result<Option<TooLong>> {
    loop {
        let line = bytes.get(begin..).unwrap_or_default();
        let (length, before) = (line.len(), bytes.len());
        // In steps that double, so that what the line begins with is looked at seldom.
        let step = (length + HEAD).min(longest(line).saturating_sub(length) + 1);
        let read = (&mut *reader).take(step as u64).read_until(b'\n', bytes)?;
        if read == 0 || bytes.get(before..).is_some_and(|new| new.ends_with(b"\n")) {
            return Ok(None);
        }
        let line = bytes.get(begin..).unwrap_or_default();
        if line.len() > longest(line) {
            let more = pass_line(reader)?;
            let long = TooLong::of(line, more);
            bytes.truncate(begin);
            return Ok(Some(long));
        }
    }
}

/// Appends everything that is left to `bytes`, or as much as a document may have; whether that was all.
pub(super) fn finish(reader: &mut dyn BufRead, bytes: &mut Vec<u8>) -> io::Result<bool> {
    let room = LONGEST_DOCUMENT.saturating_sub(bytes.len()) as u64;
    let read = (&mut *reader).take(room + 1).read_to_end(bytes)?;
    Ok(read as u64 <= room)
}

/// Passes over the rest of a line, with its end; how many bytes stood before that.
fn pass_line(reader: &mut dyn BufRead) -> io::Result<u64> {
    pass(reader, |buffer| memchr::memchr(b'\n', buffer))
}

/// Passes over everything that is left; how many bytes those were.
pub(super) fn pass_all(reader: &mut dyn BufRead) -> io::Result<u64> {
    pass(reader, |_| None)
}

fn pass(reader: &mut dyn BufRead, end: impl Fn(&[u8]) -> Option<usize>) -> io::Result<u64> {
    let mut passed = 0;
    loop {
        let buffer = match reader.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            buffer => buffer?,
        };
        let (length, end) = (buffer.len(), end(buffer));
        if let Some(end) = end {
            reader.consume(end + 1);
            return Ok(passed + end as u64);
        }
        if length == 0 {
            return Ok(passed);
        }
        reader.consume(length);
        passed += length as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line of so many bytes, and the next.
    fn line(length: usize, byte: u8) -> impl BufRead {
        io::BufReader::new(io::repeat(byte).take(length as u64).chain(&b"\nnext\n"[..]))
    }

    #[test]
    fn a_line_is_finished_up_to_its_limit() {
        let mut bytes = b"before\n".to_vec();
        let mut reader = line(LONGEST_RECORD, b' ');
        assert_eq!(finish_line(&mut reader, &mut bytes, 7).unwrap(), None);
        assert_eq!(bytes.len(), 7 + LONGEST_RECORD + 1);
        bytes.truncate(7);
        let long = finish_line(&mut line(3 * LONGEST_RECORD, 0), &mut bytes, 7).unwrap().unwrap();
        assert_eq!(
            (long.length, long.most, long.head.len()),
            (3 * LONGEST_RECORD as u64, LONGEST_RECORD, HEAD)
        );
        assert_eq!(bytes, b"before\n");
        assert!(
            long.sentence()
                .starts_with("the record has 201326592 bytes, more than the 67108864")
        );
    }

    #[test]
    fn what_follows_a_line_that_is_too_long_is_read() {
        let mut bytes = Vec::new();
        let mut reader = line(2 * LONGEST_RECORD, b'x');
        assert!(finish_line(&mut reader, &mut bytes, 0).unwrap().is_some());
        assert_eq!(finish_line(&mut reader, &mut bytes, 0).unwrap(), None);
        assert_eq!(bytes, b"next\n");
        assert_eq!(finish_line(&mut reader, &mut bytes, 5).unwrap(), None, "the end");
        assert_eq!(bytes, b"next\n");
    }

    #[test]
    fn a_text_in_brackets_may_be_longer() {
        let mut bytes = b"\xef\xbb\xbf [".to_vec();
        assert_eq!(finish_line(&mut line(2 * LONGEST_RECORD, b'1'), &mut bytes, 0).unwrap(), None);
        assert_eq!(bytes.len(), 5 + 2 * LONGEST_RECORD + 1);
        let mut bytes = b"{".to_vec();
        let long = finish_line(&mut line(LONGEST_DOCUMENT, b'1'), &mut bytes, 0)
            .unwrap()
            .unwrap();
        assert_eq!(long.length, LONGEST_DOCUMENT as u64 + 1);
        assert!(long.sentence().ends_with("write its records on a line each"));
        let mut bytes = b"[".to_vec();
        assert!(finish(&mut line(100, b'1'), &mut bytes).unwrap());
        assert!(!finish(&mut line(LONGEST_DOCUMENT, b'1'), &mut bytes).unwrap());
    }
}
