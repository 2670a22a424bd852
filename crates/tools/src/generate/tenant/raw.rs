//! `RawEventData`: the audit record from which an activity is created.

use super::act::{Act, Family};
use super::activity::Scene;
use super::files::File;
use super::signal;
use crate::generate::json::Json;
use crate::generate::random::Random;
use crate::generate::record::{Tenant, message_id, record_type, thread};

/// Returns the audit record as a JSON object.
pub(super) fn event(scene: &Scene<'_>, random: &mut Random) -> Vec<u8> {
    Json::object_of(1_600, scene.ascii, |json| {
        common(json, scene, random);
        match scene.facts.family {
            Family::File => file(json, scene, random),
            Family::MailAccess => mail_access(json, scene, random),
            Family::MailSend => mail_send(json, scene, random),
            Family::MailAdmin => mail_admin(json, scene, random),
            Family::SignIn => sign_in(json, scene, random),
            Family::Teams => teams(json, scene, random),
            Family::DlpMatch => signal::dlp_match(json, scene, random),
            Family::Signal => signal::alert(json, scene, random),
        }
    })
}

/// Writes the properties of every audit record.
fn common(json: &mut Json<'_>, scene: &Scene<'_>, random: &mut Random) {
    let (deed, facts) = (scene.deed, &scene.facts);
    json.time("CreationTime", deed.time, deed.time_form);
    json.guid("Id", scene.ids.id);
    json.text("Operation", facts.action);
    json.guid("OrganizationId", deed.tenant.entra);
    record_type(json, facts.record_type, random);
    let user = &deed.account.user;
    // Each workload has its own property for a person.
    let key = match (scene.service(), facts.family) {
        (Some(service), _) => service.to_owned(),
        (None, Family::File) => format!("i:0h.f|membership|{:016x}@live.example", user.id.0 as u64),
        (None, Family::SignIn | Family::Teams) => user.id.to_string(),
        (None, _) => format!("1003{:012X}", user.id.0 as u64 >> 16),
    };
    match scene.service() {
        Some(service) => json.text("UserId", service),
        // Workloads differ in their spelling of principal names.
        None if random.one_in(10) => json.text("UserId", &user.upn.to_uppercase()),
        None => json.text("UserId", &user.upn),
    }
    json.text("UserKey", &key);
    json.int("UserType", if scene.service().is_some() { 4 } else { 0 });
    json.int("Version", 1);
    json.text("Workload", scene.workload());
}

fn file(json: &mut Json<'_>, scene: &Scene<'_>, random: &mut Random) {
    let Some(file) = scene.deed.file else { return };
    json.object("AppAccessContext");
    json.guid("AADSessionId", random.guid());
    json.guid("CorrelationId", random.guid());
    json.close();
    json.text(
        "ApplicationDisplayName",
        random.pick(&["SharePoint", "Microsoft Word", "Microsoft Excel Web"]),
    );
    json.text("AuthenticationType", "OAuth");
    json.text("ClientIP", &scene.client.address);
    json.text("EventSource", "SharePoint");
    json.boolean("IsManagedDevice", !random.one_in(5));
    json.text("ItemType", "File");
    json.guid("ListId", random.guid());
    json.guid("ListItemUniqueId", random.guid());
    json.text("ObjectId", &file.url());
    json.guid("Site", random.guid());
    json.text("SiteUrl", &file.site);
    json.text("SourceFileExtension", file.extension());
    json.text("SourceFileName", &file.name);
    json.text("SourceRelativeUrl", file.folder);
    json.text("UserAgent", scene.client.agent.0);
    json.guid("WebId", random.guid());
    sharing(json, scene, file, random);
}

fn sharing(json: &mut Json<'_>, scene: &Scene<'_>, file: &File, random: &mut Random) {
    match scene.deed.act {
        Act::SharingSet => {
            json.text("EventData", "<Permissions granted>Read</Permissions granted>");
            json.text("TargetUserOrGroupName", &partner(random));
            json.text("TargetUserOrGroupType", "Guest");
        }
        Act::AnonymousLinkCreated => {
            json.text("EventData", "<Type>View</Type>");
            json.guid("UniqueSharingId", random.guid());
            json.text("SharingLinkScope", "Anyone");
        }
        Act::FileSensitivityLabelRemoved => {
            json.guid("OldSensitivityLabelId", random.guid());
            json.text("SensitivityLabelOwnerEmail", &scene.deed.account.user.upn);
            json.text("DestinationFileName", &file.name);
        }
        _ => {}
    }
}

fn partner(random: &mut Random) -> String {
    format!("partner{}@fabrikam.example", random.below(90))
}

