//! The records in the input topics: activities and alerts that are close together, on and around each other's bounds.

use alerttrail::time::EventTime;

use crate::links::{self, QUERY};
use crate::rng::Rng;
use crate::rows::{self, Column};
use crate::world::{Message, Record, RecordKind, Settings, TICKS_PER_MILLI, Version, start, ticks, ticks_of};

const KEYS: [&str; 5] = ["policy", "Policy", "8e6ba277-ef39-404e-aaf1-294f6d9a2b88", "a b", "42"];

/// Draws all records, and the messages of each source in the order of writing. Everything about links is drawn from
/// `link_rng`, so that worlds without links do not depend on it.
pub(crate) fn draw(settings: &Settings, rng: &mut Rng, link_rng: Rng) -> (Vec<Record>, Vec<Vec<Message>>) {
    let mut draft = Draft {
        settings,
        link_rng,
        keys: rng.below(3) + 1,
        alerts: rng.below(5) + 1,
        now: start(),
        records: Vec::new(),
        columns: Vec::new(),
        activities: 0,
        versions: Vec::new(),
        times: Vec::new(),
    };
    let mut messages: Vec<Vec<Message>> = settings.sources.iter().map(|_| Vec::new()).collect();
    let idle_source = rng.percent(30).then(|| rng.below(settings.sources.len()));
    for _ in 0..rng.between(5, 60) {
        draft.now += match rng.below(10) {
            0 => 0,
            1 if rng.percent(40) => rng.between(0, settings.time_scale.quiet),
            _ => rng.between(0, settings.time_scale.gap),
        };
        let open: Vec<usize> = (0..settings.sources.len())
            .filter(|source| {
                settings.sources[*source].since <= draft.now && (Some(*source) != idle_source || settings.sources.len() == 1)
            })
            .collect();
        let source = match open.is_empty() {
            true => 0,
            false => *rng.pick(&open),
        };
        let message = draft.message(rng);
        messages[source].push(message);
    }
    (draft.records, messages)
}

struct Draft<'a> {
    settings: &'a Settings,
    link_rng: Rng,
    keys: usize,
    alerts: usize,
    /// The wall time.
    now: i64,
    records: Vec<Record>,
    /// The columns of each record.
    columns: Vec<Vec<Column>>,
    activities: usize,
    versions: Vec<Version>,
    times: Vec<i64>,
}

