use chrono::{Datelike, NaiveDate};

use super::random::Guid;
use crate::time::{EventTime, TICKS_PER_SECOND};

/// A format for times: one of the ISO 8601 variants that occur in real records.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimeForm {
    /// Minimum number of fraction digits, 0 to 7. A time that needs more digits gets them, so that no format changes a
    /// time.
    pub digits: u8,
    /// Whether `Z` follows. A time without a zone is in UTC, so its meaning is the same.
    pub zone: bool,
    /// The byte between date and time: `T`, or a space as in some `Data` strings.
    pub separator: u8,
}

impl TimeForm {
    /// `2026-03-01T10:00:00.0000000Z`, the format in which KQL prints a `datetime`.
    pub const FULL: Self = Self::zulu(7);

    /// Returns the format with `T`, `Z` and this number of fraction digits.
    pub const fn zulu(digits: u8) -> Self {
        Self {
            digits,
            zone: true,
            separator: b'T',
        }
    }

    /// Appends `time` in this format.
    pub(super) fn write(self, time: EventTime, out: &mut Vec<u8>) {
        let time = time.clamp(EventTime::FIRST, EventTime::LAST);
        let day = i32::try_from(time.day() + 1).unwrap_or(1);
        let date = NaiveDate::from_num_days_from_ce_opt(day).unwrap_or_default();
        let ticks = time.ticks().rem_euclid(86_400 * TICKS_PER_SECOND) as u64;
        let (seconds, fraction) = (ticks / TICKS_PER_SECOND as u64, ticks % TICKS_PER_SECOND as u64);
        number(out, u64::from(date.year().unsigned_abs()), 4);
        for part in [date.month(), date.day()] {
            out.push(b'-');
            number(out, u64::from(part), 2);
        }
        for (mark, part) in [
            (self.separator, seconds / 3600),
            (b':', seconds / 60 % 60),
            (b':', seconds % 60),
        ] {
            out.push(mark);
            number(out, part, 2);
        }
        let digits = self.digits.min(7).max(needed(fraction));
        if digits > 0 {
            out.push(b'.');
            number(out, fraction / 10_u64.pow(7 - u32::from(digits)), usize::from(digits));
        }
        if self.zone {
            out.push(b'Z');
        }
    }
}

/// Returns the number of digits that a fraction in ticks needs.
fn needed(mut fraction: u64) -> u8 {
    let mut digits = 7;
    while digits > 0 && fraction.is_multiple_of(10) {
        fraction /= 10;
        digits -= 1;
    }
    digits
}

/// Appends `value` in decimal with leading zeros.
fn number(out: &mut Vec<u8>, value: u64, width: usize) {
    let begin = out.len();
    out.resize(begin + width, b'0');
    let mut rest = value;
    for byte in out[begin..].iter_mut().rev() {
        *byte = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
}

/// Appends JSON without white space to a buffer. It writes commas and escapes; the caller must end every object and
/// list that it begins.
pub(super) struct Json<'a> {
    /// The buffer.
    pub(super) out: &'a mut Vec<u8>,
    /// Whether characters outside ASCII are written as `\u` escapes. Producers differ, and both forms mean the same
    /// text.
    pub(super) ascii: bool,
}

impl<'a> Json<'a> {
    pub(super) fn new(out: &'a mut Vec<u8>, ascii: bool) -> Self {
        Self { out, ascii }
    }

    /// Begins an object that is not a member of another one.
    pub(super) fn open(&mut self) {
        self.out.push(b'{');
    }

    /// Returns the object whose members `fill` writes.
    pub(super) fn object_of(capacity: usize, ascii: bool, fill: impl FnOnce(&mut Json<'_>)) -> Vec<u8> {
        let mut out = Vec::with_capacity(capacity);
        let mut json = Json::new(&mut out, ascii);
        json.open();
        fill(&mut json);
        json.close();
        out
    }

    /// Ends an object.
    pub(super) fn close(&mut self) {
        self.out.push(b'}');
    }

    /// Ends a list.
    pub(super) fn close_list(&mut self) {
        self.out.push(b']');
    }

    /// Begins an object as an element of a list.
    pub(super) fn item(&mut self) {
        self.separate();
        self.open();
    }

    /// Begins an object as a member.
    pub(super) fn object(&mut self, key: &str) {
        self.key(key);
        self.open();
    }

    /// Begins a list as a member.
    pub(super) fn list(&mut self, key: &str) {
        self.key(key);
        self.out.push(b'[');
    }

    /// Writes a member with the value null.
    pub(super) fn null(&mut self, key: &str) {
        self.raw(key, b"null");
    }

    /// Writes a list of objects with a name and a value each.
    pub(super) fn pairs(&mut self, key: &str, pairs: &[(&str, &str)]) {
        self.list(key);
        for (name, value) in pairs {
            self.item();
            self.text("Name", name);
            self.text("Value", value);
            self.close();
        }
        self.close_list();
    }

    pub(super) fn boolean(&mut self, key: &str, value: bool) {
        self.raw(key, if value { b"true" } else { b"false" });
    }

    pub(super) fn int(&mut self, key: &str, value: u64) {
        self.key(key);
        let width = value.checked_ilog10().map_or(1, |log| log as usize + 1);
        number(self.out, value, width);
    }

    pub(super) fn guid(&mut self, key: &str, value: Guid) {
        self.key(key);
        self.out.push(b'"');
        self.out.extend_from_slice(&value.ascii());
        self.out.push(b'"');
    }

    pub(super) fn time(&mut self, key: &str, time: EventTime, form: TimeForm) {
        self.key(key);
        self.out.push(b'"');
        form.write(time, self.out);
        self.out.push(b'"');
    }

    pub(super) fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        self.quoted(value);
    }

