//! Sends messages when they are due.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::Error;
use super::reader::Read;
use super::screen::Screen;
use crate::clock;
use crate::config::Config;
use crate::kafka;
use crate::kafka::delivery::{Outgoing, PendingAcks, SendOutcome, Sender};
use crate::replay::pace::{Lag, Pace, Schedule, Unacknowledged};
use crate::replay::prepare::{Block, Message};
use crate::shutdown::Shutdown;

/// The longest time between updates of the screen and checks of the producer and the shutdown flag.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);
/// A longer wait is reported.
const LONG_WAIT: Duration = Duration::from_secs(600);

/// The destination of messages.
pub(super) struct Target {
    pub(super) topic: String,
    /// The number of its partitions to use. Messages go to the first ones in turn.
    pub(super) partitions: i32,
    /// The size of the largest message that it accepts, in bytes.
    pub(super) limit: usize,
}

impl Target {
    /// Returns the maximum size of a value, so that the message with Kafka's maximum overhead stays within the limit.
    pub(super) fn room(&self) -> usize {
        const OVERHEAD: usize = 256;
        self.limit.saturating_sub(OVERHEAD)
    }
}

/// The numbers of what was sent.
#[derive(Clone, Debug, Default)]
pub(super) struct Totals {
    pub(super) messages: u64,
    pub(super) records: u64,
    /// The bytes of values.
    pub(super) bytes: u64,
    /// Times that were shifted.
    pub(super) moved: u64,
    /// Files that end in the middle of a record.
    pub(super) unfinished: Vec<String>,
    /// The time when the last message was due, measured from the first one. `None` without a schedule.
    pub(super) due: Option<Duration>,
    pub(super) lag: Lag,
    /// The time from the first message until everything was acknowledged.
    pub(super) took: Duration,
    /// The longest time between the moment when a message was due and its acknowledgement.
    pub(super) unacknowledged: Duration,
    /// Whether the schedule was missed.
    pub(super) is_late: bool,
    pub(super) waited_for_broker: Duration,
    pub(super) waited_for_input: Duration,
}

/// The way in which a replay ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    /// Everything was sent.
    Done,
    /// A shutdown was requested.
    Stopped,
}

/// Sends messages when they are due.
pub(super) struct Player<'a> {
    target: &'a Target,
    shutdown: &'a Shutdown,
    sender: Sender,
    sent: Unacknowledged<Arc<PendingAcks>>,
    schedule: Schedule,
    screen: Screen,
    /// The time when the first message was due.
    begun: Option<Instant>,
    next_partition: i32,
    totals: Totals,
}

impl<'a> Player<'a> {
    pub(super) fn new(
        config: &Config,
        target: &'a Target,
        pace: Pace,
        shutdown: &'a Shutdown,
        screen: Screen,
    ) -> Result<Self, kafka::Error> {
        Ok(Self {
            target,
            shutdown,
            sender: Sender::new(config, "replay", "5")?,
            sent: Unacknowledged::default(),
            schedule: Schedule::new(pace),
            screen,
            begun: None,
            next_partition: 0,
            totals: Totals::default(),
        })
    }

    /// Sends everything, and waits until it is acknowledged.
    pub(super) fn play(mut self, blocks: &Receiver<Read>) -> (Totals, Result<End, Error>) {
        let sent = self.send_all(blocks);
        // The player waits for messages in flight, whatever ended the replay.
        let acknowledged = self.wait_for_acknowledgements();
        self.totals.took = self.elapsed();
        self.totals.unacknowledged = self.sent.most();
        self.totals.is_late = self.totals.due.is_some() && (self.totals.lag.is_late() || self.sent.is_late());
        self.screen.end();
        let end = sent.and_then(|end| acknowledged.map(|()| end));
        (self.totals, end)
    }

    fn send_all(&mut self, blocks: &Receiver<Read>) -> Result<End, Error> {
        while let Some(block) = self.next_block(blocks)? {
            self.totals.moved += block.moved;
            for (message, value) in block.messages() {
                if self.send_when_due(message, value)? == End::Stopped {
                    return Ok(End::Stopped);
                }
            }
        }
        Ok(match self.shutdown.is_requested() {
            true => End::Stopped,
            false => End::Done,
        })
    }

