use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

use super::malformed::Defect;
use super::options::{Envelope, Options};
use super::plan::{Plan, PlannedAlert, Version};
use super::random::{Purpose, Random, Share};
use super::record::{self, ActivitySpec, AlertSpec, Delivery, Form, Kind};
use crate::time::{EventTime, TICKS_PER_SECOND};

/// Facts about a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MessageInfo {
    /// The greatest event time of its records: `CreationTime` of activities, `TimeGenerated` of alerts. A message that
    /// contains only a broken record has the event time of the message before it.
    pub event_time: EventTime,
    /// The time when it arrives. Messages are in the order of arrival, except that a message of several records arrives
    /// with the last of them.
    pub arrival: EventTime,
    /// Number of valid records in it, including repeated deliveries.
    pub records: usize,
    /// Whether the message, or one record in it, is broken.
    pub malformed: bool,
}

/// A source of messages, which the caller requests one at a time.
pub trait Messages {
    /// Appends the value of the next message to `out`, as one line without a line end. Returns `None` after the last
    /// message.
    fn next_message(&mut self, out: &mut Vec<u8>) -> Option<MessageInfo>;
}

/// After this number of bytes, no further record is added to a message, so that it stays below the 1 MB that brokers
/// accept.
const FULL: usize = 300_000;

/// The tables that records come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Rows {
    Activities,
    Alerts,
}

/// The differences between the sources of records. Records become messages in the same way for all of them.
pub(super) trait Table {
    const ROWS: Rows;
    const PURPOSE: Purpose;

    /// Returns the options on which the plan of the traffic is based.
    fn options(&self) -> &Options;
    /// Returns the arrival of the next delivery, and the record that it delivers.
    fn next(&mut self) -> Option<(EventTime, Delivered)>;
    /// Writes a record and returns its event time.
    fn write(&self, which: Delivered, delivery: &Delivery, out: &mut Vec<u8>) -> EventTime;
    /// Writes a record that occurs in no other message, so that it can be broken.
    fn write_for_breaking(&self, seed: u64, delivery: &Delivery, out: &mut Vec<u8>);
}

/// A record of the plan: activity `number`, or version `version` of alert `number`. `again` is 1 for the second
/// delivery.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Delivered {
    pub(super) number: u64,
    pub(super) version: usize,
    pub(super) again: u8,
}

/// Divides the deliveries of a table into messages.
pub(super) struct Batches<T> {
    table: T,
    waiting: Option<(EventTime, Delivered)>,
    messages: u64,
    last: EventTime,
    malformed: Share,
}

impl<T: Table> Batches<T> {
    pub(super) fn new(mut table: T) -> Self {
        Self {
            waiting: table.next(),
            malformed: Share::of(table.options().malformed),
            last: table.options().start,
            table,
            messages: 0,
        }
    }

