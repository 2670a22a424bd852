//! Shifts the times of a message and changes nothing else.

use serde::de::IgnoredAny;

use crate::decode::parse_time;
use crate::json::string_values;
use crate::time::{EventTime, TICKS_PER_SECOND};

/// Maximum depth of JSON in strings of other JSON. Times at deeper levels are not shifted.
const MAX_LEVELS: usize = 16;

/// The shift of times, in whole seconds. So fraction digits stay the same, and times without a fraction keep their
/// distance from times with one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Offset {
    seconds: i64,
}

impl Offset {
    /// Creates an offset of this many seconds, forwards or (negative) backwards.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self { seconds }
    }

    /// Returns the distance from `from` to `to` in whole seconds, rounded down.
    pub fn between(from: EventTime, to: EventTime) -> Self {
        Self::from_seconds(to.ticks().saturating_sub(from.ticks()).div_euclid(TICKS_PER_SECOND))
    }

    /// Returns the sum of both offsets.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self::from_seconds(self.seconds.saturating_add(other.seconds))
    }

    /// Returns a multiple of the offset.
    #[must_use]
    pub fn times(self, count: u64) -> Self {
        Self::from_seconds(self.seconds.saturating_mul(i64::try_from(count).unwrap_or(i64::MAX)))
    }

    /// Returns a shifted time, even outside of the calendar.
    pub fn from(self, time: EventTime) -> EventTime {
        EventTime::from_ticks(time.ticks().saturating_add(self.seconds.saturating_mul(TICKS_PER_SECOND)))
    }
}

/// Returns whether a time is a real one. Times on the first and the last day of the calendar mean *none* and *never*:
/// schedules ignore them, and they are not shifted.
pub fn is_a_time(time: EventTime) -> bool {
    time.day() > EventTime::FIRST.day() && time.day() < EventTime::LAST.day()
}

/// Shifts every time in a message by `offset`. Returns how many there were.
///
/// A time is a string value that consists only of what the decoder parses as a time ([`parse_time`]). It may be
/// anywhere: in the row, in the envelope, or in JSON inside a string. Its separator, its fraction digits and its zone
/// stay the same, and so does every other byte, so the message keeps its length. A message that is not JSON in UTF-8
/// stays the same, and so does a time that would leave the calendar.
pub fn shift(message: &mut [u8], offset: Offset) -> usize {
    let is_json = std::str::from_utf8(message).is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok());
    if !is_json {
        return 0;
    }
    let mut changes = Changes {
        offset,
        times: 0,
        digits: Vec::new(),
    };
    changes.find_in(message, &|position| position, 0);
    for (position, digit) in changes.digits {
        if let Some(byte) = message.get_mut(position) {
            *byte = digit;
        }
    }
    changes.times
}

/// The changes to a message.
struct Changes {
    offset: Offset,
    times: usize,
    /// Positions in the message, and the new byte at each.
    digits: Vec<(usize, u8)>,
}

impl Changes {
    /// Finds the times in valid JSON whose byte `i` is at `position(i)` in the message.
    fn find_in(&mut self, json: &[u8], position: &dyn Fn(usize) -> usize, level: usize) {
        for literal in string_values(json) {
            let start = literal.start + 1;
            let inner = json.get(start..literal.end.saturating_sub(1)).unwrap_or_default();
            if !inner.contains(&b'\\') {
                self.try_time(inner, &|at| position(start + at));
            } else if level < MAX_LEVELS && may_contain_time(inner) {
                let (unescaped, positions) = unescape(inner);
                let position = |at: usize| position(start + positions.get(at).copied().unwrap_or_default());
                let is_time = self.try_time(&unescaped, &position);
                if !is_time && serde_json::from_slice::<IgnoredAny>(&unescaped).is_ok() {
                    self.find_in(&unescaped, &position, level + 1);
                }
            }
        }
    }

    /// Returns whether the text is a time. If so, adds its new digits to the changes.
    fn try_time(&mut self, text: &[u8], position: &dyn Fn(usize) -> usize) -> bool {
        // Most strings are not times and fail this test.
        if text.get(4) != Some(&b'-') {
            return false;
        }
        let Some(time) = std::str::from_utf8(text).ok().and_then(|text| shift_time(text, self.offset)) else {
            return false;
        };
        self.times += 1;
        for (at, (old, new)) in text.iter().zip(time.bytes()).take(WIDTH).enumerate() {
            if new.is_ascii_digit() && *old != new {
                self.digits.push((position(at), new));
            }
        }
        true
    }
}

