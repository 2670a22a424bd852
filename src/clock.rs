//! The only place where the wall clock is read.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::time::WallTime;

/// The time now, to the millisecond.
#[expect(clippy::disallowed_methods, reason = "this is the place")]
pub fn now() -> WallTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    WallTime(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// A point from which to measure how long something takes.
#[expect(clippy::disallowed_methods, reason = "this is the place")]
pub fn start() -> Instant {
    Instant::now()
}
