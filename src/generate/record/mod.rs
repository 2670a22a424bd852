//! Single records: a CloudAppEvents row, a SecurityAlert row, and the envelopes they travel in.
//!
//! A record is a function of its specification: whatever the specification leaves open (ids, file names, addresses, sizes of lists) follows from
//! its `seed`. Nothing here knows of other records; which records there are is the generator's business.

mod activity;
mod alert;
mod cast;
mod kind;
mod raw;
mod signal;

pub use activity::{ActivitySpec, activity};
pub use alert::{AlertSpec, Status, alert};
pub use cast::{Policy, Tenant, Theme, User};
pub use kind::Kind;

pub(super) use cast::{AGENTS, EVERYDAY, PLACES};
pub(super) use raw::participants;

use super::json::{Json, TimeForm};
use super::random::{Purpose, Random};
use crate::time::EventTime;

/// The envelope of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// The Defender streaming API's: the row is in `properties`.
    Streaming,
    /// A row of a Log Analytics export, with `Type` and `TenantId` among its columns.
    LogAnalytics,
    /// The row alone.
    Bare,
}

/// One delivery of a record. Another delivery of the same record differs in nothing but this.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Delivery {
    /// The envelope.
    pub form: Form,
    /// When the record was received: the envelope's `time`, an exported activity's `TimeGenerated`.
    pub received: EventTime,
    /// Tells deliveries apart: an exported row's `_ItemId` follows from it.
    pub number: u64,
}

/// Writes `columns` of a row of `table` in the envelope of `delivery`.
pub(super) fn wrap(out: &mut Vec<u8>, table: &str, tenant: &Tenant, delivery: &Delivery, columns: impl FnOnce(&mut Json<'_>)) {
    let mut json = Json::new(out, false);
    json.open();
    match delivery.form {
        Form::Streaming => {
            json.time("time", delivery.received, TimeForm::FULL);
            json.guid("tenantId", tenant.entra);
            json.text("operationName", "Publish");
            json.text("category", &format!("AdvancedHunting-{table}"));
            json.object("properties");
            columns(&mut json);
            json.close();
            json.time("_TimeReceivedBySvc", delivery.received, TimeForm::FULL);
            json.text("Tenant", "DefaultTenant");
        }
        Form::LogAnalytics => {
            columns(&mut json);
            json.guid("TenantId", tenant.workspace);
            json.text("Type", table);
            json.guid("_ItemId", Random::new(delivery.number, Purpose::Item, 0).guid());
            json.text("_Internal_WorkspaceResourceId", &workspace_path(tenant));
        }
        Form::Bare => columns(&mut json),
    }
    json.close();
}

pub(super) fn workspace_path(tenant: &Tenant) -> String {
    format!(
        "/subscriptions/{}/resourcegroups/monitoring/providers/microsoft.operationalinsights/workspaces/contoso-security",
        tenant.subscription
    )
}