/// The length of a date and time down to the second.
const WIDTH: usize = "YYYY-MM-DDThh:mm:ss".len();

/// Returns the time in `text`, shifted, with date and time of day at the same positions as in `text`.
fn shift_time(text: &str, offset: Offset) -> Option<String> {
    // The local time is parsed without its zone, because the result is written in the same zone.
    let local = parse_time(text.get(..WIDTH)?)?;
    let time = parse_time(text)?;
    let is_outside_calendar = [local, time]
        .into_iter()
        .any(|time| !is_a_time(time) || !is_a_time(offset.from(time)));
    (!is_outside_calendar).then(|| offset.from(local).to_string())
}

/// Returns whether a string with escapes may be a time or JSON: it begins with a digit, a bracket, white space, or an
/// escape.
fn may_contain_time(inner: &[u8]) -> bool {
    matches!(inner.first(), Some(b'0'..=b'9' | b'{' | b'[' | b' ' | b'\\'))
}

/// Unescapes the inner part of a string literal. Returns, for each byte of the result, where its spelling ends.
///
/// A digit may be spelled `\u0037`, and that may be escaped again in a string: the last character of its spelling is
/// the digit itself. Characters outside of ASCII that are spelled with escapes are replaced by a placeholder.
fn unescape(inner: &[u8]) -> (Vec<u8>, Vec<usize>) {
    let (mut unescaped, mut positions) = (Vec::with_capacity(inner.len()), Vec::with_capacity(inner.len()));
    let mut at = 0;
    while let Some(&byte) = inner.get(at) {
        let (byte, width) = match (byte, inner.get(at + 1)) {
            (b'\\', Some(b'u')) => (code(inner.get(at + 2..at + 6)), 6),
            (b'\\', Some(escape)) => (control(*escape), 2),
            _ => (byte, 1),
        };
        at += width;
        unescaped.push(byte);
        positions.push(at - 1);
    }
    (unescaped, positions)
}

fn code(digits: Option<&[u8]>) -> u8 {
    let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
    let code = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
    code.filter(u8::is_ascii).unwrap_or(b'?')
}

