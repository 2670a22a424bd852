use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::buckets::{Buckets, PARTS};
use super::cause::{self, Activity, Cause, Kind, Standing};
use super::fold::{Doubt, Folded, What};
use super::reach::Reach;
use super::record::{self, Expected, Hash, Hasher, Read, Told, alert_hash, hash};
use super::report::Report;
use crate::emit::{self, Links};
use crate::join;
use crate::log::LogRecord;
use crate::record::{ActivityId, Key, LinkedAlert, Version};
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
    alerts_told: Hasher,
    alerts_expected: Hasher,
    /// The alert of the last record: most records of one alert follow each other.
    last_told: Option<LinkedAlert>,
    by_row: Buckets<OfRow>,
    by_content: Buckets<OfContent>,
    by_alert: Buckets<OfAlert>,
    report: Report,
}

/// An item about the id of a row.
#[derive(Serialize, Deserialize)]
enum OfRow {
    Expected(Expected),
    Told(Told),
}

/// An item about the content of an activity or alert row.
#[derive(Serialize, Deserialize)]
enum OfContent {
    /// The content was delivered for this activity or alert.
    Delivered { row: Hash, owner: Owner },
    /// A row of the output for which it must be found out whether its content was delivered.
    Asked { row: Hash, doubt: Doubt },
}

/// The activity or alert to which a content belongs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Owner {
    Activity([u8; 32]),
    Alert(Hash),
}

/// An item about an alert.
#[derive(Serialize, Deserialize)]
enum OfAlert {
    /// The input has this version of the alert; its window ends at `ends`.
    Version { alert: Hash, version: Version, ends: EventTime },
    /// The output has a record of a row of the alert.
    Answered { alert: Hash },
    /// A row that does not agree.
    Asked(Asked),
}

#[derive(Serialize, Deserialize)]
struct Asked {
    doubt: Doubt,
    activity: Activity,
}

