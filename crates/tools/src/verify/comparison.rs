use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::buckets::{Buckets, PARTS};
use super::cause::{self, ActivityMatch, AlertFacts, Cause, Kind};
use super::fold::{Difference, Mismatch, RowFold};
use super::reach::Reach;
use super::record::{self, ExpectedRow, Hash, Hasher, OutputRow, OutputValue, alert_hash, hash};
use super::report::Report;
use crate::emit::{self, Links};
use crate::join;
use crate::record::{ActivityId, Key, LinkedAlert, Version};
use crate::repartition::RepartitionRecord;
use crate::time::EventTime;

/// The range of activity times whose rows are compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    /// The start of the range, inclusive.
    pub from: EventTime,
    /// The end of the range, exclusive.
    pub to: EventTime,
}

/// Compares two sets of rows, which it keeps on disk.
pub struct Comparison {
    span: Span,
    links: Links,
    /// For each link, how much shorter its retention is than that of the query.
    shorter: Vec<Duration>,
    output_alert_hasher: Hasher,
    expected_alert_hasher: Hasher,
    /// The alert of the last record: most records of one alert follow each other.
    last_output_alert: Option<LinkedAlert>,
    by_row: Buckets<RowItem>,
    by_content: Buckets<ContentItem>,
    by_alert: Buckets<AlertItem>,
    report: Report,
}

/// An item about the id of a row.
#[derive(Serialize, Deserialize)]
enum RowItem {
    Expected(ExpectedRow),
    Output(OutputRow),
}

/// An item about the content of an activity or alert row.
#[derive(Serialize, Deserialize)]
enum ContentItem {
    /// The content was delivered for this activity or alert.
    Delivered { row: Hash, subject: Subject },
    /// A row of the output. The comparison looks up whether its content was delivered.
    Lookup { row: Hash, mismatch: Mismatch },
}

/// The activity or alert to which a content belongs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Subject {
    Activity([u8; 32]),
    Alert(Hash),
}

/// An item about an alert.
#[derive(Serialize, Deserialize)]
enum AlertItem {
    /// The input has this version of the alert; its window ends at `window_end`.
    Version {
        alert: Hash,
        version: Version,
        window_end: EventTime,
    },
    /// The output has a record of a row of the alert.
    HasOutput { alert: Hash },
    /// A row that does not agree.
    Explain(ExplainRequest),
}

#[derive(Serialize, Deserialize)]
struct ExplainRequest {
    mismatch: Mismatch,
    activity: ActivityMatch,
}

impl Comparison {
    /// Creates an empty comparison. Temporary files are created in `folder`; at most `examples` examples are kept for
    /// each kind and cause.
    pub fn new(folder: &Path, span: Span, links: Links, examples: usize) -> io::Result<Self> {
        Ok(Self {
            span,
            links,
            shorter: Vec::new(),
            output_alert_hasher: Hasher::default(),
            expected_alert_hasher: Hasher::default(),
            last_output_alert: None,
            by_row: Buckets::new_in(folder)?,
            by_content: Buckets::new_in(folder)?,
            by_alert: Buckets::new_in(folder)?,
            report: Report::new(examples),
        })
    }

    /// Sets, for each link, how much shorter its retention is than that of the query: its retention cut-off is later by
    /// this duration.
    #[must_use]
    pub fn with_shorter(self, shorter: Vec<Duration>) -> Self {
        Self { shorter, ..self }
    }

    /// Adds the value of a record of the output.
    pub fn add_output(&mut self, value: &[u8]) -> io::Result<()> {
        match record::parse(value, &self.links, &mut self.output_alert_hasher) {
            None => self.report.unreadable += 1,
            Some(OutputValue::Row(output_row)) => {
                // Rows outside the span count here too: they show that the alert was closed.
                if self.last_output_alert.as_ref() != Some(&output_row.alert) {
                    let alert = alert_hash(&output_row.alert);
                    self.by_alert.push(alert, &AlertItem::HasOutput { alert })?;
                    self.last_output_alert = Some(output_row.alert.clone());
                }
                if self.span.contains(output_row.time) {
                    self.report.records += 1;
                    self.by_row.push(output_row.id, &RowItem::Output(output_row))?;
                }
            }
            Some(OutputValue::Summary) => {}
        }
        Ok(())
    }

