//! Encodes and decodes every key. The bytes are a stored format: a layout is never changed, only retired.
//!
//! Numbers are big-endian with their sign bit inverted, so that the order of bytes is the order of numbers. Text of any
//! length inside a key is preceded by its length in four bytes: keys of one (tenant, correlation id) are adjacent, and
//! no text can imitate the boundary of another one. A link is one byte.

use super::{Error, Span};
use crate::record::{ActivityId, AlertId, Key, LinkId, LinkedAlert, Text};
use crate::time::{EventTime, WallTime, Window};

const TIME: usize = 8;
const DAY: usize = 8;
const IDENTITY: usize = 32;

/// Encodes `day | link | tenant | correlation id | time | dedup key`. The day comes first, so that all expired
/// activities are one span. The link follows, so that what only a link with a shorter retention needs is one span too.
pub fn activity(key: &Key, time: EventTime, id: ActivityId) -> Vec<u8> {
    let mut bytes = activities_of_day(key, time.day(), IDENTITY + TIME);
    push_number(&mut bytes, time.ticks());
    bytes.extend_from_slice(&id.0);
    bytes
}

/// Returns the activities of `key` within `window` on `day`.
pub fn activities(key: &Key, window: Window, day: i64) -> Span {
    let bound = |time: EventTime| {
        let mut bytes = activities_of_day(key, day, TIME);
        push_number(&mut bytes, time.ticks());
        bytes
    };
    Span {
        from: bound(window.from),
        to: bound(window.to),
    }
}

/// Returns the activities of `key` on the same day after the one with this time and dedup key.
pub fn activities_behind(key: &Key, window: Window, time: EventTime, id: ActivityId) -> Span {
    Span {
        from: successor(&activity(key, time, id)),
        ..activities(key, window, time.day())
    }
}

/// Returns the activities on `day` of all keys of this key's link and tenant whose correlation ids have `length` bytes.
pub fn activities_of_length(key: &Key, length: usize, day: i64) -> Span {
    let mut from = number(day).to_vec();
    from.push(key.link.0);
    push_text(&mut from, &key.tenant);
    let length = u32::try_from(length).unwrap_or(u32::MAX);
    let mut to = from.clone();
    from.extend_from_slice(&length.to_be_bytes());
    to.extend_from_slice(&length.saturating_add(1).to_be_bytes());
    Span { from, to }
}

/// Returns the first key after all activities that have the same key as this one on its day.
pub fn behind_key_of(activity: &[u8]) -> Vec<u8> {
    let mut behind = activity
        .get(..activity.len().saturating_sub(TIME + IDENTITY))
        .unwrap_or_default()
        .to_vec();
    behind.extend_from_slice(&[0xff; TIME + IDENTITY]);
    successor(&behind)
}

/// Returns the correlation id in the key of an activity of this tenant.
pub fn activity_correlation_id(bytes: &[u8], tenant: &Text) -> Result<Text, Error> {
    let from = DAY + 1 + 8 + tenant.as_bytes().len();
    let to = bytes.len().saturating_sub(TIME + IDENTITY);
    let id = bytes.get(from..to).ok_or(Error::Damaged { what: "activity key" })?;
    Ok(id.to_vec().into())
}

/// Encodes `day | 0xff | link | alert | time | dedup key`, which records that this activity arrived after the alert had
/// closed. It is stored among the activities, so that it is deleted with them.
pub fn late(alert: &LinkedAlert, time: EventTime, id: ActivityId) -> Vec<u8> {
    let mut bytes = number(time.day()).to_vec();
    // No link has this number, so these keys follow all activities of a day.
    bytes.extend_from_slice(&[0xff, alert.link.0]);
    push_text(&mut bytes, &alert.alert.tenant);
    push_text(&mut bytes, &alert.alert.system_alert_id);
    push_number(&mut bytes, time.ticks());
    bytes.extend_from_slice(&id.0);
    bytes
}

/// Returns all activities of the days `from` (included) to `to` (excluded).
pub fn activities_of_days(from: i64, to: i64) -> Span {
    Span {
        from: number(from).to_vec(),
        to: number(to).to_vec(),
    }
}

