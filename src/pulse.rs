//! Heartbeats of threads.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::clock;

/// The last heartbeat of a thread. Clones share it.
#[derive(Clone, Debug)]
pub struct Pulse(Arc<Mutex<Instant>>);

impl Default for Pulse {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(clock::start())))
    }
}

impl Pulse {
    /// Records a heartbeat.
    pub fn beat(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = clock::start();
    }

    /// Returns the time since the last heartbeat.
    pub fn silence(&self) -> Duration {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_grows_until_the_next_beat() {
        let pulse = Pulse::default();
        let thread = pulse.clone();
        std::thread::sleep(Duration::from_millis(30));
        assert!(pulse.silence() >= Duration::from_millis(30));
        thread.beat();
        assert!(pulse.silence() < Duration::from_millis(30));
    }
}
