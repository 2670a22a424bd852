//! Traffic like that of a tenant: people work with files, mail and sites all day, and alerts are raised about what some
//! of them did.
//!
//! Ordinary activities have no `Data` and no correlation id. They belong to an alert by its people, its files or its
//! own audit records, and [`Truth`] lists which ones do. It follows from the plan, so it can be compared with what a
//! processor finds. [`IGNORED`] lists the [`Options`] that have no effect here.
//!
mod plan;
mod rhythm;
mod story;
#[cfg(test)]
mod tests;
mod truth;

use std::sync::Arc;

pub use truth::{Fact, LINKS, Link, Truth};

use super::Messages;
use super::options::{Error, Options};
use super::tables;
use plan::TenantPlan;

/// The configuration of the links of [`Truth`], except for the documented query, which needs none.
pub const LINKS_TOML: &str = include_str!("links.toml");

/// The options that have no effect here: the size of records, the share of records with correlation ids and the length
/// of windows depend on what people do.
pub const IGNORED: [&str; 7] = [
    "record-size",
    "keyed-share",
    "policy-skew",
    "window-min",
    "window-max",
    "in-window-share",
    "zero-windows",
];

/// The plan of both tables, which defines their activities and alerts.
#[derive(Clone, Debug)]
pub struct TenantGenerator {
    plan: Arc<TenantPlan>,
}

impl TenantGenerator {
    /// Plans the traffic for `options`. Takes time and memory in proportion to the alerts, some 10 microseconds and 2
    /// kB each. Fails only if an option is out of range.
    pub fn new(options: &Options) -> Result<Self, Error> {
        Ok(Self {
            plan: Arc::new(TenantPlan::new(options)?),
        })
    }

    /// Returns the CloudAppEvents messages from the first one on, in order of arrival.
    pub fn activities(&self) -> impl Messages + use<> {
        tables::activities(self.plan.clone())
    }

    /// Returns the SecurityAlert messages from the first one on, in order of arrival.
    pub fn alerts(&self) -> impl Messages + use<> {
        tables::alerts(self.plan.clone())
    }

    /// Returns which activities belong to which alerts.
    pub fn truth(&self) -> Truth {
        Truth::new(Arc::clone(&self.plan))
    }
}
