use std::time::Duration;

use crate::time::EventTime;
use crate::words::duration;

/// Options of the generator. Equal options give equal bytes, on every machine and with every later version.
#[derive(Clone, PartialEq, Debug)]
pub struct Options {
    /// Number of distinct activities. Repeated deliveries and broken messages come in addition.
    pub activities: u64,
    /// Number of distinct alerts. Later versions, repeated deliveries and broken messages come in addition.
    pub alerts: u64,
    /// The seed of all random choices.
    pub seed: u64,
    /// Typical size of a CloudAppEvents record in bytes, 1 000 to 100 000. Sizes vary from half to one and a half times
    /// this value, and one record in 200 is four times as large. No record is smaller than its columns require, which
    /// is some 1 400 to 2 300 bytes, depending on its kind.
    pub record_size: usize,
    /// Share of activities with a correlation id, 0 to 1.
    pub keyed_share: f64,
    /// Number of alert policies. A correlation id is the id of an alert policy, so this is the number of distinct ids.
    pub policies: usize,
    /// The unevenness of the policies: policy `k` has a weight of `1 / k^policy_skew`, 0 to 8. With 0 all are used
    /// equally. Only the policies 1, 3, 5 and so on raise alerts. `in_window_share` moves some activities of frequent
    /// policies to others.
    pub policy_skew: f64,
    /// Event time covered by the activities.
    pub span: Duration,
    /// The event time at which the activities begin.
    pub start: EventTime,
    /// Shortest window (`EndTime - StartTime`) of an alert.
    pub window_min: Duration,
    /// Longest window of an alert.
    pub window_max: Duration,
    /// Share of the activities with a correlation id that should be in the window of an alert, 0 to 1. With few alerts
    /// the share may be lower, and with a single policy higher.
    pub in_window_share: f64,
    /// Maximum time by which a record may be older than a record that was delivered before it. Only repeated deliveries
    /// of alerts may come up to two hours later than that.
    pub disorder: Duration,
    /// Share of records that are delivered a second time, 0 to 1, with the same properties in another envelope.
    pub duplicates: f64,
    /// Share of messages that are broken or hold a broken record, 0 to 0.9. They come in addition and can be removed:
    /// the content of the valid messages does not depend on this share.
    pub malformed: f64,
    /// Maximum number of records in a message, at least 1. With 1, a message is the record. With more, it is
    /// `{"records":[...]}` with 1 to `batch_max` records, or fewer if the message would exceed the limit of a broker.
    pub batch_max: usize,
    /// The envelopes of activities.
    pub envelope: Envelope,
    /// Share of alerts with later versions, 0 to 1.
    pub alert_updates: f64,
    /// Share of alerts with `StartTime == EndTime`, 0 to 1.
    pub zero_windows: f64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            activities: 10_000,
            alerts: 100,
            seed: 1,
            record_size: 2_600,
            keyed_share: 0.03,
            policies: 40,
            policy_skew: 1.1,
            span: Duration::from_secs(24 * 3600),
            start: EventTime::from_date(2026, 3, 1, 0).unwrap_or(EventTime::FIRST),
            window_min: Duration::from_secs(600),
            window_max: Duration::from_secs(12 * 3600),
            in_window_share: 0.1,
            disorder: Duration::from_secs(120),
            duplicates: 0.03,
            malformed: 0.0,
            batch_max: 1,
            envelope: Envelope::Mixed,
            alert_updates: 0.2,
            zero_windows: 0.0,
        }
    }
}

/// The envelopes of activities. Alerts are delivered as Log Analytics rows, and in [`Envelope::Mixed`] also as bare
/// rows, because no other service delivers them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Envelope {
    /// Of ten messages, six have the envelope of the Defender streaming API, three are Log Analytics rows, and one is
    /// bare rows.
    #[default]
    Mixed,
    /// All activities have the envelope of the Defender streaming API.
    Streaming,
    /// All activities are rows of the Log Analytics export.
    LogAnalytics,
}