impl Draft<'_> {
    fn message(&mut self, rng: &mut Rng) -> Message {
        let timestamp = match rng.below(10) {
            0 => None,
            1 => Some(self.now + rng.between(-5_000, 5_000)),
            _ => Some(self.now),
        };
        let count = match rng.percent(60) {
            true => 1,
            false => rng.below(4),
        };
        let first = self.records.len();
        let mut texts = Vec::new();
        for _ in 0..count {
            texts.push(self.record(rng));
        }
        let value = match (count, rng.below(8)) {
            (0, 0..=3) => None,
            (1, 0..=4) => texts.pop(),
            (_, 5) => Some(format!("[{}]", texts.join(",\n "))),
            _ => Some(format!("{{\"records\": [{}]}}", texts.join(","))),
        };
        Message {
            at: self.now,
            timestamp,
            records: (first..self.records.len()).collect(),
            value,
        }
    }

    /// Adds a record. Returns its text within the message.
    fn record(&mut self, rng: &mut Rng) -> String {
        let (kind, columns) = match rng.below(100) {
            0..=4 => return self.nothing(rng),
            5..=15 if !self.records.is_empty() => {
                let again = rng.below(self.records.len());
                if self.columns[again].is_empty() {
                    return self.nothing(rng);
                }
                (self.records[again].kind.clone(), self.columns[again].clone())
            }
            16..=22 => self.unkeyed(rng),
            23..=45 => self.alert(rng),
            _ => self.activity(rng),
        };
        let table = match kind {
            RecordKind::Alert(_) => "SecurityAlert",
            _ => "CloudAppEvents",
        };
        let (row, text) = rows::wrap(table, &columns, self.now, rng);
        let twin = self.records.iter().position(|record| record.row == row);
        self.records.push(Record {
            kind,
            row,
            twin: twin.unwrap_or(self.records.len()),
        });
        self.columns.push(columns);
        text
    }

    /// Adds a record that can neither join nor move the watermark.
    fn nothing(&mut self, rng: &mut Rng) -> String {
        let text = match rng.below(5) {
            0 => r#"{"category":"AdvancedHunting-EmailEvents","properties":{"x":1}}"#.to_owned(),
            1 => r#"{"Type":"SigninLogs","SystemAlertId":"alert-0"}"#.to_owned(),
            2 => format!(
                r#"{{"SystemAlertId":"alert-0","AlertType":"{}","TimeGenerated":"2099-01-01T00:00:00Z","StartTime":"0001-01-01T00:00:00Z"}}"#,
                KEYS[0]
            ),
            3 => format!(
                r#"{{"RawEventData":{{"CreationTime":"2026-02-30T00:00:00","Data":{{"cid":"{}"}}}}}}"#,
                KEYS[0]
            ),
            _ => "7".to_owned(),
        };
        self.records.push(Record {
            kind: RecordKind::Nothing,
            row: String::new(),
            twin: self.records.len(),
        });
        self.columns.push(Vec::new());
        text
    }

    fn unkeyed(&mut self, rng: &mut Rng) -> (RecordKind, Vec<Column>) {
        let time = rng.percent(80).then(|| self.activity_time(rng));
        let cid = *rng.pick(&["null", "\"\""]);
        let mut columns = rows::activity(cid, time, 1_000 + self.records.len(), rng);
        // If the activity has no time, the row's own time moves the watermark.
        let row_time = (time.is_none() && rng.percent(50)).then(|| self.activity_time(rng));
        columns.extend(row_time.map(|time| ("Timestamp", format!("\"{}\"", rows::spell(time, rng)))));
        let keys = links::draw_activity_keys(self.settings.links.len(), &KEYS[..self.keys], &mut self.link_rng);
        match time.filter(|_| !keys.is_empty()) {
            // The query does not find this activity, but links do.
            Some(time) => {
                columns.extend(links::activity_key_columns(&keys, &mut self.link_rng));
                let number = 1_000 + self.records.len();
                (RecordKind::Activity { number, keys, time }, columns)
            }
            None => (RecordKind::Unkeyed { time: time.or(row_time) }, columns),
        }
    }

    fn activity(&mut self, rng: &mut Rng) -> (RecordKind, Vec<Column>) {
        let time = self.activity_time(rng);
        let time = self.time_for_a_link().unwrap_or(time);
        let key = KEYS[rng.below(self.keys)];
        let number = self.activities;
        self.activities += 1;
        self.times.push(time);
        let cid = match key {
            "42" if rng.percent(50) => key.to_owned(),
            _ => format!("\"{key}\""),
        };
        let mut columns = rows::activity(&cid, Some(time), number, rng);
        let mut keys = links::draw_activity_keys(self.settings.links.len(), &KEYS[..self.keys], &mut self.link_rng);
        columns.extend(links::activity_key_columns(&keys, &mut self.link_rng));
        keys.insert((QUERY, key));
        (RecordKind::Activity { number, keys, time }, columns)
    }

    /// Draws, sometimes, a time at a bound of a link's window, or one that moves the link's retention cut-off there.
    fn time_for_a_link(&mut self) -> Option<i64> {
        let (rng, links) = (&mut self.link_rng, self.settings.links.len());
        if links == 1 || self.versions.is_empty() || !rng.percent(30) {
            return None;
        }
        let link = 1 + rng.below(links - 1);
        let (from, to) = self.settings.window(link, rng.pick(&self.versions));
        let near = *rng.pick(&[from, to]) + rng.between(-1, 1);
        let now = ticks_of(self.now);
        let time = match self.settings.retention(link) {
            Some(retention) if rng.percent(25) => now.min(near + ticks(self.settings.out_of_orderness) + ticks(retention)),
            _ => near,
        };
        Some(time.clamp(0, self.latest()))
    }

    /// Returns the latest time that is ever drawn. Only a wrong clock gives times this far ahead.
    fn latest(&self) -> i64 {
        ticks_of(self.now) + 10 * 86_400 * 1_000 * TICKS_PER_MILLI
    }

    fn activity_time(&self, rng: &mut Rng) -> i64 {
        let now = ticks_of(self.now);
        let bound = ticks(self.settings.out_of_orderness);
        let time_scale = self.settings.time_scale;
        let time = match rng.below(20) {
            0..=8 => now - rng.between(0, bound.max(TICKS_PER_MILLI)),
            9 => now - bound - rng.between(0, time_scale.window * TICKS_PER_MILLI),
            10 if !self.times.is_empty() => *rng.pick(&self.times),
            11 | 12 if !self.versions.is_empty() => {
                let version = rng.pick(&self.versions);
                let edge = match rng.percent(50) {
                    true => version.start - ticks(self.settings.links[QUERY].before),
                    false => version.end + ticks(self.settings.links[QUERY].after),
                };
                edge + rng.between(-1, 1)
            }
            13 | 14 if !self.versions.is_empty() => {
                let version = rng.pick(&self.versions);
                rng.between(version.start.min(version.end), version.end.max(version.start))
            }
            // Moves the retention cut-off to the end of a window, or to an activity.
            15 | 16 if self.settings.retention(QUERY).is_some() && !self.times.is_empty() => {
                let near = match self.versions.is_empty() {
                    false if rng.percent(70) => self.settings.window(QUERY, rng.pick(&self.versions)).1,
                    _ => *rng.pick(&self.times),
                };
                now.min(near + bound + self.settings.retention(QUERY).map_or(0, ticks))
            }
            17 if rng.percent(15) => now + 10 * 86_400 * 1_000 * TICKS_PER_MILLI,
            18 if rng.percent(10) => 0,
            _ => now - rng.between(0, time_scale.gap * 5 * TICKS_PER_MILLI),
        };
        time.clamp(0, self.latest())
    }

    /// Draws a new alert, or another version of one: with the same content, another window, another key, or the content
    /// of an earlier version.
    fn alert(&mut self, rng: &mut Rng) -> (RecordKind, Vec<Column>) {
        let alert = rng.below(self.alerts);
        let earlier: Vec<&Version> = self.versions.iter().filter(|version| version.alert == alert).collect();
        let (key, start, end) = match earlier.last() {
            None => self.first_version(rng),
            Some(last) => self.next_version(last, earlier[rng.below(earlier.len())], rng),
        };
        let mut link_rng = self.link_rng.clone();
        let before = earlier
            .last()
            .map(|last| (&last.keys, &earlier[link_rng.below(earlier.len())].keys));
        let mut keys = links::draw_alert_keys(self.settings.links.len(), &KEYS[..self.keys], before, &mut link_rng);
        let generated = match (rng.below(6), earlier.last()) {
            (0, Some(last)) => last.generated,
            (1, Some(last)) => last.generated - rng.between(0, self.settings.time_scale.window * TICKS_PER_MILLI),
            _ => ticks_of(self.now),
        };
        let [start, end, generated] = [start, end, generated].map(|time| time.clamp(0, EventTime::LAST.ticks()));
        let mut columns = rows::alert(alert, key, [start, end, generated], rng);
        columns.extend(links::alert_key_columns(&keys, &mut link_rng));
        columns.sort_unstable();
        keys.insert((QUERY, key));
        self.link_rng = link_rng;
        let version = Version {
            alert,
            generated,
            hash: rows::hash(&columns),
            keys,
            start,
            end,
        };
        self.versions.push(version.clone());
        (RecordKind::Alert(version), columns)
    }

    fn first_version(&self, rng: &mut Rng) -> (&'static str, i64, i64) {
        let (start, end) = self.window(rng);
        (self.alert_key(rng), start, end)
    }

    fn next_version(&self, last: &Version, any: &Version, rng: &mut Rng) -> (&'static str, i64, i64) {
        let by = rng.between(0, self.settings.time_scale.window * TICKS_PER_MILLI);
        let (mut key, mut start, mut end) = (last.query_key(), last.start, last.end);
        match rng.below(11) {
            0 => {}
            1 => (key, start, end) = (any.query_key(), any.start, any.end),
            2 => key = self.alert_key(rng),
            3 => (start, end) = self.window(rng),
            4 => (key, start, end) = self.first_version(rng),
            5 => start -= by,
            6 => end = if rng.percent(50) { end + by } else { end - by / 4 },
            7 => start += by / 4,
            8 => key = any.query_key(),
            9 => (key, end) = (self.alert_key(rng), end - 1),
            _ => (start, end) = (start + by / 4, end + by / 4),
        }
        (key, start, end)
    }

    fn window(&self, rng: &mut Rng) -> (i64, i64) {
        let now = ticks_of(self.now);
        let length = self.settings.time_scale.window * TICKS_PER_MILLI;
        let near = match self.times.is_empty() {
            true => now,
            false => *rng.pick(&self.times),
        };
        match rng.below(16) {
            0 => (near, near),
            1 => (now, now - rng.between(0, length)),
            2 => (near - 1, near + 1),
            3 => (near - rng.between(0, 1), near + rng.between(0, 1)),
            4 => (near - rng.between(0, length), near + rng.between(0, length)),
            5 => (now - 20 * length, now - 19 * length),
            6 if rng.percent(40) => (0, EventTime::LAST.ticks()),
            7 if rng.percent(60) => (0, now),
            8 if rng.percent(60) => (now, EventTime::LAST.ticks()),
            _ => (now - rng.between(0, 2 * length), now + rng.between(-length / 2, length)),
        }
    }

    fn alert_key(&self, rng: &mut Rng) -> &'static str {
        match rng.percent(4) {
            true => "",
            false => KEYS[rng.below(self.keys)],
        }
    }
}
