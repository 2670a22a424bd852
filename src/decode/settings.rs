use std::collections::BTreeMap;
use std::time::Duration;

use super::entry::KeyEntry;
use super::path::Path;
use crate::record::LinkId;
use crate::time::Widening;

/// The name of the link that `[correlation]` is: the documented query.
pub const QUERY: &str = "query";

/// What is read from a record, and where: the settings `[correlation]`, `[[link]]`, `[alert]`, `[tenants]` and `input.identity`. State depends on all of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Where an activity's correlation id may be: the first path that leads to a non-empty one wins.
    pub activity_key: Vec<KeyEntry>,
    /// Where an activity's time may be: the first path that leads to something wins.
    pub activity_time: Vec<Path>,
    /// Where an alert's correlation id may be: the first path that leads to a non-empty one wins.
    pub alert_key: Vec<KeyEntry>,
    /// Where an alert's other columns may be.
    pub alert: AlertColumns,
    /// Whether correlation ids are compared in lower case.
    pub ignore_case: bool,
    /// How an alert's window follows from `StartTime` and `EndTime`.
    pub widening: Widening,
    /// The links beside the query.
    pub links: Vec<Link>,
    /// What makes two deliveries the same activity.
    pub identity: Identity,
    /// The tenants to tell apart; `None` when all records are one tenant's.
    pub tenants: Option<Tenants>,
    /// Records of no known form that are expected, and are no dead letters.
    pub ignore: Vec<Ignore>,
}

/// A way for an activity to belong to an alert: the two have a key in common, and the activity lies in the link's window.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Link {
    /// What it is called in configuration, records and metrics.
    pub name: String,
    /// Where an alert's keys may be: the first entry that yields any wins, with all of them.
    pub key: Vec<KeyEntry>,
    /// Where an activity's keys may be: the first entry that yields any wins, with all of them.
    pub activity_key: Vec<KeyEntry>,
    /// What an alert must say for the link to look at it: every condition holds.
    pub alert_where: Vec<Condition>,
    /// What an activity must say for the link to look at it: every condition holds.
    pub activity_where: Vec<Condition>,
    /// Whether keys are compared in lower case.
    pub ignore_case: bool,
    /// How the window follows from `StartTime` and `EndTime`.
    pub widening: Widening,
    /// How long activities are kept for this link; as long as all others when `None`.
    pub retention: Option<Duration>,
}

/// A path that leads to one of these values.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Condition {
    /// Where the value is.
    pub path: Path,
    /// The values, as text.
    pub values: Vec<String>,
}

impl Settings {
    /// Returns every link with its number, the query first.
    pub fn all_links(&self) -> impl Iterator<Item = (LinkId, Link)> + '_ {
        let query = Link {
            name: QUERY.to_owned(),
            key: self.alert_key.clone(),
            activity_key: self.activity_key.clone(),
            alert_where: Vec::new(),
            activity_where: Vec::new(),
            ignore_case: self.ignore_case,
            widening: self.widening,
            retention: None,
        };
        (0..)
            .map(LinkId)
            .zip(std::iter::once(query).chain(self.links.iter().cloned()))
    }
}

/// Where the columns of an alert may be that every alert needs: of each the first path that leads to something wins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AlertColumns {
    /// Its id.
    pub id: Vec<Path>,
    /// The time by which the greatest version counts.
    pub version: Vec<Path>,
    /// The beginning of its window.
    pub start: Vec<Path>,
    /// The end of its window.
    pub end: Vec<Path>,
}

/// The columns of SecurityAlert, and the names that Defender for Cloud's export gives two of them.
impl Default for AlertColumns {
    fn default() -> Self {
        let columns = |names: &[&str]| names.iter().map(|name| Path::new([*name])).collect();
        Self {
            id: columns(&["SystemAlertId"]),
            version: columns(&["TimeGenerated"]),
            start: columns(&["StartTime", "StartTimeUtc"]),
            end: columns(&["EndTime", "EndTimeUtc"]),
        }
    }
}

/// Records that a path leads to one of these values in: heartbeats, for example.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ignore {
    /// Where the value is.
    pub path: Path,
    /// The values, as text.
    pub values: Vec<String>,
}

/// The query's own settings.
impl Default for Settings {
    fn default() -> Self {
        Self {
            activity_key: vec![KeyEntry::from(Path::new(["RawEventData", "Data", "cid"]))],
            activity_time: vec![Path::new(["RawEventData", "CreationTime"])],
            alert_key: vec![KeyEntry::from(Path::new(["AlertType"]))],
            alert: AlertColumns::default(),
            ignore_case: false,
            widening: Widening::default(),
            links: Vec::new(),
            identity: Identity::Content,
            tenants: None,
            ignore: Vec::new(),
        }
    }
}

/// What makes two deliveries the same activity.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Identity {
    /// The canonical form of the row.
    #[default]
    Content,
    /// Key, time and `ReportId`; the content where a row has no `ReportId`.
    ReportId,
}

/// The tenants to tell apart. Ids are GUIDs and compared without regard to case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tenants {
    /// Entra tenant id (lower case) to workspace id (lower case).
    workspaces: BTreeMap<String, String>,
}

impl Tenants {
    /// Of pairs of an Entra tenant id and its Log Analytics workspace id.
    pub fn new(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        let lower = |(entra, workspace): (String, String)| (entra.to_ascii_lowercase(), workspace.to_ascii_lowercase());
        Self {
            workspaces: pairs.into_iter().map(lower).collect(),
        }
    }

    /// The listed tenant (its Entra id) whose envelope says `entra`.
    pub fn of_entra(&self, entra: &str) -> Option<&str> {
        self.workspaces
            .get_key_value(&entra.to_ascii_lowercase())
            .map(|(entra, _)| entra.as_str())
    }

    /// The listed tenant (its Entra id) whose rows say `workspace` in `TenantId`.
    pub fn of_workspace(&self, workspace: &str) -> Option<&str> {
        let found = self
            .workspaces
            .iter()
            .find(|(_, listed)| listed.eq_ignore_ascii_case(workspace));
        found.map(|(entra, _)| entra.as_str())
    }

    /// Pairs of Entra tenant id and workspace id, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.workspaces
            .iter()
            .map(|(entra, workspace)| (entra.as_str(), workspace.as_str()))
    }
}
