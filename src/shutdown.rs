//! Stopping: one flag for all threads, and a deadline behind it.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::clock;
use crate::pulse::Pulse;
use crate::time::WallTime;

/// How long after the request to stop everything in flight is waited for. The promise is ten seconds in all; the rest is for
/// leaving the consumer groups.
pub(crate) const DRAIN: Duration = Duration::from_secs(6);

/// Shared by all threads of a processor: whether to stop, and until when what is in flight may be finished.
#[derive(Clone, Default)]
pub struct Shutdown {
    shared: Arc<Shared>,
    pulse: Option<Pulse>,
}

#[derive(Default)]
struct Shared {
    requested: AtomicBool,
    deadline: AtomicI64,
    lock: Mutex<()>,
    changed: Condvar,
}

impl Shutdown {
    /// The same for a thread whose pulse is taken. Every loop asks again and again whether to stop, also one that waits for the broker or
    /// for room: whoever no longer asks is stuck.
    #[must_use]
    pub fn taking(&self, pulse: &Pulse) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            pulse: Some(pulse.clone()),
        }
    }

    /// Asks all threads to stop.
    pub fn request(&self) {
        if !self.shared.requested.swap(true, Ordering::SeqCst) {
            self.shared.deadline.store(clock::now().plus(DRAIN).0, Ordering::SeqCst);
        }
        let _guard = self.shared.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.shared.changed.notify_all();
    }

    /// Whether to stop.
    pub fn is_requested(&self) -> bool {
        if let Some(pulse) = &self.pulse {
            pulse.beat();
        }
        self.shared.requested.load(Ordering::SeqCst)
    }

    /// Whether to stop without waiting for what is in flight. That is safe, because a kill is.
    pub fn is_overdue(&self) -> bool {
        self.is_requested() && clock::now() > WallTime(self.shared.deadline.load(Ordering::SeqCst))
    }

    /// Waits for `duration`, or until asked to stop.
    pub fn sleep(&self, duration: Duration) {
        let guard = self.shared.lock.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.is_requested() {
            drop(self.shared.changed.wait_timeout(guard, duration));
        }
    }
}
