//! Reads the keys of a record by every link.

use super::entry::{KeyEntry, KeyPath};
use super::path::Path;
use super::settings::Condition;
use super::value::text;
use crate::json::write_string;
use crate::record::{LinkId, Text};

/// The largest number of keys that one record has by one link. If there are more, the first ones in the order of their
/// bytes count.
pub const MOST_KEYS: usize = 64;

/// The places of the keys in the records of one table, and how they are read.
pub(super) struct KeyReader {
    links: Vec<Link>,
    slots: Vec<Slot>,
    conditions: Vec<Condition>,
}

/// The settings of a link for one table.
pub(super) struct LinkKeys<'s> {
    pub(super) entries: &'s [KeyEntry],
    pub(super) conditions: &'s [Condition],
    pub(super) ignore_case: bool,
}

struct Link {
    entries: Vec<Entry>,
    /// The conditions of the link, as a range of all conditions.
    conditions: std::ops::Range<usize>,
}

/// An entry, with the positions of its paths among all slots.
enum Entry {
    Path(usize),
    Parts(std::ops::Range<usize>),
}

/// A path of an entry.
struct Slot {
    path: KeyPath,
    link: usize,
    /// The position of its entry in the order of fallbacks.
    place: usize,
    ignore_case: bool,
    is_part: bool,
}

/// What a path of a row leads to, with its number.
#[derive(Clone, Copy)]
pub(super) enum Wanted {
    Value(usize),
    Condition(usize),
}

/// What has been found in a row so far. Its memory is reused for the next row.
#[derive(Default)]
pub(super) struct Gathered {
    values: Vec<Vec<Text>>,
    holds: Vec<bool>,
    /// For each link, the position of the first entry that is already known to yield keys.
    best: Vec<usize>,
}

impl KeyReader {
    pub(super) fn new<'s>(links: impl IntoIterator<Item = LinkKeys<'s>>) -> Self {
        let mut reader = Self {
            links: Vec::new(),
            slots: Vec::new(),
            conditions: Vec::new(),
        };
        for link in links {
            let first = reader.conditions.len();
            reader.conditions.extend_from_slice(link.conditions);
            let entries = link.entries.iter().zip(0..);
            let entries = entries
                .map(|(entry, place)| reader.entry(entry, place, link.ignore_case))
                .collect();
            reader.links.push(Link {
                entries,
                conditions: first..reader.conditions.len(),
            });
        }
        reader
    }

    fn entry(&mut self, entry: &KeyEntry, place: usize, ignore_case: bool) -> Entry {
        let first = self.slots.len();
        let is_part = matches!(entry, KeyEntry::Parts(_));
        self.slots.extend(entry.paths().iter().map(|path| Slot {
            path: path.clone(),
            link: self.links.len(),
            place,
            ignore_case,
            is_part,
        }));
        match is_part {
            true => Entry::Parts(first..self.slots.len()),
            false => Entry::Path(first),
        }
    }

    /// Returns every path to look for.
    pub(super) fn paths(&self) -> impl Iterator<Item = (&Path, Wanted)> {
        let values = self.slots.iter().map(|slot| &slot.path.path).zip((0..).map(Wanted::Value));
        let conditions = self.conditions.iter().map(|condition| &condition.path);
        values.chain(conditions.zip((0..).map(Wanted::Condition)))
    }

    /// Prepares `gathered` for the next row.
    pub(super) fn begin(&self, gathered: &mut Gathered) {
        gathered.values.iter_mut().for_each(Vec::clear);
        gathered.values.resize_with(self.slots.len(), Vec::new);
        gathered.holds.clear();
        gathered.holds.resize(self.conditions.len(), false);
        gathered.best.clear();
        gathered.best.resize(self.links.len(), usize::MAX);
    }

    /// Adds a value that a path leads to.
    pub(super) fn offer(&self, wanted: Wanted, value: &[u8], gathered: &mut Gathered) {
        match wanted {
            Wanted::Value(number) => self.offer_key(number, value, gathered),
            Wanted::Condition(number) => {
                let (Some(condition), Some(holds)) = (self.conditions.get(number), gathered.holds.get_mut(number)) else {
                    return;
                };
                *holds = *holds || {
                    let text = text(value);
                    text.is_some_and(|text| condition.values.iter().any(|value| value.as_bytes() == &*text))
                };
            }
        }
    }

    fn offer_key(&self, number: usize, value: &[u8], gathered: &mut Gathered) {
        let (Some(slot), Some(values)) = (self.slots.get(number), gathered.values.get_mut(number)) else {
            return;
        };
        let Some(best) = gathered.best.get_mut(slot.link).filter(|best| slot.place <= **best) else {
            return;
        };
        let Some(text) = text(value).and_then(|text| slot.path.apply(text)) else {
            return;
        };
        values.push(Text::from(match slot.ignore_case {
            true => lower(&text),
            false => text.into_owned(),
        }));
        if !slot.is_part {
            *best = slot.place;
        }
    }

    /// Returns the keys by each link whose conditions the row meets, and the number of links for which some keys were
    /// left out.
    pub(super) fn finish(&self, gathered: &mut Gathered) -> (Vec<(LinkId, Vec<Text>)>, u32) {
        let mut cut = 0;
        let mut found = Vec::new();
        for (link, number) in self.links.iter().zip(0..) {
            let conditions = gathered.holds.get(link.conditions.clone()).unwrap_or_default();
            if conditions.iter().all(|holds| *holds) {
                let mut keys = link.keys(gathered);
                if keys.len() > MOST_KEYS {
                    keys.truncate(MOST_KEYS);
                    cut += 1;
                }
                if !keys.is_empty() {
                    found.push((LinkId(number), keys));
                }
            }
        }
        (found, cut)
    }
}

