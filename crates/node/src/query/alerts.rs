//! Queries for the list of alerts, one alert, and the activities of an alert.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::shapes::{ActivityItem, ActivityList, AlertDetail, AlertItem, AlertList, Bounds, LinkItem, Status};
use super::{Error, Partition, Settings, cursor, emit, shortened};
use crate::join::{AlertStatus, CloseResult, Place, View};
use crate::json;
use crate::record::{AlertId, LinkId, LinkedAlert, Text};
use crate::store::{self, Reads};
use crate::time::EventTime;

/// The maximum number of entries that one request examines.
const MAX_EXAMINED: u64 = 5_000;
/// Columns that a text search covers, in addition to the ids.
const SEARCHED: [&str; 8] = [
    "AlertName",
    "DisplayName",
    "Description",
    "ProviderName",
    "ProductName",
    "CompromisedEntity",
    "Entities",
    "Tactics",
];
/// The maximum bytes of rows in a page of activities. A page always contains at least one row, however large it is.
const MAX_PAGE_BYTES: usize = 4 << 20;

/// Selects the alerts to list.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Filter {
    /// Status of the alert.
    pub status: Option<StatusFilter>,
    /// `AlertSeverity`, compared without case.
    pub severity: Option<String>,
    /// A text that the alert contains, compared without case.
    pub text: Option<String>,
    /// Earliest time, inclusive.
    pub from: Option<EventTime>,
    /// Latest time, exclusive.
    pub to: Option<EventTime>,
    /// Whether `from` and `to` apply to the window instead of `TimeGenerated`.
    pub by_window: bool,
    /// The Entra tenant id.
    pub tenant_id: Option<String>,
    /// The link whose results are listed; `None` means the query.
    pub link: Option<String>,
}

/// Selects one result of an alert.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Wanted {
    /// `SystemAlertId`.
    pub system_alert_id: String,
    /// The Entra tenant id.
    pub tenant_id: Option<String>,
    /// The name of the link; `None` means the query.
    pub link: Option<String>,
    /// The key; `None` means the first key in order.
    pub correlation_id: Option<String>,
}

impl Settings {
    /// Returns the link with this name. Without a name, returns the query.
    pub(super) fn link(&self, name: Option<&str>) -> Result<LinkId, Error> {
        match name {
            None => Ok(LinkId::QUERY),
            Some(name) => self.links.named(name).ok_or_else(|| Error::NoLink {
                name: shortened(name),
                links: self.links.names().collect::<Vec<_>>().join(", "),
            }),
        }
    }

    /// Returns an error if a tenant is named but none are configured, or if the configuration does not have the link.
    pub fn check(&self, wanted: &Wanted) -> Result<(), Error> {
        self.check_tenant(wanted.tenant_id.as_deref())?;
        self.link(wanted.link.as_deref()).map(drop)
    }
}

/// The status that an alert must have to be listed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StatusFilter {
    /// Not closed.
    Open,
    /// Closed.
    Closed,
    /// Closed with activities.
    Matched,
    /// Closed without activities.
    Unmatched,
}

impl StatusFilter {
    fn includes(self, status: Status) -> bool {
        match self {
            Self::Open => status == Status::Open,
            Self::Closed => status != Status::Open,
            Self::Matched => status == Status::Matched,
            Self::Unmatched => status == Status::Unmatched,
        }
    }
}

/// An alert, and the partition where it was found.
pub struct Found<'p, 'r, R> {
    /// The partition of its key.
    pub partition: &'p Partition<'r, R>,
    /// Its id with its tenant.
    pub alert: AlertId,
    /// The state of the alert by one link and key.
    pub alert_status: AlertStatus,
}

