//! Detects the layout of a file by its beginning: whether it is compressed, its encoding, and whether it contains
//! lines, documents or a table.

use std::io::{self, BufRead, BufReader, Read};
use std::ops::Range;

use serde::de::IgnoredAny;

use super::avro::MAGIC;
use super::growing::Growth;
use super::limit::Rest;
use super::limit::{self, TooLong};
use super::table;

/// The first bytes of known formats that are not supported, and their descriptions.
const UNSUPPORTED: [(&[u8; 4], &str); 6] = [
    (b"PAR1", "a Parquet file"),
    (b"PK\x03\x04", "a ZIP archive or an Excel workbook"),
    (b"BZh9", "compressed with bzip2"),
    (b"\xfd7zX", "compressed with xz"),
    (b"\x04\x22\x4d\x18", "compressed with LZ4"),
    (b"7z\xbc\xaf", "a 7-Zip archive"),
];

/// The number of bytes of empty lines after which a file counts as a file of lines.
const MAX_EMPTY: usize = 1 << 20;

/// The layout of a file, as far as it shows at its beginning.
pub(super) enum Layout {
    /// One message per line.
    Lines,
    /// The column names of a table, with this separator between them.
    Columns(u8),
    /// Documents, and what follows them.
    Documents(Vec<Range<usize>>, Option<Rest>),
    /// A line that exceeds its limit, with only empty lines before it.
    TooLong(Rest),
}

/// Reads the first line. If that is the beginning of something longer, reads everything and finds the documents in it.
pub(super) fn detect(reader: &mut dyn BufRead, bytes: &mut Vec<u8>, position: &mut u64, growth: Growth) -> io::Result<Layout> {
    loop {
        let line = bytes.len();
        if let Some(long) = limit::finish_line(reader, bytes, line)? {
            return Ok(Layout::TooLong(Rest::TooLong(long)));
        }
        if bytes.starts_with(b"\xef\xbb\xbf") {
            // The byte order mark is not part of the text.
            bytes.drain(..3);
            *position += 3;
        }
        let line = bytes.get(line..).unwrap_or_default();
        if line.is_empty() || bytes.len() > MAX_EMPTY {
            return Ok(Layout::Lines);
        }
        if let Some(separator) = table::separator(line) {
            bytes.drain(..bytes.len() - line.len());
            return Ok(Layout::Columns(separator));
        }
        if !line.trim_ascii().is_empty() && !table::is_type_line(line) {
            break;
        }
    }
    match serde_json::from_slice::<IgnoredAny>(bytes) {
        Err(error) if error.is_eof() => {}
        Err(error) if growth == Growth::Unknown && !error.to_string().starts_with(TRAILING_CHARACTERS) => {
            match are_damaged_lines(reader, bytes)? {
                Ok(true) => return Ok(Layout::Lines),
                Ok(false) => {}
                Err(long) => return Ok(Layout::TooLong(Rest::TooLong(long))),
            }
        }
        _ => return Ok(Layout::Lines),
    }
    let is_whole = limit::finish(reader, bytes)?;
    let mut documents = Vec::new();
    let mut stream = serde_json::Deserializer::from_slice(bytes).into_iter::<IgnoredAny>();
    let mut begin = 0;
    while let Some(document) = stream.next() {
        match document {
            Ok(_) => {}
            Err(error) if error.is_eof() && !is_whole => break,
            Err(_) if documents.is_empty() && (growth == Growth::ByAppending || are_lines(bytes)) => return Ok(Layout::Lines),
            // The file is larger than the limit, so the rest is reported as too long.
            Err(_) if !is_whole => break,
            Err(_) => {
                // The decoder splits the broken document.
                documents.push(begin..bytes.len());
                return Ok(Layout::Documents(documents, None));
            }
        }
        documents.push(begin..stream.byte_offset());
        begin = stream.byte_offset();
    }
    if is_whole {
        return Ok(Layout::Documents(documents, None));
    }
    let more = limit::skip_all(reader)?;
    let rest = TooLong::new(bytes.get(begin..).unwrap_or_default(), more);
    bytes.truncate(begin);
    Ok(Layout::Documents(documents, Some(Rest::TooLong(rest))))
}

/// serde_json's error for a text that is followed by another one.
const TRAILING_CHARACTERS: &str = "trailing characters";

