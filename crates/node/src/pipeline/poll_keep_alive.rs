//! Keeps this member in its consumer group while something takes long.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::BorrowedMessage;

use super::Error;
use super::join_assignment::JoinContext;
use crate::clock;
use crate::heartbeat::Heartbeat;
use crate::shutdown::Shutdown;

/// How often to poll during a wait. `max.poll.interval.ms` is several minutes.
const INTERVAL: Duration = Duration::from_millis(500);

/// Polls during a wait for acknowledgements, so that a slow broker does not cost the membership.
pub(super) struct PollKeepAlive<'c, 's> {
    consumer: &'c BaseConsumer<JoinContext>,
    shutdown: &'s Shutdown,
    heartbeat: &'s Heartbeat,
    topic: &'s str,
    polled: Instant,
    /// How long to wait for the remaining acknowledgements once partitions were assigned or revoked, and since when.
    timeout: Duration,
    changed: Option<Instant>,
    /// Messages that a poll returned. They come after all messages that were read before.
    pub(super) messages: Vec<BorrowedMessage<'c>>,
    pub(super) problem: Option<Error>,
}

impl<'c, 's> PollKeepAlive<'c, 's> {
    pub(super) fn new(
        consumer: &'c BaseConsumer<JoinContext>,
        shutdown: &'s Shutdown,
        heartbeat: &'s Heartbeat,
        topic: &'s str,
        timeout: Duration,
    ) -> Self {
        Self {
            consumer,
            shutdown,
            heartbeat,
            topic,
            polled: clock::start(),
            timeout,
            changed: None,
            messages: Vec::new(),
            problem: None,
        }
    }

    /// Records a heartbeat, and returns whether to continue waiting. Returns false when the shutdown deadline has
    /// passed, when reading fails, or when `timeout` has passed since partitions were assigned or revoked.
    pub(super) fn keep_waiting(&mut self) -> bool {
        self.heartbeat.record();
        if self.shutdown.is_overdue() || self.problem.is_some() {
            return false;
        }
        if self.polled.elapsed() >= INTERVAL {
            self.polled = clock::start();
            match self.consumer.poll(Duration::ZERO) {
                None => {}
                Some(Ok(message)) => self.messages.push(message),
                Some(Err(error)) => self.problem = super::read_problem(error, self.topic).err(),
            }
        }
        if self.consumer.context().is_changed() && self.changed.get_or_insert_with(clock::start).elapsed() >= self.timeout {
            return false;
        }
        self.problem.is_none()
    }
}