/// Returns the activities of `day` that are stored for this link.
pub fn activities_of_link(link: LinkId, day: i64) -> Span {
    let bound = |link: u8| {
        let mut bytes = number(day).to_vec();
        bytes.push(link);
        bytes
    };
    Span {
        from: bound(link.0),
        to: bound(link.0.saturating_add(1)),
    }
}

/// Returns the time and the dedup key in an activity's key.
pub fn activity_parts(bytes: &[u8]) -> Result<(EventTime, ActivityId), Error> {
    let damaged = Error::Damaged { what: "activity key" };
    let Some((rest, id)) = bytes.split_last_chunk::<IDENTITY>() else {
        return Err(damaged);
    };
    let Some((_, time)) = rest.split_last_chunk::<TIME>() else {
        return Err(damaged);
    };
    Ok((EventTime::from_ticks(from_number(*time)), ActivityId(*id)))
}

fn activities_of_day(key: &Key, day: i64, more: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(DAY + length(key) + more);
    push_number(&mut bytes, day);
    push_key(&mut bytes, key);
    bytes
}

/// Encodes `tenant | link | alert`.
pub fn alert(id: &LinkedAlert) -> Vec<u8> {
    let mut bytes = Vec::new();
    push_alert(&mut bytes, id);
    bytes
}

/// Returns the alert and the link in an alert's key.
pub fn alert_parts(bytes: &[u8]) -> Result<LinkedAlert, Error> {
    pull_alert(bytes)
}

/// Returns a span that contains the key of every alert.
pub fn alerts() -> Span {
    texts()
}

/// Encodes `link | tenant | correlation id | end of window | alert`. The alert has the link of the key.
pub fn closed_window(key: &Key, to: EventTime, id: &LinkedAlert) -> Vec<u8> {
    let mut bytes = closed_windows_from(key, to);
    push_alert(&mut bytes, id);
    bytes
}

/// Returns the closed alerts of `key` whose windows end after `time`. If `after` is given, only those that follow this
/// key are returned.
pub fn closed_windows_after(key: &Key, time: EventTime, after: Option<&[u8]>) -> Span {
    let from = match after {
        Some(after) => successor(after),
        None => closed_windows_from(key, time.next_tick()),
    };
    let mut to = closed_windows_from(key, EventTime::MAX);
    // Greater than every alert id, which begins with a length in four bytes.
    to.extend_from_slice(&[0xff; 5]);
    Span { from, to }
}

/// Returns a span that contains the key of every closed window.
pub fn all_closed_windows() -> Span {
    texts()
}

/// Returns the link and the end of the window in a closed window's key.
pub fn closed_window_end(bytes: &[u8]) -> Result<(LinkId, EventTime), Error> {
    let damaged = || Error::Damaged { what: "closed window" };
    let (_, rest) = pull_text(bytes.get(1..).unwrap_or_default()).ok_or_else(damaged)?;
    let (_, rest) = pull_text(rest).ok_or_else(damaged)?;
    let (link, end) = bytes.first().zip(rest.first_chunk()).ok_or_else(damaged)?;
    Ok((LinkId(*link), EventTime::from_ticks(from_number(*end))))
}

/// Returns the alert in a closed window's key.
pub fn closed_window_alert(key: &Key, bytes: &[u8]) -> Result<LinkedAlert, Error> {
    let rest = bytes.get(length(key) + TIME..).unwrap_or_default();
    pull_alert(rest)
}

fn closed_windows_from(key: &Key, to: EventTime) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length(key) + TIME + 64);
    push_key(&mut bytes, key);
    push_number(&mut bytes, to.ticks());
    bytes
}

/// The action that a timer triggers for an alert. The numbers are part of the stored format.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Timer {
    /// Closes the alert when the watermark reaches the time.
    Close = 1,
    /// Closes the alert when the clock reaches the time, whatever the watermark is.
    Deadline = 2,
    /// Emits a revision for late activities when the watermark next advances.
    Revise = 3,
    /// Deletes the alert when the retention cut-off has passed the time.
    Forget = 4,
}

/// Encodes `timer | time | tenant | link | alert`.
pub fn timer(timer: Timer, time: i64, id: &LinkedAlert) -> Vec<u8> {
    let mut bytes = timers_from(timer, time);
    push_alert(&mut bytes, id);
    bytes
}

