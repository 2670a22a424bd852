//! Turns the bytes of a message into text: removes compression and other things that senders put around JSON.

use std::io::Read;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use encoding_rs::Encoding;

use super::reject::{Fault, Reason};

/// The byte order mark of UTF-8.
pub(super) const MARK: &[u8] = b"\xef\xbb\xbf";

/// The largest size of a decompressed body, in bytes.
pub(super) const MAX_BODY: usize = 64 << 20;

/// Returns `text` without a byte order mark before it.
pub(super) fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(MARK).unwrap_or(text)
}

/// Returns the text of a body that is compressed with gzip or zstd, or that is UTF-16 with a byte order mark. Returns
/// `None` for any other body.
///
/// # Errors
///
/// Returns a fault if the body cannot be decompressed, or if it becomes larger than [`MAX_BODY`].
pub(super) fn open(bytes: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
    match bytes {
        [0x1f, 0x8b, 0x08, ..] => inflate("gzip", flate2::read::MultiGzDecoder::new(bytes)).map(Some),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => match zstd::stream::read::Decoder::with_buffer(bytes) {
            Ok(decoder) => inflate("zstd", decoder).map(Some),
            Err(error) => Err(broken("zstd", &error)),
        },
        _ => match Encoding::for_bom(bytes) {
            Some((encoding, _)) if encoding != encoding_rs::UTF_8 => {
                Ok(Some(encoding.decode_with_bom_removal(bytes).0.into_owned().into_bytes()))
            }
            _ => Ok(None),
        },
    }
}

/// The beginnings of base64 texts that are worth decoding: an object, lists of objects, of lists and of strings, gzip,
/// zstd, and a byte order mark.
const BASE_64: [&[u8]; 8] = [b"ey", b"ew", b"W3", b"W1", b"Wy", b"H4sI", b"KLUv", b"77u/"];

/// Decodes a base64 text that begins like JSON or like a compressed body. Returns `None` for any other text.
pub(super) fn decode_base_64(text: &[u8]) -> Option<Vec<u8>> {
    let text = text.trim_ascii();
    if !BASE_64.iter().any(|begin| text.starts_with(begin)) {
        return None;
    }
    let bytes = STANDARD.decode(text).ok()?;
    match open(&bytes) {
        Ok(None) => Some(bytes),
        Ok(opened) => opened,
        Err(_) => None,
    }
}

/// Returns the text after the header of a syslog message (RFC 5424, and the older RFC 3164): everything from its first
/// brace on.
pub(super) fn behind_syslog(text: &[u8]) -> Option<&[u8]> {
    let rest = text.strip_prefix(b"<")?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=3).contains(&digits) || rest.get(digits) != Some(&b'>') {
        return None;
    }
    let brace = memchr::memchr(b'{', text)?;
    // A list of objects begins one byte before its first brace.
    let begin = brace - usize::from(text.get(..brace).is_some_and(|before| before.ends_with(b"[")));
    text.get(begin..)
}

fn inflate(name: &str, reader: impl Read) -> Result<Vec<u8>, Fault> {
    let mut text = Vec::new();
    let read = reader.take(MAX_BODY as u64 + 1).read_to_end(&mut text);
    match read {
        _ if text.len() > MAX_BODY => Err(Fault::new(
            Reason::TooLarge,
            format!("the message is compressed with {name} and becomes larger than {MAX_BODY} bytes; send it in parts"),
        )),
        Ok(_) => Ok(text),
        Err(error) => Err(broken(name, &error)),
    }
}

fn broken(name: &str, error: &std::io::Error) -> Fault {
    let error = format!("the message is compressed with {name} and cannot be decompressed: {error}");
    Fault::new(Reason::InvalidJson, error)
}
