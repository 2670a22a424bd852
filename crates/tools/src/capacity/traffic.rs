//! Decides which message is due next, its content, and the expected output for everything that was sent.
//!
//! The event time of a record is the time when it is due, so windows open and close while the trial runs. Activities
//! are sent to the partitions in turn, each with a unique time: a pair is identified by its alert and its activity's
//! time. An alert is sent while its window is open, and refers to the policy whose activities it matches.

use std::collections::VecDeque;
use std::time::Duration;

use super::schedule::LoadSchedule;
use super::template::Pool;
use crate::generate::Guid;
use crate::generate::record::{Account, Delivery, Form, Incident, Presence, Status, Tenant, alert};
use crate::time::EventTime;

/// The properties of the traffic.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Mix {
    /// The seed of all random choices.
    pub seed: u64,
    /// Partitions of the topic of activities.
    pub partitions: u32,
    /// The share of activities with a correlation id.
    pub keyed_share: f64,
    /// Alerts per second.
    pub alerts: f64,
    /// The time from an alert's `StartTime` to its `EndTime`.
    pub window: Duration,
    /// The processor's `watermark.out_of_orderness`.
    pub out_of_orderness: Duration,
}

/// The share of a window that is before the time when its alert is sent. Most activities of an alert have happened when
/// it is raised.
const BEFORE: f64 = 0.8;

/// Separates the random moments of alerts from other random choices with the same seed.
const MOMENTS: u64 = 0x6d6f_6d65_6e74_7321;

/// A message that is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Message<'a> {
    /// An activity for this partition of the topic.
    Activity(i32, &'a [u8]),
    /// An alert.
    Alert(&'a [u8]),
}

/// The expected output for one alert. Times are measured from the beginning of the trial.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Expected {
    /// The number of the alert, from 0.
    pub alert: u64,
    /// The event times of its activities, in ticks, in order.
    pub activities: Vec<i64>,
    /// The earliest time at which it can be emitted: the time when the message that moves the watermark to the end of
    /// the window is due.
    pub closes: Duration,
}

/// An alert that was sent and whose window the watermark has not passed.
#[derive(Debug)]
struct PendingAlert {
    alert: u64,
    policy: usize,
    start: i64,
    end: i64,
    sent: Duration,
}

/// The messages of one trial in the order of their times.
#[derive(Debug)]
pub struct Traffic {
    schedule: LoadSchedule,
    pool: Pool,
    mix: Mix,
    /// The event time at which the trial begins.
    begin: EventTime,
    tenant: Tenant,
    accounts: Vec<Account>,
    number: u64,
    alert_number: u64,
    alert_value: Vec<u8>,
    /// The last event time that was used, in ticks.
    tick: i64,
    /// The last event time of each partition.
    latest: Vec<i64>,
    /// The lowest of these.
    least: i64,
    /// For each policy, the times of its latest activities.
    recent: Vec<VecDeque<i64>>,
    pending: VecDeque<PendingAlert>,
    expected: Vec<Expected>,
    bytes: u64,
}

impl Traffic {
    /// Creates traffic that begins at this event time.
    pub fn new(schedule: LoadSchedule, pool: Pool, mix: Mix, begin: EventTime) -> Self {
        Self {
            tenant: Tenant::new(mix.seed),
            accounts: (0..40).map(|number| Account::member(mix.seed, number)).collect(),
            number: 0,
            alert_number: 0,
            alert_value: Vec::new(),
            tick: begin.ticks(),
            latest: vec![i64::MIN; mix.partitions.max(1) as usize],
            least: i64::MIN,
            recent: vec![VecDeque::new(); pool.keyed.len()],
            pending: VecDeque::new(),
            expected: Vec::new(),
            bytes: 0,
            schedule,
            pool,
            mix,
            begin,
        }
    }

    /// Returns when the next message is due, or `None` after the last.
    pub fn due(&self) -> Option<Duration> {
        self.schedule.time_of(self.number)
    }

    /// Returns the number of activities, and the bytes of all messages.
    pub fn sent(&self) -> (u64, u64) {
        (self.number, self.bytes)
    }

