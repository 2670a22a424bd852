//! Queries about the state: lists alerts, returns one alert with its activities, and explains its status. Pure.
//!
//! Everything here reads [`View`]s of partitions and returns the [`shapes`] that the API and the command line show, and
//! for one alert an [explanation](causes).
//! Each query examines a bounded number of entries and returns where to continue. Nothing here changes state, reads a
//! clock (the time is an argument), or depends on HTTP. It relies on [`join`](crate::join) for the meaning of the
//! state and on [`emit`] for ids and names, so that its results agree with the records that were sent.

mod alerts;
pub mod causes;
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

pub use alerts::{Filter, Found, StatusFilter, Wanted, activities, alert, find, list};
pub use causes::{Cause, DeadRecord, OtherPath};
pub use explain::{explain, unknown, without_key};
pub use input::{Came, in_input, not_in_input};
pub use links::{links, sort_results};
pub use merge::{merge_lists, merge_statuses};
pub use places::places_of;
pub use words::shortened;

use crate::emit;
use crate::join::View;
use crate::record::{LinkId, Text};
use crate::store;

/// The part of the configuration that affects the results of queries.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// The links between alerts and activities.
    pub links: emit::Links,
    /// The settings for the keys of each link, in the order of link ids.
    pub keys: Vec<KeySettings>,
    /// The Entra ids of the configured tenants; empty if tenants are not configured.
    pub tenants: Vec<String>,
    /// The maximum out-of-orderness of activities.
    pub out_of_orderness: Duration,
    /// The time after which a source partition without activities no longer holds the watermark back.
    pub idle_timeout: Duration,
}

/// The settings for the keys of one link.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeySettings {
    /// Whether keys are compared in lower case.
    pub ignore_case: bool,
    /// The entries for an alert's keys, as the configuration spells them.
    pub alert_key: Vec<String>,
}

impl Settings {
    fn keys(&self, link: LinkId) -> Option<&KeySettings> {
        self.keys.get(usize::from(link.0))
    }

    /// Returns the name of a setting of a link as the configuration spells it.
    fn setting(&self, link: LinkId, name: &str) -> String {
        match link {
            LinkId::QUERY => format!("correlation.{name}"),
            link => format!("link.{}.{name}", self.links.name(link)),
        }
    }

    /// Returns the ids that the alert may have: one for each tenant to which it may belong.
    pub fn ids(&self, system_alert_id: &str, tenant_id: Option<&str>) -> Vec<crate::record::AlertId> {
        let id = |tenant| crate::record::AlertId {
            tenant,
            system_alert_id: system_alert_id.into(),
        };
        self.tenants(tenant_id).into_iter().map(id).collect()
    }

    /// Returns an error if a tenant is named but none are configured: then either every alert would belong to it, or
    /// none.
    fn check_tenant(&self, named: Option<&str>) -> Result<(), Error> {
        match (named, self.tenants.is_empty()) {
            (Some(_), true) => Err(Error::NoTenants),
            _ => Ok(()),
        }
    }

    /// Returns the tenants to which an alert may belong: the named one, or all if none is named.
    fn tenants(&self, named: Option<&str>) -> Vec<Text> {
        match (named, self.tenants.as_slice()) {
            (_, []) => vec![Text::default()],
            (Some(named), _) => vec![named.to_ascii_lowercase().as_str().into()],
            (None, all) => all.iter().map(|tenant| tenant.as_str().into()).collect(),
        }
    }
}

/// A partition of the repartition topic and its state.
pub struct Partition<'r, R> {
    /// Its number.
    pub number: u32,
    /// Its state.
    pub view: View<'r, R>,
}

/// The reason why a query has no result.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The state cannot be read.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The cursor was not created by this program.
    #[error("the cursor is not one that this API gave; begin without one")]
    Cursor,
    /// A tenant was named, but none are configured.
    #[error(
        "tenant_id (in alerttrail query: --tenant) is given, but the configuration has no [tenants], so all alerts are of one tenant; leave it out"
    )]
    NoTenants,
    /// The configuration does not have the link.
    #[error("there is no link {name:?} in the configuration; its links are {links}")]
    NoLink {
        /// The requested name.
        name: String,
        /// The links of the configuration.
        links: String,
    },
    /// More than one tenant has an alert with this id.
    #[error("{count} tenants have an alert of this id; say which with tenant_id (in alerttrail query: --tenant)")]
    Ambiguous {
        /// The number of tenants.
        count: usize,
    },
}