/// Returns whether a file has one record per line although its first line, which is in `bytes`, is not valid JSON. That
/// is so if one of the next lines, which this function reads, is a complete record. In a broken document, the first
/// line ends with a comma, or no other line is complete.
fn are_damaged_lines(reader: &mut dyn BufRead, bytes: &mut Vec<u8>) -> io::Result<Result<bool, TooLong>> {
    const MAX_LINES: usize = 16;
    const MAX_BYTES: usize = 16 << 20;
    let first = bytes.trim_ascii();
    if !first.starts_with(b"{") && !first.starts_with(b"[") {
        return Ok(Ok(true));
    }
    let ends_in_comma = first.ends_with(b",");
    let mut is_single = true;
    for _ in 0..MAX_LINES {
        let begin = bytes.len();
        if let Some(long) = limit::finish_line(reader, bytes, begin)? {
            return Ok(Err(long));
        }
        let line = bytes.get(begin..).unwrap_or_default();
        if line.is_empty() {
            return Ok(Ok(is_single));
        }
        is_single &= line.trim_ascii().is_empty();
        if (!ends_in_comma && is_record(line.trim_ascii())) || bytes.len() > MAX_BYTES {
            return Ok(Ok(true));
        }
    }
    Ok(Ok(false))
}

/// Returns whether a line is a whole object or array.
pub(super) fn is_record(line: &[u8]) -> bool {
    (line.starts_with(b"{") || line.starts_with(b"[")) && serde_json::from_slice::<IgnoredAny>(line).is_ok()
}

/// Returns whether a text that begins with a damaged line has one record per line: the line after the first is a
/// complete object.
fn are_lines(text: &[u8]) -> bool {
    let mut lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let first = lines.find(|line| !line.is_empty());
    let second = lines.find(|line| !line.is_empty());
    let is_first = |line: &[u8]| line.starts_with(b"{") && !line.ends_with(b",");
    first.is_some_and(is_first) && second.is_some_and(|line| line.starts_with(b"{") && is_record(line))
}

pub(super) fn decompress(mut raw: Box<dyn Read + Send>) -> io::Result<(Box<dyn BufRead + Send>, Compression)> {
    let mut magic = Vec::with_capacity(4);
    raw.by_ref().take(4).read_to_end(&mut magic)?;
    if let Some((_, name)) = UNSUPPORTED.iter().find(|(first, _)| magic.as_slice() == first.as_slice()) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("it is {name}, which is not supported; convert it to JSON lines, plain or compressed with gzip or zstd"),
        ));
    }
    let compression = match magic.as_slice() {
        [0x1f, 0x8b, ..] => Compression::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd] => Compression::Zstd,
        magic if magic == MAGIC => Compression::Avro,
        _ => Compression::None,
    };
    let whole = BufReader::with_capacity(1 << 16, io::Cursor::new(magic).chain(raw));
    let reader: Box<dyn BufRead + Send> = match compression {
        Compression::None | Compression::Utf16 | Compression::Avro => Box::new(whole),
        Compression::Gzip => Box::new(BufReader::with_capacity(1 << 16, flate2::bufread::MultiGzDecoder::new(whole))),
        Compression::Zstd => Box::new(BufReader::with_capacity(1 << 16, zstd::Decoder::with_buffer(whole)?)),
    };
    transcode(reader, compression)
}

/// Converts UTF-16 with a byte order mark, as Windows PowerShell's `>` writes it, to UTF-8.
fn transcode(
    mut reader: Box<dyn BufRead + Send>,
    compression: Compression,
) -> io::Result<(Box<dyn BufRead + Send>, Compression)> {
    if !matches!(reader.fill_buf()?, [0xff, 0xfe, ..] | [0xfe, 0xff, ..]) {
        return Ok((reader, compression));
    }
    let decoder = encoding_rs_io::DecodeReaderBytes::new(reader);
    Ok((Box::new(BufReader::with_capacity(1 << 16, decoder)), Compression::Utf16))
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    /// Not compressed, but in another encoding.
    Utf16,
    Gzip,
    Zstd,
    Avro,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_file_formats_are_named() {
        for (magic, name) in UNSUPPORTED {
            let text = [magic.as_slice(), b"more\n{}\n"].concat();
            let error = decompress(Box::new(io::Cursor::new(text))).err().unwrap().to_string();
            assert!(error.contains(name) && error.contains("JSON lines"), "{error}");
        }
    }

    #[test]
    fn a_broken_document_over_the_limit_is_skipped() {
        let filler = io::repeat(b'y').take(limit::MAX_DOCUMENT_BYTES as u64);
        let mut reader = BufReader::new(b"[\n{},x".chain(filler).chain(&b"\n{}\n"[..]));
        let (mut bytes, mut position) = (Vec::new(), 0);
        let layout = detect(&mut reader, &mut bytes, &mut position, Growth::Unknown).unwrap();
        let Layout::Documents(documents, Some(Rest::TooLong(long))) = layout else {
            panic!("expected documents and a part that is too long");
        };
        assert_eq!(long.length, 10 + limit::MAX_DOCUMENT_BYTES as u64);
        assert!(documents.is_empty() && bytes.is_empty());
        assert_eq!(reader.fill_buf().unwrap(), b"", "no line inside the document is read");
    }
}
