mod offsets;
mod progress;

use super::*;
use crate::decode::Settings as Decode;

const HOUR: i64 = 3_600_000;
/// 2026-03-01T12:00:00Z.
const NOON: i64 = 1_772_366_400_000;

fn seen(message: &str, timestamp: i64) -> Seen {
    let settings = Settings {
        partitions: 1,
        max_wait: Duration::from_secs(3_600),
        max_future_skew: Duration::from_secs(600),
        max_window_ahead: None,
        tenants: false,
    };
    let arrival = Arrival {
        now: WallTime(NOON),
        timestamp: Some(WallTime(timestamp)),
    };
    let mut router = Router::new(Decoder::new(Decode::default()), settings);
    router.route(Some(message.as_bytes()), arrival, &mut |_| {})
}

#[test]
fn an_early_timestamp_is_told_from_a_wrong_clock() {
    let activity =
        |hour: u32| format!(r#"{{"RawEventData":{{"CreationTime":"2026-03-01T{hour}:00:00Z","Data":"{{\"cid\":\"N/A\"}}"}}}}"#);
    let counts = |hour, timestamp| {
        let seen = seen(&activity(hour), timestamp);
        (seen.future, seen.ahead_of_timestamp, seen.null_words)
    };
    assert_eq!(counts(12, NOON), (0, 0, 1));
    assert_eq!(counts(12, NOON - HOUR), (1, 1, 1), "stamped an hour before its time");
    assert_eq!(counts(13, NOON - HOUR), (1, 0, 1), "ahead of the clock as well");
    assert_eq!(counts(13, NOON + HOUR), (1, 0, 1));
}

#[test]
fn a_window_is_far_ahead_by_the_clock_and_not_by_the_timestamp() {
    let alert = |end: &str| {
        format!(
            r#"{{"SystemAlertId":"a","AlertType":"p","StartTime":"2026-03-01T10:00:00Z","EndTime":"{end}","TimeGenerated":"2026-03-01T10:00:00Z"}}"#
        )
    };
    for (end, far) in [
        ("2026-03-02T12:10:00Z", 0),
        ("2026-03-02T12:10:00.0000001Z", 1),
        ("9999-01-01T00:00:00Z", 1),
    ] {
        assert_eq!(seen(&alert(end), NOON - 100 * HOUR).far_windows, far, "{end}");
    }
}
