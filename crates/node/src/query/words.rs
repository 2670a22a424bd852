//! Findings that need only the result or the source partitions, and the formats of numbers in sentences.

use std::time::Duration;

use super::causes::Finding;
use super::causes::{Cause, SourceRejects};
use super::emit;
use crate::join::CloseResult;
use crate::time::TICKS_PER_SECOND;
use crate::words::counted;

/// Returns the finding that the alert has been closed.
pub(super) fn closed_finding(result: &CloseResult) -> Finding {
    let when = result
        .closed_at
        .map_or_else(String::new, |at| format!(" at {}", at.to_event()));
    let by = match result.closed_by {
        crate::join::ClosedBy::Watermark => "once activities had passed the end of its window",
        crate::join::ClosedBy::Clock => "by the clock, as every source partition was silent",
        crate::join::ClosedBy::MaxWait => "because it had waited for watermark.max_wait",
        crate::join::ClosedBy::EndOfInput => "at the end of the input",
    };
    Finding {
        sentence: format!(
            "It was answered{when}, {by}, with {}.",
            counted(result.activities, "activity")
        ),
        cause: Cause::Answered {
            closed_by: emit::closed_by(result.closed_by).to_owned(),
            closed_at: result.closed_at.map(Into::into),
            watermark_at_close: result.watermark.map(Into::into),
            activity_count: result.activities,
            late_count: result.late,
        },
    }
}

/// Returns the finding that records of the sources were rejected, if there are any.
pub(super) fn rejects_finding<'a>(sources: impl Iterator<Item = &'a crate::join::SourceState>) -> Option<Finding> {
    let rejected = sources.filter(|source| source.rejected > 0);
    let sources: Vec<SourceRejects> = rejected
        .map(|source| SourceRejects {
            topic: source.topic.clone(),
            partition: source.partition,
            rejected: source.rejected,
        })
        .collect();
    let all = sources.iter().map(|source| source.rejected).sum();
    (all > 0).then(|| Finding {
        sentence: format!(
            "{} of the sources went to the dead letters; one of them may have belonged here.",
            counted(all, "record")
        ),
        cause: Cause::RejectedRecords { sources },
    })
}

#[expect(clippy::cast_precision_loss, reason = "for display: no relevant span has that many ticks")]
pub(super) fn seconds(ticks: i64) -> f64 {
    ticks as f64 / TICKS_PER_SECOND as f64
}

/// Returns a distance in time for display: with at most two units, and as whole years from two years on.
pub(super) fn distance(seconds: f64) -> String {
    const YEAR: u64 = 31_557_600;
    let Ok(span) = Duration::try_from_secs_f64(seconds) else {
        return format!("{seconds}s");
    };
    match span.as_secs() {
        seconds if seconds >= 2 * YEAR => format!("{} years", seconds / YEAR),
        seconds @ 10.. => two_units(&duration(Duration::from_secs(seconds))),
        _ => two_units(&duration(Duration::from_micros(
            u64::try_from(span.as_micros()).unwrap_or(u64::MAX),
        ))),
    }
}

fn two_units(text: &str) -> String {
    let units: Vec<&str> = text.split(' ').take(2).collect();
    units.join(" ")
}

/// Returns a duration in the format of settings, such as `2d 30m`.
pub(super) fn duration(duration: Duration) -> String {
    const UNITS: [(u128, &str); 7] = [
        (86_400_000_000_000, "d"),
        (3_600_000_000_000, "h"),
        (60_000_000_000, "m"),
        (1_000_000_000, "s"),
        (1_000_000, "ms"),
        (1_000, "us"),
        (1, "ns"),
    ];
    let mut rest = duration.as_nanos();
    let mut parts = Vec::new();
    for (unit, name) in UNITS {
        if rest >= unit {
            parts.push(format!("{}{name}", rest / unit));
            rest %= unit;
        }
    }
    match parts.is_empty() {
        true => "0s".to_owned(),
        false => parts.join(" "),
    }
}

/// Returns the text, cut to its beginning if it is too long for a sentence.
pub fn shortened(text: &str) -> String {
    const MAX_LENGTH: usize = 100;
    match text.char_indices().nth(MAX_LENGTH) {
        Some((end, _)) => text.get(..end).unwrap_or_default().to_owned() + "…",
        None => text.to_owned(),
    }
}