/// The reason why options cannot be used.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub enum Error {
    /// An option is out of its range.
    #[error("{option} is {value}: give {range}")]
    Range {
        /// The option's name.
        option: &'static str,
        /// Its value.
        value: String,
        /// The values that are allowed.
        range: &'static str,
    },
    /// The minimum window length is greater than the maximum.
    #[error(
        "window-min ({}) is longer than --window-max ({}): give a shorter --window-min or a longer --window-max",
        duration(*.min),
        duration(*.max)
    )]
    Windows {
        /// `window_min`
        min: Duration,
        /// `window_max`
        max: Duration,
    },
}

/// Maximum span, window and disorder, so that arithmetic on times stays within the calendar.
const LONGEST: Duration = Duration::from_secs(10 * 366 * 86_400);
/// 9000-01-01. Every time that results from a start before it is within the calendar.
const LAST_START: EventTime = EventTime::from_ticks(3_286_870 * 86_400 * 10_000_000);

impl Options {
    /// Returns an error if an option is out of range.
    pub(super) fn check(&self) -> Result<(), Error> {
        for (option, share, most) in [
            ("keyed-share", self.keyed_share, 1.0),
            ("in-window-share", self.in_window_share, 1.0),
            ("duplicates", self.duplicates, 1.0),
            ("malformed", self.malformed, 0.9),
            ("alert-updates", self.alert_updates, 1.0),
            ("zero-windows", self.zero_windows, 1.0),
        ] {
            let range = if most < 1.0 {
                "a share from 0 to 0.9"
            } else {
                "a share from 0 to 1"
            };
            in_range(option, (0.0..=most).contains(&share), share, range)?;
        }
        let (size, skew) = (self.record_size, self.policy_skew);
        in_range("record-size", (1_000..=100_000).contains(&size), size, "1000 to 100000 bytes")?;
        in_range("policy-skew", (0.0..=8.0).contains(&skew), skew, "a number from 0 to 8")?;
        in_range(
            "policies",
            (1..=1_000_000).contains(&self.policies),
            self.policies,
            "1 to 1000000 policies",
        )?;
        in_range("batch-max", self.batch_max >= 1, self.batch_max, "at least 1 record")?;
        in_range("activities", self.activities <= 1 << 40, self.activities, "at most 2^40")?;
        in_range("alerts", self.alerts <= 1 << 32, self.alerts, "at most 2^32")?;
        let start = (EventTime::FIRST..LAST_START).contains(&self.start);
        in_range("start", start, self.start, "a time between the years 1 and 8999")?;
        for (option, span) in [
            ("span", self.span),
            ("window-max", self.window_max),
            ("disorder", self.disorder),
        ] {
            in_range(option, span <= LONGEST, duration(span), "at most 10 years")?;
        }
        in_range("span", !self.span.is_zero(), "0", "more than 0 seconds")?;
        if self.window_min > self.window_max {
            return Err(Error::Windows {
                min: self.window_min,
                max: self.window_max,
            });
        }
        Ok(())
    }
}

fn in_range(option: &'static str, holds: bool, value: impl ToString, range: &'static str) -> Result<(), Error> {
    let value = || value.to_string();
    if holds {
        Ok(())
    } else {
        Err(Error::Range {
            option,
            value: value(),
            range,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_out_of_range_is_refused_by_name() {
        let refused = |options: Options| options.check().unwrap_err().to_string();
        assert_eq!(Options::default().check(), Ok(()));
        let text = refused(Options {
            malformed: 1.0,
            ..Options::default()
        });
        assert_eq!(text, "malformed is 1: give a share from 0 to 0.9");
        let text = refused(Options {
            keyed_share: f64::NAN,
            ..Options::default()
        });
        assert_eq!(text, "keyed-share is NaN: give a share from 0 to 1");
        let text = refused(Options {
            window_min: Duration::from_secs(90_000),
            ..Options::default()
        });
        assert!(
            text.starts_with("window-min (1 day 1h) is longer than --window-max (12h)"),
            "{text}"
        );
    }
}
