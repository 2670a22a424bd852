//! Tests for each cause, for paging, and for what is shown while results are being sent.

mod causes;
mod closing;
mod lists;

use std::borrow::Cow;

use super::*;
use crate::join::{Joiner, Limit, Outbox};
use crate::record::{Activity, ActivityId, AlertId, Key, Version};
use crate::repartition::{AlertVersion, LinkVersion, RepartitionRecord, SourceWatermark, WatermarkUpdate};
use crate::store::{Backend as _, Memory};
use crate::time::{Bounds, EventTime, Widening, Window};

const HOUR: i64 = 36_000_000_000;
/// An outbox that one output fills.
const ONE: Limit = Limit { outputs: 1, bytes: 1 };

/// One partition of the repartition topic, and the settings of queries about it.
struct Fixture {
    backend: Memory,
    offset: i64,
    settings: Settings,
    retention: Option<Duration>,
    activities: u8,
}

/// Returns a time on the day of these tests: `10.5` is half past ten.
fn at(hours: f64) -> EventTime {
    let midnight = EventTime::from_date(2026, 3, 1, 0).unwrap();
    EventTime::from_ticks(midnight.ticks() + (hours * HOUR as f64) as i64)
}

fn key(correlation_id: &str) -> Key {
    Key {
        correlation_id: correlation_id.into(),
        ..Key::default()
    }
}

/// Returns the watermark update of partitions 0 and 1 at wall time `wall`. `sources` are their watermarks and whether
/// they are idle.
fn watermark_update(wall: f64, sources: &[(Option<f64>, bool)], rejected: u64) -> WatermarkUpdate {
    let source_watermark = |(partition, (time, idle)): (u32, &(Option<f64>, bool))| SourceWatermark {
        topic: "a".into(),
        partition,
        position: 7,
        time: time.map(at),
        idle: *idle,
        rejected,
    };
    WatermarkUpdate {
        wall: at(wall).to_wall(),
        clock: at(wall - 0.1),
        topics: vec![("a".into(), 2)],
        sources: (0..).zip(sources).map(source_watermark).collect(),
        settings: [0; 32],
    }
}

/// Returns a version of an alert whose deadline is an hour after the end of its window.
fn version_record(
    id: &str,
    correlation_id: &str,
    window: Window,
    generated: EventTime,
    columns: &str,
) -> RepartitionRecord<'static> {
    RepartitionRecord::Alert(AlertVersion {
        id: AlertId {
            tenant: Text::default(),
            system_alert_id: id.into(),
        },
        version: Version {
            time_generated: generated,
            hash: [0; 32],
        },
        links: vec![LinkVersion {
            link: LinkId::QUERY,
            window,
            deadline: window.to.plus(Duration::from_secs(3_600)).to_wall(),
            keys: vec![correlation_id.into()],
        }],
        row: Cow::Owned(format!("{{{columns}}}").into_bytes()),
    })
}

/// Returns a watermark update that moves both partitions to this watermark.
fn passing(hours: f64) -> RepartitionRecord<'static> {
    RepartitionRecord::WatermarkUpdate(watermark_update(hours, &[(Some(hours), false), (Some(hours), false)], 0))
}

/// Selects the result of an alert by the query.
fn wanted(id: &str) -> Wanted {
    Wanted {
        system_alert_id: id.to_owned(),
        ..Wanted::default()
    }
}

impl Fixture {
    fn widening(&self) -> Widening {
        self.settings.links.widening(LinkId::QUERY)
    }

    fn widen(&mut self, change: impl FnOnce(&mut Widening)) {
        let mut widening = self.widening();
        change(&mut widening);
        self.settings.links = emit::Links::query(widening);
    }

    fn new() -> Self {
        Self {
            backend: Memory::default(),
            offset: 0,
            settings: Settings {
                links: emit::Links::query(Widening::default()),
                keys: vec![KeySettings {
                    ignore_case: false,
                    alert_key: vec!["AlertType".into()],
                }],
                tenants: Vec::new(),
                out_of_orderness: Duration::from_secs(300),
                idle_timeout: Duration::from_secs(60),
            },
            retention: None,
            activities: 0,
        }
    }

