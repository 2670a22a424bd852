//! Shutdown: one flag for all threads, and a deadline.

use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::clock;

/// The time to wait for outstanding work after a shutdown was requested. A shutdown must end within ten seconds;
/// the rest of that time is for leaving the consumer groups.
pub(crate) const DRAIN: Duration = Duration::from_secs(6);

/// The state of a shutdown, which all threads of a processor share: whether it was requested, and whether outstanding
/// work may still be finished.
#[derive(Clone, Default)]
pub struct Shutdown(Arc<ShutdownState>);

#[derive(Default)]
struct ShutdownState {
    /// The time of the request.
    requested: OnceLock<Instant>,
    lock: Mutex<()>,
    changed: Condvar,
}

impl Shutdown {
    /// Requests a shutdown of all threads.
    pub fn request(&self) {
        self.0.requested.get_or_init(clock::start);
        let _guard = self.0.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.changed.notify_all();
    }

    /// Returns whether a shutdown was requested.
    pub fn is_requested(&self) -> bool {
        self.0.requested.get().is_some()
    }

    /// Returns whether to stop without waiting for outstanding work. That is safe, because the program also survives a
    /// kill.
    pub fn is_overdue(&self) -> bool {
        self.0.requested.get().is_some_and(|requested| requested.elapsed() > DRAIN)
    }

    /// Waits for `duration`, or until a shutdown is requested.
    pub fn sleep(&self, duration: Duration) {
        let guard = self.0.lock.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.is_requested() {
            drop(self.0.changed.wait_timeout(guard, duration));
        }
    }
}