    /// Returns the next message: an activity, or before it an alert that is due. Returns `None` after the last.
    pub fn next_message(&mut self) -> Option<Message<'_>> {
        let due = self.due()?;
        let alert_due = self.alert_due(self.alert_number);
        if self.mix.alerts > 0.0 && !self.pool.policies.is_empty() && alert_due <= due {
            return self.alert(alert_due);
        }
        self.activity(due)
    }

    /// Returns when the alert with this number is due. The first is due after the length of one window, when windows
    /// are full. Each is due at a random moment within its interval: at regular times, alerts could be in phase with
    /// the processor's watermark updates, and all would wait equally long.
    fn alert_due(&self, number: u64) -> Duration {
        let moment = (mixed(self.mix.seed ^ MOMENTS, number) >> 11) as f64 / (1_u64 << 53) as f64;
        let turn = (number as f64 + moment) / self.mix.alerts.max(1e-6);
        self.mix.window + Duration::from_secs_f64(turn)
    }

    /// Returns an activity without a correlation id at this time, for the next partition in turn. It keeps the
    /// watermark moving when no other message is due. Its number continues the sequence.
    pub fn filler(&mut self, at: Duration) -> Option<Message<'_>> {
        self.plain(at)
    }

    /// Returns the expected output of the windows that were passed since the last call.
    pub fn take_expected(&mut self) -> Vec<Expected> {
        std::mem::take(&mut self.expected)
    }

    /// Returns the number of partitions of the topic of activities.
    pub fn partitions(&self) -> u32 {
        self.mix.partitions.max(1)
    }

    /// Returns whether the windows of all alerts that were sent have been passed.
    pub fn is_settled(&self) -> bool {
        self.pending.is_empty()
    }

    fn ticks(&self, at: Duration) -> i64 {
        self.begin.plus(at).ticks()
    }

    fn activity(&mut self, due: Duration) -> Option<Message<'_>> {
        // The share is met at every moment, not only on average.
        let keyed_before = |number: u64| (number as f64 * self.mix.keyed_share).floor();
        let is_keyed = keyed_before(self.number + 1) > keyed_before(self.number);
        if !is_keyed || self.pool.policies.is_empty() {
            return self.plain(due);
        }
        let draw = mixed(self.mix.seed, self.number);
        let policy = (draw % self.pool.keyed.len() as u64) as usize;
        let (partition, tick) = self.place(due);
        self.remember(policy, tick);
        self.pass(partition, tick, due);
        let number = self.number;
        self.number += 1;
        let templates = self.pool.keyed.get_mut(policy)?;
        let count = templates.len().max(1) as u64;
        let template = templates.get_mut(((draw >> 32) % count) as usize)?;
        let value = template.message(EventTime::from_ticks(tick), number);
        self.bytes += value.len() as u64;
        Some(Message::Activity(partition, value))
    }

    fn remember(&mut self, policy: usize, tick: i64) {
        let Some(recent) = self.recent.get_mut(policy) else { return };
        recent.push_back(tick);
        // Older activities are in no window that is still open.
        let oldest = self.pending.front().map_or(tick, |pending| pending.start.min(tick));
        let cutoff = oldest - 2 * ticks(self.mix.window);
        while recent.front().is_some_and(|first| *first < cutoff) {
            recent.pop_front();
        }
    }

    fn plain(&mut self, due: Duration) -> Option<Message<'_>> {
        let (partition, tick) = self.place(due);
        self.pass(partition, tick, due);
        let number = self.number;
        let count = self.pool.plain.len().max(1) as u64;
        let template = self.pool.plain.get_mut((self.number % count) as usize)?;
        self.number += 1;
        let value = template.message(EventTime::from_ticks(tick), number);
        self.bytes += value.len() as u64;
        Some(Message::Activity(partition, value))
    }

    /// Returns the next partition, and the event time of the message that is due, which is later than every one before.
    fn place(&mut self, due: Duration) -> (i32, i64) {
        self.tick = self.ticks(due).max(self.tick + 1);
        let partition = self.number % u64::from(self.mix.partitions.max(1));
        (i32::try_from(partition).unwrap_or(0), self.tick)
    }

    /// Notes that a partition has reached this time, and which windows the watermark has passed because of it.
    fn pass(&mut self, partition: i32, tick: i64, due: Duration) {
        let Some(latest) = usize::try_from(partition).ok().and_then(|at| self.latest.get_mut(at)) else {
            return;
        };
        let held_back = *latest == self.least;
        *latest = tick;
        if !held_back {
            return;
        }
        self.least = self.latest.iter().copied().min().unwrap_or(i64::MIN);
        let watermark = self.least.saturating_sub(ticks(self.mix.out_of_orderness));
        while self.pending.front().is_some_and(|pending| pending.end <= watermark) {
            let Some(pending) = self.pending.pop_front() else { return };
            let recent = self.recent.get(pending.policy).into_iter().flatten();
            let belongs = |time: &i64| pending.start < *time && *time < pending.end;
            self.expected.push(Expected {
                alert: pending.alert,
                activities: recent.copied().filter(belongs).collect(),
                closes: due.max(pending.sent),
            });
        }
    }

    fn alert(&mut self, due: Duration) -> Option<Message<'_>> {
        let draw = mixed(!self.mix.seed, self.alert_number);
        let policy = (draw % self.pool.policies.len() as u64) as usize;
        let start = self.ticks(due) - ticks(self.mix.window.mul_f64(BEFORE));
        let end = start + ticks(self.mix.window);
        let incident = Incident {
            seed: draw,
            id: alert_id(self.mix.seed, self.alert_number),
            provider_id: Guid::from_u128(draw.into()),
            policy: self.pool.policies.get(policy)?,
            accounts: std::slice::from_ref(self.accounts.get((draw % 40) as usize)?),
            object_ids: Presence::Present,
            files: &[],
            tenant: &self.tenant,
            start: EventTime::from_ticks(start),
            end: EventTime::from_ticks(end),
            time_generated: EventTime::from_ticks(self.ticks(due)),
            status: Status::New,
        };
        let delivery = Delivery {
            form: Form::LogAnalytics,
            received: incident.time_generated,
            number: self.alert_number,
        };
        self.alert_value.clear();
        alert(&mut self.alert_value, &incident, &delivery);
        self.bytes += self.alert_value.len() as u64;
        self.pending.push_back(PendingAlert {
            alert: self.alert_number,
            policy,
            start,
            end,
            sent: due,
        });
        self.alert_number += 1;
        Some(Message::Alert(&self.alert_value))
    }
}

