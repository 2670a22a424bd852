//! Traffic as tenants have it: people who act on files, mail and sites all day, and alerts about what some of them did.
//!
//! Ordinary activities have no `Data` and no correlation id. They belong to an alert by its people, its files or its
//! own audit records, and [`Truth`] knows which ones do: it follows from the plan, so that it can be held against what
//! a processor finds. Which options of [`Options`] count is said in [`IGNORED`].
//!
//! [`TenantGenerator`] makes whole tables; [`activity()`] and [`alert()`] make single records, for whoever decides on
//! their own when what happens.

mod act;
mod activity;
mod alert;
mod files;
mod people;
mod plan;
mod raw;
mod rhythm;
mod signal;
mod story;
mod tables;
#[cfg(test)]
mod tests;
mod truth;

use std::sync::Arc;

pub use act::Act;
pub use activity::{About, Deed, Presence, activity};
pub use alert::{Incident, alert};
pub use files::File;
pub use people::Account;
pub use tables::{Activities, Alerts};
pub use truth::{Fact, LINKS, Link, Truth};

use super::options::{Error, Options};
use plan::Plan;

/// The links of [`Truth`] as configuration, but for the documented query, which needs none.
pub const LINKS_TOML: &str = include_str!("links.toml");

/// The options that have no meaning here: how large records are, which share of them has correlation ids, and how long
/// windows are follows from what people do.
pub const IGNORED: [&str; 7] = [
    "record-size",
    "keyed-share",
    "policy-skew",
    "window-min",
    "window-max",
    "in-window-share",
    "zero-windows",
];

/// The plan of both tables: which activities and alerts there are.
#[derive(Clone, Debug)]
pub struct TenantGenerator {
    plan: Arc<Plan>,
}

impl TenantGenerator {
    /// Plans what `options` ask for. Takes time and memory in proportion to the alerts, some 10 microseconds and 2 kB
    /// each; it fails only when an option is out of its range.
    pub fn new(options: &Options) -> Result<Self, Error> {
        Ok(Self {
            plan: Arc::new(Plan::new(options)?),
        })
    }

    /// Returns the CloudAppEvents messages, from the first.
    pub fn activities(&self) -> Activities {
        Activities::new(Arc::clone(&self.plan))
    }

    /// Returns the SecurityAlert messages, from the first.
    pub fn alerts(&self) -> Alerts {
        Alerts::new(Arc::clone(&self.plan))
    }

    /// Returns what belongs together.
    pub fn truth(&self) -> Truth {
        Truth::new(Arc::clone(&self.plan))
    }
}
