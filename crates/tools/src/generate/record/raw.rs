//! `RawEventData`: the audit record from which an activity was created.

use super::activity::Scene;
use super::kind::Family;
use super::{Tenant, signal};
use crate::generate::json::Json;
use crate::generate::random::Random;

/// Returns the raw event as a JSON object, with about `filling` bytes of additional properties.
pub(super) fn event(scene: &Scene<'_>, filling: usize, random: &mut Random) -> Vec<u8> {
    let mut out = Vec::with_capacity(1_400 + filling);
    let mut json = Json::new(&mut out, scene.ascii);
    json.open();
    match scene.facts.family {
        Family::Signal => signal::alert(&mut json, scene, random),
        Family::Investigation => signal::investigation(&mut json, scene, random),
        Family::DlpMatch => dlp_match(&mut json, scene, random),
        Family::File => file(&mut json, scene, random),
        Family::MailAccess => mail_access(&mut json, scene, random),
        Family::MailSend => mail_send(&mut json, scene, random),
        Family::Chat => chat(&mut json, scene, random),
        Family::SignIn => sign_in(&mut json, scene, random),
    }
    let has_data = matches!(scene.facts.family, Family::Signal | Family::Investigation);
    if let (Some(policy), false) = (scene.spec.policy, has_data) {
        json.nested("Data", &signal::details(scene, policy, random), true);
    }
    extended_properties(&mut json, filling, random);
    json.close();
    out
}

/// Writes the columns that every audit record has.
pub(super) fn common(json: &mut Json<'_>, scene: &Scene<'_>, random: &mut Random) {
    let (spec, facts) = (scene.spec, &scene.facts);
    json.time("CreationTime", spec.time, spec.time_form);
    json.guid("Id", scene.id);
    json.text("Operation", facts.action);
    json.guid("OrganizationId", spec.tenant.entra);
    record_type(json, facts.record_type, random);
    let (user_id, user_type) = match facts.family {
        Family::Signal => ("SecurityComplianceAlerts", 4),
        Family::Investigation => ("AirInvestigation", 4),
        Family::DlpMatch => ("DlpPolicyEngine", 4),
        _ => (spec.user.upn.as_str(), 0),
    };
    json.text("UserId", user_id);
    json.text("UserKey", user_id);
    json.int("UserType", user_type);
    json.int("Version", 1);
    json.text("Workload", facts.workload);
}

/// Writes the type of an audit record, as a number or as a string.
pub(in crate::generate) fn record_type(json: &mut Json<'_>, number: u64, random: &mut Random) {
    if random.one_in(8) {
        json.text("RecordType", &number.to_string());
    } else {
        json.int("RecordType", number);
    }
}

/// Returns the URL of a file.
pub(super) fn url(file: &str) -> String {
    format!("{}Shared%20Documents/{}", site(), file.replace(' ', "%20"))
}

fn site() -> String {
    format!("https://sharepoint.{}/sites/operations/", Tenant::DOMAIN)
}

fn file(json: &mut Json<'_>, scene: &Scene<'_>, random: &mut Random) {
    if !scene.compact() {
        json.object("AppAccessContext");
        json.guid("AADSessionId", random.guid());
        json.guid("CorrelationId", random.guid());
        json.close();
    }
    common(json, scene, random);
    json.text("ClientIP", &scene.address);
    json.text("AuthenticationType", "OAuth");
    json.text("EventSource", "SharePoint");
    json.text("ItemType", "File");
    json.boolean("IsManagedDevice", !random.one_in(5));
    json.text("SourceFileName", &scene.file);
    json.text("ObjectId", &url(&scene.file));
    if scene.compact() {
        return;
    }
    json.guid("ListItemUniqueId", random.guid());
    json.guid("WebId", random.guid());
    json.text("SiteUrl", &site());
    json.text("SourceFileExtension", scene.file.rsplit('.').next().unwrap_or_default());
    json.text("SourceRelativeUrl", "Shared Documents");
    json.text("UserAgent", scene.agent.0);
}

fn mail_access(json: &mut Json<'_>, scene: &Scene<'_>, random: &mut Random) {
    common(json, scene, random);
    json.text("ClientIPAddress", &scene.address);
    json.text("ClientInfoString", "Client=REST;Client=RESTSystem;;");
    json.boolean("ExternalAccess", false);
    json.int("LogonType", 0);
    json.guid("MailboxGuid", random.guid());
    json.text("MailboxOwnerUPN", &scene.spec.user.upn);
    let count = if scene.compact() { 1 } else { random.between(1, 3) };
    json.list("Folders");
    json.item();
    json.text("Path", random.pick(&["\\Inbox", "\\Boîte de réception", "\\Archive\\2025"]));
    json.list("FolderItems");
    for _ in 0..count {
        json.item();
        json.text("InternetMessageId", &message_id(random));
        json.int("SizeInBytes", random.between(4_000, 900_000));
        json.close();
    }
    json.close_list();
    json.close();
    json.close_list();
    json.int("OperationCount", count);
    let access = if random.one_in(4) { "Sync" } else { "Bind" };
    json.pairs("OperationProperties", &[("MailAccessType", access)]);
    json.text("ResultStatus", "Succeeded");
    json.text(
        "OriginatingServer",
        &format!("MBX{:03} (15.20.9000.000)\r\n", random.below(1_000)),
    );
}