    /// Adds a record that the join receives.
    pub(super) fn add_delivered(&mut self, record: &RepartitionRecord<'_>) -> io::Result<()> {
        let (row, subject) = match record {
            RepartitionRecord::Activity(activity) if self.span.contains(activity.time) => {
                (hash([&*activity.row]), Subject::Activity(activity.id.0))
            }
            RepartitionRecord::Alert(version) => {
                let row = hash([&*version.row]);
                for link in &version.links {
                    let alert = alert_hash(&LinkedAlert {
                        alert: version.id.clone(),
                        link: link.link,
                    });
                    let item = AlertItem::Version {
                        alert,
                        version: version.version,
                        window_end: link.window.to,
                    };
                    self.by_alert.push(alert, &item)?;
                    let subject = Subject::Alert(alert);
                    self.by_content.push(row, &ContentItem::Delivered { row, subject })?;
                }
                return Ok(());
            }
            _ => return Ok(()),
        };
        self.by_content.push(row, &ContentItem::Delivered { row, subject })
    }

    /// Adds a row that is expected.
    pub(super) fn add_expected(&mut self, row: &join::Row, is_too_large: bool) -> io::Result<()> {
        if !self.span.contains(row.time) {
            return Ok(());
        }
        match ExpectedRow::from_join(row, is_too_large, &self.links, &mut self.expected_alert_hasher) {
            Some(expected) => self.by_row.push(expected.id, &RowItem::Expected(expected)),
            None => Ok(()),
        }
    }

    /// Counts a record of the input that cannot be used.
    pub fn count_dead_letter(&mut self, reason: &'static str) {
        *self.report.dead_letters.entry(reason).or_default() += 1;
    }

    /// Compares the two sets. Calls `on_progress` with the progress between 0 and 1; it returns whether to continue.
    /// Returns `None` if it returned `false`.
    pub fn finish(mut self, reach: Reach, on_progress: &mut dyn FnMut(f64) -> bool) -> io::Result<Option<Report>> {
        let steps = (3 * PARTS) as f64;
        for part in 0..PARTS {
            if !on_progress(part as f64 / steps) {
                return Ok(None);
            }
            self.fold(part)?;
        }
        for part in 0..PARTS {
            if !on_progress((PARTS + part) as f64 / steps) {
                return Ok(None);
            }
            self.look_up_contents(part, reach)?;
        }
        for part in 0..PARTS {
            if !on_progress((2 * PARTS + part) as f64 / steps) {
                return Ok(None);
            }
            self.explain(part, reach)?;
        }
        let report = &mut self.report;
        let missing = report.count(Kind::Missing);
        report.matched = report.expected - missing;
        Ok(Some(self.report))
    }

    /// Combines the items of each id, and requests an explanation for each row that does not agree.
    fn fold(&mut self, part: usize) -> io::Result<()> {
        let mut rows: BTreeMap<u128, RowFold> = BTreeMap::new();
        self.by_row.read(part, &mut |item| {
            match item {
                RowItem::Expected(row) => rows.entry(row.id).or_default().set_expected(row),
                RowItem::Output(output_row) => rows.entry(output_row.id).or_default().add_output(output_row),
            }
            Ok(())
        })?;
        for row in rows.into_values() {
            let (is_expected, is_found) = row.presence();
            self.report.expected += u64::from(is_expected);
            self.report.found += u64::from(is_found);
            self.report.repeated += row.repeated;
            row.mismatches()
                .into_iter()
                .try_for_each(|mismatch| self.request_cause(mismatch))?;
        }
        Ok(())
    }

    fn request_cause(&mut self, mismatch: Mismatch) -> io::Result<()> {
        match mismatch.difference {
            Difference::Ambiguous => self.report.add_finding(Kind::Changed, Cause::Ambiguous, &mismatch),
            Difference::Fields => self.report.add_finding(Kind::Changed, Cause::OtherFields, &mismatch),
            Difference::Missing { .. } => return self.request_explanation(mismatch, ActivityMatch::NotRequested),
            Difference::Extra { activity: row } | Difference::Activity { row, .. } | Difference::Version { row } => {
                return self.by_content.push(row, &ContentItem::Lookup { row, mismatch });
            }
        }
        Ok(())
    }

    fn request_explanation(&mut self, mismatch: Mismatch, activity: ActivityMatch) -> io::Result<()> {
        let alert = alert_hash(&mismatch.alert);
        self.by_alert
            .push(alert, &AlertItem::Explain(ExplainRequest { mismatch, activity }))
    }

