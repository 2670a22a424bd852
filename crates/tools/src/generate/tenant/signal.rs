//! The audit records of alerts and of data loss prevention.

use super::act::Act;
use super::activity::{About, Presence, Scene};
use crate::generate::json::{Json, TimeForm};
use crate::generate::random::{Guid, Purpose, Random};
use crate::generate::record::{Policy, conditions, message_id};

/// The ids that belong to the data loss prevention side of an alert policy. They differ from the alert policy's own id.
pub(super) struct DlpIds {
    /// The id of the data loss prevention policy.
    pub(super) policy: Guid,
    /// The id of its rule.
    pub(super) rule: Guid,
    /// The id of the same rule in the management interface.
    pub(super) management_rule: Guid,
}

impl DlpIds {
    pub(super) fn of(policy: &Policy) -> Self {
        let mut random = Random::new((policy.id.0 >> 64) as u64, Purpose::Rule, 0);
        Self {
            policy: random.guid(),
            rule: random.guid(),
            management_rule: random.guid(),
        }
    }
}

/// The name of every policy of data loss prevention.
pub(super) const DLP_POLICY: &str = "Company data protection baseline";

/// Writes the raw event of `AlertTriggered`, `AlertEntityGenerated` or `AlertUpdated`.
pub(super) fn alert(json: &mut Json<'_>, scene: &Scene<'_>, random: &mut Random) {
    let (Some(policy), Some(about)) = (scene.deed.policy, scene.deed.alert) else {
        return;
    };
    let is_update = scene.deed.act == Act::AlertUpdated;
    json.guid("AlertId", about.id);
    json.list("AlertLinks");
    json.item();
    json.text("AlertLinkHref", "");
    json.close();
    json.close_list();
    json.text("AlertType", if policy.theme.is_dlp() { "Custom" } else { "System" });
    json.text("Category", policy.theme.category);
    json.text("Comments", if is_update { "Alert status changed" } else { "New alert" });
    match scene.deed.act {
        Act::AlertUpdated => json.text("Data", ""),
        Act::AlertEntityGenerated => json.nested("Data", &entity(scene, policy, about), true),
        _ => json.nested("Data", &details(scene, policy, about, random), true),
    }
    if scene.deed.act == Act::AlertEntityGenerated {
        json.text("AlertEntityId", &scene.deed.account.user.upn);
        json.text("EntityType", "User");
    }
    json.text("Name", &policy.name);
    json.guid("ObjectId", about.id);
    json.guid("PolicyId", policy.id);
    json.text("ResultStatus", "Succeeded");
    json.text("Severity", policy.theme.severity);
    json.text("Source", "Office 365 Security & Compliance");
    json.text("Status", if is_update { "Investigating" } else { "Active" });
}

fn times(json: &mut Json<'_>, scene: &Scene<'_>, about: About) {
    json.time("ts", about.start, TimeForm::FULL);
    json.time("te", about.end, TimeForm::FULL);
    json.guid("tid", scene.deed.tenant.entra);
}

/// Returns `Data` of `AlertTriggered`.
fn details(scene: &Scene<'_>, policy: &Policy, about: About, random: &mut Random) -> Vec<u8> {
    let theme = policy.theme;
    let mut out = Vec::with_capacity(900);
    let mut json = Json::new(&mut out, scene.ascii);
    json.open();
    json.text("f3u", &scene.deed.account.user.upn);
    times(&mut json, scene, about);
    json.text("op", theme.operation);
    json.text("wl", theme.workload);
    json.text("tdc", &random.between(1, 25).to_string());
    json.guid("reid", random.guid());
    json.guid("rid", random.guid());
    if about.cid == Presence::Present {
        json.guid("cid", policy.id);
    }
    json.text("ad", &format!("{} -V1.0.0.1", theme.description));
    json.text("an", &policy.name);
    json.text("sev", theme.severity);
    json.text("lon", theme.operation);
    if theme.is_dlp() {
        let ids = DlpIds::of(policy);
        json.guid("dpid", ids.policy);
        json.text("dpn", DLP_POLICY);
        json.guid("drid", ids.rule);
        json.text("drn", &policy.name);
        json.guid("dmrid", ids.management_rule);
        match scene.deed.file {
            Some(file) => json.text("von", &file.plain_url()),
            None => json.text("von", theme.file),
        }
        json.text("sict", theme.finding);
        json.text("dact", "GenerateAlert,NotifyUser");
    }
    json.close();
    out
}

/// Returns `Data` of `AlertEntityGenerated`, which contains no `cid`.
fn entity(scene: &Scene<'_>, policy: &Policy, about: About) -> Vec<u8> {
    Json::object_of(400, scene.ascii, |json| {
        json.text("etype", "User");
        json.text("eid", &scene.deed.account.user.upn);
        times(json, scene, about);
        json.time("at", about.start, TimeForm::FULL);
        json.text("wl", policy.theme.workload);
        json.text("tdc", "1");
        json.text("lon", policy.theme.operation);
    })
}

/// Writes the raw event of `DLPRuleMatch`.
pub(super) fn dlp_match(json: &mut Json<'_>, scene: &Scene<'_>, random: &mut Random) {
    let Some(policy) = scene.deed.policy else { return };
    let ids = DlpIds::of(policy);
    json.guid("IncidentId", random.guid());
    let unique = random.guid();
    json.guid("ObjectId", unique);
    json.list("PolicyDetails");
    json.item();
    json.guid("PolicyId", ids.policy);
    json.text("PolicyName", DLP_POLICY);
    json.list("Rules");
    json.item();
    json.list("Actions");
    json.text_item("GenerateAlert");
    json.text_item("NotifyUser");
    json.close_list();
    conditions(json, policy.theme.finding, random);
    json.guid("ManagementRuleId", ids.management_rule);
    json.guid("RuleId", ids.rule);
    json.text("RuleMode", "Enable");
    json.text("RuleName", &policy.name);
    json.text("Severity", policy.theme.severity);
    json.close();
    json.close_list();
    json.close();
    json.close_list();
    json.boolean("SensitiveInfoDetectionIsIncluded", false);
    let user = &scene.deed.account.user;
    match scene.deed.file {
        Some(file) => {
            json.object("SharePointMetaData");
            json.text("FileName", &file.name);
            json.text("FileOwner", &user.name);
            json.text("FilePathUrl", &file.url());
            json.text("From", &user.upn.to_uppercase());
            json.text("SiteCollectionUrl", file.site.trim_end_matches('/'));
            json.guid("UniqueID", unique);
            json.close();
        }
        None => {
            json.object("ExchangeMetaData");
            json.text("From", &user.upn);
            json.text("MessageID", &message_id(random));
            json.int("RecipientCount", 1);
            json.text("Subject", policy.theme.file);
            json.list("To");
            json.text_item(&format!("partner{}@fabrikam.example", random.below(90)));
            json.close_list();
            json.close();
        }
    }
}
