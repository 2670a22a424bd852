//! The window that JOIN closes next, for the ROUTE stage of the same process: ROUTE sends a watermark update that
//! closes it at once, without waiting for `watermark.interval`. This is a hint: it changes when watermark updates are
//! sent, never their content.

use std::sync::atomic::{AtomicI64, Ordering};

use crate::time::EventTime;

/// The earliest end of a window that waits for the watermark.
#[derive(Debug)]
pub(super) struct NextClose(AtomicI64);

impl Default for NextClose {
    fn default() -> Self {
        Self(AtomicI64::new(i64::MAX))
    }
}

impl NextClose {
    /// Sets the end of the window that JOIN closes next. With `None`, no window is open.
    pub(super) fn set(&self, time: Option<EventTime>) {
        self.0.store(time.map_or(i64::MAX, EventTime::ticks), Ordering::Relaxed);
    }

    /// Returns whether a watermark that moves from `announced` to `now` closes a window.
    pub(super) fn is_between(&self, announced: Option<EventTime>, now: Option<EventTime>) -> bool {
        let next = self.0.load(Ordering::Relaxed);
        now.is_some_and(|now| next <= now.ticks()) && announced.is_none_or(|announced| announced.ticks() < next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_closed_by_the_first_watermark_that_reaches_its_end() {
        let at = |ticks| Some(EventTime::from_ticks(ticks));
        let next = NextClose::default();
        assert!(!next.is_between(None, at(100)));
        next.set(at(10));
        assert!(next.is_between(None, at(10)) && next.is_between(at(9), at(11)));
        assert!(!next.is_between(at(10), at(11)) && !next.is_between(at(1), at(9)) && !next.is_between(at(1), None));
        next.set(None);
        assert!(!next.is_between(at(9), at(11)));
    }
}
