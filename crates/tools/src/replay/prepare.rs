//! Prepares messages for sending: shifts their times and batches their records.

use std::ops::Range;
use std::sync::Arc;

use super::inputs::InputMessage;
use super::shift::{Offset, shift};
use crate::decode;
use crate::time::{EventTime, TICKS_PER_SECOND};

/// Approximate size of a block in bytes.
const BLOCK: usize = 1 << 20;

const OPENING: &[u8] = b"{\"records\":[";
const CLOSING: &[u8] = b"]}";

/// Options for preparing messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// Maximum number of records in a message. `None` keeps the messages as they were recorded.
    pub batch: Option<u32>,
    /// Maximum bytes of a batch, unless one record alone is larger.
    pub limit: usize,
    /// The shift of times in the first lap. `None` keeps the recorded times in all laps.
    pub shift: Option<Offset>,
}

/// A message that is ready to be sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    value: Range<usize>,
    /// The number of its records.
    pub records: u64,
    /// The latest time of its records as recorded. In later laps it is increased, so that the schedule continues.
    pub time: Option<EventTime>,
    /// The file of the message; for a batch, the file of its last record.
    pub file: Arc<str>,
    /// The number of its line or document in the file, from 0.
    pub number: i64,
}

/// Messages that are ready to be sent.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Block {
    bytes: Vec<u8>,
    messages: Vec<Message>,
    /// The number of times in these messages that were shifted.
    pub shifted_times: u64,
}

impl Block {
    /// Returns the messages in order, each with its value.
    pub fn messages(&self) -> impl Iterator<Item = (&Message, &[u8])> {
        let value = |message: &Message| self.bytes.get(message.value.clone()).unwrap_or_default();
        self.messages.iter().map(move |message| (message, value(message)))
    }

    /// Returns whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }
}

/// Prepares messages, lap after lap.
pub struct Preparer {
    options: Options,
    /// The additional shift of this lap compared to the first.
    lap_offset: Offset,
    lap: u64,
    /// The earliest and the latest time of the first lap.
    span: Option<(EventTime, EventTime)>,
    block: Block,
    /// The last message of the block, while records are still added to it.
    batch: Option<Message>,
    scratch: Vec<u8>,
}

impl Preparer {
    /// Creates a preparer before the first message of the first lap.
    pub fn new(options: Options) -> Self {
        Self {
            options,
            lap_offset: Offset::default(),
            lap: 0,
            span: None,
            block: Block::default(),
            batch: None,
            scratch: Vec::new(),
        }
    }

    /// Adds the next message of the lap.
    pub fn add(&mut self, found: &InputMessage<'_>) {
        if self.lap == 0
            && let Some(time) = found.time
        {
            let (first, last) = self.span.unwrap_or((time, time));
            self.span = Some((first.min(time), last.max(time)));
        }
        match self.options.batch {
            None => {
                let start = self.block.bytes.len();
                self.block.bytes.extend_from_slice(found.value);
                self.block.shifted_times += self.shift(start);
                let message = self.message(found, start, found.records);
                self.push_message(message);
            }
            Some(max_records) => self.add_records(found, u64::from(max_records)),
        }
    }

    /// Returns the block once it is large enough.
    pub fn full_block(&mut self) -> Option<Block> {
        if self.block.bytes.len() < BLOCK || self.block.is_empty() {
            return None;
        }
        let mut full = std::mem::take(&mut self.block);
        if let Some(batch) = &mut self.batch {
            // The open batch continues in the next block.
            self.block.bytes = full.bytes.split_off(batch.value.start);
            batch.value.start = 0;
        }
        Some(full)
    }

    /// Ends a lap and returns its remaining messages. The times of the next lap begin up to a second after the last
    /// time of this one.
    pub fn end_of_lap(&mut self) -> Block {
        self.close_batch();
        self.lap += 1;
        let (first, last) = self.span.unwrap_or((EventTime::FIRST, EventTime::FIRST));
        let ticks = last.ticks().saturating_sub(first.ticks());
        let length = Offset::from_seconds(ticks.div_euclid(TICKS_PER_SECOND) + 1);
        self.lap_offset = length.times(self.lap);
        std::mem::take(&mut self.block)
    }

