//! Determines when each message is due.

use std::collections::VecDeque;
use std::str::FromStr;
use std::time::Duration;

use crate::time::{EventTime, TICKS_PER_SECOND};

/// The longest time after the start at which a message can be due. A record may have any time.
const MAX_TIME: Duration = Duration::from_secs(100 * 365 * 86_400);

/// A number of records per time.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Rate {
    per_second: f64,
}

impl Rate {
    /// Returns the records per second.
    pub fn per_second(self) -> f64 {
        self.per_second
    }
}

/// Parses `5000`, `5000/s`, `300/m` or `20/h`.
impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let hint = "use records per second, such as 5000/s; per minute, 300/m; or per hour, 20/h";
        let (number, unit) = text.split_once('/').unwrap_or((text, "s"));
        let seconds = match unit.trim() {
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3_600.0,
            _ => return Err(hint.to_owned()),
        };
        let number = positive(number).ok_or_else(|| hint.to_owned())?;
        Ok(Self {
            per_second: number / seconds,
        })
    }
}

/// The factor by which a replay is faster than the recording.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Speed(f64);

/// Parses `1`, `10` or `0.5`.
impl FromStr for Speed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let speed = positive(text).map(Self);
        speed.ok_or_else(|| "use a number above 0: 1 is the recorded speed, 10 is ten times as fast".to_owned())
    }
}

fn positive(text: &str) -> Option<f64> {
    let number: f64 = text.trim().parse().ok()?;
    (number.is_finite() && number > 0.0).then_some(number)
}

/// The rule that decides when a message is due.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Timing {
    /// No rule: a message is due as soon as the previous one is sent.
    Unlimited,
    /// The number of records before the message decides.
    Rate(Rate),
    /// The times of the message's records decide.
    Speed(Speed),
}

/// Determines when successive messages are due. This depends only on the messages, not on when earlier ones were sent:
/// a sender that falls behind catches up and skips no message.
#[derive(Clone, Debug)]
pub struct Schedule {
    timing: Timing,
    /// The number of records in all messages so far.
    records: u64,
    /// The first time found.
    first: Option<EventTime>,
    due: Duration,
}

impl Schedule {
    /// Creates the schedule before the first message.
    pub fn new(timing: Timing) -> Self {
        Self {
            timing,
            records: 0,
            first: None,
            due: Duration::ZERO,
        }
    }

    /// Returns how long after the first message the next one is due, or `None` for [`Timing::Unlimited`]. `records` is
    /// the number of its records and `time` the latest of their times. A message is due when its last record is. A
    /// message without a time, or with an earlier time than a previous message, is due together with the previous one.
    pub fn due(&mut self, records: u64, time: Option<EventTime>) -> Option<Duration> {
        self.records += records;
        let due = match self.timing {
            Timing::Unlimited => return None,
            Timing::Rate(rate) => self.records.saturating_sub(1) as f64 / rate.per_second,
            Timing::Speed(Speed(speed)) => {
                let since = time.map_or(0, |time| {
                    let first = self.first.get_or_insert(time);
                    time.ticks().saturating_sub(first.ticks()).max(0)
                });
                since as f64 / TICKS_PER_SECOND as f64 / speed
            }
        };
        let due = Duration::try_from_secs_f64(due).map_or(MAX_TIME, |due| due.min(MAX_TIME));
        self.due = self.due.max(due);
        Some(self.due)
    }
}

/// The delay of a replay against its schedule.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Lag {
    /// The delay of the previous message.
    pub last: Duration,
    /// The longest delay so far.
    pub max: Duration,
}

impl Lag {
    /// A shorter delay is caused by clocks, threads and short load.
    const TOLERANCE: Duration = Duration::from_millis(100);

    /// Records that a message due at `due` is sent at `now`.
    pub fn record(&mut self, due: Duration, now: Duration) {
        self.last = now.saturating_sub(due);
        self.max = self.max.max(self.last);
    }

    /// Returns whether the schedule was not kept.
    pub fn is_late(self) -> bool {
        self.max > Self::TOLERANCE
    }
}

