//! Explains why an alert was closed with its result, or why it is still open.

use super::alerts::{Found, Wanted, sent_result, status, tenant_id};
use super::causes::{Cause, KeyCount, Source};
use super::causes::{Explanation, Finding};
use super::shapes::{Bounds, Status};
use super::words::{closed_finding, duration, rejects_finding, seconds, shortened};
use super::{Error, Partition, Settings, emit};
use crate::join::{AlertStatus, CloseResult, ClosedBy, Completeness, View};
use crate::record::LinkId;
use crate::store::Reads;
use crate::time::{EventTime, WallTime, Widening, Window};
use crate::words::counted;

/// The maximum number of entries that the search for keys in another case examines.
const MAX_KEYS: usize = 5_000;
/// The maximum number of activities that are counted.
const MAX_COUNTED: usize = 10_000;

/// Returns every reason that the state gives for the alert's status.
pub fn explain<R: Reads>(found: &Found<'_, '_, R>, settings: &Settings, now: WallTime) -> Result<Explanation, Error> {
    let case = Case {
        view: &found.partition.view,
        alert_status: &found.alert_status,
        settings,
        now,
    };
    let mut findings = case.findings()?;
    findings.extend(rejects_finding(case.view.sources().iter()));
    findings.push(case.versions());
    Ok(Explanation {
        system_alert_id: found.alert.system_alert_id.to_string(),
        tenant_id: tenant_id(&found.alert),
        status: status(&found.alert_status),
        verdict: findings.first().map(|finding| finding.sentence.clone()).unwrap_or_default(),
        correlation_id: Some(found.alert_status.key.correlation_id.to_string()),
        window: Some(Bounds::new(found.alert_status.window, found.alert_status.key.link, settings)),
        link: Some(settings.links.name(found.alert_status.key.link).to_owned()),
        watermark: case.view.watermark().map(Into::into),
        retained_from: case.view.retained_from(found.alert_status.key.link).map(Into::into),
        partition: Some(found.partition.number),
        findings,
        scan: None,
    })
}