    fn message(&self, found: &InputMessage<'_>, start: usize, records: u64) -> Message {
        Message {
            value: start..start,
            records,
            time: found.time.map(|time| self.lap_offset.from(time)),
            file: Arc::clone(found.file),
            number: found.number,
        }
    }

    /// Shifts the times in the block from `start` on.
    fn shift(&mut self, start: usize) -> u64 {
        let (Some(offset), Some(message)) = (self.options.shift, self.block.bytes.get_mut(start..)) else {
            return 0;
        };
        shift(message, offset.plus(self.lap_offset)) as u64
    }

    fn add_records(&mut self, found: &InputMessage<'_>, max_records: u64) {
        let mut message = std::mem::take(&mut self.scratch);
        message.clear();
        message.extend_from_slice(found.value);
        if let Some(offset) = self.options.shift {
            self.block.shifted_times += shift(&mut message, offset.plus(self.lap_offset)) as u64;
        }
        match decode::records(&message) {
            Some(records) => records
                .into_iter()
                .for_each(|record| self.add_record(found, record, max_records)),
            // In a batch, this message would make the other records unreadable.
            None => self.add_unbatched(found, &message, found.records),
        }
        self.scratch = message;
    }

    fn add_record(&mut self, found: &InputMessage<'_>, record: &[u8], max_records: u64) {
        let record = record.trim_ascii();
        if let Some(batch) = &self.batch {
            let length = self.block.bytes.len() - batch.value.start;
            if batch.records >= max_records || length + 1 + record.len() + CLOSING.len() > self.options.limit {
                self.close_batch();
            }
        }
        let (time, file) = (found.time.map(|time| self.lap_offset.from(time)), Arc::clone(found.file));
        match &mut self.batch {
            Some(batch) => {
                self.block.bytes.push(b',');
                batch.records += 1;
                batch.time = batch.time.max(time);
                (batch.file, batch.number) = (file, found.number);
            }
            None if OPENING.len() + record.len() + CLOSING.len() > self.options.limit => {
                return self.add_unbatched(found, record, 1);
            }
            None => {
                let start = self.block.bytes.len();
                self.block.bytes.extend_from_slice(OPENING);
                self.batch = Some(self.message(found, start, 1));
            }
        }
        self.block.bytes.extend_from_slice(record);
        if self.batch.as_ref().is_some_and(|batch| batch.records >= max_records) {
            self.close_batch();
        }
    }

    fn add_unbatched(&mut self, found: &InputMessage<'_>, value: &[u8], records: u64) {
        self.close_batch();
        let start = self.block.bytes.len();
        self.block.bytes.extend_from_slice(value);
        let message = self.message(found, start, records);
        self.push_message(message);
    }

    fn close_batch(&mut self) {
        if let Some(batch) = self.batch.take() {
            self.block.bytes.extend_from_slice(CLOSING);
            self.push_message(batch);
        }
    }