fn control(escape: u8) -> u8 {
    match escape {
        b'b' => 0x08,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        itself => itself,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::decode::{Decoded, Decoder, Settings};
    use crate::json::arbitrary;

    fn shifted(message: &str, seconds: i64) -> String {
        let mut bytes = message.as_bytes().to_vec();
        shift(&mut bytes, Offset::from_seconds(seconds));
        String::from_utf8(bytes).unwrap()
    }

    /// Fails unless shifting by `seconds` gives `expected`, and shifting back gives the original.
    fn check(message: &str, seconds: i64, expected: &str) {
        assert_eq!(shifted(message, seconds), expected);
        assert_eq!(shifted(expected, -seconds), message);
    }

    fn string(text: &str) -> String {
        serde_json::to_string(text).unwrap()
    }

    #[test]
    fn every_time_format_is_kept() {
        for (time, expected) in [
            ("2026-02-28T23:59:58", "2026-03-01T00:00:03"),
            ("2026-02-28 23:59:58", "2026-03-01 00:00:03"),
            ("2026-02-28t23:59:58z", "2026-03-01t00:00:03z"),
            ("2024-02-28T23:59:58.1Z", "2024-02-29T00:00:03.1Z"),
            ("2026-12-31T23:59:58.1234567Z", "2027-01-01T00:00:03.1234567Z"),
            ("2026-02-28T23:59:58.123456789", "2026-03-01T00:00:03.123456789"),
            ("2026-02-28T23:59:58.000+05:30", "2026-03-01T00:00:03.000+05:30"),
            ("2026-02-28T23:59:58-0800", "2026-03-01T00:00:03-0800"),
            ("2026-02-28 23:59:58.5+01", "2026-03-01 00:00:03.5+01"),
        ] {
            check(&string(time), 5, &string(expected));
        }
    }

    #[test]
    fn times_are_found_everywhere() {
        let inner = |time: &str| format!(" {{\"cid\":\"x\",\"ts\":[\"{time}\",{{\"deep\":\"{time}\"}}],\"n\":1.0}}\n");
        let row = |time: &str| {
            let data = string(&inner(time));
            let raw = string(&format!("{{\"CreationTime\":\"{time}\",\"Data\":{data}}}"));
            let twice = string(&string(&data));
            format!(
                "{{\"time\":\"{time}Z\",\"properties\":{{\"TimeGenerated\" : \"{time}.5Z\",\"RawEventData\":{raw},\"x\":{twice}}}}}"
            )
        };
        check(&row("2026-03-01T10:00:00"), 86_400, &row("2026-03-02T10:00:00"));
        let mut message = row("2026-03-01T10:00:00").into_bytes();
        assert_eq!(shift(&mut message, Offset::from_seconds(0)), 7);
        assert_eq!(message, row("2026-03-01T10:00:00").as_bytes());
    }

    #[test]
    fn a_time_may_contain_escapes() {
        check(
            r#"["2026-03-01\u005410:00:0\u0030Z","\u0032026-03-01T10:00:00Z"]"#,
            1,
            r#"["2026-03-01\u005410:00:0\u0031Z","\u0032026-03-01T10:00:01Z"]"#,
        );
        check(
            r#"{"Data":"{\"t\":\"2026-03-01T10:00:0\\u0030Z\",\"é\":\"\u00e9\ud83d\ude00\ud800\"}"}"#,
            9,
            r#"{"Data":"{\"t\":\"2026-03-01T10:00:0\\u0039Z\",\"é\":\"\u00e9\ud83d\ude00\ud800\"}"}"#,
        );
    }

    #[test]
    fn other_text_is_not_changed() {
        for message in [
            r#"{"2026-03-01T10:00:00Z":1}"#,
            r#"{"a":"2026-03-01","b":"at 2026-03-01T10:00:00Z","c":"2026-03-01T10:00:00Z ","d":"2026-13-01T10:00:00"}"#,
            r#"[1772359200,1772359200000,20260301100000,"/Date(1772359200000)/","1772359200"]"#,
            r#"["0001-01-01T00:00:00","0001-01-01T00:00:00.0000000Z","9999-12-31T23:59:59.9999999Z"]"#,
            r#"["9999-12-30T23:00:00Z","{\"2026-03-01T10:00:00Z\":null}","{\"a\":\"2026-03-01T10:00:00Z\""]"#,
            r#"{"a":"2026-03-01T10:00:00Z""#,
            "2026-03-01T10:00:00Z",
            "",
        ] {
            assert_eq!(shifted(message, 7_200), message);
        }
        let mut no_text = b"[\"2026-03-01T10:00:00Z\",\"\xff\"]".to_vec();
        assert_eq!(shift(&mut no_text, Offset::from_seconds(60)), 0);
        assert_eq!(shifted(r#"["0001-01-02T00:00:00Z"]"#, -60), r#"["0001-01-02T00:00:00Z"]"#);
        assert_eq!(
            shifted(r#"["2026-03-01T00:00:00Z"]"#, i64::MAX),
            r#"["2026-03-01T00:00:00Z"]"#
        );
    }

    #[test]
    fn nested_strings_are_shifted_up_to_a_limit() {
        let nested = |levels: usize, time: &str| (0..levels).fold(string(time), |text, _| string(&text));
        let (one, two) = ("2026-03-01T10:00:00Z", "2026-03-01T10:00:01Z");
        check(&nested(6, one), 1, &nested(6, two));
        let mut deep = string(one);
        for _ in 0..MAX_LEVELS + 1 {
            // With this spelling, quotes are not escaped again by the enclosing strings.
            deep = format!("\"{}\"", deep.replace('\\', "\\u005c").replace('"', "\\u0022"));
        }
        assert_eq!(shifted(&deep, 1), deep);
    }

    #[test]
    fn offsets_are_whole_seconds() {
        let at = |text: &str| parse_time(text).unwrap();
        let (from, to) = (at("2026-03-01T10:00:00.9"), at("2026-03-01T10:00:02.8"));
        assert_eq!(Offset::between(from, to), Offset::from_seconds(1));
        assert_eq!(Offset::between(to, from), Offset::from_seconds(-2));
        assert_eq!(
            Offset::from_seconds(3).times(4).plus(Offset::from_seconds(-2)),
            Offset::from_seconds(10)
        );
        assert!(Offset::between(from, to).from(from) <= to);
    }

    /// Returns the time that the decoder finds in a message.
    fn decoded(message: &[u8]) -> Option<EventTime> {
        let mut found = None;
        Decoder::new(Settings::default()).decode(Some(message), &mut |item| {
            found = match item.what {
                Decoded::Activity(activity) => Some(activity.time),
                Decoded::Unkeyed { time } | Decoded::Unreadable { time } => time,
                Decoded::Alert(alert) => Some(alert.version.time_generated),
                _ => None,
            };
        });
        found
    }

    /// Returns all strings that are times, and the text without their digits.
    fn times_and_rest(json: &str) -> (Vec<String>, String) {
        let (mut times, mut rest) = (Vec::new(), String::new());
        let mut written = 0;
        for range in string_values(json.as_bytes()) {
            let text = &json[range.start + 1..range.end - 1];
            if parse_time(text).is_some() {
                times.push(text.to_owned());
                rest += &json[written..range.start];
                rest.extend(text.chars().map(|c| if c.is_ascii_digit() { '#' } else { c }));
                written = range.end;
            }
        }
        (times, rest + &json[written..])
    }

    fn a_time() -> impl Strategy<Value = String> {
        let zone = prop_oneof![
            Just(String::new()),
            Just("Z".to_owned()),
            "[+-](0[0-9]|1[0-4])(:[0-5][0-9]|[0-5][0-9]|)"
        ];
        (
            (1900..2200i32, 1..=12u32, 1..=28u32),
            "[Tt ]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?",
            zone,
        )
            .prop_map(|((year, month, day), time, zone)| format!("{year:04}-{month:02}-{day:02}{time}{zone}"))
    }

    const CENTURY: i64 = 100 * 365 * 86_400;

    proptest! {
        #[test]
        fn shifting_forth_and_back_changes_nothing(time in a_time(), json in arbitrary::json(), seconds in -CENTURY..CENTURY) {
            for text in [string(&time), format!("[{json}, {}]", string(&format!("[{json},\"{time}\"]")))] {
                prop_assert_eq!(shifted(&shifted(&text, seconds), -seconds), text);
            }
        }

        #[test]
        fn every_time_is_shifted_alike_and_nothing_else_changes(
            times in prop::collection::vec(a_time(), 1..5), json in arbitrary::json(), seconds in -CENTURY..CENTURY
        ) {
            let text = format!("{{\"a\":{json},\"t\":[\"{}\"]}}", times.join("\" , \""));
            let moved = shifted(&text, seconds);
            let ((before, rest_before), (after, rest_after)) = (times_and_rest(&text), times_and_rest(&moved));
            prop_assert_eq!(rest_before, rest_after);
            prop_assert_eq!(before.len(), after.len());
            for (before, after) in before.iter().zip(&after) {
                let (time, other) = (parse_time(before).unwrap(), parse_time(after).unwrap());
                prop_assert_eq!(Offset::from_seconds(seconds).from(time), other);
                prop_assert_eq!(&before[19..], &after[19..]);
            }
        }

        #[test]
        fn the_decoder_reads_the_shifted_time(time in a_time(), seconds in -CENTURY..CENTURY, form in 0..4) {
            let raw = format!("{{\"CreationTime\":\"{time}\",\"Data\":{}}}", string(&format!("{{\"cid\":\"x\",\"t\":\"{time}\"}}")));
            let message = match form {
                0 => format!("{{\"RawEventData\":{raw}}}"),
                1 => format!("{{\"RawEventData\":{}}}", string(&raw)),
                2 => format!("{{\"time\":\"{time}\",\"category\":\"AdvancedHunting-CloudAppEvents\",\"properties\":{{\"RawEventData\":{raw}}}}}"),
                _ => format!("{{\"SystemAlertId\":\"i\",\"TimeGenerated\":\"{time}\",\"StartTime\":\"{time}\",\"EndTime\":\"{time}\"}}"),
            };
            let before = decoded(message.as_bytes()).unwrap();
            let after = decoded(shifted(&message, seconds).as_bytes()).unwrap();
            prop_assert_eq!(after, Offset::from_seconds(seconds).from(before));
        }

        #[test]
        fn nested_strings_are_read_as_by_the_json_module(json in arbitrary::json()) {
            for range in string_values(json.as_bytes()) {
                let literal = &json.as_bytes()[range];
                let (unescaped, positions) = unescape(&literal[1..literal.len() - 1]);
                let ascii = |text: &[u8]| -> Vec<u8> { text.iter().copied().filter(|byte| byte.is_ascii() && *byte != b'?').collect() };
                prop_assert_eq!(ascii(&unescaped), ascii(&crate::json::unescape(literal).unwrap()));
                prop_assert_eq!(unescaped.len(), positions.len());
            }
        }

        #[test]
        fn invalid_json_does_not_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let before = bytes.clone();
            shift(&mut bytes, Offset::from_seconds(1));
            let is_json = serde_json::from_slice::<IgnoredAny>(&before).is_ok();
            prop_assert!(is_json || bytes == before);
        }
    }
}