    fn batch(&mut self, out: &mut Vec<u8>, form: Form, count: usize, defect: Option<Defect>, random: &mut Random) -> MessageInfo {
        let begin = out.len();
        out.extend_from_slice(br#"{"records":["#);
        let broken_at = random.place(count + 1);
        let mut arrival = self.waiting.map_or(self.last, |(arrival, _)| arrival);
        let (mut first, mut records, mut greatest) = (true, 0, EventTime::MIN);
        for place in 0..=count {
            if let Some(defect) = defect.filter(|_| place == broken_at) {
                comma(out, &mut first);
                self.broken(out, defect, form, arrival, random);
            }
            let full = place == count || (records > 0 && out.len() - begin > FULL);
            if full || self.waiting.is_none() {
                continue;
            }
            comma(out, &mut first);
            arrival = self.record(out, form, random).unwrap_or(arrival);
            greatest = greatest.max(self.last);
            records += 1;
        }
        out.extend_from_slice(b"]}");
        self.last = greatest;
        self.info(arrival, records, defect.is_some())
    }

    /// Writes the waiting record and returns its arrival.
    fn record(&mut self, out: &mut Vec<u8>, form: Form, random: &mut Random) -> Option<EventTime> {
        let (arrival, which) = self.waiting.take()?;
        let delivery = delivery(form, arrival, random);
        self.last = self.table.write(which, &delivery, out);
        self.waiting = self.table.next();
        Some(arrival)
    }

    fn broken(&mut self, out: &mut Vec<u8>, defect: Defect, form: Form, arrival: EventTime, random: &mut Random) {
        let begin = out.len();
        let delivery = delivery(form, arrival, random);
        self.table.write_for_breaking(random.bits(), &delivery, out);
        defect.apply(out, begin, T::ROWS, random);
    }

    fn info(&self, arrival: EventTime, records: usize, malformed: bool) -> MessageInfo {
        MessageInfo {
            event_time: self.last,
            arrival,
            records,
            malformed,
        }
    }
}

impl<T: Table> Messages for Batches<T> {
    fn next_message(&mut self, out: &mut Vec<u8>) -> Option<MessageInfo> {
        let (arrival, _) = self.waiting?;
        let options = self.table.options();
        let mut random = Random::new(options.seed, T::PURPOSE, self.messages);
        self.messages += 1;
        let form = T::ROWS.form(options.envelope, &mut random);
        let most = options.batch_max;
        let count = if most > 1 { 1 + random.place(most) } else { 1 };
        let defect = random.chance(self.malformed).then(|| Defect::of(T::ROWS, &mut random));
        match defect {
            Some(defect) if most == 1 || !defect.is_of_record() => {
                self.broken(out, defect, form, arrival, &mut random);
                Some(self.info(arrival, 0, true))
            }
            Some(defect) => Some(self.batch(out, form, count, Some(defect), &mut random)),
            None if most > 1 => Some(self.batch(out, form, count, None, &mut random)),
            None => {
                let arrival = self.record(out, form, &mut random).unwrap_or(arrival);
                Some(self.info(arrival, 1, false))
            }
        }
    }
}

fn delivery(form: Form, received: EventTime, random: &mut Random) -> Delivery {
    let number = random.bits();
    Delivery { form, received, number }
}

fn comma(out: &mut Vec<u8>, first: &mut bool) {
    if !std::mem::replace(first, false) {
        out.push(b',');
    }
}

impl Rows {
    /// Returns the name of the table.
    pub(super) fn table(self) -> &'static str {
        match self {
            Self::Activities => "CloudAppEvents",
            Self::Alerts => "SecurityAlert",
        }
    }

    /// Draws the form of the records in a message.
    fn form(self, envelope: Envelope, random: &mut Random) -> Form {
        let drawn = random.below(10);
        match (self, envelope) {
            (Self::Activities, Envelope::Streaming) => Form::Streaming,
            (Self::Activities, Envelope::Mixed) if drawn <= 5 => Form::Streaming,
            (Self::Activities, Envelope::Mixed) if drawn == 9 => Form::Bare,
            (Self::Alerts, Envelope::Mixed) if drawn == 0 => Form::Bare,
            _ => Form::LogAnalytics,
        }
    }
}

/// Holds the scheduled deliveries of about `disorder` of event time, a few words each.
pub(super) struct ActivityTable {
    plan: Arc<Plan>,
    under_way: BinaryHeap<Reverse<(EventTime, Delivered)>>,
    next: u64,
}

/// Minimum time from an activity to its delivery.
pub(super) const ACTIVITY_LATENCY: Duration = Duration::from_secs(120);

impl ActivityTable {
    pub(super) fn new(plan: Arc<Plan>) -> Self {
        Self {
            plan,
            under_way: BinaryHeap::new(),
            next: 0,
        }
    }

    /// Returns whether the first scheduled delivery comes before every delivery that is not scheduled yet.
    fn first_is_due(&self) -> bool {
        // A time may have been rounded down, by up to a second, to before its slot.
        let earliest = EventTime::from_ticks(self.plan.slot(self.next).ticks() - TICKS_PER_SECOND).plus(ACTIVITY_LATENCY);
        self.under_way.peek().is_some_and(|Reverse((arrival, _))| *arrival < earliest)
    }
}

impl Table for ActivityTable {
    const ROWS: Rows = Rows::Activities;
    const PURPOSE: Purpose = Purpose::ActivityMessage;

    fn options(&self) -> &Options {
        &self.plan.options
    }

    fn next(&mut self) -> Option<(EventTime, Delivered)> {
        while self.next < self.plan.options.activities && !self.first_is_due() {
            let (timing, _) = self.plan.timing(self.next);
            for (again, delay) in (0..).zip(timing.delays.into_iter().flatten()) {
                let which = Delivered {
                    number: self.next,
                    version: 0,
                    again,
                };
                self.under_way
                    .push(Reverse((timing.time.plus(ACTIVITY_LATENCY).plus(delay), which)));
            }
            self.next += 1;
        }
        self.under_way.pop().map(|Reverse(first)| first)
    }

