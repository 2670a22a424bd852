//! Single records: a CloudAppEvents row, a SecurityAlert row, and their envelopes.
//!
//! A record is a function of its specification: the `seed` determines everything that the specification leaves open
//! (ids, addresses, sizes of lists). The columns are in `templates`, and the words in `cast.json`. Nothing here knows
//! of other records; the generator decides which records exist.

mod act;
mod activity;
mod alert;
mod cast;
mod file;
mod render;

pub use act::Act;
pub use activity::{About, Deed, Presence, activity};
pub use alert::{Incident, Status, alert};
pub use cast::{Account, Policy, Tenant, Theme};
pub use file::File;

pub(super) use act::Family;
pub(super) use activity::ids;
pub(super) use cast::is_guest;

use uuid::Uuid as Guid;

use super::random::{Purpose, Random};
use crate::time::EventTime;

/// The envelope of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// The envelope of the Defender streaming API: the row is in `properties`.
    Streaming,
    /// A row of a Log Analytics export, with `Type` and `TenantId` among its columns.
    LogAnalytics,
    /// The row without an envelope.
    Bare,
}

/// One delivery of a record. Deliveries of the same record differ only in these values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Delivery {
    /// The envelope.
    pub form: Form,
    /// The time when the record was received: the envelope's `time`, or `TimeGenerated` of an exported activity.
    pub received: EventTime,
    /// Distinguishes deliveries: it determines `_ItemId` of an exported row.
    pub number: u64,
}

impl Delivery {
    fn item_id(&self) -> Guid {
        Random::new(self.number, Purpose::Item, 0).guid()
    }
}

/// The ids that belong to the data loss prevention side of an alert policy. They differ from the alert policy's own id.
struct DlpIds {
    policy: Guid,
    rule: Guid,
    /// The id of the rule in the management interface.
    management_rule: Guid,
}

impl DlpIds {
    fn new(policy: &Policy) -> Self {
        let random = Random::new(policy.id.as_u64_pair().0, Purpose::Rule, 0);
        Self {
            policy: random.guid(),
            rule: random.guid(),
            management_rule: random.guid(),
        }
    }
}

/// The name of every policy of data loss prevention.
const DLP_POLICY: &str = "Company data protection baseline";
