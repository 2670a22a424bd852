use std::borrow::Cow;
use std::time::Duration;

use askama::Template;
use uuid::Uuid as Guid;

use super::act::{Act, Facts, Family};
use super::cast::{Account, Client, Policy, Tenant};
use super::file::File;
use super::render::{Letters, filters};
use super::{DLP_POLICY, Delivery, DlpIds, Form};
use crate::generate::TimeForm;
use crate::generate::random::{Purpose, Random};
use crate::time::{EventTime, TICKS_PER_SECOND};

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
    /// The file that it concerns. With `None`, an act on a file and a record about an alert concern a file of their
    /// own, and others concern no file.
    pub file: Option<&'a File>,
    /// The policy that the activity triggered, or that a record of data loss prevention or of an alert names.
    pub policy: Option<&'a Policy>,
    /// Whether the id of the policy is written as `RawEventData.Data.cid`.
    pub cid: Presence,
    /// The alert that a record about an alert describes. With `None`, such a record describes an alert of its own.
    pub alert: Option<About>,
    /// The tenant.
    pub tenant: &'a Tenant,
    /// Approximate size of the record in bytes, including its envelope; `None` for the size that it has by itself.
    /// Below 2 400 bytes, columns that are often empty are omitted. No record is smaller than its other columns, some
    /// 1 100 to 2 300 bytes, depending on its act.
    pub size: Option<usize>,
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
}

/// Whether a record contains a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Presence {
    /// The record contains the value.
    Present,
    /// The record does not contain the value.
    Absent,
}

impl<'a> Deed<'a> {
    /// Returns the specification of an act that concerns no file, no policy and no alert.
    pub fn new(seed: u64, time: EventTime, act: Act, account: &'a Account, tenant: &'a Tenant) -> Self {
        Self {
            seed,
            time,
            time_form: TimeForm::FULL,
            act,
            account,
            object_id: Presence::Present,
            file: None,
            policy: None,
            cid: Presence::Absent,
            alert: None,
            tenant,
            size: None,
        }
    }
}

impl About {
    /// Draws the times of an alert whose record is written at `time`: half of the alerts end then, the others up to 40
    /// minutes earlier.
    pub(in crate::generate) fn before(time: EventTime, id: Guid, random: &Random) -> Self {
        let lag = random.below(2) * random.below(2_400);
        let length = random.below(3) / 2 * random.below(900);
        // These times are whole seconds.
        let whole = EventTime::from_ticks(time.ticks() - time.ticks().rem_euclid(TICKS_PER_SECOND));
        let end = whole.minus(Duration::from_secs(lag));
        Self {
            id,
            start: end.minus(Duration::from_secs(length)),
            end,
        }
    }
}

/// The ids by which a single activity can be found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::generate) struct Ids {
    /// `RawEventData.Id`
    pub(in crate::generate) id: Guid,
    /// `ReportId`
    pub(in crate::generate) report_id: String,
}

/// Returns the ids of the activity with this seed.
pub(in crate::generate) fn ids(seed: u64, act: Act) -> Ids {
    let random = Random::new(seed, Purpose::Content, 2);
    let id = random.guid();
    let application = act.facts().application_id;
    let report_id = if random.one_in(10) {
        format!("{}{}_{application}", random.hex(), id.simple())
    } else {
        format!("{}_{application}_{id}", random.between(10_000_000, 99_999_999))
    };
    Ids { id, report_id }
}

/// The values that several columns of one record have in common.
struct Scene<'a> {
    deed: &'a Deed<'a>,
    facts: Facts,
    ids: Ids,
    client: Client,
    file: Option<Cow<'a, File>>,
    policy: Cow<'a, Policy>,
    about: About,
    /// The id of what a rule matched.
    unique: Guid,
    /// The format of times in `Data`.
    about_form: TimeForm,
    /// Whether optional columns are omitted.
    is_compact: bool,
}

/// Below this size, columns that are often empty are left out.
const COMPACT: usize = 2_400;
/// Approximate size of a record without any filling, without and with these columns.
const ORDINARY: [usize; 2] = [1_550, 2_700];
/// Approximate size of a record without any filling and without the raw event.
const AROUND: usize = 1_700;
/// Approximate size of an element of `ExtendedProperties`.
const PROPERTY: usize = 75;
/// Approximate size of a further element of `ActivityObjects`.
const OBJECT: usize = 135;

const SPACED: TimeForm = TimeForm {
    digits: 0,
    zone: true,
    separator: ' ',
};

impl<'a> Scene<'a> {
    fn new(deed: &'a Deed<'a>, random: &Random) -> Self {
        let facts = deed.act.facts();
        let unlisted = || Cow::Owned(Policy::unlisted(random.guid()));
        let has_file = matches!(facts.family, Family::File | Family::Signal);
        let own = || has_file.then(|| Cow::Owned(File::new(deed.seed, random.below(10_000), deed.policy, deed.account)));
        Self {
            deed,
            facts,
            file: deed.file.map_or_else(own, |file| Some(Cow::Borrowed(file))),
            ids: ids(deed.seed, deed.act),
            client: deed.account.client(deed.time),
            policy: deed.policy.map_or_else(unlisted, Cow::Borrowed),
            about: deed.alert.unwrap_or_else(|| About::before(deed.time, random.guid(), random)),
            unique: random.guid(),
            about_form: if random.one_in(3) { SPACED } else { TimeForm::FULL },
            is_compact: deed.size.is_some_and(|size| size < COMPACT),
        }
    }