/// Writes the properties of every mailbox record.
fn mailbox(json: &mut Json<'_>, scene: &Scene<'_>) {
    json.guid("MailboxGuid", scene.deed.account.user.id);
    json.text("MailboxOwnerUPN", &scene.deed.account.user.upn);
    json.text("OrganizationName", Tenant::DOMAIN);
    json.text("ResultStatus", "Succeeded");
}

fn mail_access(json: &mut Json<'_>, scene: &Scene<'_>, random: &mut Random) {
    json.guid("AppId", random.guid());
    json.text("ClientIPAddress", &scene.client.address);
    json.text("ClientInfoString", "Client=REST;Client=RESTSystem;;");
    json.boolean("ExternalAccess", false);
    json.int("InternalLogonType", 0);
    json.int("LogonType", 0);
    mailbox(json, scene);
    let count = random.between(1, 4);
    json.list("Folders");
    json.item();
    json.list("FolderItems");
    for _ in 0..count {
        json.item();
        json.guid("ClientRequestId", random.guid());
        json.text("InternetMessageId", &message_id(random));
        json.int("SizeInBytes", random.between(4_000, 900_000));
        json.close();
    }
    json.close_list();
    json.text("Path", random.pick(&["\\Inbox", "\\Boîte de réception", "\\Archive\\2025"]));
    json.close();
    json.close_list();
    json.int("OperationCount", count);
    json.pairs(
        "OperationProperties",
        &[
            ("MailAccessType", if random.one_in(4) { "Sync" } else { "Bind" }),
            ("IsThrottled", "False"),
        ],
    );
    json.text(
        "OriginatingServer",
        &format!("MBX{:03} (15.20.9000.000)\r\n", random.below(1_000)),
    );
}

fn mail_send(json: &mut Json<'_>, scene: &Scene<'_>, random: &mut Random) {
    json.text("ClientIP", &scene.client.address);
    json.text("ClientInfoString", "Client=OWA;Action=ViaProxy");
    mailbox(json, scene);
    json.object("Item");
    json.text("InternetMessageId", &message_id(random));
    let subject = scene.deed.policy.map_or("Minutes of today", |policy| policy.theme.file);
    json.text("Subject", &format!("{subject} ({})", random.between(100, 999)));
    json.int("SizeInBytes", random.between(2_000, 4_000_000));
    json.close();
    json.list("Recipients");
    json.text_item(&partner(random));
    json.close_list();
}

fn mail_admin(json: &mut Json<'_>, scene: &Scene<'_>, random: &mut Random) {
    let user = &scene.deed.account.user;
    json.text(
        "ClientIP",
        &format!("{}:{}", scene.client.address, random.between(1_024, 65_000)),
    );
    json.text("ObjectId", &format!("{}\\{}", user.upn, random.below(1 << 40)));
    let partner = partner(random);
    let parameters: [(&str, &str); 3] = match scene.deed.act {
        Act::NewInboxRule => [("Name", "Forward"), ("ForwardTo", &partner), ("StopProcessingRules", "True")],
        Act::AddMailboxPermission => [("Identity", &user.upn), ("User", &partner), ("AccessRights", "FullAccess")],
        _ => [
            ("Identity", &user.upn),
            ("DeliverToMailboxAndForward", "False"),
            ("AuditEnabled", "True"),
        ],
    };
    json.pairs("Parameters", &parameters);
    mailbox(json, scene);
    json.text("SessionId", &random.guid().to_string());
}

fn sign_in(json: &mut Json<'_>, scene: &Scene<'_>, random: &mut Random) {
    json.list("Actor");
    json.item();
    json.guid("ID", scene.deed.account.user.id);
    json.int("Type", 0);
    json.close();
    json.item();
    json.text("ID", &scene.deed.account.user.upn);
    json.int("Type", 5);
    json.close();
    json.close_list();
    json.text("ActorIpAddress", &scene.client.address);
    json.text("ClientIP", &scene.client.address);
    json.guid("ApplicationId", random.guid());
    json.guid("InterSystemsId", random.guid());
    json.guid("IntraSystemId", random.guid());
    json.text("ErrorNumber", "0");
    json.guid("ObjectId", random.guid());
    json.pairs(
        "DeviceProperties",
        &[
            ("OS", scene.client.agent.2),
            ("BrowserType", "Other"),
            ("IsCompliantAndManaged", "True"),
        ],
    );
    json.pairs(
        "ExtendedProperties",
        &[("ResultStatusDetail", "Redirect"), ("RequestType", "OAuth2:Authorize")],
    );
    json.text("ResultStatus", "Success");
}

fn teams(json: &mut Json<'_>, scene: &Scene<'_>, random: &mut Random) {
    let id = format!("19:{}@thread.{}", random.guid(), Tenant::DOMAIN);
    json.text("ChatThreadId", &id);
    json.text("CommunicationType", random.pick(&["GroupChat", "OneOnOne", "Team"]));
    thread(json, &id, scene.deed.tenant, random);
}
