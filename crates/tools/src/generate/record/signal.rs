//! The raw events that the vendor's alerting writes about its alerts, which have a `Data` string.

use std::time::Duration;

use super::activity::Scene;
use super::raw::common;
use super::{Kind, Policy, Tenant};
use crate::generate::json::{Json, TimeForm};
use crate::generate::random::Random;
use crate::time::EventTime;

/// Writes the raw event of `AlertTriggered`, `AlertEntityGenerated` or `AlertUpdated`.
pub(super) fn alert(json: &mut Json<'_>, scene: &Scene<'_>, random: &mut Random) {
    let (spec, policy) = (scene.spec, scene.spec.policy);
    let theme = policy.map(|policy| policy.theme);
    let entity = spec.kind == Kind::AlertEntityGenerated;
    common(json, scene, random);
    json.guid("AlertId", scene.alert);
    json.list("AlertLinks");
    json.item();
    json.text("AlertLinkHref", "");
    json.close();
    json.close_list();
    json.text(
        "AlertType",
        if theme.is_none_or(|theme| theme.is_dlp()) {
            "Custom"
        } else {
            "System"
        },
    );
    json.text("Category", theme.map_or("DataLossPrevention", |theme| theme.category));
    json.text(
        "Comments",
        if spec.kind == Kind::AlertUpdated {
            "Alert status changed"
        } else {
            "New alert"
        },
    );
    data(json, scene, random);
    if entity {
        json.text("AlertEntityId", &spec.user.upn);
        json.text("EntityType", "User");
    }
    json.text(
        "Name",
        policy.map_or("Unlabelled file leaves the company", |policy| policy.name.as_str()),
    );
    json.guid("ObjectId", scene.alert);
    json.guid("PolicyId", policy.map_or_else(|| random.guid(), |policy| policy.id));
    json.text("ResultStatus", "Succeeded");
    json.text("Severity", theme.map_or("Medium", |theme| theme.severity));
    let source = if policy.is_some() {
        "Office 365 Security & Compliance"
    } else {
        "Cloud App Security"
    };
    json.text("Source", source);
    json.text(
        "Status",
        if spec.kind == Kind::AlertUpdated {
            "Investigating"
        } else {
            "Active"
        },
    );
}

fn data(json: &mut Json<'_>, scene: &Scene<'_>, random: &mut Random) {
    match (scene.spec.policy, scene.spec.kind) {
        (Some(policy), _) => json.nested("Data", &details(scene, policy, random), true),
        (None, Kind::AlertUpdated) if random.one_in(2) => json.text("Data", ""),
        (None, Kind::AlertUpdated) => json.null("Data"),
        (None, Kind::AlertEntityGenerated) => json.nested("Data", &entity(scene), true),
        (None, _) => json.nested("Data", &app_security(scene), true),
    }
}

/// Returns `Data` of a record with a correlation id.
pub(super) fn details(scene: &Scene<'_>, policy: &Policy, random: &mut Random) -> Vec<u8> {
    let (spec, theme) = (scene.spec, policy.theme);
    let mut out = Vec::with_capacity(900);
    let mut json = Json::new(&mut out, scene.ascii);
    json.open();
    if spec.kind == Kind::AlertEntityGenerated {
        json.text("etype", "User");
        json.text("eid", &spec.user.upn);
    }
    json.text("f3u", &spec.user.upn);
    let end = activity_end(spec.time, random);
    let length = if random.one_in(3) {
        Duration::from_secs(random.below(900))
    } else {
        Duration::ZERO
    };
    let form = random.pick(&[TimeForm::FULL, TimeForm::FULL, SPACED]);
    json.time("ts", end.minus(length), form);
    json.time("te", end, form);
    json.text("op", theme.operation);
    json.text("wl", theme.workload);
    json.guid("tid", spec.tenant.entra);
    json.text("tdc", &random.between(1, 25).to_string());
    json.guid("reid", random.guid());
    json.guid("rid", random.guid());
    json.guid("cid", policy.id);
    json.text("ad", &format!("{} -V1.0.0.1", theme.description));
    json.text("an", &policy.name);
    json.text("sev", theme.severity);
    json.text("lon", theme.operation);
    if theme.is_dlp() {
        json.text("dpn", "Company data protection baseline");
        json.text("von", &scene.file);
        json.text("sict", theme.finding);
        json.text("dact", "GenerateAlert,NotifyUser");
    }
    json.close();
    out
}

