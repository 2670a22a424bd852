use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use uuid::Uuid as Guid;

use super::plan::TenantPlan;
use crate::generate::record::{Family, Presence, ids, is_guest};
use crate::generate::tables::{Plan as _, Planned, PlannedAlert, Version};
use crate::time::{Bounds, EventTime};
use crate::words::duration;

/// A link, which is a way for an activity to belong to an alert. [`LINKS_TOML`](super::LINKS_TOML) is the configuration
/// of all links except the query.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Link {
    /// Its name.
    pub name: &'static str,
    /// Whether activities exactly at the ends of the window belong to it.
    pub bounds: Bounds,
    /// The time by which the window is extended before `StartTime` and after `EndTime`.
    pub margin: Duration,
    /// A description of the key that an activity and an alert have in common.
    pub key: &'static str,
}

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// The links whose rows [`Truth`] lists.
pub const LINKS: [Link; 4] = [
    Link {
        name: "query",
        bounds: Bounds::Exclusive,
        margin: Duration::ZERO,
        key: "RawEventData.Data.cid of the activity is AlertType of the alert",
    },
    Link {
        name: "users",
        bounds: Bounds::Inclusive,
        margin: HOUR,
        key: "AccountObjectId of the activity, else name and suffix of its RawEventData.UserId, is AadUserId of an account of the alert, \
              else its name and suffix",
    },
    Link {
        name: "audit",
        bounds: Bounds::Inclusive,
        margin: HOUR,
        key: "RawEventData.AlertId of the activity is VendorOriginalId of the alert without dl or fa",
    },
    Link {
        name: "file",
        bounds: Bounds::Inclusive,
        margin: DAY,
        key: "the address of the activity's file, percent-decoded, is that of a file of the alert",
    },
];
const QUERY: usize = 0;
const USERS: usize = 1;
const AUDIT: usize = 2;
const FILE: usize = 3;

/// An activity that belongs to an alert by a link: a line of a truth file.
#[derive(Serialize, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Fact {
    /// `SystemAlertId`
    #[serde(serialize_with = "as_text")]
    pub alert: Guid,
    /// The link's name.
    pub link: &'static str,
    /// The key that they have in common: `correlation_id` of the output.
    pub key: String,
    /// `RawEventData.Id` of the activity.
    #[serde(serialize_with = "as_text")]
    pub activity: Guid,
    /// `ReportId` of the activity.
    pub report_id: String,
    /// The time when it happened.
    #[serde(rename = "activity_time", serialize_with = "as_text")]
    pub time: EventTime,
}

fn as_text<S: Serializer>(value: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// A key that an activity and an alert may have in common. Accounts, policies and files are given by number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Key {
    Policy(usize),
    ObjectId(u64),
    Name(u64),
    Alert(Guid),
    File(u64),
}

/// A window of an alert, with the link's margins.
#[derive(Clone, Copy, Debug)]
struct LinkedWindow {
    from: EventTime,
    to: EventTime,
    link: usize,
    alert: Guid,
}

/// The pairs of activities and alerts that belong together by the links, each once, in order of the activities'
/// numbers. For each alert the last version counts. The pairs follow from the plan, not from the records.
pub struct Truth {
    plan: Arc<TenantPlan>,
    spans: BTreeMap<Key, Vec<LinkedWindow>>,
    next: u64,
    found: Vec<Fact>,
}

impl Truth {
    pub(super) fn new(plan: Arc<TenantPlan>) -> Self {
        let mut spans: BTreeMap<Key, Vec<LinkedWindow>> = BTreeMap::new();
        for number in 0..plan.world.options.alerts {
            let alert = plan.alert(number);
            let Some(version) = alert.versions.last() else { continue };
            for (link, key) in alert_keys(&alert, version) {
                let margin = LINKS[link].margin;
                spans.entry(key).or_default().push(LinkedWindow {
                    from: version.start.minus(margin),
                    to: version.end.plus(margin),
                    link,
                    alert: alert.id,
                });
            }
        }
        Self {
            plan,
            spans,
            next: 0,
            found: Vec::new(),
        }
    }