    /// Finds the activities and alerts that were delivered with the content of rows in the output.
    fn look_up_contents(&mut self, part: usize, reach: Reach) -> io::Result<()> {
        let mut requested: BTreeMap<Hash, BTreeSet<Subject>> = BTreeMap::new();
        self.by_content.read(part, &mut |item| {
            if let ContentItem::Lookup { row, .. } = item {
                requested.entry(row).or_default();
            }
            Ok(())
        })?;
        if requested.is_empty() {
            return Ok(());
        }
        self.by_content.read(part, &mut |item| {
            if let ContentItem::Delivered { row, subject } = item
                && let Some(subjects) = requested.get_mut(&row)
            {
                subjects.insert(subject);
            }
            Ok(())
        })?;
        let mut extra = Vec::new();
        let links = &self.links;
        let report = &mut self.report;
        self.by_content.read(part, &mut |item| {
            let ContentItem::Lookup { row, mismatch } = item else {
                return Ok(());
            };
            let Some(subjects) = requested.get(&row) else { return Ok(()) };
            match mismatch.difference {
                Difference::Activity { activity_id, .. } if subjects.contains(&Subject::Activity(activity_id)) => {
                    report.other_deliveries += 1
                }
                Difference::Activity { .. } => {
                    report.add_finding(Kind::Changed, cause::changed_activity(&mismatch, reach), &mismatch)
                }
                Difference::Version { .. } if subjects.contains(&Subject::Alert(alert_hash(&mismatch.alert))) => {
                    report.other_versions += 1
                }
                Difference::Version { .. } => report.add_finding(Kind::Changed, cause::changed_version(reach), &mismatch),
                _ => {
                    let activity = delivered(subjects, &mismatch, links);
                    extra.push((mismatch, activity));
                }
            }
            Ok(())
        })?;
        extra
            .into_iter()
            .try_for_each(|(mismatch, activity)| self.request_explanation(mismatch, activity))
    }

    /// Finds the causes of missing and extra rows.
    fn explain(&mut self, part: usize, reach: Reach) -> io::Result<()> {
        let mut has_requests = false;
        let mut alerts: BTreeMap<Hash, AlertFacts> = BTreeMap::new();
        self.by_alert.read(part, &mut |item| {
            match item {
                AlertItem::Version {
                    alert,
                    version,
                    window_end,
                } => alerts.entry(alert).or_default().add_version(version, window_end),
                AlertItem::HasOutput { alert } => alerts.entry(alert).or_default().has_output = true,
                AlertItem::Explain(_) => has_requests = true,
            }
            Ok(())
        })?;
        if !has_requests {
            return Ok(());
        }
        let (report, shorter) = (&mut self.report, &self.shorter);
        self.by_alert.read(part, &mut |item| {
            let AlertItem::Explain(ExplainRequest { mismatch, activity }) = item else {
                return Ok(());
            };
            let facts = alerts.get(&alert_hash(&mismatch.alert)).copied().unwrap_or_default();
            let shorter = shorter.get(usize::from(mismatch.alert.link.0)).copied().unwrap_or_default();
            let reach = reach.with_shorter_retention(shorter);
            let (kind, cause) = match mismatch.difference {
                Difference::Missing {
                    is_withdrawn,
                    is_too_large,
                } => (
                    Kind::Missing,
                    cause::missing(&mismatch, is_withdrawn, is_too_large, facts, reach),
                ),
                _ => (Kind::Extra, cause::extra(&mismatch, activity, facts, reach)),
            };
            report.add_finding(kind, cause, &mismatch);
            Ok(())
        })
    }
}

impl Span {
    /// Returns whether a time is inside the range.
    pub fn contains(self, time: EventTime) -> bool {
        self.from <= time && time < self.to
    }
}

/// Returns what the deliveries of a content show about an extra row.
fn delivered(subjects: &BTreeSet<Subject>, mismatch: &Mismatch, links: &Links) -> ActivityMatch {
    let key: Key = mismatch.alert.key(&mismatch.correlation_id);
    let ids = subjects.iter().filter_map(|subject| match subject {
        Subject::Activity(id) => Some(emit::pair_number(&mismatch.alert.alert, &key, ActivityId(*id), links)),
        Subject::Alert(_) => None,
    });
    let ids: Vec<u128> = ids.collect();
    match ids.contains(&mismatch.id) {
        true => ActivityMatch::Known,
        false if ids.is_empty() => ActivityMatch::Unknown,
        false => ActivityMatch::OtherId,
    }
}
