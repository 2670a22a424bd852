//! Findings that need nothing but an answer or the sources, and how numbers are told.

use std::time::Duration;

use super::causes::{Cause, Miss, SourceRejects};
use super::emit;
use super::shapes::Finding;
use crate::join::{Answer, Stored};
use crate::time::TICKS_PER_SECOND;

pub(super) fn answered(answer: &Answer) -> Finding {
    let when = answer
        .closed_at
        .map_or_else(String::new, |at| format!(" at {}", at.to_event()));
    let by = match answer.closed_by {
        crate::join::ClosedBy::Watermark => "once activities had passed the end of its window",
        crate::join::ClosedBy::Clock => "by the clock, as every source partition was silent",
        crate::join::ClosedBy::MaxWait => "because it had waited for watermark.max_wait",
        crate::join::ClosedBy::EndOfInput => "at the end of the input",
    };
    Finding {
        sentence: format!("It was answered{when}, {by}, with {}.", count(answer.activities, "activity")),
        cause: Cause::Answered {
            closed_by: emit::closed_by(answer.closed_by).to_owned(),
            closed_at: answer.closed_at.map(Into::into),
            watermark_at_close: answer.watermark.map(Into::into),
            activity_count: answer.activities,
            late_count: answer.late,
        },
    }
}

pub(super) fn rejects<'a>(sources: impl Iterator<Item = &'a crate::join::SourceState>) -> Option<Finding> {
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
            count(all, "record")
        ),
        cause: Cause::RejectedRecords { sources },
    })
}

/// An activity outside: so far from the bound, `missing` ticks outside of what is inside now.
pub(super) fn miss(near: &Stored, distance: i64, setting: &str, margin: Duration, missing: i64) -> Miss {
    let (setting, value) = match distance {
        0 => ("bounds", "inclusive".to_owned()),
        _ => {
            let ticks = u128::try_from(missing).unwrap_or(0) + margin.as_nanos() / 100;
            let whole = ticks.div_ceil(u128::from(TICKS_PER_SECOND.unsigned_abs()));
            (setting, format!("{whole}s"))
        }
    };
    Miss {
        activity_time: near.time.into(),
        distance_seconds: seconds(distance),
        setting: setting.to_owned(),
        value,
    }
}

#[expect(clippy::cast_precision_loss, reason = "for people: no span of interest has so many ticks")]
pub(super) fn seconds(ticks: i64) -> f64 {
    ticks as f64 / TICKS_PER_SECOND as f64
}

pub(super) fn told(seconds: f64) -> String {
    match Duration::try_from_secs_f64(seconds) {
        Ok(span) if span >= Duration::from_secs(10) => duration(Duration::from_secs(span.as_secs())),
        Ok(span) => duration(Duration::from_micros(u64::try_from(span.as_micros()).unwrap_or(u64::MAX))),
        Err(_) => format!("{seconds}s"),
    }
}

pub(super) fn duration(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

/// `1 activity`, `2 activities`.
pub(super) fn count(number: u64, what: &str) -> String {
    match (number, what.strip_suffix('y')) {
        (1, _) => format!("1 {what}"),
        (_, Some(stem)) => format!("{number} {stem}ies"),
        (_, None) => format!("{number} {what}s"),
    }
}