/// Returns the timers of one kind whose times are at most `time`.
pub fn timers_until(timer: Timer, time: i64) -> Span {
    let to = match time.checked_add(1) {
        Some(next) => timers_from(timer, next),
        None => vec![timer as u8 + 1],
    };
    Span {
        from: vec![timer as u8],
        to,
    }
}

/// Returns the timers of one kind before this one.
pub fn timers_before(timer_kind: Timer, time: i64, id: &LinkedAlert) -> Span {
    Span {
        from: vec![timer_kind as u8],
        to: timer(timer_kind, time, id),
    }
}

/// Returns the alert in a timer's key.
pub fn timer_alert(bytes: &[u8]) -> Result<LinkedAlert, Error> {
    pull_alert(bytes.get(1 + TIME..).unwrap_or_default())
}

/// Returns the time in a timer's key.
pub fn timer_time(bytes: &[u8]) -> Result<i64, Error> {
    let time = bytes.get(1..).and_then(<[u8]>::first_chunk);
    Ok(from_number(*time.ok_or(Error::Damaged { what: "timer" })?))
}

fn timers_from(timer: Timer, time: i64) -> Vec<u8> {
    let mut bytes = vec![timer as u8];
    push_number(&mut bytes, time);
    bytes
}

/// Converts a wall-clock time to a timer's time.
pub fn wall(time: WallTime) -> i64 {
    time.0
}

/// How far the log has been applied.
pub const PROGRESS: &[u8] = b"progress";
/// What is still to be done for the record that was applied last.
pub const WORK: &[u8] = b"work";
/// The settings that state depends on.
pub const SETTINGS: &[u8] = b"settings";

/// The digest of the repartition record that was applied last, which identifies the log.
pub const LAST: &[u8] = b"last";

/// Encodes the key of a day on which there are activities.
pub fn day(day: i64) -> Vec<u8> {
    let mut bytes = vec![b'd'];
    push_number(&mut bytes, day);
    bytes
}

