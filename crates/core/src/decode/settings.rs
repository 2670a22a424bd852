use std::collections::BTreeMap;
use std::time::Duration;

use super::key::{Condition, KeyEntry};
use super::path::Path;
use crate::record::LinkId;
use crate::time::Widening;

/// The name of link 0, the documented query, which `[correlation]` configures.
pub const QUERY: &str = "query";

/// The settings that determine what is read from a record and where: `[correlation]`, `[[link]]`, `[alert]`,
/// `[tenants]` and `input.identity`. State depends on all of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// The paths to an activity's correlation id. The first one that leads to a non-empty value counts.
    pub activity_key: Vec<KeyEntry>,
    /// The paths to an activity's time. The first one that leads to a value counts.
    pub activity_time: Vec<Path>,
    /// The paths to an alert's correlation id. The first one that leads to a non-empty value counts.
    pub alert_key: Vec<KeyEntry>,
    /// The paths to an alert's other columns.
    pub alert: AlertColumns,
    /// Whether correlation ids are compared in lower case.
    pub ignore_case: bool,
    /// The rule by which an alert's window is computed from `StartTime` and `EndTime`.
    pub widening: Widening,
    /// The links other than the query.
    pub links: Vec<Link>,
    /// The rule by which two deliveries are the same activity.
    pub identity: Identity,
    /// The tenants to distinguish; `None` if all records belong to one tenant.
    pub tenants: Option<Tenants>,
    /// Records of no known form that are expected, so that they do not become dead-letter records.
    pub ignore: Vec<Ignore>,
}

/// A way for an activity to belong to an alert: the two have a key in common, and the time of the activity is in the
/// link's window.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Link {
    /// The name of the link in configuration, records and metrics.
    pub name: String,
    /// The entries for an alert's keys. The first one that yields any key counts, with all its keys.
    pub key: Vec<KeyEntry>,
    /// The entries for an activity's keys. The first one that yields any key counts, with all its keys.
    pub activity_key: Vec<KeyEntry>,
    /// The conditions that an alert must all meet to have keys by this link.
    pub alert_where: Vec<Condition>,
    /// The conditions that an activity must all meet to have keys by this link.
    pub activity_where: Vec<Condition>,
    /// Whether keys are compared in lower case.
    pub ignore_case: bool,
    /// The rule by which the window is computed from `StartTime` and `EndTime`.
    pub widening: Widening,
    /// The time for which activities are kept for this link; `None` if it is the same as for all others.
    pub retention: Option<Duration>,
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

/// The paths to the columns that every alert must have. For each column, the first path that leads to a value counts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AlertColumns {
    /// The id of the alert.
    pub id: Vec<Path>,
    /// The time of a version. The version with the greatest time counts.
    pub version: Vec<Path>,
    /// The beginning of the alert's window.
    pub start: Vec<Path>,
    /// The end of the alert's window.
    pub end: Vec<Path>,
}

/// The columns of SecurityAlert, and the names that Defender for Cloud's export uses for two of them.
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

/// Records to ignore: those in which the path leads to one of the values, for example heartbeats.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ignore {
    /// The path to the value.
    pub path: Path,
    /// The values, as text.
    pub values: Vec<String>,
}

/// The settings of the documented query.
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

/// The rule by which two deliveries are the same activity.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Identity {
    /// The canonical form of the row.
    #[default]
    Content,
    /// Key, time and `ReportId`, or the canonical form of the row if it has no `ReportId`.
    ReportId,
}

/// The tenants to distinguish. Their ids are GUIDs and are compared without regard to case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tenants {
    /// Workspace ids by Entra tenant id, both in lower case.
    workspaces: BTreeMap<String, String>,
}

impl Tenants {
    /// Creates the list from pairs of an Entra tenant id and its Log Analytics workspace id.
    pub fn new(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        let lower = |(entra, workspace): (String, String)| (entra.to_ascii_lowercase(), workspace.to_ascii_lowercase());
        Self {
            workspaces: pairs.into_iter().map(lower).collect(),
        }
    }

    /// Returns the Entra tenant id of the listed tenant whose envelopes have `entra` as `tenantId`.
    pub fn with_entra_id(&self, entra: &str) -> Option<&str> {
        self.workspaces
            .get_key_value(&entra.to_ascii_lowercase())
            .map(|(entra, _)| entra.as_str())
    }

    /// Returns the Entra tenant id of the listed tenant whose rows have `workspace` as `TenantId`.
    pub fn with_workspace_id(&self, workspace: &str) -> Option<&str> {
        let found = self
            .workspaces
            .iter()
            .find(|(_, listed)| listed.eq_ignore_ascii_case(workspace));
        found.map(|(entra, _)| entra.as_str())
    }

    /// Returns pairs of an Entra tenant id and its workspace id, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.workspaces
            .iter()
            .map(|(entra, workspace)| (entra.as_str(), workspace.as_str()))
    }
}
