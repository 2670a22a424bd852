use super::malformed::{Defect, RowKind};
use super::options::{Envelope, Options};
use super::random::{Purpose, Random};
use super::record::{Delivery, Form};
use crate::time::EventTime;

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

/// The differences between the sources of records. Records become messages in the same way for all of them.
pub(super) trait DeliveredTable {
    const ROWS: RowKind;
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
}

impl<T: DeliveredTable> Batches<T> {
    pub(super) fn new(mut table: T) -> Self {
        Self {
            waiting: table.next(),
            last: table.options().start,
            table,
            messages: 0,
        }
    }

    fn batch(&mut self, out: &mut Vec<u8>, form: Form, count: usize, defect: Option<Defect>, random: &Random) -> MessageInfo {
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
    fn record(&mut self, out: &mut Vec<u8>, form: Form, random: &Random) -> Option<EventTime> {
        let (arrival, which) = self.waiting.take()?;
        let delivery = delivery(form, arrival, random);
        self.last = self.table.write(which, &delivery, out);
        self.waiting = self.table.next();
        Some(arrival)
    }

    fn broken(&mut self, out: &mut Vec<u8>, defect: Defect, form: Form, arrival: EventTime, random: &Random) {
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

impl<T: DeliveredTable> Messages for Batches<T> {
    fn next_message(&mut self, out: &mut Vec<u8>) -> Option<MessageInfo> {
        let (arrival, _) = self.waiting?;
        let options = self.table.options();
        let random = Random::new(options.seed, T::PURPOSE, self.messages);
        self.messages += 1;
        let form = T::ROWS.form(options.envelope, &random);
        let max = options.batch_max;
        let count = if max > 1 { 1 + random.place(max) } else { 1 };
        let defect = random.chance(options.malformed).then(|| Defect::draw(T::ROWS, &random));
        match defect {
            Some(defect) if max == 1 || !defect.is_of_record() => {
                self.broken(out, defect, form, arrival, &random);
                Some(self.info(arrival, 0, true))
            }
            Some(defect) => Some(self.batch(out, form, count, Some(defect), &random)),
            None if max > 1 => Some(self.batch(out, form, count, None, &random)),
            None => {
                let arrival = self.record(out, form, &random).unwrap_or(arrival);
                Some(self.info(arrival, 1, false))
            }
        }
    }
}

fn delivery(form: Form, received: EventTime, random: &Random) -> Delivery {
    let number = random.bits();
    Delivery { form, received, number }
}

fn comma(out: &mut Vec<u8>, first: &mut bool) {
    if !std::mem::replace(first, false) {
        out.push(b',');
    }
}

impl RowKind {
    /// Returns the name of the table.
    pub(super) fn table(self) -> &'static str {
        match self {
            Self::Activities => "CloudAppEvents",
            Self::Alerts => "SecurityAlert",
        }
    }

    /// Draws the form of the records in a message.
    fn form(self, envelope: Envelope, random: &Random) -> Form {
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
