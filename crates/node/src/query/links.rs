//! The results of an alert by every link and key.

use serde::{Deserialize, Serialize};

use super::alerts::{sent_result, status};
use super::shapes::{Bounds, Status, Time};
use super::{Error, Partition, Settings, emit};
use crate::join::AlertStatus;
use crate::record::AlertId;
use crate::store::Reads;

/// The results of an alert, by every link and key.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LinkList {
    /// The results, in the order of links and keys.
    pub links: Vec<LinkItem>,
}

/// The result of an alert by a link and a key.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LinkItem {
    /// The link.
    pub link: String,
    /// The key.
    pub correlation_id: String,
    /// Its status.
    pub status: Status,
    /// The window, with the configured margins.
    pub window: Bounds,
    /// Number of activities in the result; 0 while open.
    pub activity_count: u64,
    /// Number of these activities that arrived after the close.
    pub late_count: u64,
    /// Time of the earliest activity.
    pub first_activity_time: Option<Time>,
    /// Time of the latest activity.
    pub last_activity_time: Option<Time>,
    /// Number of the last revision; 0 while open.
    pub revision: u32,
    /// What closed the window: `watermark`, `clock`, `max_wait` or `end_of_input`.
    pub closed_by: Option<String>,
    /// Wall-clock time of the close, by ROUTE's clock.
    pub closed_at: Option<Time>,
    /// Whether the result is known to be complete.
    pub complete: Option<bool>,
    /// The partition of the repartition topic that the key belongs to.
    pub partition: u32,
    /// The `id` of its summary.
    pub summary_id: String,
}

/// Returns the results of the alert with one of these ids, by every link and key of these partitions.
pub fn links<R: Reads>(partitions: &[Partition<'_, R>], settings: &Settings, ids: &[AlertId]) -> Result<Vec<LinkItem>, Error> {
    let mut items = Vec::new();
    for partition in partitions {
        for alert in ids {
            let statuses = partition.view.statuses(alert)?;
            items.extend(
                statuses
                    .iter()
                    .map(|alert_status| link_item(alert, alert_status, partition, settings)),
            );
        }
    }
    sort_results(&mut items, settings);
    Ok(items)
}

/// Sorts results by link and key and removes duplicates.
pub fn sort_results(items: &mut Vec<LinkItem>, settings: &Settings) {
    items.sort_by_cached_key(|item| (settings.links.named(&item.link), item.correlation_id.clone()));
    items.dedup_by(|one, other| one.summary_id == other.summary_id);
}

fn link_item<R: Reads>(
    alert: &AlertId,
    alert_status: &AlertStatus,
    partition: &Partition<'_, R>,
    settings: &Settings,
) -> LinkItem {
    let link = alert_status.key.link;
    let result = sent_result(alert_status);
    let complete = result.map(|result| partition.view.completeness(alert_status.window, result).is_complete());
    LinkItem {
        link: settings.links.name(link).to_owned(),
        correlation_id: alert_status.key.correlation_id.to_string(),
        status: status(alert_status),
        window: Bounds::new(alert_status.window, link, settings),
        activity_count: result.map_or(0, |result| result.activities),
        late_count: result.map_or(0, |result| result.late),
        first_activity_time: result.and_then(|result| result.first).map(Into::into),
        last_activity_time: result.and_then(|result| result.last).map(Into::into),
        revision: result.map_or(0, |result| result.revision),
        closed_by: result.map(|result| emit::closed_by(result.closed_by).to_owned()),
        closed_at: result.and_then(|result| result.closed_at).map(Into::into),
        complete,
        partition: partition.number,
        summary_id: emit::summary_id(alert, &alert_status.key, &settings.links),
    }
}