fn ticks(span: Duration) -> i64 {
    i64::try_from(span.as_nanos() / 100).unwrap_or(i64::MAX)
}

/// Returns the id of the alert with this number.
pub fn alert_id(seed: u64, alert: u64) -> Guid {
    Guid::from_u64_pair(mixed(seed, u64::MAX), alert)
}

/// Returns the number of the alert with this id, or `None` if the id is not from this traffic.
pub fn alert_of(seed: u64, id: &str) -> Option<u64> {
    let guid = Guid::try_parse(id).ok()?;
    let alert = guid.as_u64_pair().1;
    (alert_id(seed, alert).to_string() == id).then_some(alert)
}

/// Returns a pseudo-random number for a seed and an index (the finalizer of SplitMix64).
fn mixed(seed: u64, index: u64) -> u64 {
    let mut bits = seed
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .wrapping_add(index.wrapping_add(1).wrapping_mul(0xd1b5_4a32_d192_ed03));
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capacity::schedule::Shape;
    use crate::decode::{Decoded, Decoder, Settings};

    const MIX: Mix = Mix {
        seed: 5,
        partitions: 4,
        keyed_share: 0.25,
        alerts: 10.0,
        window: Duration::from_millis(500),
        out_of_orderness: Duration::from_millis(100),
    };

    fn traffic(mix: Mix) -> Traffic {
        let second = Duration::from_secs(1);
        let schedule = LoadSchedule::with_shape(Shape::Constant, 2_000.0, second, 3 * second);
        let begin = EventTime::from_date(2026, 3, 1, 0).unwrap();
        Traffic::new(schedule, Pool::generated(5, 6, 1_500), mix, begin)
    }

    /// Returns everything that is sent, including the messages that keep the watermark moving at the end, and the
    /// expected output.
    fn play(mix: Mix) -> (Vec<(Duration, Vec<u8>)>, Vec<Expected>) {
        let mut traffic = traffic(mix);
        let (mut sent, mut expected) = (Vec::new(), Vec::new());
        while let Some(due) = traffic.due() {
            let (Message::Activity(_, value) | Message::Alert(value)) = traffic.next_message().unwrap();
            sent.push((due, value.to_vec()));
            expected.extend(traffic.take_expected());
        }
        for step in 0..40_u32 {
            let at = Duration::from_secs(4) + Duration::from_millis(20) * step;
            traffic.filler(at).unwrap();
            expected.extend(traffic.take_expected());
        }
        assert!(traffic.is_settled());
        (sent, expected)
    }

    #[test]
    fn the_expected_output_is_the_result_of_the_query() {
        let (sent, expected) = play(MIX);
        let mut decoder = Decoder::new(Settings::default());
        let (mut activities, mut alerts) = (Vec::new(), Vec::new());
        for (_, message) in &sent {
            decoder.decode(Some(message), &mut |item| match item.what {
                Decoded::Activity(activity) => activities.push((activity.keys[0].correlation_id.clone(), activity.time)),
                Decoded::Alert(alert) => alerts.push(alert),
                Decoded::Unkeyed { time: Some(_) } => {}
                other => panic!("{other:?}"),
            });
        }
        let keyed = activities.len();
        assert_eq!((keyed, alerts.len(), expected.len()), (2_000, 35, 35));
        let mut pairs = 0;
        for (alert, expected) in alerts.iter().zip(&expected) {
            let id = String::from_utf8(alert.id.system_alert_id.as_bytes().to_vec()).unwrap();
            assert_eq!(alert_of(MIX.seed, &id), Some(expected.alert));
            let query = alert.query().unwrap();
            let joins = activities
                .iter()
                .filter(|(key, time)| *key == query.keys[0] && query.window.contains(*time));
            let right: Vec<i64> = joins.map(|(_, time)| time.ticks()).collect();
            assert_eq!(right, expected.activities);
            pairs += right.len();
        }
        assert!(pairs > 1_000, "{pairs}");
    }

    #[test]
    fn a_window_closes_when_the_slowest_partition_has_passed_it() {
        let (_, expected) = play(MIX);
        for (number, expected) in expected.iter().enumerate() {
            let end = traffic(MIX).alert_due(number as u64).as_secs_f64() + 0.1;
            let closes = expected.closes.as_secs_f64();
            // The first message of each of the four partitions follows, half a millisecond apart, after the
            // out-of-orderness.
            let late = closes - end - 0.1;
            assert!((0.0..0.0021).contains(&late) || closes > 4.0, "{number}: {late}");
        }
    }

    #[test]
    fn alerts_are_not_synchronized_with_the_schedule() {
        let traffic = traffic(MIX);
        let phases: Vec<f64> = (0..1_000)
            .map(|number| traffic.alert_due(number).as_secs_f64() * 5.0 % 1.0)
            .collect();
        for tenth in 0..10 {
            let within = |phase: &&f64| (f64::from(tenth) / 10.0..f64::from(tenth + 1) / 10.0).contains(*phase);
            let count = phases.iter().filter(within).count();
            assert!((60..140).contains(&count), "{count} of 1000 lie in the same tenth of 200 ms");
        }
    }

    #[test]
    fn times_are_unique_and_partitions_are_taken_in_turn() {
        let mut traffic = traffic(Mix {
            partitions: 3,
            alerts: 0.0,
            ..MIX
        });
        let mut times = std::collections::BTreeSet::new();
        for number in 0..2_000 {
            let Some(Message::Activity(partition, value)) = traffic.next_message() else {
                panic!()
            };
            assert_eq!(partition, number % 3);
            let text = String::from_utf8(value.to_vec()).unwrap();
            let at = text.find("CreationTime").unwrap();
            let time: String = text[at..].chars().skip_while(|c| *c != '2').take(28).collect();
            assert!(times.insert(time));
        }
        let beats: Vec<i64> = (0..3)
            .map(|_| {
                traffic.filler(Duration::from_secs(1)).unwrap();
                traffic.tick
            })
            .collect();
        assert!(beats.windows(2).all(|pair| pair[0] < pair[1]), "{beats:?}");
    }

    #[test]
    fn the_same_seed_creates_the_same_traffic() {
        let values = |mix| play(mix).0;
        assert!(values(MIX) == values(MIX));
        assert!(values(MIX) != values(Mix { seed: 6, ..MIX }));
    }

    #[test]
    fn ids_of_other_runs_are_not_recognized() {
        let id = alert_id(1, 77).to_string();
        assert_eq!(alert_of(1, &id), Some(77));
        assert_eq!(alert_of(2, &id), None);
        assert_eq!(alert_of(1, &id.replace('-', "")), None);
        assert_eq!(alert_of(1, "x"), None);
    }
}
