//! Time in the two tables and in the broker.
//!
//! [`EventTime`] is the time inside a record, [`WallTime`] the time of a clock or of a Kafka message, and [`Window`]
//! the span of event time that an alert covers. Nothing here reads a clock: time is always an argument. All arithmetic
//! saturates, so an alert whose times are at the ends of the calendar needs no special treatment.

mod event;
mod window;

use std::time::Duration;

pub use event::{EventTime, TICKS_PER_MILLISECOND, TICKS_PER_SECOND, WallTime};
pub use window::{Bounds, Widening, Window};

/// The longest duration that a setting may have: a hundred years. Longer ones would make no difference and could
/// overflow in the arithmetic of other libraries.
pub const LONGEST_SETTING: Duration = Duration::from_secs(36_525 * 86_400);
