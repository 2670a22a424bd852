//! Links: their settings, and the keys that activities and alerts have by them. Half of all worlds have links in
//! addition to the query.

use std::collections::BTreeSet;
use std::time::Duration;

use alerttrail::decode::{KeyEntry, Link as Decoded, Path, Settings as Decode};
use alerttrail::join::Retention;
use alerttrail::time::{Bounds, Widening};

use crate::rng::Rng;
use crate::rows::Column;
use crate::world::Settings;

/// A link by its number and one of its keys.
pub(crate) type LinkKey = (usize, &'static str);

/// The number of the link that is the query.
pub(crate) const QUERY: usize = 0;

/// The columns that hold the keys of alerts, by the number of the link.
const ALERT_COLUMNS: [&str; 4] = ["AlertType", "Entities1", "Entities2", "Entities3"];
/// The columns that hold the keys of activities.
const ACTIVITY_COLUMNS: [&str; 4] = ["RawEventData", "Users1", "Users2", "Users3"];

/// A way for an activity to belong to an alert.
pub(crate) struct Link {
    pub(crate) inclusive: bool,
    pub(crate) before: Duration,
    pub(crate) after: Duration,
    /// How long activities are kept.
    pub(crate) retention: Option<Duration>,
}

impl Link {
    /// Draws a link for a world with these settings.
    fn draw(settings: &Settings, rng: &mut Rng) -> Self {
        let seconds = |rng: &mut Rng, from: &[u64]| Duration::from_secs(*rng.pick(from));
        let tick = Duration::from_millis(1);
        let all = settings.retention(QUERY);
        // The program refuses a configuration in which a link reaches further than activities are kept.
        let max_margin = all.map_or(Duration::MAX, |all| all - tick);
        let before = seconds(rng, &[0, 0, 1, 300, 3_600]).min(max_margin);
        let after = seconds(rng, &[0, 0, 1, 300, 3_600]).min(max_margin);
        let min_retention = settings.out_of_orderness.max(before).max(after) + tick;
        let shorter = match rng.below(6) {
            0..=2 => None,
            3 => Some(min_retention),
            4 => Some(min_retention.max(seconds(rng, &[60, 7_200]))),
            _ => Some(min_retention.max(Duration::from_secs(2 * 86_400))),
        };
        Self {
            inclusive: rng.percent(50),
            before,
            after,
            retention: shorter.map_or(all, |shorter| Some(all.map_or(shorter, |all| all.min(shorter)))),
        }
    }

    pub(crate) fn widening(&self) -> Widening {
        Widening {
            bounds: match self.inclusive {
                true => Bounds::Inclusive,
                false => Bounds::Exclusive,
            },
            before: self.before,
            after: self.after,
        }
    }
}

/// Draws the links in addition to the query: none in half of all worlds.
pub(crate) fn draw(settings: &Settings, rng: &mut Rng) -> Vec<Link> {
    match rng.percent(50) {
        true => (0..rng.between(1, 3)).map(|_| Link::draw(settings, rng)).collect(),
        false => Vec::new(),
    }
}

/// Returns the name of a link.
pub(crate) fn name(link: usize) -> String {
    match link {
        QUERY => "query".to_owned(),
        number => format!("link-{number}"),
    }
}

impl Settings {
    /// Returns the decoder settings of a configuration with these links.
    pub(crate) fn decode(&self) -> Decode {
        let entry = |path: String| vec![KeyEntry::from(Path::parse(&path).unwrap())];
        let link = |(number, link): (usize, &Link)| Decoded {
            name: name(number),
            key: entry(format!("{}[].Id", ALERT_COLUMNS[number])),
            activity_key: entry(format!("{}[]", ACTIVITY_COLUMNS[number])),
            alert_where: Vec::new(),
            activity_where: Vec::new(),
            ignore_case: false,
            widening: link.widening(),
            retention: link.retention,
        };
        Decode {
            widening: self.links[QUERY].widening(),
            links: self.links.iter().enumerate().skip(1).map(link).collect(),
            ..Decode::default()
        }
    }

    /// Returns how long JOIN keeps activities for each link.
    pub(crate) fn retentions(&self) -> Retention {
        Retention {
            all: self.retention(QUERY),
            links: self.links.iter().skip(1).map(|link| link.retention).collect(),
        }
    }
}

/// Draws the keys of an activity by each link except the query.
pub(crate) fn draw_activity_keys(links: usize, pool: &[&'static str], rng: &mut Rng) -> BTreeSet<LinkKey> {
    let mut keys = BTreeSet::new();
    for link in 1..links {
        let count = if rng.percent(75) { rng.below(4) } else { 0 };
        keys.extend((0..count).map(|_| (link, *rng.pick(pool))));
    }
    keys
}

/// Draws the keys of a version of an alert by each link except the query. `before` holds the keys of the previous
/// version and those of all earlier ones.
pub(crate) fn draw_alert_keys(
    links: usize,
    pool: &[&'static str],
    before: Option<(&BTreeSet<LinkKey>, &BTreeSet<LinkKey>)>,
    rng: &mut Rng,
) -> BTreeSet<LinkKey> {
    let Some((last, any)) = before else {
        return draw_activity_keys(links, pool, rng);
    };
    let mut keys = BTreeSet::new();
    for link in 1..links {
        let keys_of_link = |keys: &BTreeSet<LinkKey>| keys.iter().copied().filter(|key| key.0 == link).collect::<Vec<_>>();
        let mut drawn = keys_of_link(last);
        match rng.below(7) {
            0 | 1 => {}
            2 => drawn.push((link, *rng.pick(pool))),
            3 if !drawn.is_empty() => drop(drawn.remove(rng.below(drawn.len()))),
            4 => drawn = keys_of_link(any),
            5 => drawn.clear(),
            _ => drawn = (0..rng.below(4)).map(|_| (link, *rng.pick(pool))).collect(),
        }
        keys.extend(drawn);
    }
    keys
}

/// Returns the columns with an activity's keys by each link except the query.
pub(crate) fn activity_key_columns(keys: &BTreeSet<LinkKey>, rng: &mut Rng) -> Vec<Column> {
    columns(&ACTIVITY_COLUMNS, keys, |key| format!("\"{key}\""), rng)
}

/// Returns the columns with an alert's keys by each link except the query.
pub(crate) fn alert_key_columns(keys: &BTreeSet<LinkKey>, rng: &mut Rng) -> Vec<Column> {
    columns(&ALERT_COLUMNS, keys, |key| format!("{{\"Id\":\"{key}\"}}"), rng)
}

fn columns(names: &[&'static str], keys: &BTreeSet<LinkKey>, write: fn(&str) -> String, rng: &mut Rng) -> Vec<Column> {
    let mut columns = Vec::new();
    for (link, name) in names.iter().enumerate().skip(1) {
        let mut values: Vec<String> = keys.iter().filter(|key| key.0 == link).map(|key| write(key.1)).collect();
        if values.is_empty() {
            continue;
        }
        // A repeated key counts once, and an empty one does not count.
        match rng.below(6) {
            0 => values.push(values[0].clone()),
            1 => values.push(write("")),
            _ => {}
        }
        rng.shuffle(&mut values);
        columns.push((*name, format!("[{}]", values.join(","))));
    }
    columns
}