    /// Writes a string as an element of a list.
    pub(super) fn text_item(&mut self, value: &str) {
        self.separate();
        self.quoted(value);
    }

    /// Writes a member whose value is already JSON.
    pub(super) fn raw(&mut self, key: &str, json: &[u8]) {
        self.key(key);
        self.out.extend_from_slice(json);
    }

    /// Writes a member whose value is JSON, either directly or as a string that contains it.
    pub(super) fn nested(&mut self, key: &str, json: &[u8], as_string: bool) {
        if as_string {
            self.key(key);
            self.out.push(b'"');
            escape(self.out, json);
            self.out.push(b'"');
        } else {
            self.raw(key, json);
        }
    }

    fn key(&mut self, key: &str) {
        self.separate();
        self.out.push(b'"');
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    fn separate(&mut self) {
        // No value ends in one of these bytes, since strings end in a quote.
        if !matches!(self.out.last(), Some(b'{' | b'[')) {
            self.out.push(b',');
        }
    }

    fn quoted(&mut self, value: &str) {
        self.out.push(b'"');
        if self.ascii && !value.is_ascii() {
            let mut units = [0; 2];
            for character in value.chars() {
                if character.is_ascii() {
                    escape(self.out, &[character as u8]);
                    continue;
                }
                for unit in character.encode_utf16(&mut units) {
                    self.out.extend_from_slice(b"\\u");
                    hex4(self.out, *unit);
                }
            }
        } else {
            escape(self.out, value.as_bytes());
        }
        self.out.push(b'"');
    }
}

/// Appends the content of a JSON string. Bytes outside ASCII are not escaped.
fn escape(out: &mut Vec<u8>, text: &[u8]) {
    let mut rest = text;
    while let Some(place) = rest.iter().position(|&byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
        out.extend_from_slice(&rest[..place]);
        match rest[place] {
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            byte if byte < 0x20 => {
                out.extend_from_slice(b"\\u");
                hex4(out, u16::from(byte));
            }
            byte => out.extend_from_slice(&[b'\\', byte]),
        }
        rest = &rest[place + 1..];
    }
    out.extend_from_slice(rest);
}

fn hex4(out: &mut Vec<u8>, unit: u16) {
    out.extend([12, 8, 4, 0].map(|shift| b"0123456789abcdef"[usize::from(unit >> shift & 0xf)]));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_keep_their_content() {
        let text = "a \"quoted\" path C:\\x,\r\n\u{1}, é, \u{200b} and 🦀";
        for ascii in [false, true] {
            let mut inner = Vec::new();
            let mut json = Json::new(&mut inner, ascii);
            json.open();
            json.text("text", text);
            json.int("n", 120);
            json.list("list");
            json.text_item("one");
            json.item();
            json.null("none");
            json.close();
            json.close_list();
            json.close();
            let mut out = Vec::new();
            let mut json = Json::new(&mut out, ascii);
            json.open();
            json.nested("inner", &inner, true);
            json.close();
            assert_eq!(out.is_ascii(), ascii);
            let outer: serde_json::Value = serde_json::from_slice(&out).unwrap();
            let inner: serde_json::Value = serde_json::from_str(outer["inner"].as_str().unwrap()).unwrap();
            assert_eq!(
                inner,
                serde_json::json!({"text": text, "n": 120, "list": ["one", {"none": null}]})
            );
        }
    }

    #[test]
    fn a_form_never_changes_a_time() {
        let time = EventTime::from_date(2026, 3, 1, 36_000 * TICKS_PER_SECOND + 1_230_000).unwrap();
        let written = |form: TimeForm| {
            let mut out = Vec::new();
            form.write(time, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(written(TimeForm::FULL), time.to_string());
        assert_eq!(written(TimeForm::zulu(0)), "2026-03-01T10:00:00.123Z");
        let spaced = TimeForm {
            digits: 4,
            zone: false,
            separator: b' ',
        };
        assert_eq!(written(spaced), "2026-03-01 10:00:00.1230");
    }
}
