//! The only place that reads the clocks.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::time::WallTime;

/// Returns the current time, to the millisecond.
#[expect(clippy::disallowed_methods, reason = "this is the place")]
pub fn now() -> WallTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    WallTime(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Returns a point from which to measure a duration.
#[expect(clippy::disallowed_methods, reason = "this is the place")]
pub fn start() -> Instant {
    Instant::now()
}
