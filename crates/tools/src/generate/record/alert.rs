use std::time::Duration;

use super::cast::file_name;
use super::{Delivery, Policy, Tenant, User, workspace_path, wrap};
use crate::generate::json::{Json, TimeForm};
use crate::generate::messages::Rows;
use crate::generate::random::{Guid, Purpose, Random};
use crate::time::EventTime;

/// The specification of one version of an alert.
#[derive(Clone, Copy, Debug)]
pub struct AlertSpec<'a> {
    /// The seed of everything that is not specified here. All versions of one alert share it.
    pub seed: u64,
    /// `SystemAlertId`.
    pub id: Guid,
    /// The provider's id of the alert. `VendorOriginalId` is the provider's prefix (`dl` for data loss prevention, `fa`
    /// for others) followed by this id.
    pub provider_id: Guid,
    /// The policy that raised it. Its id is `AlertType`.
    pub policy: &'a Policy,
    /// The user whom it is about.
    pub user: &'a User,
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

/// Appends a version of an alert in the envelope of `delivery`: one JSON object on one line, without a line end.
pub fn alert(out: &mut Vec<u8>, spec: &AlertSpec<'_>, delivery: &Delivery) {
    wrap(out, Rows::Alerts, spec.tenant, delivery, |json| columns(json, spec));
}

fn columns(json: &mut Json<'_>, spec: &AlertSpec<'_>) {
    let mut random = Random::new(spec.seed, Purpose::Content, 1);
    json.ascii = random.one_in(3);
    let (policy, theme) = (spec.policy, spec.policy.theme);
    json.time("TimeGenerated", spec.time_generated, TimeForm::FULL);
    json.text("DisplayName", &policy.name);
    json.text("AlertName", &policy.name);
    json.text("AlertSeverity", theme.severity);
    json.text("Description", theme.description);
    let (provider, product, prefix) = if theme.is_dlp() {
        ("Microsoft Data Loss Prevention", "Microsoft Data Loss Prevention", "dl")
    } else {
        ("OATP", "Office 365 Security & Compliance", "fa")
    };
    json.text("ProviderName", provider);
    json.text("VendorName", "Microsoft");
    let original = format!("{prefix}{}", spec.provider_id);
    json.text("VendorOriginalId", &original);
    json.guid("SystemAlertId", spec.id);
    json.guid("AlertType", policy.id);
    json.int("IsIncident", 0);
    json.time("StartTime", spec.start, TimeForm::FULL);
    json.time("EndTime", spec.end, TimeForm::FULL);
    json.time(
        "ProcessingEndTime",
        spec.time_generated.minus(Duration::from_millis(515)),
        TimeForm::FULL,
    );
    json.text(
        "RemediationSteps",
        r#"["Ask the owner","Take the file back","Tell the data protection officer"]"#,
    );
    nested(json, "ExtendedProperties", |json| {
        extended_properties(json, spec, &mut random)
    });
    nested(json, "Entities", |json| entities(json, spec, &mut random));
    json.text("SourceSystem", "Detection");
    json.guid("WorkspaceSubscriptionId", spec.tenant.subscription);
    json.text("WorkspaceResourceGroup", "monitoring");
    json.text("ProductName", product);
    json.text("ProductComponentName", theme.workload);
    json.text("AlertLink", &format!("https://security.{}/alerts/{original}", Tenant::DOMAIN));
    json.text("Status", spec.status.as_str());
    json.text("CompromisedEntity", &spec.user.upn);
    json.text("Tactics", theme.tactic);
    json.text("ResourceId", &workspace_path(spec.tenant));
}

/// Writes a column that is a string of JSON.
fn nested(json: &mut Json<'_>, column: &str, content: impl FnOnce(&mut Json<'_>)) {
    let mut out = Vec::with_capacity(600);
    content(&mut Json::new(&mut out, json.ascii));
    json.nested(column, &out, true);
}

fn extended_properties(json: &mut Json<'_>, spec: &AlertSpec<'_>, random: &mut Random) {
    let theme = spec.policy.theme;
    json.open();
    json.text("Category", theme.category);
    json.text("PolicyName", &spec.policy.name);
    json.text("Workload", theme.workload);
    json.text("Operation", theme.operation);
    json.text("Findings", &format!("[\"{}\"]", theme.finding));
    json.text("MatchCount", &random.between(1, 60).to_string());
    json.close();
}

fn entities(json: &mut Json<'_>, spec: &AlertSpec<'_>, random: &mut Random) {
    let (account, suffix) = spec.user.upn.split_once('@').unwrap_or((&spec.user.upn, Tenant::DOMAIN));
    json.out.push(b'[');
    json.item();
    json.text("$id", "1");
    json.text("Name", account);
    json.text("UPNSuffix", suffix);
    json.guid("AadUserId", spec.user.id);
    json.text("DisplayName", &spec.user.name);
    json.text("Type", "account");
    json.close();
    json.item();
    json.text("$id", "2");
    json.text("Name", &file_name(Some(spec.policy), random));
    json.object("Owner");
    json.text("$ref", "1");
    json.close();
    json.text("Type", "file");
    json.close();
    json.close_list();
}