impl Comparison {
    /// Creates an empty comparison. Temporary files are created in `folder`; at most `examples` examples are kept for
    /// each kind and cause.
    pub fn new(folder: &Path, span: Span, links: Links, examples: usize) -> io::Result<Self> {
        Ok(Self {
            span,
            links,
            shorter: Vec::new(),
            alerts_told: Hasher::default(),
            alerts_expected: Hasher::default(),
            last_told: None,
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
    pub fn tell(&mut self, value: &[u8]) -> io::Result<()> {
        match record::read(value, &self.links, &mut self.alerts_told) {
            None => self.report.unreadable += 1,
            Some(Read::Row(told)) => {
                // Rows outside the span count here too: they show that the alert was closed.
                if self.last_told.as_ref() != Some(&told.alert) {
                    let alert = alert_hash(&told.alert);
                    self.by_alert.push(alert, &OfAlert::Answered { alert })?;
                    self.last_told = Some(told.alert.clone());
                }
                if self.span.contains(told.time) {
                    self.report.records += 1;
                    self.by_row.push(told.id, &OfRow::Told(told))?;
                }
            }
            Some(Read::Other) => {}
        }
        Ok(())
    }

    /// Adds a record that the join receives.
    pub(super) fn deliver(&mut self, record: &LogRecord<'_>) -> io::Result<()> {
        let (row, owner) = match record {
            LogRecord::Activity(activity) if self.span.contains(activity.time) => {
                (hash([&*activity.row]), Owner::Activity(activity.id.0))
            }
            LogRecord::Alert(version) => {
                let row = hash([&*version.row]);
                for link in &version.links {
                    let alert = alert_hash(&LinkedAlert {
                        alert: version.id.clone(),
                        link: link.link,
                    });
                    let of_alert = OfAlert::Version {
                        alert,
                        version: version.version,
                        ends: link.window.to,
                    };
                    self.by_alert.push(alert, &of_alert)?;
                    let owner = Owner::Alert(alert);
                    self.by_content.push(row, &OfContent::Delivered { row, owner })?;
                }
                return Ok(());
            }
            _ => return Ok(()),
        };
        self.by_content.push(row, &OfContent::Delivered { row, owner })
    }

    /// Adds a row that is expected.
    pub(super) fn expect(&mut self, row: &join::Row, is_too_large: bool) -> io::Result<()> {
        if !self.span.contains(row.time) {
            return Ok(());
        }
        match Expected::of(row, is_too_large, &self.links, &mut self.alerts_expected) {
            Some(expected) => self.by_row.push(expected.id, &OfRow::Expected(expected)),
            None => Ok(()),
        }
    }

    /// Counts a record of the input that cannot be used.
    pub fn dead_letter(&mut self, reason: &'static str) {
        *self.report.dead_letters.entry(reason).or_default() += 1;
    }

    /// Compares the two sets. Calls `goes_on` with the progress between 0 and 1; it returns whether to continue.
    /// Returns `None` if it returned `false`.
    pub fn finish(mut self, reach: Reach, goes_on: &mut dyn FnMut(f64) -> bool) -> io::Result<Option<Report>> {
        let steps = (3 * PARTS) as f64;
        for part in 0..PARTS {
            if !goes_on(part as f64 / steps) {
                return Ok(None);
            }
            self.fold(part)?;
        }
        for part in 0..PARTS {
            if !goes_on((PARTS + part) as f64 / steps) {
                return Ok(None);
            }
            self.look_up_contents(part, reach)?;
        }
        for part in 0..PARTS {
            if !goes_on((2 * PARTS + part) as f64 / steps) {
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
        let mut rows: BTreeMap<u128, Folded> = BTreeMap::new();
        self.by_row.read(part, &mut |item| {
            match item {
                OfRow::Expected(row) => rows.entry(row.id).or_default().expect(row),
                OfRow::Told(told) => rows.entry(told.id).or_default().tell(told),
            }
            Ok(())
        })?;
        for row in rows.into_values() {
            let (is_expected, is_told) = row.is_there();
            self.report.expected += u64::from(is_expected);
            self.report.found += u64::from(is_told);
            self.report.repeated += row.repeated;
            row.doubts().into_iter().try_for_each(|doubt| self.ask(doubt))?;
        }
        Ok(())
    }

    fn ask(&mut self, doubt: Doubt) -> io::Result<()> {
        match doubt.what {
            What::Ambiguous => self.report.find(Kind::Changed, Cause::Ambiguous, &doubt),
            What::Fields => self.report.find(Kind::Changed, Cause::OtherFields, &doubt),
            What::Missing { .. } => return self.ask_of_alert(doubt, Activity::NotAsked),
            What::Extra { activity: row } | What::Activity { row, .. } | What::Version { row } => {
                return self.by_content.push(row, &OfContent::Asked { row, doubt });
            }
        }
        Ok(())
    }

    fn ask_of_alert(&mut self, doubt: Doubt, activity: Activity) -> io::Result<()> {
        let alert = alert_hash(&doubt.alert);
        self.by_alert.push(alert, &OfAlert::Asked(Asked { doubt, activity }))
    }

    /// Finds the activities and alerts that were delivered with the content of rows in the output.
    fn look_up_contents(&mut self, part: usize, reach: Reach) -> io::Result<()> {
        let mut asked: BTreeMap<Hash, BTreeSet<Owner>> = BTreeMap::new();
        self.by_content.read(part, &mut |item| {
            if let OfContent::Asked { row, .. } = item {
                asked.entry(row).or_default();
            }
            Ok(())
        })?;
        if asked.is_empty() {
            return Ok(());
        }
        self.by_content.read(part, &mut |item| {
            if let OfContent::Delivered { row, owner } = item
                && let Some(owners) = asked.get_mut(&row)
            {
                owners.insert(owner);
            }
            Ok(())
        })?;
        let mut extra = Vec::new();
        let links = &self.links;
        let report = &mut self.report;
        self.by_content.read(part, &mut |item| {
            let OfContent::Asked { row, doubt } = item else {
                return Ok(());
            };
            let Some(owners) = asked.get(&row) else { return Ok(()) };
            match doubt.what {
                What::Activity { of, .. } if owners.contains(&Owner::Activity(of)) => report.other_deliveries += 1,
                What::Activity { .. } => report.find(Kind::Changed, cause::activity(&doubt, reach), &doubt),
                What::Version { .. } if owners.contains(&Owner::Alert(alert_hash(&doubt.alert))) => report.other_versions += 1,
                What::Version { .. } => report.find(Kind::Changed, cause::version(reach), &doubt),
                _ => {
                    let activity = delivered(owners, &doubt, links);
                    extra.push((doubt, activity));
                }
            }
            Ok(())
        })?;
        extra
            .into_iter()
            .try_for_each(|(doubt, activity)| self.ask_of_alert(doubt, activity))
    }

    /// Finds the causes of missing and extra rows.
    fn explain(&mut self, part: usize, reach: Reach) -> io::Result<()> {
        let mut asked = false;
        let mut alerts: BTreeMap<Hash, Standing> = BTreeMap::new();
        self.by_alert.read(part, &mut |item| {
            match item {
                OfAlert::Version { alert, version, ends } => alerts.entry(alert).or_default().takes_in(version, ends),
                OfAlert::Answered { alert } => alerts.entry(alert).or_default().is_answered = true,
                OfAlert::Asked(_) => asked = true,
            }
            Ok(())
        })?;
        if !asked {
            return Ok(());
        }
        let (report, shorter) = (&mut self.report, &self.shorter);
        self.by_alert.read(part, &mut |item| {
            let OfAlert::Asked(Asked { doubt, activity }) = item else {
                return Ok(());
            };
            let standing = alerts.get(&alert_hash(&doubt.alert)).copied().unwrap_or_default();
            let shorter = shorter.get(usize::from(doubt.alert.link.0)).copied().unwrap_or_default();
            let reach = reach.with_shorter_retention(shorter);
            let (kind, cause) = match doubt.what {
                What::Missing {
                    is_withdrawn,
                    is_too_large,
                } => (
                    Kind::Missing,
                    cause::missing(&doubt, is_withdrawn, is_too_large, standing, reach),
                ),
                _ => (Kind::Extra, cause::extra(&doubt, activity, standing, reach)),
            };
            report.find(kind, cause, &doubt);
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
fn delivered(owners: &BTreeSet<Owner>, doubt: &Doubt, links: &Links) -> Activity {
    let key: Key = doubt.alert.key(&doubt.correlation_id);
    let ids = owners.iter().filter_map(|owner| match owner {
        Owner::Activity(id) => Some(emit::pair_number(&doubt.alert.alert, &key, ActivityId(*id), links)),
        Owner::Alert(_) => None,
    });
    let ids: Vec<u128> = ids.collect();
    match ids.contains(&doubt.id) {
        true => Activity::Known,
        false if ids.is_empty() => Activity::Unknown,
        false => Activity::OfAnotherId,
    }
}