/// Messages that were sent and are not acknowledged yet, in groups `S` of messages that were due at about the same
/// time. A broker that is slow for a while is not visible in the producer's queue, which still accepts messages in
/// time. The delay is visible here.
#[derive(Clone, Debug)]
pub struct Unacknowledged<S> {
    /// The groups, each with the time at which its first message was due. No group is empty.
    groups: VecDeque<(S, Duration)>,
    max_delay: Duration,
}

impl<S: Default> Default for Unacknowledged<S> {
    fn default() -> Self {
        Self {
            groups: VecDeque::from([(S::default(), Duration::ZERO)]),
            max_delay: Duration::ZERO,
        }
    }
}

impl<S: Default> Unacknowledged<S> {
    /// The time that one group covers.
    const GROUP_SPAN: Duration = Duration::from_millis(50);
    /// Acknowledgements later than this are late. Distant brokers may need a part of this time.
    const TOLERANCE: Duration = Duration::from_secs(1);

    /// Returns the group of a message that is due now, and not before the previous one.
    pub fn group(&mut self, due: Duration) -> &S {
        let is_over = self.groups.back().is_none_or(|(_, first)| due >= *first + Self::GROUP_SPAN);
        if is_over {
            self.groups.push_back((S::default(), due));
        }
        let last = self.groups.len() - 1;
        &self.groups[last].0
    }

    /// Removes the groups that are completely acknowledged by `now`, and notes how long the oldest remaining group has
    /// been waiting. Returns whether any group remains.
    pub fn update(&mut self, now: Duration, is_acknowledged: impl Fn(&S) -> bool) -> bool {
        while let Some((group, due)) = self.groups.front() {
            if !is_acknowledged(group) {
                self.max_delay = self.max_delay.max(now.saturating_sub(*due));
                return true;
            }
            if self.groups.len() == 1 {
                return false;
            }
            self.groups.pop_front();
        }
        false
    }

    /// Returns the remaining groups.
    pub fn groups(&self) -> impl Iterator<Item = &S> {
        self.groups.iter().map(|(group, _)| group)
    }

    /// Returns the longest observed time between the moment when a message was due and its acknowledgement.
    pub fn max_delay(&self) -> Duration {
        self.max_delay
    }

