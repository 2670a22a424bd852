//! Single records: a CloudAppEvents row, a SecurityAlert row, and their envelopes.
//!
//! A record is a function of its specification: the `seed` determines everything that the specification leaves open
//! (ids, file names, addresses, sizes of lists). Nothing here knows of other records; the generator decides which
//! records exist.

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

pub(super) use activity::{no_client, source};
pub(super) use cast::{AGENTS, EVERYDAY, PLACES};
pub(super) use kind::{COMPLIANCE, EXCHANGE, Facts, M365, SHAREPOINT, TEAMS};
pub(super) use raw::{conditions, message_id, record_type, thread};

use super::json::{Json, TimeForm};
use super::messages::Rows;
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

/// Writes `columns` of a row of a table in the envelope of `delivery`.
pub(super) fn wrap(out: &mut Vec<u8>, rows: Rows, tenant: &Tenant, delivery: &Delivery, columns: impl FnOnce(&mut Json<'_>)) {
    let table = rows.table();
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
            if rows == Rows::Activities {
                json.time("TimeGenerated", delivery.received, TimeForm::FULL);
            }
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
