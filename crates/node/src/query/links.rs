//! The results of an alert by every link and key.

use serde::{Deserialize, Serialize};

use super::alerts::{given, status};
use super::shapes::{Bounds, Status, Time};
use super::{Error, Partition, Settings, emit};
use crate::join::Standing;
use crate::record::AlertId;
use crate::store::Reads;

/// The answers to an alert, by every link and key.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LinkList {
    /// The answers, in the order of links and keys.
    pub links: Vec<LinkItem>,
}

/// The answer to an alert by a link and a key.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LinkItem {
    /// The link.
    pub link: String,
    /// The key.
    pub correlation_id: String,
    /// Where it stands.
    pub status: Status,
    /// The event time it covers.
    pub window: Bounds,
    /// Activities of the answer; 0 while open.
    pub activity_count: u64,
    /// Those of them that came after it.
    pub late_count: u64,
    /// Time of the earliest.
    pub first_activity_time: Option<Time>,
    /// Time of the latest.
    pub last_activity_time: Option<Time>,
    /// The number of the last revision; 0 while open.
    pub revision: u32,
    /// `watermark`, `clock`, `max_wait` or `end_of_input`.
    pub closed_by: Option<String>,
    /// The routers' clock at the close.
    pub closed_at: Option<Time>,
    /// Whether the answer is known to be complete.
    pub complete: Option<bool>,
    /// The partition of the repartition topic that owns the key.
    pub partition: u32,
    /// The `id` of its summary.
    pub summary_id: String,
}

/// Returns the results of the alert with one of these ids, by every link and key that these partitions own.
pub fn links<R: Reads>(partitions: &[Partition<'_, R>], settings: &Settings, ids: &[AlertId]) -> Result<Vec<LinkItem>, Error> {
    let mut items = Vec::new();
    for partition in partitions {
        for alert in ids {
            let standings = partition.view.standings(alert)?;
            items.extend(
                standings
                    .iter()
                    .map(|standing| link_item(alert, standing, partition, settings)),
            );
        }
    }
    in_order(&mut items, settings);
    Ok(items)
}

/// Sorts results by link and key and removes duplicates.
pub fn in_order(items: &mut Vec<LinkItem>, settings: &Settings) {
    items.sort_by_cached_key(|item| (settings.links.named(&item.link), item.correlation_id.clone()));
    items.dedup_by(|one, other| one.summary_id == other.summary_id);
}

fn link_item<R: Reads>(alert: &AlertId, standing: &Standing, partition: &Partition<'_, R>, settings: &Settings) -> LinkItem {
    let link = standing.key.link;
    let answer = given(standing);
    let complete = answer.map(|answer| partition.view.completeness(standing.window, answer).is_complete());
    LinkItem {
        link: settings.links.name(link).to_owned(),
        correlation_id: standing.key.correlation_id.to_string(),
        status: status(standing),
        window: Bounds::of(standing.window, link, settings),
        activity_count: answer.map_or(0, |answer| answer.activities),
        late_count: answer.map_or(0, |answer| answer.late),
        first_activity_time: answer.and_then(|answer| answer.first).map(Into::into),
        last_activity_time: answer.and_then(|answer| answer.last).map(Into::into),
        revision: answer.map_or(0, |answer| answer.revision),
        closed_by: answer.map(|answer| emit::closed_by(answer.closed_by).to_owned()),
        closed_at: answer.and_then(|answer| answer.closed_at).map(Into::into),
        complete,
        partition: partition.number,
        summary_id: emit::summary_id(alert, &standing.key, &settings.links),
    }
}