impl Link {
    /// Returns the keys of the first entry that yields any, sorted and without duplicates. There may be more than
    /// [`MOST_KEYS`].
    fn keys(&self, gathered: &mut Gathered) -> Vec<Text> {
        for entry in &self.entries {
            let keys = match entry {
                Entry::Path(number) => gathered.values.get_mut(*number).map(std::mem::take).map(sorted),
                Entry::Parts(numbers) => gathered.values.get_mut(numbers.clone()).map(combinations),
            };
            if let Some(keys) = keys.filter(|keys| !keys.is_empty()) {
                return keys;
            }
        }
        Vec::new()
    }
}

fn sorted(mut keys: Vec<Text>) -> Vec<Text> {
    if keys.len() > 1 {
        keys.sort_unstable();
        keys.dedup();
    }
    keys
}

/// Returns every combination of one value of each part as a JSON list, sorted. No literal is a prefix of another, so
/// the order of the lists is the order of their texts, and the first lists can be made without the others.
fn combinations(parts: &mut [Vec<Text>]) -> Vec<Text> {
    let literals = |values: &mut Vec<Text>| {
        let literal = |text: Text| {
            let mut literal = Vec::with_capacity(text.as_bytes().len() + 2);
            write_string(text.as_bytes(), &mut literal);
            literal
        };
        let mut literals: Vec<Vec<u8>> = std::mem::take(values).into_iter().map(literal).collect();
        literals.sort_unstable();
        literals.dedup();
        literals
    };
    let parts: Vec<Vec<Vec<u8>>> = parts.iter_mut().map(literals).collect();
    let mut lists: Vec<Vec<u8>> = vec![b"[".to_vec()];
    for (part, place) in parts.iter().zip(0..) {
        let separator: &[u8] = if place == 0 { b"" } else { b"," };
        let longer = lists
            .iter()
            .flat_map(|list| part.iter().map(|literal| [list.as_slice(), separator, literal].concat()));
        lists = longer.take(MOST_KEYS + 1).collect();
    }
    lists
        .into_iter()
        .map(|mut list| {
            list.push(b']');
            Text::from(list)
        })
        .collect()
}

/// Returns the word if a correlation id is a word for a missing value, as tools print it. All records with such a
/// correlation id would join with one another.
pub fn null_word(id: &[u8]) -> Option<&'static str> {
    const WORDS: [&str; 12] = [
        "-",
        "--",
        "(null)",
        "<null>",
        "n/a",
        "nan",
        "nil",
        "none",
        "null",
        "undefined",
        "unknown",
        "00000000-0000-0000-0000-000000000000",
    ];
    WORDS.into_iter().find(|word| word.as_bytes().eq_ignore_ascii_case(id))
}

