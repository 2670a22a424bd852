use std::time::Duration;

use askama::Template;
use uuid::Uuid as Guid;

use super::cast::{Account, Policy, Tenant};
use super::file::File;
use super::render::{Letters, filters};
use super::{DLP_POLICY, Delivery, DlpIds, Form, Presence};
use crate::generate::random::{Purpose, Random};
use crate::time::EventTime;

/// The specification of one version of an alert.
#[derive(Clone, Copy, Debug)]
pub struct Incident<'a> {
    /// The seed of everything that is not specified here. All versions of one alert share it.
    pub seed: u64,
    /// `SystemAlertId`
    pub id: Guid,
    /// The provider's id. `VendorOriginalId` is the provider's prefix (`dl` for data loss prevention, `fa` for others)
    /// followed by this id.
    pub provider_id: Guid,
    /// The policy that raised it. Its id is `AlertType`.
    pub policy: &'a Policy,
    /// The accounts whose activities raised it, the first one first. There is at least one.
    pub accounts: &'a [Account],
    /// Whether accounts are written with `AadUserId`, if they have one.
    pub object_ids: Presence,
    /// The files it is about.
    pub files: &'a [File],
    /// The tenant.
    pub tenant: &'a Tenant,
    /// `StartTime`
    pub start: EventTime,
    /// `EndTime`
    pub end: EventTime,
    /// `TimeGenerated`. Of two versions, the later one counts.
    pub time_generated: EventTime,
    /// `Status`
    pub status: Status,
}

/// The `Status` of an alert.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// Nobody has looked at the alert.
    New,
    /// Somebody is looking at the alert.
    InProgress,
    /// The alert is resolved.
    Resolved,
}

impl Status {
    /// Returns the value of the column.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "New",
            Self::InProgress => "InProgress",
            Self::Resolved => "Resolved",
        }
    }
}

impl Incident<'_> {
    fn object_id(&self, account: &Account) -> Option<Guid> {
        account.object_id().filter(|_| self.object_ids == Presence::Present)
    }
}

#[derive(Template)]
#[template(path = "alert.json")]
struct AlertTemplate<'a> {
    delivery: &'a Delivery,
    table: &'static str,
    tenant: &'a Tenant,
    alert: &'a Incident<'a>,
    dlp: DlpIds,
    /// `VendorOriginalId`
    original: String,
    processed: EventTime,
    /// Entities of each account: itself, its address, and its mailbox unless the alert is about files.
    step: usize,
    random: &'a Random,
}

/// Appends a version of an alert in the envelope of `delivery`: one JSON object on one line, without a line end.
pub fn alert(out: &mut Vec<u8>, incident: &Incident<'_>, delivery: &Delivery) {
    let random = &Random::new(incident.seed, Purpose::Content, 4);
    let prefix = if incident.policy.theme.is_dlp() { "dl" } else { "fa" };
    let row = Letters::draw(random).render(&AlertTemplate {
        delivery,
        table: "SecurityAlert",
        tenant: incident.tenant,
        alert: incident,
        dlp: DlpIds::new(incident.policy),
        original: format!("{prefix}{}", incident.provider_id),
        processed: incident.time_generated.minus(Duration::from_millis(515)),
        step: if incident.files.is_empty() { 3 } else { 2 },
        random,
    });
    out.extend_from_slice(row.as_bytes());
}