/// Returns the keys of all days on which there are activities.
pub fn days() -> Span {
    Span {
        from: vec![b'd'],
        to: vec![b'd', 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    }
}

/// Returns the day in a day's key.
pub fn day_of(bytes: &[u8]) -> Result<i64, Error> {
    let (_, number) = bytes.split_last_chunk::<DAY>().ok_or(Error::Damaged { what: "day" })?;
    Ok(from_number(*number))
}

/// Returns the first key after `bytes`.
pub fn successor(bytes: &[u8]) -> Vec<u8> {
    let mut next = Vec::with_capacity(bytes.len() + 1);
    next.extend_from_slice(bytes);
    next.push(0);
    next
}

fn number(number: i64) -> [u8; 8] {
    (number ^ i64::MIN).to_be_bytes()
}

fn from_number(bytes: [u8; 8]) -> i64 {
    i64::from_be_bytes(bytes) ^ i64::MIN
}

fn push_number(bytes: &mut Vec<u8>, value: i64) {
    bytes.extend_from_slice(&number(value));
}

fn push_text(bytes: &mut Vec<u8>, text: &Text) {
    // A text is part of one message, which is far smaller than 4 GiB.
    let length = u32::try_from(text.as_bytes().len()).unwrap_or(u32::MAX);
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(text.as_bytes());
}

/// Returns a span that contains every key that begins with a text.
fn texts() -> Span {
    Span {
        from: Vec::new(),
        // Greater than the four bytes of every length.
        to: vec![0xff; 5],
    }
}

/// Returns the text that follows its length, and the remaining bytes.
fn pull_text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

fn push_key(bytes: &mut Vec<u8>, key: &Key) {
    bytes.push(key.link.0);
    push_text(bytes, &key.tenant);
    push_text(bytes, &key.correlation_id);
}

fn length(key: &Key) -> usize {
    9 + key.tenant.as_bytes().len() + key.correlation_id.as_bytes().len()
}

fn push_alert(bytes: &mut Vec<u8>, id: &LinkedAlert) {
    push_text(bytes, &id.alert.tenant);
    bytes.push(id.link.0);
    bytes.extend_from_slice(id.alert.system_alert_id.as_bytes());
}

fn pull_alert(bytes: &[u8]) -> Result<LinkedAlert, Error> {
    let damaged = || Error::Damaged { what: "alert id" };
    let (tenant, rest) = pull_text(bytes).ok_or_else(damaged)?;
    let (link, id) = rest.split_first().ok_or_else(damaged)?;
    Ok(LinkedAlert {
        alert: AlertId {
            tenant: tenant.to_vec().into(),
            system_alert_id: id.to_vec().into(),
        },
        link: LinkId(*link),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(tenant: &str, correlation_id: &str) -> Key {
        Key {
            tenant: tenant.into(),
            link: LinkId(2),
            correlation_id: correlation_id.into(),
        }
    }

    fn linked(tenant: &str, id: &str) -> LinkedAlert {
        LinkedAlert {
            alert: AlertId {
                tenant: tenant.into(),
                system_alert_id: id.into(),
            },
            link: LinkId(2),
        }
    }

    proptest! {
        #[test]
        fn the_order_of_bytes_is_the_order_of_numbers(a: i64, b: i64) {
            prop_assert_eq!(number(a).cmp(&number(b)), a.cmp(&b));
            prop_assert_eq!(from_number(number(a)), a);
        }

        #[test]
        fn a_span_of_activities_holds_those_of_the_key_in_the_window_and_no_others(
            from in -3..3i64, to in -3..3i64, time in -3..3i64, own: bool, tenant in "[ab]{0,2}", cid in "[ab]{0,2}"
        ) {
            let at = EventTime::from_ticks;
            let mine = key("a", "b");
            let other = if own { mine.clone() } else { key(&tenant, &cid) };
            let window = Window { from: at(from), to: at(to) };
            let span = activities(&mine, window, at(time).day());
            let bytes = activity(&other, at(time), ActivityId([9; 32]));
            let inside = span.from <= bytes && bytes < span.to;
            prop_assert_eq!(inside, other == mine && window.contains(at(time)));
        }

        #[test]
        fn closed_windows_are_found_by_the_time_they_end_after(to: i64, time: i64, id in "\\PC{0,4}", tenant in "\\PC{0,4}") {
            let at = EventTime::from_ticks;
            let key = key("t", "c");
            let id = linked(&tenant, &id);
            let bytes = closed_window(&key, at(to), &id);
            let span = closed_windows_after(&key, at(time), None);
            prop_assert_eq!(span.from <= bytes && bytes < span.to, to > time || (to == i64::MAX && time == i64::MAX));
            prop_assert_eq!(&closed_window_alert(&key, &bytes).unwrap(), &id);
            prop_assert_eq!(closed_window_end(&bytes).unwrap(), (LinkId(2), at(to)));
            let all = all_closed_windows();
            prop_assert!(all.from <= bytes && bytes < all.to);
            let timer_key = timer(Timer::Close, to, &id);
            let due = timers_until(Timer::Close, time);
            prop_assert_eq!(due.from <= timer_key && timer_key < due.to, to <= time);
            prop_assert_eq!(timer_alert(&timer_key).unwrap(), id);
        }
    }

    #[test]
    fn the_bytes_of_keys_stay_what_they_were() {
        let id = linked("t", "a");
        assert_eq!(hex::encode(timer(Timer::Forget, 1, &id)), "04800000000000000100000001740261");
        assert_eq!(
            hex::encode(activity(&key("", "c"), EventTime::from_ticks(1), ActivityId([0xab; 32]))),
            format!(
                "8000000000000000{}{}{}",
                "02000000000000000163",
                "8000000000000001",
                "ab".repeat(32)
            )
        );
        assert_eq!(hex::encode(day(-1)), "647fffffffffffffff");
    }

    #[test]
    fn a_link_has_a_span_of_its_own_on_each_day() {
        assert_eq!(alert_parts(&alert(&linked("t", "a"))).unwrap(), linked("t", "a"));
        let day = activities_of_link(LinkId(2), 0);
        let stored = |link| {
            let key = Key {
                link: LinkId(link),
                ..key("t", "c")
            };
            activity(&key, EventTime::from_ticks(1), ActivityId([9; 32]))
        };
        assert_eq!(
            [1, 2, 3].map(|link| day.from <= stored(link) && stored(link) < day.to),
            [false, true, false]
        );
    }

    #[test]
    fn damaged_keys_are_errors() {
        assert!(activity_parts(&[0; 39]).is_err());
        assert!(timer_alert(&[1, 2]).is_err());
        assert!(closed_window_end(&[0, 0, 0, 1, 0]).is_err());
        assert!(day_of(&[1]).is_err());
    }
}