fn lower(text: &[u8]) -> Vec<u8> {
    match std::str::from_utf8(text) {
        Ok(text) => text.to_lowercase().into_bytes(),
        Err(_) => text.to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::entry::Coding;

    fn path(text: &str) -> KeyPath {
        Path::parse(text).unwrap().into()
    }

    fn read(path: KeyPath, ignore_case: bool, value: &str) -> Vec<String> {
        keys(&[path.into()], ignore_case, &[&[value]])
    }

    /// Returns the keys by one link whose slots find these values.
    fn keys(entries: &[KeyEntry], ignore_case: bool, values: &[&[&str]]) -> Vec<String> {
        let reader = KeyReader::new([LinkKeys {
            entries,
            conditions: &[],
            ignore_case,
        }]);
        let mut gathered = Gathered::default();
        reader.begin(&mut gathered);
        for (number, values) in values.iter().enumerate() {
            for value in *values {
                reader.offer(Wanted::Value(number), value.as_bytes(), &mut gathered);
            }
        }
        let (found, _) = reader.finish(&mut gathered);
        found
            .into_iter()
            .flat_map(|(_, keys)| keys)
            .map(|key| key.to_string())
            .collect()
    }

    #[test]
    fn a_key_is_the_text_of_a_value() {
        assert_eq!(read(path("x"), false, r#"" AbÉ ""#), [" AbÉ "]);
        assert_eq!(read(path("x"), true, r#"" AbÉ ""#), [" abé "]);
        assert_eq!(read(path("x"), false, "12.0"), ["12.0"]);
        assert_eq!(read(path("x"), false, "true"), ["true"]);
        for none in ["null", r#""""#] {
            assert!(read(path("x"), false, none).is_empty(), "{none}");
        }
        let key = keys(&[path("x").into()], true, &[&[r#""\ud800AbC""#]]);
        assert_eq!(key, ["\u{fffd}\u{fffd}\u{fffd}abc"]);
    }

    #[test]
    fn all_values_of_the_first_entry_that_yields_any_count() {
        let entries = ["a", "b", "c"].map(|text| KeyEntry::from(path(text)));
        let values: [&[&str]; 3] = [&["null"], &[r#""y""#, r#""x""#, r#""y""#], &[r#""z""#]];
        assert_eq!(keys(&entries, false, &values), ["x", "y"]);
        assert_eq!(keys(&entries, false, &[values[0], &[], values[2]]), ["z"]);
    }

    #[test]
    fn a_composite_is_every_combination_of_its_parts() {
        let entries = [KeyEntry::Parts(vec![path("a"), path("b")]), path("c").into()];
        let both: [&[&str]; 3] = [&[r#""a b""#, r#""a""#], &["1", r#""\"""#], &[r#""c""#]];
        assert_eq!(
            keys(&entries, false, &both),
            [r#"["a b","1"]"#, r#"["a b","\""]"#, r#"["a","1"]"#, r#"["a","\""]"#]
        );
        assert_eq!(keys(&entries, false, &[both[0], &[r#""""#], both[2]]), ["c"]);
        let texts = keys(&entries, false, &both);
        let mut in_order = texts.clone();
        in_order.sort();
        assert_eq!(in_order, texts);
    }

    #[test]
    fn too_many_keys_are_cut_to_the_first() {
        let values: Vec<String> = (0..1000).rev().map(|number| format!("\"{number:04}\"")).collect();
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        let single = keys(&[path("a").into()], false, &[&values]);
        assert_eq!(single.len(), MOST_KEYS);
        assert_eq!((single[0].as_str(), single[63].as_str()), ("0000", "0063"));
        let parts = [KeyEntry::Parts(vec![path("a"), path("b"), path("c")])];
        let many = keys(&parts, false, &[&values, &values, &values]);
        assert_eq!(many.len(), MOST_KEYS);
        assert_eq!(many[63], r#"["0000","0000","0063"]"#);
    }

    #[test]
    fn a_link_looks_at_records_that_meet_all_its_conditions() {
        let condition = |name: &str, values: &[&str]| Condition {
            path: Path::new([name]),
            values: values.iter().copied().map(str::to_owned).collect(),
        };
        let conditions = [condition("t", &["a", "b"]), condition("n", &["1"])];
        let coded = KeyPath {
            coding: Coding::Url,
            ..path("x")
        };
        let entries = [KeyEntry::from(coded)];
        let links = [&conditions[..], &[]].map(|conditions| LinkKeys {
            entries: &entries,
            conditions,
            ignore_case: false,
        });
        let reader = KeyReader::new(links);
        let mut gathered = Gathered::default();
        let mut by = |t: &str, n: &str| {
            reader.begin(&mut gathered);
            for (number, value) in [t, n].into_iter().enumerate() {
                reader.offer(Wanted::Condition(number), value.as_bytes(), &mut gathered);
            }
            for number in 0..2 {
                reader.offer(Wanted::Value(number), br#""%6b""#, &mut gathered);
            }
            let (found, cut) = reader.finish(&mut gathered);
            assert_eq!(cut, 0);
            found.iter().map(|(link, keys)| (link.0, keys.len())).collect::<Vec<_>>()
        };
        assert_eq!(by(r#""b""#, "1"), [(0, 1), (1, 1)]);
        assert_eq!(by(r#""c""#, "1"), [(1, 1)]);
        assert_eq!(by(r#""a""#, "2"), [(1, 1)]);
    }

    #[test]
    fn words_for_nothing_are_told_from_ids() {
        for word in [
            "None",
            "null",
            "NULL",
            "N/A",
            "undefined",
            "-",
            "00000000-0000-0000-0000-000000000000",
        ] {
            assert!(null_word(word.as_bytes()).is_some(), "{word}");
        }
        for id in ["", "none-of-them", "NA", "0", "47b17f11-8bcf-59b6-9caa-b42324e60048"] {
            assert_eq!(null_word(id.as_bytes()), None, "{id}");
        }
    }
}
