use std::collections::HashMap;
use std::sync::Arc;

use super::rows::RowPosition;
use crate::check::hints::{self, Tally};
use crate::record::{Key, LinkId, Text};
use crate::time::{EventTime, Window};

/// Activities that may join, without their dedup keys, in the order of the input. A dedup key matters only if the
/// activity is in a window, or if another activity has the same key and time.
#[derive(Default)]
pub(super) struct Pending {
    numbers: HashMap<Arc<Key>, u32>,
    keys: Vec<Arc<Key>>,
    entries: Vec<Entry>,
    /// The further keys of entries, in the order of the entries: index of the entry, number of the key.
    more: Vec<(u32, u32)>,
    key_bytes: usize,
}

#[derive(Clone, Copy)]
struct Entry {
    /// The number of its first key.
    key: u32,
    time: EventTime,
    position: RowPosition,
}

/// An activity whose dedup key must be computed.
pub(super) struct ChosenActivity {
    /// The keys for which it was chosen.
    pub(super) keys: Vec<Arc<Key>>,
    pub(super) time: EventTime,
    pub(super) position: RowPosition,
    pub(super) uniqueness: Uniqueness,
}

/// Whether other activities have the same key and time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Uniqueness {
    Unique,
    Shared,
}

impl Pending {
    /// Adds an activity, which must have at least one key.
    pub(super) fn push(&mut self, keys: Vec<Key>, time: EventTime, position: RowPosition) {
        let index = number(self.entries.len());
        let mut keys = keys.into_iter();
        let Some(first) = keys.next() else { return };
        let key = self.number(first);
        self.entries.push(Entry { key, time, position });
        for key in keys {
            let key = self.number(key);
            self.more.push((index, key));
        }
    }

    fn number(&mut self, key: Key) -> u32 {
        if let Some(number) = self.numbers.get(&key) {
            return *number;
        }
        let number = number(self.keys.len());
        self.key_bytes += key.size();
        let key = Arc::new(key);
        self.keys.push(key.clone());
        self.numbers.insert(key, number);
        number
    }

    /// Returns the approximate number of bytes in memory, including those that [`Pending::choose`] needs in addition.
    pub(super) fn bytes(&self) -> usize {
        // The cost of a key besides its bytes: two pointers to it, its numbers, and the overhead of allocations and of
        // the hash table.
        const KEY_OVERHEAD: usize = 192;
        const CHOOSING_OVERHEAD: usize = 32;
        let more = self.more.len() * (size_of::<(u32, u32)>() + CHOOSING_OVERHEAD);
        self.key_bytes + self.keys.len() * KEY_OVERHEAD + self.entries.len() * (size_of::<Entry>() + CHOOSING_OVERHEAD) + more
    }

    /// Returns all activities.
    pub(super) fn all(self) -> Vec<ChosenActivity> {
        let mut by_entry: Vec<(u32, u32)> = self
            .entries
            .iter()
            .zip(0..)
            .map(|(entry, index)| (index, entry.key))
            .collect();
        by_entry.extend_from_slice(&self.more);
        self.chosen_activities(by_entry, &vec![Uniqueness::Unique; self.entries.len()])
    }

    /// Returns the activities that are in one of the windows of their key, and those that may be one activity that was
    /// delivered several times. `windows` passes all windows to its argument. Adds to `tally` how alerts and activities
    /// match.
    pub(super) fn choose<E>(
        self,
        tally: &mut Tally,
        windows: impl FnOnce(&mut dyn FnMut(&Key, Window)) -> Result<(), E>,
    ) -> Result<Vec<ChosenActivity>, E> {
        let mut of_key = vec![Vec::new(); self.keys.len()];
        let mut unmatched = UnmatchedKeys::default();
        windows(&mut |key, window| {
            let is_query = key.link == LinkId::QUERY;
            if is_query {
                tally.alert(key.correlation_id.as_bytes());
            }
            let number = self.numbers.get(key);
            match number.and_then(|number| of_key.get_mut(*number as usize)) {
                Some(windows) => windows.push(window),
                None if is_query => unmatched.add(key),
                None => {}
            }
        })?;
        let time = |index: u32| self.entries.get(index as usize).map_or(EventTime::MIN, |entry| entry.time);
        let first = self
            .entries
            .iter()
            .zip(0..)
            .map(|(entry, index)| (entry.key, entry.time, index));
        let more = self.more.iter().map(|(index, key)| (*key, time(*index), *index));
        let mut same: Vec<(u32, EventTime, u32)> = first.chain(more).collect();
        same.sort_unstable();
        self.compare(&of_key, &same, unmatched, tally);
        let of_key: Vec<Vec<Window>> = of_key.into_iter().map(merged).collect();
        let mut uniqueness_by_entry = vec![Uniqueness::Unique; self.entries.len()];
        let mut chosen = Vec::new();
        for group in same.chunk_by(|one, other| (one.0, one.1) == (other.0, other.1)) {
            let is_shared = group.len() > 1;
            if let Some((key, time, _)) = group.first()
                && (is_shared || of_key.get(*key as usize).is_some_and(|windows| contains_time(windows, *time)))
            {
                for (key, _, index) in group {
                    chosen.push((*index, *key));
                    if is_shared && let Some(uniqueness) = uniqueness_by_entry.get_mut(*index as usize) {
                        *uniqueness = Uniqueness::Shared;
                    }
                }
            }
        }
        Ok(self.chosen_activities(chosen, &uniqueness_by_entry))
    }

