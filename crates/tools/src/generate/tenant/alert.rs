use std::time::Duration;

use super::activity::Presence;
use super::files::File;
use super::people::Account;
use super::signal::{DLP_POLICY, DlpIds};
use crate::generate::json::{Json, TimeForm};
use crate::generate::messages::Rows;
use crate::generate::random::{Guid, Purpose, Random};
use crate::generate::record::{Delivery, Policy, Status, Tenant, workspace_path, wrap};
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
    /// The accounts whose activities raised it, the first one first.
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

/// Appends a version of an alert in the envelope of `delivery`: one JSON object on one line, without a line end.
pub fn alert(out: &mut Vec<u8>, incident: &Incident<'_>, delivery: &Delivery) {
    wrap(out, Rows::Alerts, incident.tenant, delivery, |json| columns(json, incident));
}

fn columns(json: &mut Json<'_>, incident: &Incident<'_>) {
    let mut random = Random::new(incident.seed, Purpose::Content, 4);
    json.ascii = random.one_in(3);
    let (policy, theme) = (incident.policy, incident.policy.theme);
    json.time("TimeGenerated", incident.time_generated, TimeForm::FULL);
    json.text("DisplayName", &policy.name);
    json.text("AlertName", &policy.name);
    json.text("AlertSeverity", theme.severity);
    json.text("Description", theme.description);
    let (provider, product, prefix) = if theme.is_dlp() {
        ("Microsoft Data Loss Prevention", "Microsoft Data Loss Prevention", "dl")
    } else {
        ("OATP", "Microsoft Defender for Office 365", "fa")
    };
    json.text("ProviderName", provider);
    json.text("VendorName", "Microsoft");
    let original = format!("{prefix}{}", incident.provider_id);
    json.text("VendorOriginalId", &original);
    json.guid("SystemAlertId", incident.id);
    json.guid("AlertType", policy.id);
    json.text("ConfidenceLevel", "");
    json.int("IsIncident", 0);
    json.time("StartTime", incident.start, TimeForm::FULL);
    json.time("EndTime", incident.end, TimeForm::FULL);
    let processed = incident.time_generated.minus(Duration::from_millis(515));
    json.time("ProcessingEndTime", processed, TimeForm::FULL);
    json.text("RemediationSteps", r#"["Ask the owner","Take the file back"]"#);
    nested(json, "ExtendedProperties", |json| extended_properties(json, incident));
    nested(json, "Entities", |json| Entities::default().write(json, incident));
    json.text("SourceSystem", "Detection");
    json.guid("WorkspaceSubscriptionId", incident.tenant.subscription);
    json.text("WorkspaceResourceGroup", "monitoring");
    json.text("ProductName", product);
    json.text("ProductComponentName", theme.workload);
    json.text("AlertLink", &format!("https://security.{}/alerts/{original}", Tenant::DOMAIN));
    json.text("Status", incident.status.as_str());
    json.text(
        "CompromisedEntity",
        incident.accounts.first().map_or("", |account| &account.user.upn),
    );
    json.text("Tactics", theme.tactic);
    json.text("ResourceId", &workspace_path(incident.tenant));
}

/// Writes a column that is a string of JSON.
fn nested(json: &mut Json<'_>, column: &str, content: impl FnOnce(&mut Json<'_>)) {
    let mut out = Vec::with_capacity(900);
    content(&mut Json::new(&mut out, json.ascii));
    json.nested(column, &out, true);
}

fn extended_properties(json: &mut Json<'_>, incident: &Incident<'_>) {
    let theme = incident.policy.theme;
    json.open();
    json.text("Category", theme.category);
    json.text("Workload", theme.workload);
    json.text("Operation", theme.operation);
    json.text("UserCount", &incident.accounts.len().to_string());
    if theme.is_dlp() {
        let ids = DlpIds::of(incident.policy);
        json.text("DlpPolicyId", &ids.policy.to_string());
        json.text("DlpPolicyName", DLP_POLICY);
        json.text("DlpRuleId", &ids.rule.to_string());
        json.text("SensitiveInformationTypes", &format!("[\"{}\"]", theme.finding));
    }
    json.close();
}

/// Writes and numbers the entities, and refers to entities that were written before.
#[derive(Default)]
struct Entities {
    last: u64,
}

impl Entities {
    fn write(&mut self, json: &mut Json<'_>, incident: &Incident<'_>) {
        json.out.push(b'[');
        let mut first = None;
        for account in incident.accounts {
            let number = self.account(json, account, incident.object_ids);
            first.get_or_insert(number);
            self.begin(json);
            json.text("Address", &account.client(incident.start).address);
            json.text("Type", "ip");
            json.close();
            if incident.files.is_empty() {
                self.mailbox(json, account);
            }
        }
        for file in incident.files {
            self.file(json, file, first);
        }
        if let Some(number) = first {
            // The same entity a second time: some providers list it in every role that it has.
            json.item();
            json.text("$ref", &number.to_string());
            json.close();
        }
        json.close_list();
    }

    fn begin(&mut self, json: &mut Json<'_>) -> u64 {
        self.last += 1;
        json.item();
        json.text("$id", &self.last.to_string());
        self.last
    }

    fn account(&mut self, json: &mut Json<'_>, account: &Account, object_ids: Presence) -> u64 {
        let number = self.begin(json);
        let (name, suffix) = account.name_and_suffix();
        json.text("Name", name);
        json.text("UPNSuffix", suffix);
        if let Some(id) = account.object_id().filter(|_| object_ids == Presence::Present) {
            json.guid("AadUserId", id);
        }
        json.text("DisplayName", &account.user.name);
        json.boolean("IsDomainJoined", true);
        json.text("Type", "account");
        json.close();
        number
    }

    fn mailbox(&mut self, json: &mut Json<'_>, account: &Account) {
        self.begin(json);
        json.text("MailboxPrimaryAddress", &account.user.upn);
        json.text("DisplayName", &account.user.name);
        json.text("Upn", &account.user.upn);
        json.text("Type", "mailbox");
        json.close();
    }

    fn file(&mut self, json: &mut Json<'_>, file: &File, owner: Option<u64>) {
        let number = self.begin(json);
        json.text("Name", &file.name);
        json.text("Directory", &format!("{}{}", file.site, file.folder));
        // Some providers encode the address, others do not.
        let url = if number.is_multiple_of(2) {
            file.url()
        } else {
            file.plain_url()
        };
        json.text("Url", &url);
        if let Some(owner) = owner {
            json.object("Owner");
            json.text("$ref", &owner.to_string());
            json.close();
        }
        json.text("Type", "file");
        json.close();
    }
}