    /// Returns the first line of a truth file, with the links that it covers and their windows.
    pub fn header(&self) -> Value {
        let link = |link: Link| {
            let margin = duration(link.margin);
            let bounds = match link.bounds {
                Bounds::Exclusive => "exclusive",
                Bounds::Inclusive => "inclusive",
            };
            json!({"link": link.name, "key": link.key, "bounds": bounds, "before": margin, "after": margin})
        };
        json!({
            "schema": "alerttrail-truth/1",
            "seed": self.plan.world.options.seed,
            "links": LINKS.map(link),
        })
    }

    fn look_at(&mut self, number: u64) {
        let planned = self.plan.activity(number);
        for key in activity_keys(&planned).into_iter().flatten() {
            let spans = self.spans.get(&key).map_or(&[][..], Vec::as_slice);
            for span in spans.iter().filter(|span| span.holds(planned.time)) {
                let ids = ids(planned.seed, planned.act);
                self.found.push(Fact {
                    alert: span.alert,
                    link: LINKS[span.link].name,
                    key: self.text(key),
                    activity: ids.id,
                    report_id: ids.report_id,
                    time: planned.time,
                });
            }
        }
    }

    /// Returns the text of a key.
    fn text(&self, key: Key) -> String {
        match key {
            Key::Policy(number) => self.plan.world.policies[number].id.to_string(),
            Key::ObjectId(number) => self.plan.world.account(number).id.to_string(),
            Key::Name(number) => {
                let (name, suffix) = self.plan.world.account(number).name_and_suffix();
                // Neither part contains a character that JSON would escape.
                format!("[\"{name}\",\"{suffix}\"]")
            }
            Key::Alert(id) => id.to_string(),
            Key::File(number) => self.plan.world.file(number).plain_url(),
        }
    }
}

impl Iterator for Truth {
    type Item = Fact;

    fn next(&mut self) -> Option<Fact> {
        while self.found.is_empty() && self.next < self.plan.world.options.activities {
            self.look_at(self.next);
            self.next += 1;
        }
        self.found.pop()
    }
}

impl LinkedWindow {
    fn holds(&self, time: EventTime) -> bool {
        match LINKS[self.link].bounds {
            Bounds::Exclusive => self.from < time && time < self.to,
            Bounds::Inclusive => self.from <= time && time <= self.to,
        }
    }
}

fn alert_keys(alert: &PlannedAlert, version: &Version) -> Vec<(usize, Key)> {
    let mut keys = vec![(QUERY, Key::Policy(version.policy)), (AUDIT, Key::Alert(alert.provider_id))];
    let has_object_id = |account: u64| alert.object_ids == Presence::Present && !is_guest(account);
    let with_ids: Vec<u64> = version
        .accounts
        .iter()
        .copied()
        .filter(|&account| has_object_id(account))
        .collect();
    // Names count only if no account has an object id.
    if with_ids.is_empty() {
        keys.extend(version.accounts.iter().map(|&account| (USERS, Key::Name(account))));
    } else {
        keys.extend(with_ids.into_iter().map(|account| (USERS, Key::ObjectId(account))));
    }
    keys.extend(version.files.iter().map(|&file| (FILE, Key::File(file))));
    keys
}

/// Returns the keys of an activity, at most one for each link.
fn activity_keys(planned: &Planned) -> [Option<Key>; 4] {
    let family = planned.act.facts().family;
    let is_signal = family == Family::Signal;
    let has_cid = planned.cid == Presence::Present;
    let person = !is_signal && family != Family::DlpMatch;
    let has_object_id = planned.object_id == Presence::Present && !is_guest(planned.account);
    let user = if has_object_id {
        Key::ObjectId(planned.account)
    } else {
        Key::Name(planned.account)
    };
    [
        planned.policy.filter(|_| has_cid).map(Key::Policy),
        person.then_some(user),
        planned.about.filter(|_| is_signal).map(|about| Key::Alert(about.id)),
        planned.file.filter(|_| !is_signal).map(Key::File),
    ]
}
