//! Whether a group still answers.
//!
//! A client that has lost its session has been seen never to join its group again, static members most of all (librdkafka#3437): it
//! polls, and nothing comes. A rebalance may take long for good reasons, as it waits for every member; to join anew does no harm then.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Error;
use crate::clock;

/// How long the answer of a group is waited for.
const PATIENCE: Duration = Duration::from_secs(45);

/// Since when the group has owed this member an assignment.
#[derive(Debug)]
pub struct Membership {
    group: String,
    waiting: Mutex<Option<Instant>>,
}

impl Membership {
    /// A member that begins to join.
    pub fn new(group: String) -> Self {
        Self {
            group,
            waiting: Mutex::new(Some(clock::start())),
        }
    }

    /// The group has said which partitions are this member's, be it none.
    pub fn assigned(&self) {
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The group has taken the partitions back, and will say which are this member's next.
    pub fn revoked(&self) {
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = Some(clock::start());
    }

    /// Fails when the group owes the answer for too long.
    pub fn check(&self) -> Result<(), Error> {
        match *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(since) if since.elapsed() >= PATIENCE => Err(Error::NotAssigned {
                group: self.group.clone(),
                seconds: since.elapsed().as_secs(),
            }),
            _ => Ok(()),
        }
    }
}
