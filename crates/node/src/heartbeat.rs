//! Heartbeats of stages.
//!
//! A stage records one in each of its loops, including those that wait for the broker or for room in a queue, so a
//! stage that records none is stuck. Only the thread of a stage records its heartbeats: another thread could hide that
//! the stage is stuck.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::clock;

/// The last heartbeat of a stage. Clones share it.
#[derive(Clone, Debug)]
pub struct Heartbeat(Arc<Mutex<Instant>>);

impl Default for Heartbeat {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(clock::start())))
    }
}

impl Heartbeat {
    /// Records a heartbeat.
    pub fn record(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = clock::start();
    }

    /// Returns the time since the last heartbeat.
    pub fn age(&self) -> Duration {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_grows_until_the_next_heartbeat() {
        let heartbeat = Heartbeat::default();
        let thread = heartbeat.clone();
        std::thread::sleep(Duration::from_millis(30));
        assert!(heartbeat.age() >= Duration::from_millis(30));
        thread.record();
        assert!(heartbeat.age() < Duration::from_millis(30));
    }
}
