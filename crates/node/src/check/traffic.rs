//! Warnings about traffic, which `check` derives from a sample and the processor from its input, with the same rules.

use crate::decode::MAX_KEYS;

/// The minimum number of records from which a conclusion is drawn.
const MIN_RECORDS: u64 = 20;

/// Returns a warning if most of the `all` activities of a topic are ahead of the timestamps of their Kafka records.
pub fn stamped_too_early(topic: &str, ahead: u64, all: u64) -> Option<String> {
    (all >= MIN_RECORDS && ahead * 2 > all).then(|| {
        format!(
            "{ahead} of {all} activities of {topic} are further ahead of their Kafka record's timestamp than watermark.max_future_skew, so they do not move the watermark, and windows close by the clock only; let the exporter set the timestamp when it sends a record, set message.timestamp.type=LogAppendTime on the topic, or raise watermark.max_future_skew"
        )
    })
}

/// Returns a warning about windows that end so far ahead that the sender's clock is probably wrong.
pub fn far_windows(count: u64) -> Option<String> {
    let (s, have) = plural(count);
    (count > 0).then(|| {
        format!(
            "{count} alert version{s} {have} an EndTime more than a day and watermark.max_future_skew ahead of the arrival; such an alert closes at its EndTime, which may be never: correct the sender's clock, or set watermark.max_window_ahead to close it watermark.max_wait after its arrival"
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
    fn few_early_timestamps_indicate_a_bad_clock_and_many_the_exporter() {
        assert_eq!(stamped_too_early("t", 19, 19), None, "too few records");
        assert_eq!(stamped_too_early("t", 20, 40), None);
        let warning = stamped_too_early("t", 21, 40).unwrap();
        assert!(warning.starts_with("21 of 40 activities of t are further ahead"), "{warning}");
    }

    #[test]
    fn one_wrong_end_and_one_null_word_cause_warnings() {
        assert_eq!((far_windows(0), null_words(0)), (None, None));
        assert!(far_windows(1).unwrap().contains("watermark.max_window_ahead"));
        assert!(null_words(1).unwrap().contains("correlation.alert_key"));
    }
}
