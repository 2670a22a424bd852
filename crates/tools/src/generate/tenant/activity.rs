use super::act::{Act, Family};
use super::files::File;
use super::people::{Account, Client};
use super::raw;
use crate::generate::json::{Json, TimeForm};
use crate::generate::messages::Rows;
use crate::generate::random::{Guid, Purpose, Random};
use crate::generate::record::{Delivery, Facts, Policy, Tenant, no_client, source, wrap};
use crate::time::EventTime;

/// The specification of one activity: who did what to which file, and when.
#[derive(Clone, Copy, Debug)]
pub struct Deed<'a> {
    /// The seed of everything that is not specified here. No two activities may share a seed, because it also
    /// determines the record's ids.
    pub seed: u64,
    /// The time when it happened.
    pub time: EventTime,
    /// The format of `RawEventData.CreationTime`.
    pub time_form: TimeForm,
    /// The act.
    pub act: Act,
    /// The account that did it. For a record that a service writes, the account that the record is about.
    pub account: &'a Account,
    /// Whether `AccountObjectId` is written.
    pub object_id: Presence,
    /// The file that it concerns; `None` if it concerns no file, for example for mail.
    pub file: Option<&'a File>,
    /// The policy that a record of data loss prevention or of an alert names.
    pub policy: Option<&'a Policy>,
    /// The alert that a record about an alert describes.
    pub alert: Option<About>,
    /// The tenant.
    pub tenant: &'a Tenant,
}

/// The content about the alert in a record about an alert.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct About {
    /// The provider's id of the alert.
    pub id: Guid,
    /// The time when the alert's activity began.
    pub start: EventTime,
    /// The time when it ended.
    pub end: EventTime,
    /// Whether `Data.cid` is written, if the record can contain it.
    pub cid: Presence,
}

/// Whether a record contains a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Presence {
    /// The record contains the value.
    Present,
    /// The record does not contain the value.
    Absent,
}

/// The ids by which a single activity can be found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Ids {
    /// `RawEventData.Id`
    pub(super) id: Guid,
    /// `ReportId`
    pub(super) report_id: String,
}

/// Returns the ids of the activity with this seed.
pub(super) fn ids(seed: u64, act: Act) -> Ids {
    let mut random = Random::new(seed, Purpose::Content, 2);
    let id = random.guid();
    let application = act.facts().application_id;
    Ids {
        report_id: format!("{}_{application}_{id}", random.between(10_000_000, 99_999_999)),
        id,
    }
}

/// The values that several columns of one record have in common.
pub(super) struct Scene<'a> {
    pub(super) deed: &'a Deed<'a>,
    pub(super) facts: Facts<Family>,
    pub(super) ids: Ids,
    pub(super) client: Client,
    /// Whether the producer escapes characters outside ASCII.
    pub(super) ascii: bool,
}

impl Scene<'_> {
    /// Returns the name of the service that writes the record, or `None` if one of the tenant's people does.
    pub(super) fn service(&self) -> Option<&'static str> {
        match self.facts.family {
            Family::Signal => Some("SecurityComplianceAlerts"),
            Family::DlpMatch => Some("DlpPolicyEventBasedAssistant"),
            _ => None,
        }
    }

    /// Returns the workload, which for files depends on their location.
    pub(super) fn workload(&self) -> &'static str {
        match (self.facts.family, self.deed.file) {
            (Family::File | Family::DlpMatch, Some(file)) => file.workload,
            (Family::DlpMatch, None) => "Exchange",
            _ => self.facts.workload,
        }
    }
}

/// Appends an activity in the envelope of `delivery`: one JSON object on one line, without a line end.
pub fn activity(out: &mut Vec<u8>, deed: &Deed<'_>, delivery: &Delivery) {
    let mut random = Random::new(deed.seed, Purpose::Content, 3);
    let scene = Scene {
        deed,
        facts: deed.act.facts(),
        ids: ids(deed.seed, deed.act),
        client: deed.account.client(deed.time),
        ascii: random.one_in(3),
    };
    let event = raw::event(&scene, &mut random);
    wrap(out, Rows::Activities, deed.tenant, delivery, |json| {
        json.ascii = scene.ascii;
        columns(json, &scene, &event, &mut random);
    });
}

