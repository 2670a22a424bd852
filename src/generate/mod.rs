//! Generates synthetic traffic of both tables from a seed.
//!
//! The CloudAppEvents and SecurityAlert records resemble real ones in content (formats of times, strings that hold
//! JSON, ids) and in behaviour (many records without a correlation id, a few frequent policies, disorder, repeated
//! deliveries, later versions of alerts, broken messages). Equal [`Options`] give equal bytes on every machine. This
//! module reads no clock and does no input or output. Of one million activities it holds only the few that are
//! scheduled for delivery. It relies on the ChaCha8 stream cipher and on integer arithmetic. The assignment of random
//! streams to purposes never changes.
//!
//! [`Generator`] generates whole tables. [`record`] generates single records, for callers that decide themselves what
//! happens when.

mod coverage;
mod json;
mod malformed;
mod messages;
mod options;
mod plan;
mod random;
pub mod record;
pub mod tenant;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use json::TimeForm;
pub use messages::{MessageInfo, Messages};
pub use options::{Envelope, Error, Options};
pub use random::Guid;

use messages::{ActivityTable, AlertTable, Batches};
use plan::Plan;

/// The plan of both tables, which defines their activities and alerts.
#[derive(Clone, Debug)]
pub struct Generator {
    plan: Arc<Plan>,
}

impl Generator {
    /// Plans the traffic for `options`. Takes time and memory in proportion to the alerts, some microseconds and 100
    /// bytes each. Fails only if an option is out of range.
    pub fn new(options: &Options) -> Result<Self, Error> {
        Ok(Self {
            plan: Arc::new(Plan::new(options)?),
        })
    }

    /// Returns the CloudAppEvents messages from the first one on, in order of arrival.
    pub fn activities(&self) -> impl Messages + use<> {
        Batches::new(ActivityTable::new(Arc::clone(&self.plan)))
    }

    /// Returns the SecurityAlert messages from the first one on, in order of arrival.
    pub fn alerts(&self) -> impl Messages + use<> {
        Batches::new(AlertTable::new(Arc::clone(&self.plan)))
    }
}
