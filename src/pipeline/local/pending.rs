use std::collections::HashMap;
use std::sync::Arc;

use super::rows::Spot;
use crate::check::hints::{self, Tally};
use crate::record::{Key, Text};
use crate::time::{EventTime, Window};

/// Activities that may join, before their identities are known: who they are matters only where they lie in a window, or where another
/// one has the same key and time. In the order of the input.
#[derive(Default)]
pub(super) struct Pending {
    numbers: HashMap<Arc<Key>, u32>,
    keys: Vec<Arc<Key>>,
    entries: Vec<Entry>,
    key_bytes: usize,
}

#[derive(Clone, Copy)]
struct Entry {
    key: u32,
    time: EventTime,
    spot: Spot,
}

/// An activity whose identity is to be found.
pub(super) struct Wanted {
    pub(super) key: Arc<Key>,
    pub(super) time: EventTime,
    pub(super) spot: Spot,
    pub(super) company: Company,
}

/// Whether other activities have the same key and time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Company {
    Alone,
    Several,
}

impl Pending {
    pub(super) fn push(&mut self, key: Key, time: EventTime, spot: Spot) {
        let number = match self.numbers.get(&key) {
            Some(number) => *number,
            None => {
                let number = u32::try_from(self.keys.len()).unwrap_or(u32::MAX);
                self.key_bytes += key.size();
                let key = Arc::new(key);
                self.keys.push(key.clone());
                self.numbers.insert(key, number);
                number
            }
        };
        self.entries.push(Entry { key: number, time, spot });
    }

    /// About how many bytes of memory it takes, with what [`Pending::choose`] takes on top.
    pub(super) fn bytes(&self) -> usize {
        // A key with its two pointers, its numbers, and what allocations and an open table take.
        const KEY: usize = 192;
        const CHOOSING: usize = 32;
        self.key_bytes + self.keys.len() * KEY + self.entries.len() * (size_of::<Entry>() + CHOOSING)
    }

    /// All of them.
    pub(super) fn all(self) -> Vec<Wanted> {
        let wanted = |entry: &Entry| self.wanted(entry, Company::Alone);
        self.entries.iter().filter_map(wanted).collect()
    }

    /// Those that lie in one of the windows of their key that `windows` hands over, and those that may be one activity delivered several times.
    /// How the two met is noted in `tally`.
    pub(super) fn choose<E>(
        self,
        tally: &mut Tally,
        windows: impl FnOnce(&mut dyn FnMut(&Key, Window)) -> Result<(), E>,
    ) -> Result<Vec<Wanted>, E> {
        let mut of_key = vec![Vec::new(); self.keys.len()];
        let mut strangers = Strangers::default();
        windows(&mut |key, window| {
            tally.alert(key.correlation_id.as_bytes());
            let number = self.numbers.get(key);
            match number.and_then(|number| of_key.get_mut(*number as usize)) {
                Some(windows) => windows.push(window),
                None => strangers.add(key),
            }
        })?;
        let mut same: Vec<(u32, EventTime, usize)> = (0..)
            .zip(&self.entries)
            .map(|(place, entry)| (entry.key, entry.time, place))
            .collect();
        same.sort_unstable();
        self.compare(&of_key, &same, strangers, tally);
        let of_key: Vec<Vec<Window>> = of_key.into_iter().map(united).collect();
        let mut chosen = vec![None; self.entries.len()];
        for group in same.chunk_by(|one, other| (one.0, one.1) == (other.0, other.1)) {
            if let Some((key, time, _)) = group.first()
                && (group.len() > 1 || of_key.get(*key as usize).is_some_and(|windows| holds(windows, *time)))
            {
                let company = if group.len() > 1 { Company::Several } else { Company::Alone };
                for (_, _, place) in group {
                    chosen[*place] = Some(company);
                }
            }
        }
        let chosen = self.entries.iter().zip(chosen);
        Ok(chosen.filter_map(|(entry, company)| self.wanted(entry, company?)).collect())
    }