    fn write(&self, which: Delivered, delivery: &Delivery, out: &mut Vec<u8>) -> EventTime {
        let plan = &self.plan;
        let planned = plan.activity(which.number);
        let spec = ActivitySpec {
            seed: planned.seed,
            time: planned.timing.time,
            time_form: planned.timing.form,
            kind: planned.kind,
            policy: planned.policy.map(|policy| &plan.policies[policy]),
            alert: planned.alert,
            user: &plan.users[planned.user],
            tenant: &plan.tenant,
            size: planned.size,
        };
        record::activity(out, &spec, delivery);
        spec.time
    }

    fn write_for_breaking(&self, seed: u64, delivery: &Delivery, out: &mut Vec<u8>) {
        let plan = &self.plan;
        let spec = ActivitySpec {
            seed,
            time: delivery.received.minus(ACTIVITY_LATENCY),
            time_form: super::TimeForm::FULL,
            kind: Kind::AlertTriggered,
            // Without a correlation id, a bad time would have no effect.
            policy: plan.policies.first(),
            alert: None,
            user: &plan.users[0],
            tenant: &plan.tenant,
            size: plan.options.record_size,
        };
        record::activity(out, &spec, delivery);
    }
}

/// Holds all deliveries, a few words each: alerts come long after their windows, and there are few of them.
pub(super) struct AlertTable {
    plan: Arc<Plan>,
    deliveries: std::vec::IntoIter<(EventTime, Delivered)>,
}

/// Minimum time from `TimeGenerated` to the delivery.
pub(super) const ALERT_LATENCY: Duration = Duration::from_secs(30);

impl AlertTable {
    pub(super) fn new(plan: Arc<Plan>) -> Self {
        let mut deliveries = Vec::new();
        for number in 0..plan.options.alerts {
            let mut random = Random::new(plan.options.seed, Purpose::AlertDelivery, number);
            for (version, row) in plan.alert(number).versions.iter().enumerate() {
                let repeated = plan.is_repeated(&mut random);
                for again in 0..=u8::from(repeated) {
                    // An export is retried for hours, so an old version may be delivered again after a newer one.
                    let retry = if again == 1 && random.one_in(2) {
                        Duration::from_secs(random.below(7_200))
                    } else {
                        Duration::ZERO
                    };
                    let delay = plan.delay(&mut random).saturating_add(retry);
                    let arrival = row.time_generated.plus(ALERT_LATENCY).plus(delay);
                    let which = Delivered { number, version, again };
                    deliveries.push((arrival, which));
                }
            }
        }
        deliveries.sort_unstable();
        Self {
            plan,
            deliveries: deliveries.into_iter(),
        }
    }
}

impl Table for AlertTable {
    const ROWS: Rows = Rows::Alerts;
    const PURPOSE: Purpose = Purpose::AlertMessage;

    fn options(&self) -> &Options {
        &self.plan.options
    }

    fn next(&mut self) -> Option<(EventTime, Delivered)> {
        self.deliveries.next()
    }

    fn write(&self, which: Delivered, delivery: &Delivery, out: &mut Vec<u8>) -> EventTime {
        let plan = &self.plan;
        let alert = plan.alert(which.number);
        let version = alert.versions[which.version];
        record::alert(out, &alert_spec(plan, &alert, version), delivery);
        version.time_generated
    }

    fn write_for_breaking(&self, seed: u64, delivery: &Delivery, out: &mut Vec<u8>) {
        let plan = &self.plan;
        // A number after those of the plan gives an alert that occurs nowhere in the plan.
        let alert = plan.alert(plan.options.alerts + (seed >> 20));
        if let Some(&version) = alert.versions.first() {
            // The row is written in the form of the export: without `Type` and an id it could be a row of any table.
            let delivery = Delivery {
                form: Form::LogAnalytics,
                ..*delivery
            };
            record::alert(out, &alert_spec(plan, &alert, version), &delivery);
        }
    }
}

fn alert_spec<'a>(plan: &'a Plan, alert: &PlannedAlert, version: Version) -> AlertSpec<'a> {
    AlertSpec {
        seed: alert.seed,
        id: alert.id,
        provider_id: alert.provider_id,
        policy: &plan.policies[version.policy],
        user: &plan.users[alert.user],
        tenant: &plan.tenant,
        start: version.start,
        end: version.end,
        time_generated: version.time_generated,
        status: version.status,
    }
}