const SPACED: TimeForm = TimeForm {
    digits: 0,
    zone: true,
    separator: b' ',
};

/// Draws the end of the activity that an alert record is about: in half of the cases `time`, otherwise up to 40 minutes
/// earlier.
fn activity_end(time: EventTime, random: &mut Random) -> EventTime {
    let lag = if random.one_in(2) {
        Duration::ZERO
    } else {
        Duration::from_secs(random.below(2_400))
    };
    // These strings contain whole seconds.
    let end = time.minus(lag);
    EventTime::from_ticks(end.ticks() - end.ticks().rem_euclid(crate::time::TICKS_PER_SECOND))
}

fn entity(scene: &Scene<'_>) -> Vec<u8> {
    Json::object_of(300, scene.ascii, |json| {
        json.text("etype", "User");
        json.text("eid", &scene.spec.user.upn);
        json.guid("tid", scene.spec.tenant.entra);
        for key in ["ts", "te", "at"] {
            json.time(key, scene.spec.time, TimeForm::FULL);
        }
        json.text("tdc", "1");
        json.text("lon", "FileAccessed");
    })
}

fn app_security(scene: &Scene<'_>) -> Vec<u8> {
    let description = format!("The file policy \"Unlabelled files\" was matched by '{}'", scene.file);
    Json::object_of(400, scene.ascii, |json| {
        json.time("ts", scene.spec.time, SPACED);
        json.time("te", scene.spec.time, SPACED);
        json.text("an", "Unlabelled file leaves the company");
        json.text("ad", &description);
        json.text("f3u", &scene.spec.user.upn);
        json.text("alk", &format!("https://security.{}/alerts/{}", Tenant::DOMAIN, scene.alert));
        json.text("mat", "MCAS_ALERT_FILE_MATCH");
    })
}

/// Writes the raw event of `AirInvestigationData`. Its `Data` is a whole alert of another shape, without a correlation
/// id unless the activity has one.
pub(super) fn investigation(json: &mut Json<'_>, scene: &Scene<'_>, random: &mut Random) {
    let spec = scene.spec;
    common(json, scene, random);
    json.text(
        "InvestigationId",
        &format!("urn:example:investigation:{:016x}", random.bits()),
    );
    json.text("InvestigationName", "Mail with a harmful link taken back after delivery");
    json.text("InvestigationType", "ZappedUrlInvestigation");
    json.text("Status", "Investigation Started");
    let mut out = Vec::with_capacity(2_400);
    let mut data = Json::new(&mut out, scene.ascii);
    data.open();
    data.text("Version", "3.0");
    data.text("VendorName", "Microsoft");
    data.text("ProviderName", "OATP");
    data.guid("AlertType", random.guid());
    if let Some(policy) = spec.policy {
        data.guid("cid", policy.id);
    }
    for key in ["StartTimeUtc", "EndTimeUtc"] {
        data.time(key, spec.time, TimeForm::FULL);
    }
    data.time(
        "TimeGenerated",
        spec.time.plus(Duration::from_secs(random.between(40, 1_300))),
        TimeForm::FULL,
    );
    data.text("Status", "InvestigationStarted");
    data.text("Severity", "Informational");
    data.guid("ProviderAlertId", scene.alert);
    data.text("CorrelationKey", &random.guid().to_string());
    data.text("AlertDisplayName", "Mail with a harmful link taken back after delivery");
    data.list("Entities");
    for number in 1..=random.between(2, 12) {
        data.item();
        data.text("$id", &number.to_string());
        data.text("Recipient", &spec.user.upn);
        data.text("Sender", &format!("offers{}@fabrikam.example", random.below(100)));
        data.text("Subject", &format!("Your \"{}\" is ready", scene.file));
        data.text("NetworkMessageId", &random.guid().to_string());
        data.text("Type", "mailMessage");
        data.close();
    }
    data.close_list();
    data.close();
    json.nested("Data", &out, true);
}