    /// Notes how the windows of each key met its activities, which are in order of key and time.
    fn compare(&self, of_key: &[Vec<Window>], same: &[(u32, EventTime, usize)], strangers: Strangers, tally: &mut Tally) {
        let met = || (0..).zip(of_key).filter(|(_, windows)| !windows.is_empty());
        let of = |number: u32| {
            let from = same.partition_point(|(key, ..)| *key < number);
            let to = same.partition_point(|(key, ..)| *key <= number);
            same.get(from..to).unwrap_or_default()
        };
        for (number, windows) in met() {
            tally.meet(windows, of(number), |(_, time, _)| *time);
        }
        tally.strangers(strangers.all);
        if !tally.is_poor() {
            return;
        }
        for (number, windows) in met() {
            tally.look(windows, of(number), |(_, time, _)| *time);
        }
        tally.other_case(strangers.known_in_other_case(self.keys.iter().map(|key| &**key)));
    }

    fn wanted(&self, entry: &Entry, company: Company) -> Option<Wanted> {
        Some(Wanted {
            key: self.keys.get(entry.key as usize)?.clone(),
            time: entry.time,
            spot: entry.spot,
            company,
        })
    }
}

/// The keys of alerts that no activity has.
#[derive(Default)]
struct Strangers {
    all: u64,
    keys: HashMap<Key, u64>,
}

impl Strangers {
    /// Keys that are looked for in another case.
    const MOST: usize = 10_000;

    fn add(&mut self, key: &Key) {
        if key.correlation_id.is_empty() {
            return;
        }
        self.all += 1;
        let is_full = self.keys.len() >= Self::MOST;
        if let Some(alerts) = self.keys.get_mut(key) {
            *alerts += 1;
        } else if !is_full {
            self.keys.insert(key.clone(), 1);
        }
    }

    /// Alerts of them whose key is one of `keys` but for its case.
    fn known_in_other_case<'k>(self, keys: impl Iterator<Item = &'k Key>) -> u64 {
        let mut folded: HashMap<(Text, Vec<u8>), u64> = HashMap::new();
        for (key, alerts) in self.keys {
            *folded.entry(hints::folded(&key)).or_default() += alerts;
        }
        if folded.is_empty() {
            return 0;
        }
        keys.filter_map(|key| folded.remove(&hints::folded(key))).sum()
    }
}

/// The same times as windows that do not overlap, in their order.
fn united(mut windows: Vec<Window>) -> Vec<Window> {
    windows.retain(|window| !window.is_empty());
    windows.sort_unstable_by_key(|window| window.from);
    windows.dedup_by(|next, before| {
        let overlap = next.from <= before.to;
        if overlap {
            before.to = before.to.max(next.to);
        }
        overlap
    });
    windows
}

fn holds(united: &[Window], time: EventTime) -> bool {
    let place = united.partition_point(|window| window.to <= time);
    united.get(place).is_some_and(|window| window.contains(time))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pipeline::local::rows::Keeper;

    fn key(name: u8) -> Key {
        Key {
            tenant: "".into(),
            correlation_id: vec![name].into(),
        }
    }

    proptest! {
        #[test]
        fn exactly_those_are_chosen_whose_identity_matters(
            activities in prop::collection::vec((0..3u8, 0..12i64), 0..20),
            windows in prop::collection::vec((0..4u8, 0..12i64, 0..12i64), 0..8),
        ) {
            let at = EventTime::from_ticks;
            let window = |from, to| Window { from: at(from), to: at(to) };
            let mut keeper = Keeper::new(std::env::temp_dir());
            let mut pending = Pending::default();
            let mut expected = Vec::new();
            for (name, time) in &activities {
                let spot = keeper.copy(b"x").unwrap();
                pending.push(key(*name), at(*time), spot);
                let inside = windows.iter().any(|(of, from, to)| of == name && window(*from, *to).contains(at(*time)));
                let again = activities.iter().filter(|other| **other == (*name, *time)).count() > 1;
                if inside || again {
                    expected.push((key(*name), at(*time), spot));
                }
            }
            let chosen = pending.choose(&mut Tally::default(), |each| {
                windows.iter().for_each(|(of, from, to)| each(&key(*of), window(*from, *to)));
                Ok::<_, ()>(())
            });
            let chosen: Vec<_> = chosen.unwrap().into_iter().map(|wanted| ((*wanted.key).clone(), wanted.time, wanted.spot)).collect();
            prop_assert_eq!(chosen, expected);
        }
    }
}
