//! Shutdown: one flag for all threads, and a deadline.

use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::clock;
use crate::heartbeat::Heartbeat;

/// The time to wait for everything in flight after a shutdown was requested. A shutdown must end within ten seconds;
/// the rest of that time is for leaving the consumer groups.
pub(crate) const DRAIN: Duration = Duration::from_secs(6);

/// The state of a shutdown, which all threads of a processor share: whether it was requested, and until when work in
/// flight may be finished.
#[derive(Clone, Default)]
pub struct Shutdown {
    shared: Arc<Shared>,
    heartbeat: Option<Heartbeat>,
}

#[derive(Default)]
struct Shared {
    /// When it was requested.
    requested: OnceLock<Instant>,
    lock: Mutex<()>,
    changed: Condvar,
}

impl Shutdown {
    /// Returns a clone for a thread that sends heartbeats. Every loop checks for a shutdown, including those that wait
    /// for the broker or for room in a queue, so each check also records a heartbeat; a thread that stops checking is
    /// stuck.
    #[must_use]
    pub fn with_heartbeat(&self, heartbeat: &Heartbeat) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            heartbeat: Some(heartbeat.clone()),
        }
    }

    /// Requests a shutdown of all threads.
    pub fn request(&self) {
        self.shared.requested.get_or_init(clock::start);
        let _guard = self.shared.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.shared.changed.notify_all();
    }

    /// Returns whether a shutdown was requested, and records a heartbeat of the thread.
    pub fn is_requested(&self) -> bool {
        if let Some(heartbeat) = &self.heartbeat {
            heartbeat.record();
        }
        self.shared.requested.get().is_some()
    }

    /// Returns whether to stop without waiting for work in flight. That is safe, because the program also survives a
    /// kill.
    pub fn is_overdue(&self) -> bool {
        self.is_requested()
            && self
                .shared
                .requested
                .get()
                .is_some_and(|requested| requested.elapsed() > DRAIN)
    }

    /// Waits for `duration`, or until a shutdown is requested.
    pub fn sleep(&self, duration: Duration) {
        let guard = self.shared.lock.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.is_requested() {
            drop(self.shared.changed.wait_timeout(guard, duration));
        }
    }
}