fn columns(json: &mut Json<'_>, scene: &Scene<'_>, event: &[u8], random: &mut Random) {
    let facts = &scene.facts;
    json.text("ActionType", facts.action);
    json.int("ApplicationId", facts.application_id);
    who(json, scene, random);
    place(json, scene);
    json.boolean("IsAdminOperation", facts.family == Family::MailAdmin && random.one_in(4));
    activity_objects(json, scene);
    json.nested("AdditionalFields", br#"{"IsSatelliteProvider":false}"#, random.one_in(6));
    json.text("ActivityType", facts.activity_type);
    object(json, scene);
    json.int("AppInstanceId", 0);
    json.boolean(
        "IsExternalUser",
        scene.service().is_none() && scene.deed.account.object_id().is_none(),
    );
    json.boolean("IsImpersonated", false);
    json.null("IPTags");
    json.null("IPCategory");
    json.null("UserAgentTags");
    json.nested("RawEventData", event, random.one_in(4));
    json.raw("UncommonForUser", if random.one_in(12) { br#"["ISP"]"# } else { b"[]" });
    source(json, random);
    json.text("ReportId", &scene.ids.report_id);
    json.time("Timestamp", scene.deed.time, TimeForm::zulu(0));
    json.text("Application", facts.application);
}

fn who(json: &mut Json<'_>, scene: &Scene<'_>, random: &mut Random) {
    if let Some(service) = scene.service() {
        json.text("AccountDisplayName", service);
        json.null("AccountObjectId");
        json.text("AccountId", service);
        json.text("AccountType", "Application");
        return;
    }
    let account = scene.deed.account;
    json.text("AccountDisplayName", &account.user.name);
    match account.object_id().filter(|_| scene.deed.object_id == Presence::Present) {
        Some(id) => {
            json.guid("AccountObjectId", id);
            json.guid("AccountId", id);
        }
        None => {
            let empty: &[u8] = if random.one_in(3) { b"\"\"" } else { b"null" };
            json.raw("AccountObjectId", empty);
            json.text("AccountId", &account.user.upn);
        }
    }
    json.text("AccountType", "Regular");
}

fn place(json: &mut Json<'_>, scene: &Scene<'_>) {
    if scene.service().is_some() || scene.facts.family == Family::Teams {
        return no_client(json);
    }
    let ((city, country, provider), (agent, device, platform)) = (scene.client.place, scene.client.agent);
    json.text("DeviceType", device);
    json.text("OSPlatform", platform);
    json.text("IPAddress", &scene.client.address);
    json.boolean("IsAnonymousProxy", false);
    json.text("CountryCode", country);
    json.text("City", city);
    json.text("ISP", provider);
    json.text("UserAgent", agent);
}

fn object(json: &mut Json<'_>, scene: &Scene<'_>) {
    match scene.deed.file.filter(|_| scene.facts.family != Family::Signal) {
        Some(file) => {
            json.text("ObjectName", &file.name);
            json.text("ObjectType", "File");
            json.text("ObjectId", &file.url());
        }
        None => {
            json.null("ObjectName");
            json.text("ObjectType", scene.facts.object_type);
            json.null("ObjectId");
        }
    }
}

fn activity_objects(json: &mut Json<'_>, scene: &Scene<'_>) {
    let deed = scene.deed;
    json.list("ActivityObjects");
    json.item();
    match scene.service() {
        Some(service) => {
            json.text("Type", "Account");
            json.text("Role", "Actor");
            json.text("Name", service);
            json.text("Id", service);
        }
        None => {
            json.text("Type", "User");
            json.text("Role", "Actor");
            json.text("Name", &deed.account.user.name);
            json.text("Id", &deed.account.user.upn);
        }
    }
    json.int("ApplicationId", 11_161);
    json.int("ApplicationInstance", 0);
    json.close();
    if let Some(file) = deed.file.filter(|_| scene.facts.family == Family::File) {
        json.item();
        json.text("Type", "File");
        json.text("Role", "Target object");
        json.text("Name", &file.name);
        json.text("Id", &file.url());
        json.int("ApplicationId", scene.facts.application_id);
        json.int("ApplicationInstance", 0);
        json.close();
        json.item();
        json.text("Type", "Site");
        json.text("Role", "Parameter");
        json.text("Name", &file.site);
        json.close();
    }
    json.close_list();
}
