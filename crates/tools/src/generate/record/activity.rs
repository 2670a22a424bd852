use super::cast::{AGENTS, PLACES, file_name};
use super::kind::{Facts, Family};
use super::{Delivery, Kind, Policy, Tenant, User, raw, wrap};
use crate::generate::json::{Json, TimeForm};
use crate::generate::messages::Rows;
use crate::generate::random::{Guid, Purpose, Random};
use crate::time::EventTime;

/// The specification of an activity.
#[derive(Clone, Copy, Debug)]
pub struct ActivitySpec<'a> {
    /// The seed of everything that is not specified here. Two activities must not share a seed, because it also
    /// determines the record's ids.
    pub seed: u64,
    /// The time when it happened.
    pub time: EventTime,
    /// The format of `RawEventData.CreationTime`.
    pub time_form: TimeForm,
    /// The kind of activity.
    pub kind: Kind,
    /// The alert policy that the activity triggered. Its id is `RawEventData.Data.cid`. With `None`, there is no
    /// correlation id, and `Data` exists only if the kind has it.
    pub policy: Option<&'a Policy>,
    /// The provider's id of the alert that an alert-signal record is about. With `None`, the record gets an id of its
    /// own.
    pub alert: Option<Guid>,
    /// The user who did it.
    pub user: &'a User,
    /// The tenant.
    pub tenant: &'a Tenant,
    /// Approximate size of the record in bytes, including its envelope. Below 1 600 bytes, columns that are often empty
    /// are omitted. No record is smaller than its other columns, some 1 400 to 2 300 bytes, depending on its kind.
    pub size: usize,
}

/// Appends an activity in the envelope of `delivery`: one JSON object on one line, without a line end.
pub fn activity(out: &mut Vec<u8>, spec: &ActivitySpec<'_>, delivery: &Delivery) {
    let mut random = Random::new(spec.seed, Purpose::Content, 0);
    let scene = Scene::new(spec, &mut random);
    let room = spec.size.saturating_sub(ORDINARY);
    // For half of the records, half of the filling goes into the raw event. So what a reader must skip is both before
    // and inside what it looks for.
    let filling = if random.one_in(2) { room / 2 } else { 0 };
    let event = raw::event(&scene, filling, &mut random);
    wrap(out, Rows::Activities, spec.tenant, delivery, |json| {
        columns(json, &scene, &event, &mut random)
    });
}

/// Approximate size of a record without any filling.
const ORDINARY: usize = 2_000;
/// Approximate size of an envelope.
const ENVELOPE: usize = 320;
/// Approximate size of the columns after `ActivityObjects`.
const TAIL: usize = 720;
/// Half the size of an element of `ActivityObjects`: filling with whole elements exceeds the size by about this much.
const HALF_ELEMENT: usize = 70;
/// Below this size, columns that are often empty are left out.
const COMPACT: usize = 1_600;

