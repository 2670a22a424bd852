use std::time::Duration;

use chrono::{DateTime, Datelike, Timelike, Utc};

use crate::time::{EventTime, TICKS_PER_SECOND};
use crate::words::duration;

/// Options of the generator. Equal options give equal bytes on every machine.
#[derive(clap::Args, Clone, PartialEq, Debug)]
pub struct Options {
    /// Distinct activities; re-deliveries and broken messages come on top
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub activities: u64,
    /// Distinct alerts; later versions, re-deliveries and broken messages come on top
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub alerts: u64,
    /// What all random choices follow from
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,
    /// Typical size of a CloudAppEvents record, in bytes; sizes vary around it, the least are some 1100
    #[arg(long, value_name = "BYTES", default_value_t = 2_600)]
    pub record_size: usize,
    /// Share of activities with a correlation id, 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.03)]
    pub keyed_share: f64,
    /// Alert policies, and so distinct correlation ids
    #[arg(long, value_name = "N", default_value_t = 40)]
    pub policies: usize,
    /// How uneven the policies are: the k-th has a weight of 1/k^SKEW; 0 to 8
    #[arg(long, value_name = "SKEW", default_value_t = 1.1)]
    pub policy_skew: f64,
    /// Event time covered by the activities
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = humantime::parse_duration)]
    pub span: Duration,
    /// Event time at which the activities begin, as RFC 3339
    #[arg(long, value_name = "TIME", default_value = "2026-03-01T00:00:00Z", value_parser = parse_start)]
    pub start: EventTime,
    /// Shortest window of an alert
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = humantime::parse_duration)]
    pub window_min: Duration,
    /// Longest window of an alert
    #[arg(long, value_name = "DURATION", default_value = "12h", value_parser = humantime::parse_duration)]
    pub window_max: Duration,
    /// Share of the activities with a correlation id that lie in the window of an alert, 0 to 1, as far as the alerts
    /// allow
    #[arg(long, value_name = "SHARE", default_value_t = 0.1)]
    pub in_window_share: f64,
    /// How far records may lie out of event-time order
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = humantime::parse_duration)]
    pub disorder: Duration,
    /// Share of records that are delivered twice, 0 to 1: the same properties in another envelope
    #[arg(long, value_name = "SHARE", default_value_t = 0.03)]
    pub duplicates: f64,
    /// Share of messages that are broken or hold a broken record, 0 to 0.9
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub malformed: f64,
    /// Records in a message at most: with 1 a line is the record, with more it is {"records":[...]} with 1 to N of them
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub batch_max: usize,
    /// Envelopes of activities
    #[arg(long, value_enum, default_value_t = Envelope::Mixed)]
    pub envelope: Envelope,
    /// Share of alerts with later versions, 0 to 1: another status, a later EndTime, seldom another policy
    #[arg(long, value_name = "SHARE", default_value_t = 0.2)]
    pub alert_updates: f64,
    /// Share of alerts with StartTime equal to EndTime, 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
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

/// Envelopes of activities. Alerts are rows as Log Analytics exports them, and with [`Envelope::Mixed`] also bare rows.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Envelope {
    /// All of them
    #[default]
    Mixed,
    /// Defender streaming API
    Streaming,
    /// Log Analytics export
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
        for (option, share, max) in [
            ("keyed-share", self.keyed_share, 1.0),
            ("in-window-share", self.in_window_share, 1.0),
            ("duplicates", self.duplicates, 1.0),
            ("malformed", self.malformed, 0.9),
            ("alert-updates", self.alert_updates, 1.0),
            ("zero-windows", self.zero_windows, 1.0),
        ] {
            let range = if max < 1.0 {
                "a share from 0 to 0.9"
            } else {
                "a share from 0 to 1"
            };
            in_range(option, (0.0..=max).contains(&share), share, range)?;
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

fn parse_start(text: &str) -> Result<EventTime, String> {
    let hint = "give an RFC 3339 time such as 2026-03-01T00:00:00Z";
    let time = DateTime::parse_from_rfc3339(text).map_err(|error| format!("{error}: {hint}"))?;
    let time = time.with_timezone(&Utc);
    let ticks = i64::from(time.num_seconds_from_midnight()) * TICKS_PER_SECOND + i64::from(time.nanosecond() / 100);
    EventTime::from_date(time.year(), time.month(), time.day(), ticks).ok_or_else(|| hint.to_owned())
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