    /// Returns whether acknowledgements were too late.
    pub fn is_late(&self) -> bool {
        self.max_delay > Self::TOLERANCE
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use proptest::prelude::*;

    use super::*;

    fn at(seconds: f64) -> Option<EventTime> {
        Some(EventTime::from_ticks((seconds * 1e7) as i64 + 1_000_000_000_000))
    }

    fn schedule(rate: &str) -> Schedule {
        Schedule::new(Timing::Rate(rate.parse().unwrap()))
    }

    fn millis(millis: u64) -> Option<Duration> {
        Some(Duration::from_millis(millis))
    }

    #[test]
    fn rates_are_parsed() {
        for (text, expected) in [
            ("5000", 5_000.0),
            ("5000/s", 5_000.0),
            ("300/m", 5.0),
            ("1800/h", 0.5),
            ("0.5/s", 0.5),
            (" 10 / s ", 10.0),
        ] {
            assert_eq!(text.parse::<Rate>().unwrap().per_second(), expected, "{text}");
        }
        for wrong in ["", "0", "-1", "five", "5/", "5/d", "/s", "inf", "NaN", "1e400", "5/s/s"] {
            assert!(wrong.parse::<Rate>().unwrap_err().starts_with("use "), "{wrong}");
        }
    }

    #[test]
    fn speeds_are_parsed() {
        assert_eq!("10".parse(), Ok(Speed(10.0)));
        assert_eq!("0.25".parse(), Ok(Speed(0.25)));
        for wrong in ["", "0", "-1", "10x", "inf"] {
            assert!(wrong.parse::<Speed>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_rate_counts_records_not_messages() {
        let mut schedule = schedule("100/s");
        assert_eq!(schedule.due(1, at(5.0)), millis(0));
        assert_eq!(schedule.due(1, None), millis(10));
        assert_eq!(
            schedule.due(10, None),
            millis(110),
            "a message is due when its last record is due"
        );
        assert_eq!(schedule.due(0, None), millis(110));
        assert_eq!(schedule.due(1, None), millis(120));
    }

    #[test]
    fn a_speed_follows_the_times() {
        let mut schedule = Schedule::new(Timing::Speed("10".parse().unwrap()));
        assert_eq!(schedule.due(1, None), millis(0), "before the first time");
        assert_eq!(schedule.due(1, at(0.0)), millis(0));
        assert_eq!(schedule.due(5, at(2.0)), millis(200));
        assert_eq!(schedule.due(1, None), millis(200), "due together with the previous message");
        assert_eq!(schedule.due(1, at(1.0)), millis(200), "also a message that is out of order");
        assert_eq!(schedule.due(1, at(-9.0)), millis(200));
        assert_eq!(schedule.due(1, at(2.5)), millis(250));
        assert_eq!(schedule.due(1, Some(EventTime::MAX)), Some(MAX_TIME));
    }

    #[test]
    fn without_a_timing_no_message_has_a_due_time() {
        assert_eq!(Schedule::new(Timing::Unlimited).due(1, at(1.0)), None);
    }

    #[test]
    fn delays_are_recorded() {
        let mut lag = Lag::default();
        let millis = Duration::from_millis;
        lag.record(millis(100), millis(90));
        assert_eq!(lag, Lag::default());
        lag.record(millis(100), millis(350));
        lag.record(millis(400), millis(401));
        assert_eq!((lag.last, lag.max, lag.is_late()), (millis(1), millis(250), true));
    }

    #[test]
    fn late_acknowledgements_are_recorded() {
        let millis = Duration::from_millis;
        let is_acknowledged = |group: &Cell<u32>| group.get() == 0;
        let mut sent: Unacknowledged<Cell<u32>> = Unacknowledged::default();
        assert!(!sent.update(millis(900), is_acknowledged), "nothing was sent");
        for due in [100, 110, 149, 150, 400] {
            let group = sent.group(millis(due));
            group.set(group.get() + 1);
        }
        assert!(sent.update(millis(401), is_acknowledged));
        let counts = |sent: &Unacknowledged<Cell<u32>>| sent.groups().map(Cell::get).collect::<Vec<_>>();
        assert_eq!(
            counts(&sent),
            [3, 1, 1],
            "messages that are due at about the same time form one group"
        );
        assert_eq!(sent.max_delay(), millis(301));
        // Acknowledgements may arrive in any order.
        sent.groups().nth(1).unwrap().set(0);
        assert!(sent.update(millis(900), is_acknowledged));
        assert_eq!((sent.max_delay(), sent.is_late()), (millis(800), false));
        sent.groups().next().unwrap().set(0);
        assert!(sent.update(millis(1_000), is_acknowledged));
        assert_eq!((counts(&sent), sent.max_delay()), (vec![1], millis(800)));
        assert!(sent.update(millis(1_401), is_acknowledged));
        assert!(sent.is_late());
        sent.groups().next().unwrap().set(0);
        assert!(!sent.update(millis(9_000), is_acknowledged));
        assert_eq!(sent.max_delay(), millis(1_001), "an acknowledged message no longer waits");
    }

    proptest! {
        #[test]
        fn time_never_goes_back(speed in 0.001..1e6, times in prop::collection::vec(prop::option::of(-1e6..1e6), 1..50)) {
            let mut schedule = Schedule::new(Timing::Speed(Speed(speed)));
            let mut before = Duration::ZERO;
            for time in times {
                let due = schedule.due(1, time.and_then(at)).unwrap();
                prop_assert!(due >= before);
                before = due;
            }
        }

        #[test]
        fn a_rate_is_exact_over_days(rate in 0.01..1e6, records in 2u64..10_000_000_000) {
            let mut schedule = Schedule::new(Timing::Rate(Rate { per_second: rate }));
            let due = schedule.due(records, None).unwrap().as_secs_f64();
            let expected = (records - 1) as f64 / rate;
            prop_assert!(expected > MAX_TIME.as_secs_f64() || (due - expected).abs() <= 1e-6 + expected * 1e-9);
        }
    }
}