/// The values that several columns of one record have in common.
pub(super) struct Scene<'a> {
    pub(super) spec: &'a ActivitySpec<'a>,
    pub(super) facts: Facts<Family>,
    /// `RawEventData.Id`, which is also part of `ReportId`.
    pub(super) id: Guid,
    pub(super) alert: Guid,
    pub(super) file: String,
    pub(super) address: String,
    pub(super) place: (&'static str, &'static str, &'static str),
    pub(super) agent: (&'static str, &'static str, &'static str),
    /// Whether the producer escapes characters outside ASCII.
    pub(super) ascii: bool,
}

impl<'a> Scene<'a> {
    fn new(spec: &'a ActivitySpec<'a>, random: &mut Random) -> Self {
        let (id, alert) = (random.guid(), random.guid());
        Self {
            spec,
            facts: spec.kind.facts(),
            id,
            alert: spec.alert.unwrap_or(alert),
            file: file_name(spec.policy, random),
            address: address(random),
            place: random.pick(&PLACES),
            agent: random.pick(&AGENTS),
            ascii: random.one_in(3),
        }
    }

    /// Returns whether a service wrote the record, not the client of a user.
    fn is_service(&self) -> bool {
        self.spec.kind.is_alert_signal() || self.facts.family == Family::Chat
    }

    /// Returns whether optional columns are omitted.
    pub(super) fn compact(&self) -> bool {
        self.spec.size < COMPACT
    }
}

/// Draws an address of a network that is reserved for documentation.
fn address(random: &mut Random) -> String {
    match random.below(8) {
        0 => format!("2001:db8:{:x}::{:x}", random.below(65_536), random.between(1, 65_535)),
        1..=3 => format!("198.51.100.{}", random.between(1, 254)),
        4..=5 => format!("192.0.2.{}", random.between(1, 254)),
        _ => format!("203.0.113.{}", random.between(1, 254)),
    }
}

fn columns(json: &mut Json<'_>, scene: &Scene<'_>, event: &[u8], random: &mut Random) {
    json.ascii = scene.ascii;
    let begin = json.out.len();
    let (spec, facts) = (scene.spec, &scene.facts);
    // Both spellings of this kind occur.
    let dlp = spec.kind == Kind::DlpRuleMatch && random.one_in(2);
    json.text("ActionType", if dlp { "DlpRuleMatch" } else { facts.action });
    json.text("Application", facts.application);
    json.int("ApplicationId", facts.application_id);
    if !scene.compact() {
        json.int("AppInstanceId", 0);
    }
    who(json, scene, random);
    place(json, scene);
    json.text("ActivityType", facts.activity_type);
    object(json, scene);
    let as_string = random.one_in(3);
    let taken = event.len() + if as_string { event.len() / 8 } else { 0 } + TAIL + ENVELOPE + HALF_ELEMENT;
    activity_objects(json, scene, begin + spec.size.saturating_sub(taken), random);
    json.nested("RawEventData", event, as_string);
    tail(json, scene, random);
}

fn who(json: &mut Json<'_>, scene: &Scene<'_>, random: &mut Random) {
    let user = scene.spec.user;
    json.guid("AccountObjectId", user.id);
    if random.one_in(3) {
        json.text("AccountId", &user.upn);
    } else {
        json.guid("AccountId", user.id);
    }
    json.text("AccountDisplayName", &user.name);
    json.text("AccountType", if random.one_in(12) { "Admin" } else { "Regular" });
    match random.below(40) {
        0 => json.int("IsAdminOperation", 0),
        1 => json.boolean("IsAdminOperation", true),
        _ => json.boolean("IsAdminOperation", false),
    }
    if !scene.compact() {
        json.boolean("IsExternalUser", false);
        json.boolean("IsImpersonated", false);
    }
}

/// Writes the columns about a client as null.
pub(in crate::generate) fn no_client(json: &mut Json<'_>) {
    for column in [
        "DeviceType",
        "OSPlatform",
        "IPAddress",
        "IsAnonymousProxy",
        "CountryCode",
        "City",
        "ISP",
        "UserAgent",
    ] {
        json.null(column);
    }
}

fn place(json: &mut Json<'_>, scene: &Scene<'_>) {
    if scene.is_service() {
        if !scene.compact() {
            no_client(json);
        }
        return;
    }
    let ((city, country, provider), (agent, device, platform)) = (scene.place, scene.agent);
    json.text("IPAddress", &scene.address);
    if scene.compact() {
        return;
    }
    json.text("DeviceType", device);
    json.text("OSPlatform", platform);
    json.boolean("IsAnonymousProxy", false);
    json.text("CountryCode", country);
    json.text("City", city);
    json.text("ISP", provider);
    json.text("UserAgent", agent);
}

fn object(json: &mut Json<'_>, scene: &Scene<'_>) {
    let named = matches!(scene.facts.family, Family::File | Family::DlpMatch) || scene.spec.policy.is_some();
    if named {
        json.text("ObjectName", &scene.file);
        json.text("ObjectType", "File");
        if !scene.compact() {
            json.text("ObjectId", &raw::url(&scene.file));
        }
    } else if !scene.compact() {
        json.null("ObjectName");
        json.text("ObjectType", scene.facts.object_type);
        json.null("ObjectId");
    }
}

/// Writes the actor, then further objects until the buffer has grown to `upto`.
fn activity_objects(json: &mut Json<'_>, scene: &Scene<'_>, upto: usize, random: &mut Random) {
    if scene.compact() {
        // Both forms of an empty list occur.
        let empty: &[u8] = if random.one_in(4) { b"\"\"" } else { b"[]" };
        return json.raw("ActivityObjects", empty);
    }
    let user = scene.spec.user;
    json.list("ActivityObjects");
    json.item();
    json.text("Type", "User");
    json.text("Role", "Actor");
    json.text("Name", &user.name);
    json.guid("Id", user.id);
    json.int("ApplicationId", 11_161);
    json.int("ApplicationInstance", 0);
    json.close();
    let mut number = 0;
    while json.out.len() < upto {
        number += 1;
        further_object(json, number, random);
    }
    json.close_list();
}

fn further_object(json: &mut Json<'_>, number: u64, random: &mut Random) {
    json.item();
    match random.below(3) {
        0 => {
            json.text("Type", "File");
            json.text("Role", if number == 1 { "Target object" } else { "Parameter" });
            json.text("Name", &file_name(None, random));
            json.guid("Id", random.guid());
            json.int("ApplicationId", 20_892);
        }
        1 => {
            json.text("Type", "Structured object");
            json.text("Role", "Parameter");
            json.text(
                "ServiceObjectType",
                random.pick(&["Session ID", "Microsoft Team", "SharePoint list item"]),
            );
            json.guid("Value", random.guid());
        }
        _ => {
            json.text("Type", "Property");
            json.text("Role", "Parameter");
            json.text(
                "Name",
                random.pick(&[
                    "SharingLinkScope",
                    "SensitivityLabel",
                    "ClientRequestId",
                    "SiteSensitivityLabelId",
                ]),
            );
            json.guid("Value", random.guid());
            json.text("ServiceObjectType", "Item property");
        }
    }
    json.close();
}

/// Writes when the user's values were last seen, and the source of the record.
pub(in crate::generate) fn source(json: &mut Json<'_>, random: &mut Random) {
    json.object("LastSeenForUser");
    for column in ["ActionType", "ISP", "IPAddress", "Application"] {
        json.int(column, random.below(30));
    }
    json.close();
    json.null("SessionData");
    json.text("AuditSource", "Defender for Cloud Apps app connector");
    json.null("OAuthAppId");
}

fn tail(json: &mut Json<'_>, scene: &Scene<'_>, random: &mut Random) {
    let spec = scene.spec;
    // Fields that are objects occur as such, or as strings that hold them.
    if !scene.compact() {
        json.nested("AdditionalFields", br#"{"IsSatelliteProvider":false}"#, random.one_in(6));
        let tags: &[u8] = if random.one_in(5) {
            br#"["Corporate network"]"#
        } else {
            b"null"
        };
        json.raw("IPTags", tags);
        json.text("IPCategory", "Corporate");
        json.null("UserAgentTags");
        json.raw("UncommonForUser", br#"["ISP"]"#);
        source(json, random);
    }
    json.text("ReportId", &report_id(scene, random));
    json.time("Timestamp", spec.time, TimeForm::zulu(0));
}

fn report_id(scene: &Scene<'_>, random: &mut Random) -> String {
    let application = scene.facts.application_id;
    if random.one_in(10) {
        format!("{:016x}{:032x}_{application}", random.bits(), scene.id.0)
    } else {
        format!("{}_{application}_{}", random.between(10_000_000, 99_999_999), scene.id)
    }
}