    /// Returns the next block, or `None` at the end and after a shutdown request.
    fn next_block(&mut self, blocks: &Receiver<Read>) -> Result<Option<Block>, Error> {
        let waits_from = clock::start();
        loop {
            let read = blocks.recv_timeout(CHECK_INTERVAL);
            self.update_screen(", reading")?;
            match read {
                _ if self.shutdown.is_requested() => return Ok(None),
                Ok(Read::Block(block)) => {
                    if self.begun.is_some() {
                        self.totals.waited_for_input += waits_from.elapsed();
                    }
                    return Ok(Some(block));
                }
                Ok(Read::Failed(error)) => return Err(error.into()),
                Ok(Read::End(unfinished)) => {
                    self.totals.unfinished = unfinished;
                    return Ok(None);
                }
                Err(RecvTimeoutError::Timeout) => {}
                // The reader always sends a last message, unless it panicked.
                Err(RecvTimeoutError::Disconnected) => return Err(Error::Reader),
            }
        }
    }

    fn send_when_due(&mut self, message: &Message, value: &[u8]) -> Result<End, Error> {
        let begun = *self.begun.get_or_insert_with(clock::start);
        let due = self.schedule.due(message.records, message.time);
        if let Some(due) = due
            && self.wait_until(begun + due, message)? == End::Stopped
        {
            return Ok(End::Stopped);
        }
        let acks = Arc::clone(self.sent.slice(due.unwrap_or_default()));
        if self.send(message, value, &acks)? == End::Stopped {
            return Ok(End::Stopped);
        }
        self.totals.messages += 1;
        self.totals.records += message.records;
        self.totals.bytes += value.len() as u64;
        if let Some(due) = due {
            self.totals.due = Some(due);
            self.totals.lag.note(due, begun.elapsed());
        }
        self.screen.draw(&self.totals, "");
        Ok(End::Done)
    }

    fn wait_until(&mut self, due: Instant, message: &Message) -> Result<End, Error> {
        let mut is_told = false;
        loop {
            let left = due.saturating_duration_since(clock::start());
            if self.shutdown.is_requested() {
                return Ok(End::Stopped);
            }
            if left.is_zero() {
                return Ok(End::Done);
            }
            if left > LONG_WAIT && !is_told {
                is_told = true;
                let wait = crate::words::duration(Duration::from_secs(left.as_secs()));
                let (number, file) = (message.number + 1, &message.file);
                self.screen
                    .say(&format!("the next message is due in {wait}: message {number} of {file}"));
            }
            self.update_screen("")?;
            self.shutdown.sleep(left.min(CHECK_INTERVAL));
        }
    }

    fn send(&mut self, message: &Message, value: &[u8], acks: &Arc<PendingAcks>) -> Result<End, Error> {
        let outgoing = Outgoing {
            topic: &self.target.topic,
            partition: Some(self.next_partition),
            key: None,
            value,
            headers: &[],
        };
        let mut waits_since = None;
        loop {
            if self.shutdown.is_requested() {
                return Ok(End::Stopped);
            }
            match self.sender.send(&outgoing, acks)? {
                SendOutcome::Sent => break,
                SendOutcome::Full => {
                    waits_since.get_or_insert_with(clock::start);
                    self.update_screen(", waiting for the broker")?;
                    self.sender.pause();
                }
                SendOutcome::TooLarge => {
                    return Err(Error::TooLarge {
                        file: message.file.to_string(),
                        number: message.number + 1,
                        bytes: value.len(),
                        topic: self.target.topic.clone(),
                        limit: self.target.limit,
                    });
                }
            }
        }
        if let Some(since) = waits_since {
            self.totals.waited_for_broker += since.elapsed();
        }
        self.next_partition = (self.next_partition + 1) % self.target.partitions;
        Ok(End::Done)
    }

    fn wait_for_acknowledgements(&mut self) -> Result<(), Error> {
        while self.update_screen(", waiting for acknowledgements")? {
            if self.shutdown.is_overdue() {
                let pending = self.sent.slices().map(|acks| acks.pending());
                return Err(Error::Unacknowledged { count: pending.sum() });
            }
            self.sender.pause();
        }
        Ok(())
    }

    /// Updates the screen and checks for errors. Returns whether messages are in flight.
    fn update_screen(&mut self, doing: &str) -> Result<bool, Error> {
        self.screen.draw(&self.totals, doing);
        let now = self.elapsed();
        let has_pending = self.sent.update(now, |acks| acks.is_empty());
        self.sender.check()?;
        match self.sender.permanent_refusal() {
            None => Ok(has_pending),
            Some(cause) => Err(Error::Delivery {
                topic: self.target.topic.clone(),
                cause,
            }),
        }
    }

    /// Returns the time since the first message was due.
    fn elapsed(&self) -> Duration {
        self.begun.map_or(Duration::ZERO, |begun| begun.elapsed())
    }
}