/// Returns a page of the alerts of these partitions, the latest first.
pub fn list<R: Reads>(
    partitions: &[Partition<'_, R>],
    settings: &Settings,
    filter: &Filter,
    cursor: Option<&str>,
    limit: usize,
) -> Result<AlertList, Error> {
    settings.check_tenant(filter.tenant_id.as_deref())?;
    let link = settings.link(filter.link.as_deref())?;
    let after = cursor.map(cursor::parse_alert).transpose()?;
    let mut heads = Vec::new();
    for partition in partitions {
        let mut places = partition.view.latest(after.as_ref());
        if let Some(head) = places.next().transpose()? {
            heads.push((head, places, partition));
        }
    }
    let mut page = AlertList {
        alerts: Vec::new(),
        next_cursor: None,
        examined: 0,
        unanswered_partitions: Vec::new(),
    };
    while let Some(place) = heads.iter().map(|(head, ..)| head).max().cloned() {
        // Neither `TimeGenerated` nor the end of the window is later than this time.
        if filter.from.is_some_and(|from| place.time < from) {
            return Ok(page);
        }
        // Every partition stores every alert, but only the partitions of its keys have its results.
        let mut results: Vec<(AlertStatus, &Partition<'_, R>)> = Vec::new();
        let mut next = Vec::with_capacity(heads.len());
        for (head, mut places, partition) in heads {
            if head != place {
                next.push((head, places, partition));
                continue;
            }
            page.examined += 1;
            let statuses = partition.view.statuses(&place.alert)?.into_iter();
            results.extend(
                statuses
                    .filter(|alert_status| alert_status.key.link == link)
                    .map(|alert_status| (alert_status, partition)),
            );
            if let Some(head) = places.next().transpose()? {
                next.push((head, places, partition));
            }
        }
        heads = next;
        if let Some((alert_status, partition)) = merge_results(results)
            && let Some(item) = filter.item(&place, &alert_status, partition, settings)?
        {
            page.alerts.push(item);
        }
        if page.alerts.len() >= limit || page.examined >= MAX_EXAMINED {
            page.next_cursor = (!heads.is_empty()).then(|| cursor::after_alert(&place));
            return Ok(page);
        }
    }
    Ok(page)
}

/// Combines the results of an alert by one link into one: the first key of the latest version, with the numbers of all
/// keys. While a new version is being distributed, partitions may hold different versions.
fn merge_results<'p, 'r, R>(results: Vec<(AlertStatus, &'p Partition<'r, R>)>) -> Option<(AlertStatus, &'p Partition<'r, R>)> {
    let latest = results.iter().map(|(alert_status, _)| alert_status.version).max()?;
    let mut of_latest = results.into_iter().filter(|(alert_status, _)| alert_status.version == latest);
    let (mut all, partition) = of_latest.next()?;
    for (other, _) in of_latest {
        all.result = match (all.result, sent_result(&other)) {
            // The alert is open until all its keys are closed.
            (Some(all), Some(other)) if all.revision > 0 => Some(all.with(other)),
            _ => None,
        };
    }
    Some((all, partition))
}

impl Filter {
    /// Returns the list entry of the alert, or `None` if the filter excludes it.
    fn item<R: Reads>(
        &self,
        place: &Place,
        alert_status: &AlertStatus,
        partition: &Partition<'_, R>,
        settings: &Settings,
    ) -> Result<Option<AlertItem>, Error> {
        let tenant = place.alert.tenant.to_string();
        let is_tenant = |wanted: &String| tenant.eq_ignore_ascii_case(wanted);
        if self.status.is_some_and(|filter| !filter.includes(status(alert_status)))
            || !self.includes_time(alert_status, settings)
            || !self.tenant_id.as_ref().is_none_or(is_tenant)
        {
            return Ok(None);
        }
        let row = partition.view.alert_row(&linked(&place.alert, alert_status))?;
        let columns = Columns::parse(&row);
        let severity = columns.text("AlertSeverity");
        let is_severe = |wanted: &String| severity.as_ref().is_some_and(|found| found.eq_ignore_ascii_case(wanted));
        if !self.severity.as_ref().is_none_or(is_severe) || !self.includes_text(&place.alert, alert_status, &columns) {
            return Ok(None);
        }
        Ok(Some(item(place, alert_status, partition, &columns, settings)))
    }

    fn includes_time(&self, alert_status: &AlertStatus, settings: &Settings) -> bool {
        let (start, end) = match self.by_window {
            true => emit::bounds(alert_status.window, settings.links.widening(alert_status.key.link)),
            false => (alert_status.version.time_generated, alert_status.version.time_generated),
        };
        self.from.is_none_or(|from| end >= from) && self.to.is_none_or(|to| start < to)
    }

    fn includes_text(&self, alert: &AlertId, alert_status: &AlertStatus, columns: &Columns<'_>) -> bool {
        let Some(wanted) = &self.text else { return true };
        let wanted = wanted.to_lowercase();
        let holds = |text: &str| text.to_lowercase().contains(&wanted);
        holds(&alert.system_alert_id.to_string())
            || holds(&alert_status.key.correlation_id.to_string())
            || SEARCHED
                .iter()
                .filter_map(|name| columns.display_text(name))
                .any(|text| holds(&text))
    }
}

/// Returns the state of the alert by the wanted link and key, with the partition of the key.
pub fn find<'p, 'r, R: Reads>(
    partitions: &'p [Partition<'r, R>],
    settings: &Settings,
    wanted: &Wanted,
) -> Result<Option<Found<'p, 'r, R>>, Error> {
    let tenant_id = wanted.tenant_id.as_deref();
    settings.check_tenant(tenant_id)?;
    let link = settings.link(wanted.link.as_deref())?;
    let key = wanted.correlation_id.as_deref().map(Text::from);
    let is_wanted = |alert_status: &AlertStatus| {
        alert_status.key.link == link && key.as_ref().is_none_or(|key| *key == alert_status.key.correlation_id)
    };
    let mut found: BTreeMap<Text, Found<'p, 'r, R>> = BTreeMap::new();
    for alert in settings.ids(&wanted.system_alert_id, tenant_id) {
        let tenant = alert.tenant.clone();
        for partition in partitions {
            for alert_status in partition.view.statuses(&alert)?.into_iter().filter(is_wanted) {
                // While a new version moves a key to another partition, both partitions may hold the alert.
                let order = |alert_status: &AlertStatus| (Reverse(alert_status.version), alert_status.key.clone());
                if found
                    .get(&tenant)
                    .is_none_or(|known| order(&alert_status) < order(&known.alert_status))
                {
                    let alert = alert.clone();
                    found.insert(
                        tenant.clone(),
                        Found {
                            partition,
                            alert,
                            alert_status,
                        },
                    );
                }
            }
        }
    }
    match found.len() {
        0 | 1 => Ok(found.into_values().next()),
        count => Err(Error::Ambiguous { count }),
    }
}

fn linked(alert: &AlertId, alert_status: &AlertStatus) -> LinkedAlert {
    LinkedAlert {
        alert: alert.clone(),
        link: alert_status.key.link,
    }
}

/// Returns the details of one alert without its activities. `links` are its results by every link and key.
pub fn alert<R: Reads>(found: &Found<'_, '_, R>, settings: &Settings, links: Vec<LinkItem>) -> Result<AlertDetail, Error> {
    let Found {
        partition,
        alert,
        alert_status,
    } = found;
    let view = &partition.view;
    let link = alert_status.key.link;
    let row = view.alert_row(&linked(alert, alert_status))?;
    let place = Place {
        time: alert_status.latest,
        alert: alert.clone(),
    };
    let result = sent_result(alert_status);
    let completeness = result.map(|result| view.completeness(alert_status.window, result).as_str().to_owned());
    Ok(AlertDetail {
        item: item(&place, alert_status, partition, &Columns::parse(&row), settings),
        complete_because: completeness,
        watermark_at_close: result.and_then(|result| result.watermark).map(Into::into),
        watermark: view.watermark().map(Into::into),
        retained_from: view.retained_from(link).map(Into::into),
        versions: alert_status.versions,
        version_hash: hex::encode(alert_status.version.hash),
        deadline: alert_status.deadline.into(),
        summary_id: emit::summary_id(alert, &alert_status.key, &settings.links),
        links,
        alert: raw(row, "alert's row")?,
    })
}

/// Returns a page of an alert's activities in order of time.
pub fn activities<R: Reads>(
    found: &Found<'_, '_, R>,
    settings: &Settings,
    cursor: Option<&str>,
    limit: usize,
) -> Result<ActivityList, Error> {
    let Found {
        partition,
        alert,
        alert_status,
    } = found;
    let after = cursor.map(cursor::parse_activity).transpose()?;
    let mut page = ActivityList {
        system_alert_id: alert.system_alert_id.to_string(),
        tenant_id: tenant_id(alert),
        link: settings.links.name(alert_status.key.link).to_owned(),
        correlation_id: alert_status.key.correlation_id.to_string(),
        status: status(alert_status),
        window: Bounds::new(alert_status.window, alert_status.key.link, settings),
        activity_count: sent_result(alert_status).map_or(0, |result| result.activities),
        activities: Vec::new(),
        next_cursor: None,
    };
    let mut bytes = 0;
    let mut last = None;
    for activity in partition.view.activities(&alert_status.key, alert_status.window, after) {
        let activity = activity?;
        if page.activities.len() >= limit || (bytes + activity.row.len() > MAX_PAGE_BYTES && last.is_some()) {
            page.next_cursor = last.map(|(time, id)| cursor::after_activity(time, id));
            break;
        }
        bytes += activity.row.len();
        last = Some((activity.time, activity.id));
        page.activities.push(ActivityItem {
            id: emit::pair_id(alert, &alert_status.key, activity.id, &settings.links),
            activity_id: hex::encode(activity.id.0),
            activity_time: activity.time.into(),
            late: partition.view.is_late(&linked(alert, alert_status), &activity)?,
            activity: raw(activity.row.into(), "activity's row")?,
        });
    }
    Ok(page)
}

/// Returns the result after its first revision has been sent. Before that, its rows are still being sent and their
/// number is not known.
pub(super) fn sent_result(alert_status: &AlertStatus) -> Option<&CloseResult> {
    alert_status.result.as_ref().filter(|result| result.revision > 0)
}

pub(super) fn status(alert_status: &AlertStatus) -> Status {
    match sent_result(alert_status) {
        None => Status::Open,
        Some(result) if result.activities > 0 => Status::Matched,
        Some(_) => Status::Unmatched,
    }
}

pub(super) fn tenant_id(alert: &AlertId) -> Option<String> {
    (!alert.tenant.is_empty()).then(|| alert.tenant.to_string())
}

fn item<R: Reads>(
    place: &Place,
    alert_status: &AlertStatus,
    partition: &Partition<'_, R>,
    columns: &Columns<'_>,
    settings: &Settings,
) -> AlertItem {
    let view: &View<'_, R> = &partition.view;
    let result = sent_result(alert_status);
    let complete = result.map(|result| view.completeness(alert_status.window, result).is_complete());
    AlertItem {
        system_alert_id: place.alert.system_alert_id.to_string(),
        tenant_id: tenant_id(&place.alert),
        link: settings.links.name(alert_status.key.link).to_owned(),
        correlation_id: alert_status.key.correlation_id.to_string(),
        status: status(alert_status),
        alert_name: columns.text("AlertName").or_else(|| columns.text("DisplayName")),
        severity: columns.text("AlertSeverity"),
        provider_name: columns.text("ProviderName"),
        product_name: columns.text("ProductName"),
        alert_status: columns.text("Status"),
        time_generated: alert_status.version.time_generated.into(),
        window: Bounds::new(alert_status.window, alert_status.key.link, settings),
        activity_count: result.map_or(0, |result| result.activities),
        late_count: result.map_or(0, |result| result.late),
        first_activity_time: result.and_then(|result| result.first).map(Into::into),
        last_activity_time: result.and_then(|result| result.last).map(Into::into),
        revision: result.map_or(0, |result| result.revision),
        closed_by: result.map(|result| emit::closed_by(result.closed_by).to_owned()),
        closed_at: result.and_then(|result| result.closed_at).map(Into::into),
        complete,
        partition: partition.number,
        cursor: cursor::after_alert(place),
    }
}

/// The columns of a row.
struct Columns<'a>(BTreeMap<Cow<'a, [u8]>, &'a [u8]>);

impl<'a> Columns<'a> {
    fn parse(row: &'a [u8]) -> Self {
        Self(json::members(row).map(|column| (column.name(), column.value)).collect())
    }

    /// Returns the value of a column that holds a string. Lone surrogates are shown as U+FFFD.
    fn text(&self, name: &str) -> Option<String> {
        let value = self.0.get(name.as_bytes())?;
        let text = json::unescape(value)?;
        Some(Text::from(text.into_owned()).to_string())
    }

    /// Returns the value of a column as text, whatever its type is.
    fn display_text(&self, name: &str) -> Option<String> {
        let value = self.0.get(name.as_bytes())?;
        self.text(name).or_else(|| Some(String::from_utf8_lossy(value).into_owned()))
    }
}

fn raw(row: Vec<u8>, what: &'static str) -> Result<Box<RawValue>, Error> {
    let damaged = || store::Error::Damaged { what };
    let text = String::from_utf8(row).map_err(|_| damaged())?;
    Ok(RawValue::from_string(text).map_err(|_| damaged())?)
}