    /// Adds to `tally` how the windows of each key of the query match its activities. `same` is in the order of key and
    /// time.
    fn compare(&self, of_key: &[Vec<Window>], same: &[(u32, EventTime, u32)], unmatched: UnmatchedKeys, tally: &mut Tally) {
        let is_query = |number: u32| self.keys.get(number as usize).is_some_and(|key| key.link == LinkId::QUERY);
        let with_windows = || {
            (0..)
                .zip(of_key)
                .filter(|(number, windows)| !windows.is_empty() && is_query(*number))
        };
        let activities_of = |number: u32| {
            let from = same.partition_point(|(key, ..)| *key < number);
            let to = same.partition_point(|(key, ..)| *key <= number);
            same.get(from..to).unwrap_or_default()
        };
        for (number, windows) in with_windows() {
            tally.meet(windows, activities_of(number), |(_, time, _)| *time);
        }
        tally.strangers(unmatched.all);
        if !tally.is_poor() {
            return;
        }
        for (number, windows) in with_windows() {
            tally.look(windows, activities_of(number), |(_, time, _)| *time);
        }
        tally.other_case(unmatched.known_in_other_case(self.keys.iter().map(|key| &**key)));
    }

    /// Returns the entries that have chosen keys, with these keys, in the order of the input.
    fn chosen_activities(&self, mut chosen: Vec<(u32, u32)>, uniqueness_by_entry: &[Uniqueness]) -> Vec<ChosenActivity> {
        chosen.sort_unstable();
        let to_chosen = |group: &[(u32, u32)]| {
            let (index, _) = group.first()?;
            let entry = self.entries.get(*index as usize)?;
            Some(ChosenActivity {
                keys: group
                    .iter()
                    .filter_map(|(_, key)| self.keys.get(*key as usize).cloned())
                    .collect(),
                time: entry.time,
                position: entry.position,
                uniqueness: uniqueness_by_entry
                    .get(*index as usize)
                    .copied()
                    .unwrap_or(Uniqueness::Unique),
            })
        };
        chosen.chunk_by(|one, other| one.0 == other.0).filter_map(to_chosen).collect()
    }
}

/// Converts a length to a number. Four billion activities do not fit into memory.
fn number(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// The keys of alerts that no activity has.
#[derive(Default)]
struct UnmatchedKeys {
    all: u64,
    keys: HashMap<Key, u64>,
}

impl UnmatchedKeys {
    /// The maximum number of keys that are searched for in another case.
    const MAX_KEYS: usize = 10_000;

    fn add(&mut self, key: &Key) {
        if key.correlation_id.is_empty() {
            return;
        }
        self.all += 1;
        let is_full = self.keys.len() >= Self::MAX_KEYS;
        if let Some(alerts) = self.keys.get_mut(key) {
            *alerts += 1;
        } else if !is_full {
            self.keys.insert(key.clone(), 1);
        }
    }

    /// Returns the number of alerts whose key differs from one of `keys` only in upper and lower case.
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

/// Returns windows that contain the same times but do not overlap, in order.
fn merged(mut windows: Vec<Window>) -> Vec<Window> {
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

fn contains_time(merged: &[Window], time: EventTime) -> bool {
    let index = merged.partition_point(|window| window.to <= time);
    merged.get(index).is_some_and(|window| window.contains(time))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::correlate::local::rows::RowLocator;

    fn key(name: u8) -> Key {
        Key {
            link: LinkId(name % 2),
            correlation_id: vec![name].into(),
            ..Key::default()
        }
    }

    proptest! {
        #[test]
        fn activities_are_chosen_exactly_if_their_dedup_key_matters(
            activities in prop::collection::vec((prop::collection::btree_set(0..3u8, 1..3), 0..12i64), 0..20),
            windows in prop::collection::vec((0..4u8, 0..12i64, 0..12i64), 0..8),
        ) {
            let at = EventTime::from_ticks;
            let window = |from, to| Window { from: at(from), to: at(to) };
            let mut locator = RowLocator::new(std::env::temp_dir());
            let mut pending = Pending::default();
            let mut expected = Vec::new();
            for (names, time) in &activities {
                let position = locator.copy(b"x").unwrap();
                pending.push(names.iter().copied().map(key).collect(), at(*time), position);
                let matters = |name: &&u8| {
                    let inside = windows.iter().any(|(of, from, to)| of == *name && window(*from, *to).contains(at(*time)));
                    let is_same = |(names, other): &&(std::collections::BTreeSet<u8>, i64)| names.contains(*name) && other == time;
                    inside || activities.iter().filter(is_same).count() > 1
                };
                let names: Vec<Key> = names.iter().filter(matters).copied().map(key).collect();
                if !names.is_empty() {
                    expected.push((names, at(*time), position));
                }
            }
            let chosen = pending.choose(&mut Tally::default(), |each| {
                windows.iter().for_each(|(of, from, to)| each(&key(*of), window(*from, *to)));
                Ok::<_, ()>(())
            });
            let to_expected = |activity: ChosenActivity| {
                let mut keys: Vec<Key> = activity.keys.iter().map(|key| (**key).clone()).collect();
                keys.sort_by_key(|key| key.correlation_id.clone());
                (keys, activity.time, activity.position)
            };
            let chosen: Vec<_> = chosen.unwrap().into_iter().map(to_expected).collect();
            prop_assert_eq!(chosen, expected);
        }
    }
}