    fn apply(&mut self, record: RepartitionRecord<'_>) {
        self.step(Some(record), Limit::default());
        assert!(!self.is_at_work());
    }

    /// Applies a record, or continues with the one before, until the outbox is full. Remaining work stays in the state.
    fn step(&mut self, record: Option<RepartitionRecord<'_>>, limit: Limit) {
        let mut joiner = Joiner::open(&self.backend, self.retention).unwrap();
        let records = record.map(|record| (self.offset, record));
        self.offset += i64::from(records.is_some());
        let changes = joiner.apply(&self.backend, records, &mut Outbox::new(limit)).unwrap();
        self.backend.write(changes).unwrap();
    }

    fn is_at_work(&self) -> bool {
        View::open(&self.backend, self.retention).unwrap().is_at_work()
    }

    fn activity(&mut self, correlation_id: &str, hours: f64) {
        self.activities += 1;
        let row = format!(r#"{{"n":{},"digits":1.50}}"#, self.activities);
        self.apply(RepartitionRecord::Activity(Activity {
            keys: vec![key(correlation_id)],
            time: at(hours),
            id: ActivityId([self.activities; 32]),
            row: Cow::Owned(row.into_bytes()),
        }));
    }

    fn alert(&mut self, id: &str, correlation_id: &str, from: f64, to: f64) {
        self.version(
            id,
            correlation_id,
            from,
            to,
            12.0,
            r#""AlertName":"Mail \u0041","AlertSeverity":"High""#,
        );
    }

    fn version(&mut self, id: &str, correlation_id: &str, from: f64, to: f64, generated: f64, columns: &str) {
        let window = Window::for_alert(at(from), at(to), self.widening());
        let record = version_record(id, correlation_id, window, at(generated), columns);
        self.apply(record);
    }

    /// Applies the watermark update of partitions 0 and 1 at wall time `wall`. `sources` are their watermarks and
    /// whether they are idle.
    fn watermark_update(&mut self, wall: f64, sources: &[(Option<f64>, bool)], rejected: u64) {
        let update = watermark_update(wall, sources, rejected);
        self.apply(RepartitionRecord::WatermarkUpdate(update));
    }

    fn pass(&mut self, hours: f64) {
        self.apply(passing(hours));
    }

    fn partitions(&self) -> [Partition<'_, Memory>; 1] {
        [Partition {
            number: 3,
            view: View::open(&self.backend, self.retention).unwrap(),
        }]
    }

    fn explain(&self, id: &str) -> super::causes::Explanation {
        let partitions = self.partitions();
        let now = at(10.75).to_wall();
        match find(&partitions, &self.settings, &wanted(id)).unwrap() {
            Some(found) => explain(&found, &self.settings, now).unwrap(),
            None => unknown(&partitions, &wanted(id)),
        }
    }

    /// Returns the names of the causes, in the order of the findings.
    fn causes(&self, id: &str) -> Vec<String> {
        let findings = self.explain(id).findings;
        let name = |finding: &super::causes::Finding| {
            let json = serde_json::to_value(finding).unwrap();
            assert!(finding.sentence.ends_with('.'), "{}", finding.sentence);
            json["cause"].as_str().unwrap().to_owned()
        };
        findings.iter().map(name).collect()
    }

    fn details(&self, id: &str, cause: &str) -> serde_json::Value {
        let findings = serde_json::to_value(self.explain(id).findings).unwrap();
        let all = findings.as_array().unwrap();
        let found = all.iter().find(|finding| finding["cause"] == cause);
        found.unwrap_or_else(|| panic!("{all:#?}"))["details"].clone()
    }

    fn list(&self, filter: &Filter, cursor: Option<&str>, limit: usize) -> shapes::AlertList {
        list(&self.partitions(), &self.settings, filter, cursor, limit).unwrap()
    }

    fn ids(&self, filter: &Filter) -> Vec<String> {
        let list = self.list(filter, None, 50);
        list.alerts.into_iter().map(|item| item.system_alert_id).collect()
    }
}