    /// Returns the name of the service that writes the record, or `None` if one of the tenant's people does.
    fn service(&self) -> Option<&'static str> {
        match self.facts.family {
            Family::Signal => Some("SecurityComplianceAlerts"),
            Family::DlpMatch => Some("DlpPolicyEventBasedAssistant"),
            Family::Investigation => Some("AirInvestigation"),
            _ => None,
        }
    }

    /// Returns the name and the id of who did it.
    fn actor(&self) -> (&str, &str) {
        let account = self.deed.account;
        self.service().map_or((&account.name, &account.upn), |name| (name, name))
    }

    fn object_id(&self) -> Option<Guid> {
        self.deed
            .account
            .object_id()
            .filter(|_| self.deed.object_id == Presence::Present)
    }

    fn is_guest(&self) -> bool {
        self.service().is_none() && self.deed.account.object_id().is_none()
    }

    fn has_client(&self) -> bool {
        self.service().is_none() && self.facts.family != Family::Teams
    }

    /// Returns the file that the columns name.
    fn object(&self) -> Option<&File> {
        self.file.as_deref().filter(|_| self.facts.family != Family::Signal)
    }

    /// Returns the file that somebody worked on.
    fn work(&self) -> Option<&File> {
        self.file.as_deref().filter(|_| self.facts.family == Family::File)
    }

    /// Returns the workload, which for files depends on their location.
    fn workload(&self) -> &'static str {
        match (self.facts.family, &self.file) {
            (Family::File | Family::DlpMatch, Some(file)) => file.workload,
            (Family::DlpMatch, None) => "Exchange",
            _ => self.facts.workload,
        }
    }

    /// Returns the workload's own id for a person.
    fn user_key(&self) -> String {
        let id = self.deed.account.id;
        match self.facts.family {
            Family::File => format!("i:0h.f|membership|{:016x}@live.example", id.as_u64_pair().1),
            Family::SignIn | Family::Teams => id.to_string(),
            _ => format!("1003{:012X}", id.as_u64_pair().1 >> 16),
        }
    }

    fn accessed_mails(&self, random: &Random) -> u64 {
        if self.is_compact { 1 } else { random.between(1, 4) }
    }

    fn dlp(&self) -> DlpIds {
        DlpIds::new(&self.policy)
    }

    fn has_cid(&self) -> bool {
        self.deed.cid == Presence::Present && self.deed.policy.is_some()
    }

    /// Returns whether records of this family have `Data`, with or without a correlation id.
    fn has_data(&self) -> bool {
        matches!(self.facts.family, Family::Signal | Family::Investigation)
    }
}

/// `RawEventData`: the audit record from which an activity is created.
#[derive(Template)]
#[template(path = "event.json")]
struct EventTemplate<'a> {
    scene: &'a Scene<'a>,
    properties: usize,
    random: &'a Random,
}

#[derive(Template)]
#[template(path = "activity.json")]
struct ActivityTemplate<'a> {
    delivery: &'a Delivery,
    table: &'static str,
    tenant: &'a Tenant,
    scene: &'a Scene<'a>,
    event: &'a str,
    is_string: bool,
    objects: usize,
    random: &'a Random,
}

/// Appends an activity in the envelope of `delivery`: one JSON object on one line, without a line end.
pub fn activity(out: &mut Vec<u8>, deed: &Deed<'_>, delivery: &Delivery) {
    let random = &Random::new(deed.seed, Purpose::Content, 3);
    let scene = &Scene::new(deed, random);
    let letters = Letters::draw(random);
    let size = deed.size.unwrap_or(0);
    // For half of the records, half of the filling goes into the raw event. So what a reader must skip is both before
    // and inside what it looks for.
    let properties = match (scene.is_compact, random.one_in(2)) {
        (true, _) => size.saturating_sub(ORDINARY[0]) / PROPERTY,
        (false, true) => size.saturating_sub(ORDINARY[1]) / 2 / PROPERTY,
        (false, false) => 0,
    };
    let event = letters.render(&EventTemplate {
        scene,
        properties,
        random,
    });
    let is_string = random.one_in(3);
    let taken = event.len() + if is_string { event.len() / 8 } else { 0 } + AROUND;
    let record = letters.render(&ActivityTemplate {
        delivery,
        table: "CloudAppEvents",
        tenant: deed.tenant,
        scene,
        event: &event,
        is_string,
        objects: (size.saturating_sub(taken) + OBJECT / 2) / OBJECT,
        random,
    });
    out.extend_from_slice(record.as_bytes());
}
