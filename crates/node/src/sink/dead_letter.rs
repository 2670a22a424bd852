//! Dead-letter records: records that cannot be used, with the reason and the address, so that no record is dropped
//! without a trace.

use std::borrow::Cow;
use std::io::Write as _;

use crate::decode::Reject;
use crate::json;

/// The place from which a record came. It identifies a dead-letter record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Address<'a> {
    /// The topic, or the file's name.
    pub topic: &'a str,
    /// The partition; 0 in a file.
    pub partition: i32,
    /// The message's offset; in a file its line number, from 0.
    pub offset: i64,
    /// The record's position in the message's batch, from 0.
    pub index: usize,
}

/// A record that cannot be used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeadLetter<'a> {
    /// The reason as a constant identifier.
    pub reason: &'static str,
    /// The reason as a sentence, which contains no content of the record.
    pub error: String,
    /// The place from which the record came.
    pub address: Address<'a>,
    /// The record's own bytes, or those of the message.
    pub value: Cow<'a, [u8]>,
    /// The length of the record, if `value` is only its beginning.
    pub truncated: Option<u64>,
    /// The value of the [`REDRIVEN`] header if the record was redriven. It names the dead-letter record that the record
    /// was before.
    pub redriven: Option<String>,
}

/// The header of a redriven record, and of the dead-letter record that it may become again.
pub const REDRIVEN: &str = "alerttrail.redriven";

impl<'a> DeadLetter<'a> {
    /// Returns the dead-letter record for a record that `decode` rejected.
    pub fn from_reject(reject: Reject<'a>, address: Address<'a>) -> Self {
        Self {
            reason: reject.reason.as_str(),
            error: reject.error,
            address,
            value: reject.bytes,
            truncated: None,
            redriven: None,
        }
    }

    /// Adds the [`REDRIVEN`] header, if the record was redriven.
    #[must_use]
    pub fn redriven(self, redriven: Option<String>) -> Self {
        Self { redriven, ..self }
    }

    /// Cuts the value so that the record fits into a message of this size. The headers still locate the original.
    #[must_use]
    pub fn cut_to(mut self, message_max_bytes: usize) -> Self {
        /// Maximum overhead of Kafka's record format, with the header about the cut.
        const OVERHEAD: usize = 256;
        let headers = self.headers();
        let header_bytes: usize = headers.iter().map(|(name, value)| name.len() + value.len() + 8).sum();
        let room = message_max_bytes.saturating_sub(header_bytes + OVERHEAD);
        if room < self.value.len() {
            self.truncated = Some(self.value.len() as u64);
            match &mut self.value {
                Cow::Borrowed(value) => *value = &value[..room],
                Cow::Owned(value) => value.truncate(room),
            }
        }
        self
    }

    /// Returns the names and values of the headers.
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let redriven = self.redriven.clone().map(|origin| (REDRIVEN, origin));
        let own = [
            ("alerttrail.reason", self.reason.to_owned()),
            ("alerttrail.error", self.error.clone()),
            ("alerttrail.topic", self.address.topic.to_owned()),
            ("alerttrail.partition", self.address.partition.to_string()),
            ("alerttrail.offset", self.address.offset.to_string()),
            ("alerttrail.index", self.address.index.to_string()),
        ];
        let truncated = self.truncated.map(|length| ("alerttrail.truncated", length.to_string()));
        own.into_iter().chain(truncated).chain(redriven).collect()
    }

    /// Appends the dead-letter record as a JSON line: the headers, then the bytes as `value`. Bytes that are not UTF-8,
    /// or mostly control characters, are written as `value_hex`.
    pub fn write_json_line(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        for (name, value) in self.headers() {
            json::write_string(name.as_bytes(), out);
            out.push(b':');
            match name {
                "alerttrail.partition" | "alerttrail.offset" | "alerttrail.index" | "alerttrail.truncated" => {
                    out.extend_from_slice(value.as_bytes());
                }
                _ => json::write_string(value.as_bytes(), out),
            }
            out.push(b',');
        }
        let is_escaped = |byte: &&u8| **byte < b' ' && !matches!(byte, b'\n' | b'\r' | b'\t');
        let controls = self.value.iter().filter(is_escaped).count();
        match std::str::from_utf8(&self.value) {
            // A control character takes six bytes in JSON, and two in hexadecimal.
            Ok(text) if controls <= self.value.len() / 5 => {
                out.extend_from_slice(b"\"value\":");
                json::write_string(text.as_bytes(), out);
            }
            _ => {
                // Writing into memory does not fail.
                write!(out, "\"value_hex\":\"{}\"", hex::encode(&self.value)).ok();
            }
        }
        out.extend_from_slice(b"}\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_json_line_preserves_any_bytes() {
        let mut dead_letter = DeadLetter {
            reason: "invalid_json",
            error: "not JSON".into(),
            address: Address {
                topic: "a.jsonl",
                partition: 0,
                offset: 3,
                index: 1,
            },
            value: b"{\"a\n".as_slice().into(),
            truncated: Some(17),
            redriven: None,
        };
        let mut out = Vec::new();
        dead_letter.write_json_line(&mut out);
        let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(json["value"], "{\"a\n");
        assert_eq!(json["alerttrail.offset"], 3);
        assert_eq!(json["alerttrail.truncated"], 17);
        assert_eq!(json.get("alerttrail.redriven"), None);
        dead_letter.redriven = Some("t/0/1/2".into());
        dead_letter.value = b"\xff".as_slice().into();
        out.clear();
        dead_letter.write_json_line(&mut out);
        let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(json["value_hex"], "ff");
        for (value, name) in [(b"\0\0\0\0".as_slice(), "value_hex"), (b"{\n\"a\":\n1}\n", "value")] {
            dead_letter.value = value.into();
            let mut out = Vec::new();
            dead_letter.write_json_line(&mut out);
            let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
            assert!(json.get(name).is_some(), "{json}");
        }
        assert_eq!(json["alerttrail.redriven"], "t/0/1/2");
    }

    #[test]
    fn a_value_is_cut_to_what_fits_into_a_message() {
        let dead_letter = |value: &'static [u8]| DeadLetter {
            reason: "too_large",
            error: "too large".into(),
            address: Address {
                topic: "activities",
                partition: 0,
                offset: 3,
                index: 0,
            },
            value: value.into(),
            truncated: None,
            redriven: None,
        };
        let (small, large) = (b"small".as_slice(), [b'x'; 2_000].as_slice());
        let fits = dead_letter(b"small").cut_to(1_000);
        assert_eq!((&*fits.value, fits.truncated), (small, None));
        for value in [Cow::Borrowed(large), Cow::Owned(large.to_vec())] {
            let cut = DeadLetter {
                value,
                ..dead_letter(b"")
            }
            .cut_to(1_000);
            let headers: usize = cut.headers().iter().map(|(name, value)| name.len() + value.len()).sum();
            assert!(
                cut.value.len() > 400 && cut.value.len() + headers < 1_000,
                "{}",
                cut.value.len()
            );
            assert_eq!(cut.truncated, Some(2_000));
        }
        assert_eq!(dead_letter(b"small").cut_to(0).value.len(), 0);
    }
}