    fn push_message(&mut self, mut message: Message) {
        message.value.end = self.block.bytes.len();
        self.block.messages.push(message);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NONE: Options = Options {
        batch: None,
        limit: 1_000_000,
        shift: None,
    };

    fn time(seconds: i64) -> EventTime {
        let day = EventTime::from_date(2026, 3, 1, 0).unwrap();
        EventTime::from_ticks(day.ticks() + seconds * TICKS_PER_SECOND)
    }

    fn add(preparer: &mut Preparer, value: &str, seconds: Option<i64>, number: i64) {
        let file = Arc::from("f");
        let records = decode::records(value.as_bytes()).map_or(1, |records| records.len() as u64);
        preparer.add(&InputMessage {
            file: &file,
            number,
            value: value.as_bytes(),
            records,
            time: seconds.map(time),
        });
    }

    /// Returns the number, the record count and the value of every message.
    fn summary(block: &Block) -> Vec<(i64, u64, String)> {
        let summary = |(message, value): (&Message, &[u8])| {
            let value = String::from_utf8(value.to_vec()).unwrap();
            (message.number, message.records, value)
        };
        block.messages().map(summary).collect()
    }

    /// Returns the messages that result from these with batches of at most `batch` records and `limit` bytes.
    fn batched(batch: u32, limit: usize, messages: &[&str]) -> Vec<(i64, u64, String)> {
        let batch = Some(batch);
        let mut preparer = Preparer::new(Options { batch, limit, ..NONE });
        for (number, message) in messages.iter().enumerate() {
            add(&mut preparer, message, None, number as i64);
        }
        summary(&preparer.end_of_lap())
    }

    fn expected(messages: &[(i64, u64, &str)]) -> Vec<(i64, u64, String)> {
        let owned = |(number, records, value): &(i64, u64, &str)| (*number, *records, (*value).to_owned());
        messages.iter().map(owned).collect()
    }

    #[test]
    fn messages_stay_as_they_were_recorded() {
        let mut preparer = Preparer::new(NONE);
        let messages = ["{ \"a\" : 1.50 }", "{\"records\":[1, 2]}", "broken", "[]"];
        for (number, message) in messages.iter().enumerate() {
            add(&mut preparer, message, Some(number as i64), number as i64);
        }
        assert!(preparer.full_block().is_none());
        let block = preparer.end_of_lap();
        let counts = [1, 2, 1, 0].iter().zip(0..).zip(messages);
        assert_eq!(
            summary(&block),
            counts
                .map(|((records, number), value)| (number, *records, value.to_owned()))
                .collect::<Vec<_>>()
        );
        assert!(
            block
                .messages()
                .zip(0..)
                .all(|((message, _), number)| message.time == Some(time(number)))
        );
    }

    #[test]
    fn records_are_batched_whatever_their_envelope() {
        let messages = ["{\"a\":1}", " [ 2 , {\"b\" : 3} ]", "{\"records\":[4,5,6]}", "[]", "7\n"];
        assert_eq!(
            batched(3, 1_000, &messages),
            expected(&[
                (1, 3, "{\"records\":[{\"a\":1},2,{\"b\" : 3}]}"),
                (2, 3, "{\"records\":[4,5,6]}"),
                (4, 1, "{\"records\":[7]}"),
            ])
        );
        assert_eq!(
            batched(1, 1_000, &["1", "[2]"]),
            expected(&[(0, 1, "{\"records\":[1]}"), (1, 1, "{\"records\":[2]}")])
        );
    }

    #[test]
    fn messages_that_cannot_be_batched_are_sent_alone_and_in_order() {
        let long = "9".repeat(40);
        assert_eq!(
            batched(9, 30, &["1", "{broken", "2", &long, "3"]),
            expected(&[
                (0, 1, "{\"records\":[1]}"),
                (1, 1, "{broken"),
                (2, 1, "{\"records\":[2]}"),
                (3, 1, &long),
                (4, 1, "{\"records\":[3]}"),
            ])
        );
    }

    #[test]
    fn a_batch_is_due_with_its_last_record() {
        let mut preparer = Preparer::new(Options { batch: Some(3), ..NONE });
        for (number, seconds) in [Some(5), Some(9), None, None, Some(2)].into_iter().enumerate() {
            add(&mut preparer, "1", seconds, number as i64);
        }
        let block = preparer.end_of_lap();
        let times: Vec<_> = block.messages().map(|(message, _)| message.time).collect();
        assert_eq!(times, [Some(time(9)), Some(time(2))]);
    }

    #[test]
    fn an_open_batch_continues_in_the_next_block() {
        let limit = 5_000;
        let mut preparer = Preparer::new(Options {
            batch: Some(u32::MAX),
            limit,
            shift: None,
        });
        let record = format!("\"{}\"", "x".repeat(700));
        let (mut blocks, mut batches) = (0, Vec::new());
        for number in 0..4_000 {
            add(&mut preparer, &record, None, number);
            let full = preparer.full_block();
            blocks += usize::from(full.is_some());
            batches.extend(full.as_ref().map(summary).unwrap_or_default());
        }
        batches.extend(summary(&preparer.end_of_lap()));
        assert_eq!(blocks, 2);
        assert_eq!(batches.iter().map(|(_, records, _)| records).sum::<u64>(), 4_000);
        for (_, records, value) in batches {
            assert!(value.len() <= limit);
            assert_eq!(
                decode::records(value.as_bytes()).unwrap(),
                vec![record.as_bytes(); records as usize]
            );
        }
    }

    #[test]
    fn later_laps_follow_the_first_in_time() {
        let row = |time: &str| format!("{{\"RawEventData\":{{\"CreationTime\":\"{time}\"}}}}");
        let lap = |preparer: &mut Preparer| {
            add(preparer, &row("2026-03-01T00:00:10.5"), Some(10), 0);
            add(preparer, &row("2026-03-01T00:00:04"), Some(4), 1);
            let block = preparer.end_of_lap();
            let times: Vec<_> = block.messages().map(|(message, _)| message.time.unwrap()).collect();
            let values: Vec<_> = summary(&block).into_iter().map(|(_, _, value)| value).collect();
            (times, values)
        };
        let hour = Some(Offset::from_seconds(3_600));
        let mut shifted = Preparer::new(Options { shift: hour, ..NONE });
        let values = |one: &str, two: &str| vec![row(one), row(two)];
        assert_eq!(
            lap(&mut shifted),
            (
                vec![time(10), time(4)],
                values("2026-03-01T01:00:10.5", "2026-03-01T01:00:04")
            )
        );
        // The first lap took from second 4 to second 10.
        assert_eq!(
            lap(&mut shifted),
            (
                vec![time(17), time(11)],
                values("2026-03-01T01:00:17.5", "2026-03-01T01:00:11")
            )
        );
        assert_eq!(lap(&mut shifted).0, [time(24), time(18)]);
        let mut unshifted = Preparer::new(NONE);
        let first = lap(&mut unshifted);
        let second = lap(&mut unshifted);
        assert_eq!(second.0, [time(17), time(11)], "the schedule continues");
        assert_eq!(second.1, first.1, "the records do not change");
    }

    #[test]
    fn times_are_shifted_before_records_are_batched() {
        let mut preparer = Preparer::new(Options {
            batch: Some(2),
            shift: Some(Offset::from_seconds(-1)),
            ..NONE
        });
        add(
            &mut preparer,
            "[{\"t\":\"2026-03-01T00:00:00Z\"},{\"t\":\"2026-03-01 00:00:00\"}]",
            None,
            0,
        );
        let block = preparer.end_of_lap();
        assert_eq!(
            summary(&block)[0].2,
            "{\"records\":[{\"t\":\"2026-02-28T23:59:59Z\"},{\"t\":\"2026-02-28 23:59:59\"}]}"
        );
        assert_eq!(block.shifted_times, 2);
    }

    proptest! {
        /// Batching changes no record, loses none, and keeps the limits.
        #[test]
        fn every_record_arrives_once_and_in_order(
            messages in prop::collection::vec(prop::collection::vec("[0-9]{1,12}", 0..6), 0..30),
            batch in 1u32..8,
            limit in 20usize..80,
        ) {
            let records: Vec<String> = messages.iter().flatten().map(|number| format!("1{number}")).collect();
            let texts: Vec<String> = messages.iter().map(|list| {
                format!("[{}]", list.iter().map(|number| format!("1{number}")).collect::<Vec<_>>().join(" , "))
            }).collect();
            let batches = batched(batch, limit, &texts.iter().map(String::as_str).collect::<Vec<_>>());
            let mut found = Vec::new();
            for (_, count, value) in batches {
                let inside = decode::records(value.as_bytes()).unwrap();
                prop_assert_eq!(inside.len() as u64, count);
                prop_assert!(count <= u64::from(batch));
                prop_assert!(value.len() <= limit || count == 1);
                found.extend(inside.into_iter().map(|record| String::from_utf8(record.to_vec()).unwrap()));
            }
            prop_assert_eq!(found, records);
        }
    }
}
