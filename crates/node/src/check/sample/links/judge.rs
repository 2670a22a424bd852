//! The findings about each link.

use super::super::super::{Findings, Level, percent, traffic};
use super::estimate::{self, Met, Rates, about, about_bytes};
use super::{Links, MAX_KEPT, OfLink, Tally};
use crate::decode::{Condition, KeyEntry, QUERY};
use crate::words::{counted, duration, grouped};

/// With fewer records than this, no conclusion about the tenant is drawn.
const ENOUGH: u64 = 20;

/// With at least this many activities, a key that has more than a tenth of them is reported.
const MANY: u64 = 1_000;

impl Links {
    /// Returns the findings about the links in the sample.
    pub(in super::super) fn findings(&self) -> Findings {
        let tally = &self.tally;
        let mut findings = Findings::default();
        if tally.activities == 0 && tally.alerts.is_empty() {
            return findings;
        }
        let mut add = |level, text: String| findings.add("links", level, text);
        let rates = Rates::of(tally);
        for (place, link) in tally.links.iter().enumerate() {
            let met = estimate::meet(tally, place, link, rates.as_ref());
            let shares = tally.shares(link, &met);
            let rates = rates.as_ref().filter(|_| link.activities > 0);
            let estimate = rates.map(|rates| tally.estimate(link, place, rates, &met));
            add(
                Level::Ok,
                [Some(shares), estimate].into_iter().flatten().collect::<Vec<_>>().join("; "),
            );
            tally.judge_missing(link, &met, &mut add);
            link.judge_hot_key(&mut add);
        }
        if tally.activities > 0 {
            add(Level::Ok, tally.all(rates.as_ref()));
        }
        if let Some(text) = traffic::cut_keys(tally.cut) {
            add(Level::Warning, text);
        }
        if tally.kept.left_out > 0 {
            let text = format!(
                "{} keys and alerts of the sample were left out where alerts and activities meet, as there is room for {} only; a smaller --sample leaves out none",
                grouped(tally.kept.left_out),
                grouped(MAX_KEPT as u64)
            );
            add(Level::Note, text);
        }
        findings
    }
}

impl Tally {
    fn alerts(&self) -> u64 {
        self.alerts.len() as u64
    }

    /// Returns a sentence with the numbers of records that have keys and of alerts that match an activity.
    fn shares(&self, link: &OfLink, met: &Met) -> String {
        let name = &link.link.name;
        let sides = [
            (link.activities, self.activities, "activity"),
            (met.alerts, self.alerts(), "alert"),
        ];
        let side = |(part, whole, noun): (u64, u64, &str)| format!("{} of {}", percent(part, whole), counted(whole, noun));
        let sides: Vec<String> = sides.into_iter().filter(|(_, whole, _)| *whole > 0).map(side).collect();
        let meet = match (met.met, met.alerts) {
            (_, 0) => String::new(),
            (1, _) => "; 1 alert has an activity in its window".to_owned(),
            (met, _) => format!("; {} have an activity in their window", counted(met, "alert")),
        };
        format!("{name}: {} have a key{meet}", sides.join(" and "))
    }

    /// Returns a sentence with the estimated daily numbers and the amount that is stored.
    fn estimate(&self, link: &OfLink, place: usize, rates: &Rates<'_>, met: &Met) -> String {
        let keyed = rates.a_day(|source| source.keyed.get(place).map_or(0.0, |keyed| *keyed as f64));
        let stored = keyed * link.retention.as_secs_f64() / 86_400.0;
        let row = link.bytes as f64 / link.activities.max(1) as f64;
        let rows = match rates.rows_a_day(met, self.alerts.len()) {
            Some(rows) => format!("{} rows a day", about(rows)),
            None if met.alerts == 0 => "no rows".to_owned(),
            None => "rows a day unknown, as the sample holds too few alerts, or none from the time of its activities".to_owned(),
        };
        format!(
            "at this rate {} activities a day have a key, and {} ({} of rows) are kept for {}; {rows}",
            about(keyed),
            about(stored),
            about_bytes(stored * row),
            duration(link.retention)
        )
    }

    /// Returns a sentence about what all links store together.
    fn all(&self, rates: Option<&Rates<'_>>) -> String {
        let share = percent(self.keyed, self.activities);
        let activities = counted(self.activities, "activity");
        let Some(rates) = rates else {
            return format!(
                "all links: {share} of {activities} have a key and are stored; the sample is too small to estimate a day"
            );
        };
        let stored = rates.a_day(|source| source.stored) / 86_400.0;
        let bytes = rates.a_day(|source| source.stored_bytes) / 86_400.0;
        format!(
            "all links: {share} of {activities} have a key, {} a day; the state holds {} of them, {} of rows before compression, counting an activity once for each partition of the log that owns a key of it",
            about(rates.a_day(|source| source.any as f64)),
            about(stored),
            about_bytes(bytes)
        )
    }

    /// Reports a link that has no key on one side, so that it finds nothing.
    fn judge_missing(&self, link: &OfLink, met: &Met, add: &mut dyn FnMut(Level, String)) {
        let is_query = link.link.name == QUERY;
        let of = &link.link;
        // For activities of the query, the section about records reports this.
        let sides = [
            (
                !is_query && link.activities == 0,
                self.activities,
                "activity",
                &of.activity_key,
                &of.activity_where,
            ),
            (met.alerts == 0, self.alerts(), "alert", &of.key, &of.alert_where),
        ];
        for (is_missing, all, noun, key, conditions) in sides {
            if !is_missing || all == 0 {
                continue;
            }
            let level = if all >= ENOUGH { Level::Warning } else { Level::Note };
            let (key_setting, where_setting) = match (is_query, noun) {
                (true, _) => ("correlation.alert_key", ""),
                (false, "alert") => ("key", "from_where"),
                (false, _) => ("activity_key", "where"),
            };
            let (or, remedy) = match conditions.is_empty() {
                true => (String::new(), String::new()),
                false => (
                    format!(", or none meets its {where_setting} ({})", places_of_conditions(conditions)),
                    format!(", or correct {where_setting}"),
                ),
            };
            add(
                level,
                format!(
                    "{}: no {noun} of the sample has a key at {}{or}, so this link finds nothing: set {key_setting} to a place that holds one{remedy}",
                    of.name,
                    places(key)
                ),
            );
        }
    }
}

impl OfLink {
    /// Reports a key that causes much of the work.
    fn judge_hot_key(&self, add: &mut dyn FnMut(Level, String)) {
        let mut counts = std::collections::HashMap::new();
        for (key, _) in &self.places {
            *counts.entry(*key).or_insert(0_u64) += 1;
        }
        let hottest = counts.values().copied().max().unwrap_or(0);
        if self.activities >= MANY && hottest * 10 > self.activities {
            let text = format!(
                "{}: one key has {} of the activities with a key: its partition does that much of the link's work, and more partitions do not help",
                self.link.name,
                percent(hottest, self.activities)
            );
            add(Level::Note, text);
        }
    }
}

fn places(entries: &[KeyEntry]) -> String {
    let place = |entry: &KeyEntry| {
        let paths: Vec<String> = entry.paths().iter().map(|path| path.path.to_string()).collect();
        paths.join(" and ")
    };
    entries.iter().map(place).collect::<Vec<_>>().join(" or ")
}

fn places_of_conditions(conditions: &[Condition]) -> String {
    let paths: Vec<String> = conditions.iter().map(|condition| condition.path.to_string()).collect();
    paths.join(", ")
}
