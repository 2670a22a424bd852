//! What an analyst asks of the state: which alerts there are, one alert with its activities, and why it was answered as it was. Pure.
//!
//! Everything here reads [`View`]s of partitions and makes the [`shapes`] that the API and the command line show. Each question looks at a
//! bounded number of entries and says where to go on. Nothing here changes state, reads a clock (the time is an argument), or knows of
//! HTTP. It relies on [`join`](crate::join) for what state means and on [`emit`] for ids and words, so that
//! an answer here says the same as the record that went out.

mod alerts;
mod causes;
mod cursor;
mod explain;
mod input;
mod links;
mod merge;
mod misses;
mod places;
pub mod shapes;
#[cfg(test)]
mod tests;
mod words;

use std::time::Duration;

pub use alerts::{Filter, Found, Wanted, Which, activities, alert, find, list};
pub use causes::{Cause, DeadRecord, OtherPath};
pub use explain::{Asked, explain, unknown, without_key};
pub use input::{Came, in_input, not_in_input};
pub use links::{in_order, links};
pub use merge::{merge_lists, merge_statuses};
pub use places::places_of;
pub use words::shortened;

use crate::emit;
use crate::join::View;
use crate::record::{LinkId, Text};
use crate::store;

/// What of the configuration an answer depends on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// The links by which alerts and activities meet.
    pub links: emit::Links,
    /// How keys are read by each link, in the order of their numbers.
    pub keys: Vec<KeySettings>,
    /// The Entra ids of the tenants that are told apart; empty when none are.
    pub tenants: Vec<String>,
    /// How far out of order activities may come.
    pub out_of_orderness: Duration,
    /// After how long a silent source partition no longer holds the watermark back.
    pub idle_timeout: Duration,
}

/// How the keys of a link are read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeySettings {
    /// Whether they are compared in lower case.
    pub ignore_case: bool,
    /// Where an alert's keys are looked for, as the configuration writes it.
    pub alert_key: Vec<String>,
}

impl Settings {
    fn keys(&self, link: LinkId) -> Option<&KeySettings> {
        self.keys.get(usize::from(link.0))
    }

    /// Returns a setting of a link, as the configuration names it.
    fn setting(&self, link: LinkId, name: &str) -> String {
        match link {
            LinkId::QUERY => format!("correlation.{name}"),
            link => format!("link.{}.{name}", self.links.name(link)),
        }
    }

    /// The ids that an alert may have: one for each tenant that it may be of.
    pub fn ids(&self, system_alert_id: &str, tenant_id: Option<&str>) -> Vec<crate::record::AlertId> {
        let id = |tenant| crate::record::AlertId {
            tenant,
            system_alert_id: system_alert_id.into(),
        };
        self.tenants(tenant_id).into_iter().map(id).collect()
    }

    /// Refuses a tenant where none are told apart: every alert would be of it, or none.
    fn check_tenant(&self, named: Option<&str>) -> Result<(), Error> {
        match (named, self.tenants.is_empty()) {
            (Some(_), true) => Err(Error::NoTenants),
            _ => Ok(()),
        }
    }

    /// The tenants under whose ids an alert may be known: the one that was named, else all.
    fn tenants(&self, named: Option<&str>) -> Vec<Text> {
        match (named, self.tenants.as_slice()) {
            (_, []) => vec![Text::default()],
            (Some(named), _) => vec![named.to_ascii_lowercase().as_str().into()],
            (None, all) => all.iter().map(|tenant| tenant.as_str().into()).collect(),
        }
    }
}

/// A partition of the repartition log and what its state holds.
pub struct Partition<'r, R> {
    /// Its number.
    pub number: u32,
    /// Its state.
    pub view: View<'r, R>,
}

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The state cannot be read.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// No cursor of this program's.
    #[error("the cursor is not one that this API gave; begin without one")]
    Cursor,
    /// A tenant that was named where none are told apart.
    #[error("tenant_id is given, but the configuration has no [tenants], so all alerts are of one tenant; leave it out")]
    NoTenants,
    /// A link that there is not.
    #[error("there is no link {name:?} in the configuration; its links are {links}")]
    NoLink {
        /// What was asked for.
        name: String,
        /// The links of the configuration.
        links: String,
    },
    /// An id that more than one tenant has.
    #[error("{count} tenants have an alert of this id; say which with tenant_id")]
    Ambiguous {
        /// How many.
        count: usize,
    },
}
