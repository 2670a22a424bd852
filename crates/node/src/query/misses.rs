//! Finds activities outside the window of an alert, and the settings that would include them.

use std::time::Duration;

use super::alerts::sent_result;
use super::causes::Finding;
use super::causes::{Cause, Miss};
use super::explain::Case;
use super::words::{distance, duration, seconds, shortened};
use super::{Error, emit};
use crate::join::{AlertStatus, Stored};
use crate::store::Reads;
use crate::time::{Bounds, EventTime, LONGEST_SETTING, TICKS_PER_SECOND, Widening, Window};

/// The maximum number of activities that are reported on each side of the window.
const MAX_MISSES: usize = 3;

/// The side of the window on which an activity lies.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Before,
    After,
}

impl<R: Reads> Case<'_, '_, R> {
    /// Returns the finding about activities that have the alert's key but are outside its window.
    pub(super) fn near_misses(&self) -> Result<Option<Finding>, Error> {
        let AlertStatus { key, window, .. } = self.alert_status;
        if key.correlation_id.is_empty() {
            return Ok(None);
        }
        let widening = self.widening();
        let setting_for = |miss: &Miss| including_setting(miss, |name| self.setting(name));
        let [before, after] = self.view.around(key, *window, MAX_MISSES)?;
        let misses = |near: &[Stored], side| -> Vec<Miss> {
            let miss = |near: &Stored| miss(near.time, *window, widening, side);
            near.iter().map(miss).collect()
        };
        let (before, after) = (misses(&before, Side::Before), misses(&after, Side::After));
        let at = |miss: &Miss, side| format!("{} ({} it in)", position(miss, side), setting_for(miss));
        let sentence = match (before.first(), after.first()) {
            (None, None) => return self.no_activity_with_key(),
            (Some(near), None) => nearest_one(&at(near, Side::Before)),
            (None, Some(near)) => nearest_one(&at(near, Side::After)),
            (Some(one), Some(other)) if setting_for(one) == setting_for(other) => nearest_two(&format!(
                "{} and {} ({} them in)",
                position(one, Side::Before),
                position(other, Side::After),
                setting_for(one)
            )),
            (Some(one), Some(other)) => nearest_two(&format!("{} and {}", at(one, Side::Before), at(other, Side::After))),
        };
        Ok(Some(Finding {
            sentence,
            cause: Cause::NearMiss { before, after },
        }))
    }

    /// Returns the finding that no activity has the alert's key, unless an activity is in its window.
    fn no_activity_with_key(&self) -> Result<Option<Finding>, Error> {
        let AlertStatus { key, window, .. } = self.alert_status;
        let has_some = sent_result(self.alert_status).is_some_and(|result| result.activities > 0);
        if has_some || self.count_stored(*window)?.0 > 0 {
            return Ok(None);
        }
        let correlation_id = key.correlation_id.to_string();
        Ok(Some(Finding {
            sentence: format!(
                "No activity with the correlation id {} is held, in the window or outside.",
                shortened(&correlation_id)
            ),
            cause: Cause::NoActivityWithKey { correlation_id },
        }))
    }
}

fn nearest_one(position: &str) -> String {
    format!("The nearest activity with its correlation id outside the window lies {position}.")
}

fn nearest_two(positions: &str) -> String {
    format!("The nearest activities with its correlation id outside the window lie {positions}.")
}

/// Describes the position of an activity.
fn position(miss: &Miss, side: Side) -> String {
    let bound = match side {
        Side::Before => "its start",
        Side::After => "its end",
    };
    match (miss.distance_seconds > 0.0, side) {
        (false, _) => format!("exactly at {bound}"),
        (true, Side::Before) => format!("{} before {bound}", distance(miss.distance_seconds)),
        (true, Side::After) => format!("{} after {bound}", distance(miss.distance_seconds)),
    }
}

/// Returns the setting that includes an activity, as the subject and verb of a clause.
fn including_setting(miss: &Miss, named: impl Fn(&str) -> String) -> String {
    match (&miss.setting, &miss.value) {
        (Some(setting), Some(value)) => format!("{} = \"{value}\" takes", named(setting)),
        _ => "no setting takes".to_owned(),
    }
}

fn miss(time: EventTime, window: Window, widening: Widening, side: Side) -> Miss {
    let (start, end) = emit::bounds(window, widening);
    let distance = match side {
        Side::Before => start.ticks().saturating_sub(time.ticks()),
        Side::After => time.ticks().saturating_sub(end.ticks()),
    };
    let (setting, widened, value) = match (distance, side) {
        (0, _) => {
            let bounds = Bounds::Inclusive;
            ("bounds", Some(Widening { bounds, ..widening }), "inclusive".to_owned())
        }
        (_, Side::Before) => {
            let before = margin(widening.before, window.from.ticks().saturating_sub(time.ticks()));
            let widened = before.map(|before| Widening { before, ..widening });
            ("before", widened, before.map(duration).unwrap_or_default())
        }
        (_, Side::After) => {
            let missing = time.ticks().saturating_add(1).saturating_sub(window.to.ticks());
            let after = margin(widening.after, missing);
            let widened = after.map(|after| Widening { after, ..widening });
            ("after", widened, after.map(duration).unwrap_or_default())
        }
    };
    // A window that ends before it begins may need more than one setting, so the proposed value is tried.
    let is_included = |widened| {
        let (start, end) = (start.plus(widening.before), end.minus(widening.after));
        Window::for_alert(start, end, widened).contains(time)
    };
    let helps = widened.is_some_and(is_included);
    Miss {
        activity_time: time.into(),
        distance_seconds: seconds(distance),
        setting: helps.then(|| setting.to_owned()),
        value: helps.then_some(value),
    }
}

/// Returns the smallest margin in whole seconds that is at least `missing` ticks longer than this one. Returns `None`
/// if it is more than can be configured.
fn margin(margin: Duration, missing: i64) -> Option<Duration> {
    let ticks = u128::try_from(missing).unwrap_or(0) + margin.as_nanos() / 100;
    let whole = ticks.div_ceil(u128::from(TICKS_PER_SECOND.unsigned_abs()));
    let margin = Duration::from_secs(u64::try_from(whole).ok()?);
    (margin <= LONGEST_SETTING).then_some(margin)
}
