//! Sends messages when they are due.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::Error;
use super::reader::ReaderMessage;
use super::screen::{ReplayTotals, Screen};
use crate::clock;
use crate::config::Config;
use crate::kafka;
use crate::kafka::delivery::{Outgoing, PendingAcks, SendOutcome, Sender};
use crate::replay::prepare::{Block, Message};
use crate::replay::schedule::{Schedule, Timing, Unacknowledged};
use crate::shutdown::Shutdown;

/// The longest time between updates of the screen and checks of the producer and the shutdown flag.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);
/// A longer wait is reported.
const LONG_WAIT: Duration = Duration::from_secs(600);

/// The destination of messages.
pub(super) struct TargetTopic {
    pub(super) topic: String,
    /// The number of its partitions to use. Messages go to the first ones in turn.
    pub(super) partitions: i32,
    /// The size of the largest message that it accepts, in bytes.
    pub(super) limit: usize,
}

impl TargetTopic {
    /// Returns the maximum size of a value, so that the message with Kafka's maximum overhead stays within the limit.
    pub(super) fn max_value_bytes(&self) -> usize {
        const OVERHEAD: usize = 256;
        self.limit.saturating_sub(OVERHEAD)
    }
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
    target: &'a TargetTopic,
    shutdown: &'a Shutdown,
    sender: Sender,
    sent: Unacknowledged<Arc<PendingAcks>>,
    schedule: Schedule,
    screen: Screen,
    /// The time when the first message was due.
    started: Option<Instant>,
    next_partition: i32,
    totals: ReplayTotals,
}

impl<'a> Player<'a> {
    pub(super) fn new(
        config: &Config,
        target: &'a TargetTopic,
        timing: Timing,
        shutdown: &'a Shutdown,
        screen: Screen,
    ) -> Result<Self, kafka::Error> {
        Ok(Self {
            target,
            shutdown,
            sender: Sender::new(config, "replay", "5")?,
            sent: Unacknowledged::default(),
            schedule: Schedule::new(timing),
            screen,
            started: None,
            next_partition: 0,
            totals: ReplayTotals::default(),
        })
    }

    /// Sends everything, and waits until it is acknowledged.
    pub(super) fn play(mut self, blocks: &Receiver<ReaderMessage>) -> (ReplayTotals, Result<End, Error>) {
        let sent = self.send_all(blocks);
        // The player waits for messages that are not acknowledged yet, also if the replay failed or was stopped.
        let acknowledged = self.wait_for_acknowledgements();
        self.totals.took = self.elapsed();
        self.totals.unacknowledged = self.sent.max_delay();
        self.totals.is_late = self.totals.due.is_some() && (self.totals.lag.is_late() || self.sent.is_late());
        self.screen.end();
        let end = sent.and_then(|end| acknowledged.map(|()| end));
        (self.totals, end)
    }

    fn send_all(&mut self, blocks: &Receiver<ReaderMessage>) -> Result<End, Error> {
        while let Some(block) = self.next_block(blocks)? {
            self.totals.shifted += block.shifted_times;
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
    fn next_block(&mut self, blocks: &Receiver<ReaderMessage>) -> Result<Option<Block>, Error> {
        let waiting_since = clock::start();
        loop {
            let read = blocks.recv_timeout(CHECK_INTERVAL);
            self.update_screen(", reading")?;
            match read {
                _ if self.shutdown.is_requested() => return Ok(None),
                Ok(ReaderMessage::Block(block)) => {
                    if self.started.is_some() {
                        self.totals.waited_for_input += waiting_since.elapsed();
                    }
                    return Ok(Some(block));
                }
                Ok(ReaderMessage::Failed(error)) => return Err(error.into()),
                Ok(ReaderMessage::End(unfinished)) => {
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
        let started = *self.started.get_or_insert_with(clock::start);
        let due = self.schedule.due(message.records, message.time);
        if let Some(due) = due
            && self.wait_until(started + due, message)? == End::Stopped
        {
            return Ok(End::Stopped);
        }
        let acks = Arc::clone(self.sent.group(due.unwrap_or_default()));
        if self.send(message, value, &acks)? == End::Stopped {
            return Ok(End::Stopped);
        }
        self.totals.messages += 1;
        self.totals.records += message.records;
        self.totals.bytes += value.len() as u64;
        if let Some(due) = due {
            self.totals.due = Some(due);
            self.totals.lag.record(due, started.elapsed());
        }
        self.screen.draw(&self.totals, "");
        Ok(End::Done)
    }

    fn wait_until(&mut self, due: Instant, message: &Message) -> Result<End, Error> {
        let mut is_reported = false;
        loop {
            let remaining = due.saturating_duration_since(clock::start());
            if self.shutdown.is_requested() {
                return Ok(End::Stopped);
            }
            if remaining.is_zero() {
                return Ok(End::Done);
            }
            if remaining > LONG_WAIT && !is_reported {
                is_reported = true;
                let wait = crate::words::duration(Duration::from_secs(remaining.as_secs()));
                let (number, file) = (message.number + 1, &message.file);
                self.screen
                    .print_line(&format!("the next message is due in {wait}: message {number} of {file}"));
            }
            self.update_screen("")?;
            self.shutdown.sleep(remaining.min(CHECK_INTERVAL));
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
        let mut queue_full_since = None;
        loop {
            if self.shutdown.is_requested() {
                return Ok(End::Stopped);
            }
            match self.sender.send(&outgoing, acks)? {
                SendOutcome::Sent => break,
                SendOutcome::Full => {
                    queue_full_since.get_or_insert_with(clock::start);
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
        if let Some(since) = queue_full_since {
            self.totals.waited_for_broker += since.elapsed();
        }
        self.next_partition = (self.next_partition + 1) % self.target.partitions;
        Ok(End::Done)
    }

    fn wait_for_acknowledgements(&mut self) -> Result<(), Error> {
        while self.update_screen(", waiting for acknowledgements")? {
            if self.shutdown.is_overdue() {
                let pending = self.sent.groups().map(|acks| acks.pending());
                return Err(Error::Unacknowledged { count: pending.sum() });
            }
            self.sender.pause();
        }
        Ok(())
    }

    /// Updates the screen and checks for errors. Returns whether acknowledgements are pending.
    fn update_screen(&mut self, status: &str) -> Result<bool, Error> {
        self.screen.draw(&self.totals, status);
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
        self.started.map_or(Duration::ZERO, |started| started.elapsed())
    }
}