fn mail_send(json: &mut Json<'_>, scene: &Scene<'_>, random: &mut Random) {
    common(json, scene, random);
    json.text("ClientIP", &scene.address);
    json.text("ClientInfoString", "Client=OWA;Action=ViaProxy");
    json.guid("MailboxGuid", random.guid());
    json.text("MailboxOwnerUPN", &scene.spec.user.upn);
    json.object("Item");
    json.text("InternetMessageId", &message_id(random));
    json.text("Subject", &format!("Re: {}", scene.file));
    json.int("SizeInBytes", random.between(2_000, 4_000_000));
    json.text(
        "Attachments",
        &format!("{} ({}b); ", scene.file, random.between(1_000, 900_000)),
    );
    json.close();
    json.list("Recipients");
    json.text_item(&format!("partner{}@fabrikam.example", random.below(90)));
    json.close_list();
    json.text("ResultStatus", "Succeeded");
}

pub(in crate::generate) fn message_id(random: &mut Random) -> String {
    format!("<{:016x}@mail.{}>", random.bits(), Tenant::DOMAIN)
}

/// Writes a message in a conversation, and the participants.
pub(in crate::generate) fn thread(json: &mut Json<'_>, id: &str, tenant: &Tenant, random: &mut Random) {
    json.list("ExtraProperties");
    json.close_list();
    json.text("ItemName", id);
    json.text("MessageId", &random.between(1_700_000_000_000, 1_799_999_999_999).to_string());
    json.text("MessageVersion", "0");
    json.object("ParticipantInfo");
    for column in [
        "HasForeignTenantUsers",
        "HasGuestUsers",
        "HasOtherGuestUsers",
        "HasUnauthenticatedUsers",
    ] {
        json.boolean(column, random.one_in(12));
    }
    json.list("ParticipatingDomains");
    json.text_item(Tenant::DOMAIN);
    json.close_list();
    json.close();
    json.guid("ResourceTenantId", tenant.entra);
}

fn chat(json: &mut Json<'_>, scene: &Scene<'_>, random: &mut Random) {
    let id = format!("19:{}@thread.contoso.example", random.guid());
    json.text("ChatThreadId", &id);
    json.text("CommunicationType", random.pick(&["GroupChat", "OneOnOne", "TeamChat"]));
    common(json, scene, random);
    thread(json, &id, scene.spec.tenant, random);
}

fn sign_in(json: &mut Json<'_>, scene: &Scene<'_>, random: &mut Random) {
    common(json, scene, random);
    json.text("ActorIpAddress", &scene.address);
    json.text("ClientIP", &scene.address);
    json.guid("ApplicationId", random.guid());
    json.guid("InterSystemsId", random.guid());
    json.guid("IntraSystemId", random.guid());
    json.text("ErrorNumber", "0");
    json.pairs(
        "DeviceProperties",
        &[
            ("OS", scene.agent.2),
            ("BrowserType", "Other"),
            ("IsCompliantAndManaged", "True"),
        ],
    );
    json.text("ResultStatus", "Success");
}

/// Writes what a rule of data loss prevention has found.
pub(in crate::generate) fn conditions(json: &mut Json<'_>, finding: &str, random: &mut Random) {
    json.object("ConditionsMatched");
    json.list("SensitiveInformation");
    json.item();
    json.int("Confidence", random.pick(&[65, 75, 85]));
    json.int("Count", random.between(1, 40));
    json.text("SensitiveInformationTypeName", finding);
    json.close();
    json.close_list();
    json.close();
}

fn dlp_match(json: &mut Json<'_>, scene: &Scene<'_>, random: &mut Random) {
    let theme = scene.spec.policy.map(|policy| policy.theme);
    common(json, scene, random);
    json.guid("IncidentId", random.guid());
    json.text("ObjectId", &url(&scene.file));
    json.list("PolicyDetails");
    json.item();
    json.guid("PolicyId", random.guid());
    json.text("PolicyName", "Company data protection baseline");
    json.list("Rules");
    json.item();
    json.guid("RuleId", random.guid());
    json.text("RuleName", theme.map_or("Personal data, low volume", |theme| theme.name));
    json.text("RuleMode", "Enable");
    json.text("Severity", theme.map_or("Low", |theme| theme.severity));
    json.list("Actions");
    json.text_item("NotifyUser");
    json.close_list();
    conditions(json, theme.map_or("Person name", |theme| theme.finding), random);
    json.close();
    json.close_list();
    json.close();
    json.close_list();
    json.object("SharePointMetaData");
    json.text("FileName", &scene.file);
    json.text("FileOwner", &scene.spec.user.name);
    json.text("FilePathUrl", &url(&scene.file));
    json.text("From", &scene.spec.user.upn);
    json.text("SiteCollectionUrl", &site());
    json.close();
    json.boolean("SensitiveInfoDetectionIsIncluded", false);
}

/// Writes name and value pairs of about `filling` bytes.
fn extended_properties(json: &mut Json<'_>, filling: usize, random: &mut Random) {
    if filling < 60 {
        return;
    }
    let upto = json.out.len() + filling;
    json.list("ExtendedProperties");
    while json.out.len() < upto {
        json.item();
        json.text(
            "Name",
            random.pick(&[
                "additionalDetails",
                "requestType",
                "correlationVector",
                "SessionId",
                "ClientRequestId",
            ]),
        );
        json.guid("Value", random.guid());
        json.close();
    }
    json.close_list();
}
