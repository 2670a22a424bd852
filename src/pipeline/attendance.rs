//! Staying a member of the group while something takes long.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::BorrowedMessage;

use super::Error;
use super::join_assignment::Context;
use crate::clock;
use crate::shutdown::Shutdown;

/// How often the group hears from a member that waits, at the least. `max.poll.interval.ms` is minutes.
const INTERVAL: Duration = Duration::from_millis(500);

/// Polls while a delivery is waited for: a slow broker must not cost the membership.
pub(super) struct Attendance<'c, 's> {
    consumer: &'c BaseConsumer<Context>,
    shutdown: &'s Shutdown,
    topic: &'s str,
    polled: Instant,
    /// How long the rest of a delivery is waited for when partitions came or went meanwhile, and since when.
    patience: Duration,
    changed: Option<Instant>,
    /// What a poll brought; it comes behind all that was read before.
    pub(super) brought: Vec<BorrowedMessage<'c>>,
    pub(super) problem: Option<Error>,
}

impl<'c, 's> Attendance<'c, 's> {
    pub(super) fn new(consumer: &'c BaseConsumer<Context>, shutdown: &'s Shutdown, topic: &'s str, patience: Duration) -> Self {
        Self {
            consumer,
            shutdown,
            topic,
            polled: clock::start(),
            patience,
            changed: None,
            brought: Vec::new(),
            problem: None,
        }
    }

    /// Whether to go on waiting: not when the time to stop is up, when reading fails, or for longer than the patience when partitions
    /// came or went.
    pub(super) fn goes_on(&mut self) -> bool {
        if self.shutdown.is_overdue() || self.problem.is_some() {
            return false;
        }
        if self.polled.elapsed() >= INTERVAL {
            self.polled = clock::start();
            match self.consumer.poll(Duration::ZERO) {
                None => {}
                Some(Ok(message)) => self.brought.push(message),
                Some(Err(error)) => self.problem = super::read_problem(error, self.topic).err(),
            }
        }
        if self.consumer.context().is_changed() && self.changed.get_or_insert_with(clock::start).elapsed() >= self.patience {
            return false;
        }
        self.problem.is_none()
    }
}
