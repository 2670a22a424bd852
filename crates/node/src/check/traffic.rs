//! Warnings about traffic, which `check` derives from a sample and the processor from its input, with the same rules.

use std::time::Duration;

use crate::decode::MAX_KEYS;
use crate::words::{counted, duration};

/// The minimum number of records from which a conclusion is drawn.
const MIN_RECORDS: u64 = 20;

/// What is wrong, and what to do, if records of a second tenant are in the input but tenants are not distinguished.
pub const NO_TENANTS: &str = "but there is no [tenants] table: alerts of one tenant may be joined with activities of another; list the tenants, or use separate topics and a separate application.id for each";

/// Returns a warning if the sample has records of more than one tenant, although tenants are not distinguished.
pub fn second_tenant(count: u64) -> Option<String> {
    (count > 0).then(|| {
        format!(
            "{} of the sample {} to a second tenant, {NO_TENANTS}",
            counted(count, "record"),
            if count == 1 { "belongs" } else { "belong" }
        )
    })
}

/// Returns a warning if most of the `all` activities of a topic are ahead of the timestamps of their Kafka records.
pub fn stamped_too_early(topic: &str, ahead: u64, all: u64) -> Option<String> {
    (all >= MIN_RECORDS && ahead * 2 > all).then(|| {
        format!(
            "{ahead} of {all} activities of {topic} are further ahead of their Kafka record's timestamp than watermark.max_future_skew, so they do not move the watermark, and windows close by the clock only; let the exporter set the timestamp when it sends a record, set message.timestamp.type=LogAppendTime on the topic, or raise watermark.max_future_skew"
        )
    })
}

/// Returns a warning about windows that end so far ahead that the sender's clock is probably wrong. What happens to
/// such an alert depends on `watermark.max_window_ahead`.
pub fn far_windows(count: u64, max_window_ahead: Option<Duration>) -> Option<String> {
    let (s, have) = plural(count);
    (count > 0).then(|| {
        let closes = match max_window_ahead {
            None => "such an alert closes at its EndTime, which may be never: correct the sender's clock, or set watermark.max_window_ahead to close it watermark.max_wait after its arrival".to_owned(),
            Some(ahead) => format!(
                "one that ends more than watermark.max_window_ahead ({}) ahead closes watermark.max_wait after its arrival, any other at its EndTime: correct the sender's clock",
                duration(ahead)
            ),
        };
        format!(
            "{count} alert version{s} {have} an EndTime more than a day and watermark.max_future_skew ahead of the arrival; {closes}"
        )
    })
}

/// Returns a warning about records whose correlation id is a placeholder word.
pub fn null_words(count: u64) -> Option<String> {
    let (s, have) = plural(count);
    (count > 0).then(|| {
        format!(
            "{count} record{s} {have} a placeholder such as None or null as correlation id, and all activities and alerts with the same placeholder are joined; read the id from another field (correlation.activity_key, correlation.alert_key), or let the sender leave it empty"
        )
    })
}

fn plural(count: u64) -> (&'static str, &'static str) {
    match count {
        1 => ("", "has"),
        _ => ("s", "have"),
    }
}

/// Returns the warning that records had too many keys.
pub fn cut_keys(count: u64) -> Option<String> {
    (count > 0).then(|| {
        format!(
            "{} more than {MAX_KEYS} keys for a link, of which only the first {MAX_KEYS} in byte order are used; use a path that leads to fewer values, or match or [Member=value]",
            match count {
                1 => "1 record has".to_owned(),
                count => format!("{} records have", crate::words::grouped(count)),
            }
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_that_is_set_is_not_recommended() {
        let warning = far_windows(2, Some(Duration::from_secs(7 * 86_400))).unwrap();
        assert!(
            warning.ends_with(
                "one that ends more than watermark.max_window_ahead (7 days) ahead closes watermark.max_wait after its arrival, \
                 any other at its EndTime: correct the sender's clock"
            ),
            "{warning}"
        );
    }

    #[test]
    fn few_early_timestamps_indicate_a_bad_clock_and_many_the_exporter() {
        assert_eq!(stamped_too_early("t", 19, 19), None, "too few records");
        assert_eq!(stamped_too_early("t", 20, 40), None);
        let warning = stamped_too_early("t", 21, 40).unwrap();
        assert!(warning.starts_with("21 of 40 activities of t are further ahead"), "{warning}");
    }

    #[test]
    fn one_wrong_end_and_one_null_word_cause_warnings() {
        assert_eq!((far_windows(0, None), null_words(0)), (None, None));
        assert!(far_windows(1, None).unwrap().contains("or set watermark.max_window_ahead"));
        assert!(null_words(1).unwrap().contains("correlation.alert_key"));
    }
}