/// Explains an alert that is not stored.
pub fn unknown<R: Reads>(partitions: &[Partition<'_, R>], wanted: &Wanted) -> Explanation {
    // Every partition stores the state of every source partition.
    let sources = partitions
        .first()
        .map(|partition| partition.view.sources())
        .unwrap_or_default();
    let retained_from = partitions
        .iter()
        .filter_map(|partition| partition.view.retained_from(LinkId::QUERY))
        .max();
    let rejected = sources.iter().map(|source| source.rejected).sum();
    let mut sentence = String::from("No alert of this id is held: it has not come yet");
    if retained_from.is_some() {
        sentence += ", or it lies behind the retention and is forgotten";
    }
    if rejected > 0 {
        sentence += &format!(
            ", or it could not be used ({} went to the dead letters)",
            counted(rejected, "record")
        );
    }
    sentence += "; ids are compared byte for byte.";
    let mut findings = vec![Finding {
        sentence: sentence.clone(),
        cause: Cause::UnknownAlert {
            retained_from: retained_from.map(Into::into),
            rejected,
        },
    }];
    findings.extend(rejects_finding(sources.iter()));
    Explanation {
        system_alert_id: wanted.system_alert_id.clone(),
        tenant_id: wanted.tenant_id.clone(),
        status: Status::Unknown,
        verdict: sentence,
        correlation_id: None,
        window: None,
        link: None,
        watermark: partitions
            .iter()
            .filter_map(|partition| partition.view.watermark())
            .min()
            .map(Into::into),
        retained_from: retained_from.map(Into::into),
        partition: None,
        findings,
        scan: None,
    }
}

/// Explains that an alert, which was found by the query, does not have the wanted key, or has no key by the link.
pub fn without_key<R: Reads>(found: &Found<'_, '_, R>, settings: &Settings, wanted: &Wanted) -> Result<Explanation, Error> {
    let link = settings.link(wanted.link.as_deref())?;
    let name = settings.links.name(link);
    let alert_key = settings.keys(link).map(|keys| keys.alert_key.clone()).unwrap_or_default();
    let sentence = match &wanted.correlation_id {
        Some(key) => format!(
            "The alert does not have the key {:?} by the link {name}; its list of links says which keys it has.",
            shortened(key)
        ),
        None => format!(
            "The alert has no key by the link {name}, so no activity can belong to it by this link: {} is empty or missing, or the alert \
             does not fit the conditions of the link.",
            alert_key.join(", ")
        ),
    };
    let view = &found.partition.view;
    Ok(Explanation {
        system_alert_id: found.alert.system_alert_id.to_string(),
        tenant_id: tenant_id(&found.alert),
        status: Status::Unmatched,
        link: Some(name.to_owned()),
        verdict: sentence.clone(),
        correlation_id: None,
        window: None,
        watermark: view.watermark().map(Into::into),
        retained_from: view.retained_from(link).map(Into::into),
        partition: None,
        findings: vec![Finding {
            sentence,
            cause: Cause::NoCorrelationId { alert_key },
        }],
        scan: None,
    })
}

pub(super) struct Case<'a, 'r, R> {
    pub(super) view: &'a View<'r, R>,
    pub(super) alert_status: &'a AlertStatus,
    pub(super) settings: &'a Settings,
    now: WallTime,
}

impl<R: Reads> Case<'_, '_, R> {
    fn link(&self) -> LinkId {
        self.alert_status.key.link
    }

    pub(super) fn widening(&self) -> Widening {
        self.settings.links.widening(self.link())
    }

    /// Returns the name of a setting of the link as the configuration spells it.
    pub(super) fn setting(&self, name: &str) -> String {
        self.settings.setting(self.link(), name)
    }

    /// Returns the findings, the most important first.
    fn findings(&self) -> Result<Vec<Finding>, Error> {
        let mut findings = Vec::new();
        let Some(result) = sent_result(self.alert_status) else {
            findings.push(match &self.alert_status.result {
                Some(result) => self.closing(result.closed_by),
                None => self.waiting(),
            });
            findings.extend(self.no_key());
            findings.extend(self.empty_window()?);
            findings.extend(self.near_misses()?);
            findings.extend(self.retention(0)?);
            return Ok(findings);
        };
        let has_activities = result.activities > 0;
        if has_activities {
            findings.push(closed_finding(result));
        }
        findings.extend(self.no_key());
        findings.extend(self.empty_window()?);
        findings.extend(self.other_case()?);
        findings.extend(self.retention(result.activities)?);
        findings.extend(self.incomplete(result));
        let near_misses = self.near_misses()?;
        // If the alert has no activities, a near miss is the cause. Otherwise it is only additional information.
        match has_activities {
            true => findings.extend(near_misses),
            false => {
                let at = findings
                    .iter()
                    .position(|finding| matches!(finding.cause, Cause::Incomplete { .. }));
                let at = at.unwrap_or(findings.len());
                findings.splice(at..at, near_misses);
                findings.push(closed_finding(result));
            }
        }
        if result.late > 0 {
            findings.push(Finding {
                sentence: format!("{} came after the answer.", counted(result.late, "activity")),
                cause: Cause::LateActivities { late_count: result.late },
            });
        }
        Ok(findings)
    }

    /// Returns the reason why an alert is open.
    fn waiting(&self) -> Finding {
        let end = self.alert_status.window.to;
        let unreported = self.view.unreported_sources();
        let at_latest = self.alert_status.deadline;
        if self.has_passed(end) {
            return self.closing(ClosedBy::Watermark);
        }
        let (_, end_bound) = emit::bounds(self.alert_status.window, self.widening());
        if let Some((topic, partition)) = unreported.first() {
            let more = match unreported.len() {
                1 => String::new(),
                number => format!(" (and {} more)", number - 1),
            };
            return Finding {
                sentence: format!(
                    "It waits for activities up to {end_bound}; there is no watermark that moves, as nothing has been heard yet of partition {partition} of {topic}{more}: look whether it is read. It is answered at {} at the latest.",
                    at_latest.to_event()
                ),
                cause: Cause::NoWatermark {
                    silent: unreported
                        .iter()
                        .map(|(topic, partition)| self.source(topic, *partition))
                        .collect(),
                    at_latest: at_latest.into(),
                },
            };
        }
        self.waiting_for_watermark(end, end_bound)
    }

    fn has_passed(&self, end: EventTime) -> bool {
        self.view.watermark().is_some_and(|watermark| watermark >= end)
    }

    /// Returns the finding for an alert whose window has closed but whose first revision has not been sent yet.
    fn closing(&self, closed_by: ClosedBy) -> Finding {
        let sentence = match closed_by {
            ClosedBy::MaxWait => "It has waited for watermark.max_wait: its answer is going out now.",
            ClosedBy::EndOfInput => "The input has ended: its answer is going out now.",
            _ if self.has_passed(self.alert_status.window.to) => {
                "The watermark has reached the end of its window: its answer is going out now."
            }
            // A closed alert stays closed, even if its new window ends after the watermark.
            ClosedBy::Watermark | ClosedBy::Clock => {
                "It had been answered before its key changed: its new answer is going out now."
            }
        };
        Finding {
            sentence: sentence.to_owned(),
            cause: Cause::BeingAnswered {
                offset: self.view.position().offset,
            },
        }
    }

    fn source(&self, topic: &str, partition: u32) -> Source {
        Source {
            topic: topic.to_owned(),
            partition,
        }
    }

    /// Returns the finding for a watermark that has not reached the end of the window.
    fn waiting_for_watermark(&self, end: EventTime, end_bound: EventTime) -> Finding {
        let watermark = self.view.watermark();
        let remaining = watermark.map(|watermark| seconds(end.ticks().saturating_sub(watermark.ticks())));
        let at_latest = self.alert_status.deadline;
        let live = end.plus(self.settings.out_of_orderness).to_wall();
        let expected = Some(live.min(at_latest)).filter(|live| *live > self.now);
        let holder = self.view.holder();
        let sources = self.view.sources();
        let holder_state = holder.and_then(|holder| {
            let is_holder =
                |source: &&crate::join::SourceState| source.topic == holder.topic && source.partition == holder.partition;
            sources.iter().find(is_holder)
        });
        let mut sentence = format!("It waits for activities up to {end_bound}");
        match (holder, holder_state.and_then(|state| state.watermark)) {
            (Some(holder), Some(time)) => {
                sentence += &format!(
                    ": partition {} of {} has only come to {time}, and holds the watermark back since {}",
                    holder.partition,
                    holder.topic,
                    holder.since.to_event()
                );
            }
            (Some(holder), None) => {
                sentence += &format!(
                    ": partition {} of {} has had no activity yet, and holds the watermark back since {} until it has been silent for {}",
                    holder.partition,
                    holder.topic,
                    holder.since.to_event(),
                    duration(self.settings.idle_timeout)
                );
            }
            (None, _) => sentence += "; every source partition is idle, and the clock moves the watermark",
        }
        sentence += &format!(". It is answered at {} at the latest.", at_latest.to_event());
        Finding {
            sentence,
            cause: Cause::WaitingForWatermark {
                topic: holder.map(|holder| holder.topic.clone()),
                partition: holder.map(|holder| holder.partition),
                source_watermark: holder_state.and_then(|state| state.watermark).map(Into::into),
                since: holder.map(|holder| holder.since.into()),
                remaining_seconds: remaining,
                expected: expected.map(Into::into),
                at_latest: at_latest.into(),
            },
        }
    }

    fn no_key(&self) -> Option<Finding> {
        let is_missing = self.alert_status.key.correlation_id.is_empty();
        let alert_key = self
            .settings
            .keys(self.link())
            .map(|keys| keys.alert_key.clone())
            .unwrap_or_default();
        is_missing.then(|| Finding {
            sentence: format!(
                "The alert has no correlation id: {} is empty or missing, so no activity can belong to it.",
                alert_key.join(", ")
            ),
            cause: Cause::NoCorrelationId {
                alert_key: alert_key.clone(),
            },
        })
    }

    fn empty_window(&self) -> Result<Option<Finding>, Error> {
        let window = self.alert_status.window;
        if !window.is_empty() {
            return Ok(None);
        }
        let (start, end) = emit::bounds(window, self.widening());
        let bounds = self.widening().bounds.as_str();
        let at_the_bounds = self.count_stored(self.bounds_included())?.0;
        let sentence = match (start == end, at_the_bounds) {
            (true, 0) => format!("Its window has no length ({start}) and bounds are {bounds}: nothing can lie in it."),
            (true, found) => format!(
                "Its window has no length ({start}) and bounds are {bounds}: nothing can lie in it. With {} = \"inclusive\" it would have {}.",
                self.setting("bounds"),
                counted(found, "activity")
            ),
            (false, _) => format!("Its window ends ({end}) before it begins ({start}): nothing can lie in it."),
        };
        Ok(Some(Finding {
            sentence,
            cause: Cause::EmptyWindow {
                start: start.into(),
                end: end.into(),
                bounds: bounds.to_owned(),
                at_the_bounds,
            },
        }))
    }

    /// Returns the window with both bounds included.
    fn bounds_included(&self) -> Window {
        let (from, end) = emit::bounds(self.alert_status.window, self.widening());
        Window {
            from,
            to: end.next_tick(),
        }
    }

    fn other_case(&self) -> Result<Option<Finding>, Error> {
        let key = &self.alert_status.key;
        let ignores_case = self.settings.keys(self.link()).is_some_and(|keys| keys.ignore_case);
        if ignores_case || key.correlation_id.is_empty() {
            return Ok(None);
        }
        let near = self.view.keys_in_other_case(key, self.bounds_included(), MAX_KEYS)?;
        if near.is_empty() {
            return Ok(None);
        }
        let all = near.iter().map(|near| near.activities).sum();
        Ok(Some(Finding {
            sentence: format!(
                "{} in its window {} the correlation id in another case; {} = true would join them.",
                counted(all, "activity"),
                if all == 1 { "has" } else { "have" },
                self.setting("ignore_case")
            ),
            cause: Cause::KeyInOtherCase {
                keys: near
                    .into_iter()
                    .map(|near| KeyCount {
                        correlation_id: near.correlation_id.to_string(),
                        activities: near.activities,
                    })
                    .collect(),
                setting: "ignore_case".to_owned(),
                value: "true".to_owned(),
            },
        }))
    }

    fn retention(&self, counted: u64) -> Result<Option<Finding>, Error> {
        let window = self.alert_status.window;
        let Some(from) = self
            .view
            .retained_from(self.link())
            .filter(|from| !window.is_empty() && window.from < *from)
        else {
            return Ok(None);
        };
        let (held, at_least) = self.count_stored(window)?;
        let part = if window.to <= from { "All" } else { "Part" };
        Ok(Some(Finding {
            sentence: format!(
                "{part} of its window lies before {from} and is forgotten: activities there are not held any more, and such that come now are not joined."
            ),
            cause: Cause::Retention {
                retained_from: from.into(),
                counted,
                held,
                at_least,
            },
        }))
    }

    /// Returns the number of stored activities with the alert's key in a window, and whether there may be more.
    pub(super) fn count_stored(&self, window: Window) -> Result<(u64, bool), Error> {
        let mut count = 0;
        for activity in self.view.activities(&self.alert_status.key, window, None).take(MAX_COUNTED) {
            activity?;
            count += 1;
        }
        Ok((count, count >= MAX_COUNTED as u64))
    }

    fn incomplete(&self, result: &CloseResult) -> Option<Finding> {
        let completeness = self.view.completeness(self.alert_status.window, result);
        let why = match completeness {
            Completeness::PassedByActivities | Completeness::EndOfInput => return None,
            Completeness::ClosedByClock => {
                "every source partition was silent and the clock closed its window: what was still on its way was not waited for"
            }
            Completeness::ClosedByMaxWait => "it had waited for watermark.max_wait and was answered with what was there",
            Completeness::NotPassedByActivities => "its window has grown beyond what activities have passed",
            Completeness::Retention => "part of its window was forgotten already when it was answered",
        };
        Some(Finding {
            sentence: format!("The answer is not known to be complete: {why}."),
            cause: Cause::Incomplete {
                complete_because: completeness.as_str().to_owned(),
            },
        })
    }

    fn versions(&self) -> Finding {
        let revision = sent_result(self.alert_status).map_or(0, |result| result.revision);
        let generated = self.alert_status.version.time_generated;
        let revisions = match revision {
            0 => "it has not been answered yet".to_owned(),
            revision => format!("its answer has {}", counted(u64::from(revision), "revision")),
        };
        Finding {
            sentence: format!(
                "{} of the alert counted so far, the last of {generated}; {revisions}.",
                counted(u64::from(self.alert_status.versions), "version"),
            ),
            cause: Cause::Versions {
                versions: self.alert_status.versions,
                revision,
                time_generated: generated.into(),
            },
        }
    }
}
