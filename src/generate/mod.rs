//! Synthetic traffic of both tables: seed in, messages out.
//!
//! It makes CloudAppEvents and SecurityAlert records as they are met in the field, in content (forms of times, strings that hold JSON, ids) and in
//! behaviour (many records without a correlation id, few hot policies, disorder, re-deliveries, later versions of alerts, broken messages). Equal
//! [`Options`] give equal bytes on every machine. It reads no clock, does no input or output, and holds of one million activities only the few
//! that are under way. It relies on the ChaCha8 stream cipher and on integer arithmetic; what randomness is drawn for what is fixed for good.
//!
//! [`Generator`] makes whole tables; [`record`] makes single records, for whoever decides on their own when what happens.

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
pub use messages::{Activities, Alerts, MessageInfo, Messages};
pub use options::{Envelope, Error, Options};
pub use random::Guid;

use plan::Plan;

/// The plan of both tables: which activities and alerts there are.
#[derive(Clone, Debug)]
pub struct Generator {
    plan: Arc<Plan>,
}

impl Generator {
    /// Plans what `options` ask for. Takes time and memory in proportion to the alerts, some microseconds and 100 bytes each; it fails only when
    /// an option is out of its range.
    pub fn new(options: &Options) -> Result<Self, Error> {
        Ok(Self {
            plan: Arc::new(Plan::new(options)?),
        })
    }

    /// The CloudAppEvents messages, from the first.
    pub fn activities(&self) -> Activities {
        Activities::new(Arc::clone(&self.plan))
    }

    /// The SecurityAlert messages, from the first.
    pub fn alerts(&self) -> Alerts {
        Alerts::new(Arc::clone(&self.plan))
    }
}
