//! The places of keys in a record, and how they are read by every link: how a value becomes a key, which fallback
//! counts, and which links have conditions that the record does not meet.

use std::borrow::Cow;

use percent_encoding::percent_decode;
use regex::bytes::Regex;

use super::path::{Elements, Path, Segment};
use super::value::text;
use crate::json::write_string;
use crate::record::{LinkId, Text};

/// The largest number of keys that one record has by one link. If there are more, the first ones in the order of their
/// bytes count.
pub const MAX_KEYS: usize = 64;

/// An entry of a list of fallbacks for keys.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KeyEntry {
    /// The values that a path leads to.
    Path(KeyPath),
    /// A composite key: one value of each part, in every combination. It yields nothing if a part has no value.
    Parts(Vec<KeyPath>),
}

/// A path to the values of keys, and the steps by which each value becomes a key, in the order of the fields.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyPath {
    /// The path to the values.
    pub path: Path,
    /// An expression whose group is the part of a value that counts. A value that does not match yields nothing.
    pub pattern: Option<Pattern>,
    /// The prefixes that are removed from a value: the first one with which it begins. A value that begins with none of
    /// them is not changed.
    pub strip_prefix: Vec<String>,
    /// The encoding of the rest.
    pub coding: Coding,
}

/// The encoding of a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Coding {
    /// Not encoded.
    #[default]
    Plain,
    /// Percent-encoded, as in URLs (RFC 3986, section 2.1).
    Url,
}

/// A condition that is met if the path leads to one of the values.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Condition {
    /// The path to the value.
    pub path: Path,
    /// The values, as text.
    pub values: Vec<String>,
}

/// A regular expression with one group. A match takes time linear in the length of the value.
#[derive(Clone, Debug)]
pub struct Pattern(Regex);

impl Pattern {
    /// Compiles an expression.
    ///
    /// # Errors
    ///
    /// Returns what is wrong with the expression: it is not a regular expression, is too large when compiled, or does
    /// not have exactly one group.
    pub fn new(expression: &str) -> Result<Self, String> {
        let regex = Regex::new(expression).map_err(|error| match error {
            regex::Error::CompiledTooBig(limit) => format!("takes more than {limit} bytes when compiled"),
            error => {
                let error = error.to_string();
                let what = error.lines().last().unwrap_or_default();
                format!("is no regular expression: {}", what.trim_start_matches("error: "))
            }
        })?;
        match regex.captures_len() {
            2 => Ok(Self(regex)),
            1 => Err("has no group: put what is the key into (parentheses)".to_owned()),
            groups => Err(format!(
                "has {} groups instead of one; write (?:…) for the others",
                groups - 1
            )),
        }
    }

    fn group<'t>(&self, text: &'t [u8]) -> Option<&'t [u8]> {
        Some(self.0.captures(text)?.get(1)?.as_bytes())
    }

    /// Returns the text of the expression.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Pattern {}

impl From<Path> for KeyPath {
    fn from(path: Path) -> Self {
        Self {
            path,
            pattern: None,
            strip_prefix: Vec::new(),
            coding: Coding::Plain,
        }
    }
}

impl From<KeyPath> for KeyEntry {
    fn from(path: KeyPath) -> Self {
        Self::Path(path)
    }
}

impl From<Path> for KeyEntry {
    fn from(path: Path) -> Self {
        Self::Path(path.into())
    }
}

impl KeyEntry {
    /// Returns the paths of the entry: one, or one for each part.
    pub fn paths(&self) -> &[KeyPath] {
        match self {
            Self::Path(path) => std::slice::from_ref(path),
            Self::Parts(parts) => parts,
        }
    }

    /// Returns whether one record may have several keys by this entry.
    pub fn may_yield_several(&self) -> bool {
        let is_list = |segment: &Segment| segment.elements != Elements::Whole;
        self.paths().iter().any(|path| path.path.segments().iter().any(is_list))
    }
}

impl KeyPath {
    /// Returns the key that a value's text becomes, before its case is changed. Returns `None` if the key would be
    /// empty.
    pub(super) fn apply<'t>(&self, text: Cow<'t, [u8]>) -> Option<Cow<'t, [u8]>> {
        let text = match &self.pattern {
            Some(pattern) => match text {
                Cow::Borrowed(text) => Cow::Borrowed(pattern.group(text)?),
                Cow::Owned(text) => Cow::Owned(pattern.group(&text)?.to_vec()),
            },
            None => text,
        };
        let stripped = |prefix: &String| text.strip_prefix(prefix.as_bytes()).map(<[u8]>::len);
        let kept = self.strip_prefix.iter().find_map(stripped).unwrap_or(text.len());
        let skipped = text.len() - kept;
        let text = match text {
            Cow::Borrowed(text) => Cow::Borrowed(text.get(skipped..).unwrap_or_default()),
            Cow::Owned(mut text) => {
                text.drain(..skipped);
                Cow::Owned(text)
            }
        };
        let text = match self.coding {
            Coding::Url if text.contains(&b'%') => Cow::Owned(url_decoded(&text)),
            Coding::Plain | Coding::Url => text,
        };
        (!text.is_empty()).then_some(text)
    }
}

/// Decodes the percent-encoded parts of a text. A sequence that is not UTF-8 is not decoded, because a key is text.
fn url_decoded(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(plain) = memchr::memchr(b'%', rest) {
        let (before, encoded) = rest.split_at(plain);
        decoded.extend_from_slice(before);
        let triplets = encoded.chunks_exact(3).take_while(|triplet| is_triplet(triplet)).count();
        let (run, behind) = encoded.split_at(3 * triplets);
        if triplets == 0 {
            decoded.push(b'%');
            rest = encoded.get(1..).unwrap_or_default();
            continue;
        }
        let bytes: Vec<u8> = percent_decode(run).collect();
        let mut place = 0;
        for chunk in bytes.utf8_chunks() {
            decoded.extend_from_slice(chunk.valid().as_bytes());
            place += chunk.valid().len();
            let broken = place..place + chunk.invalid().len();
            decoded.extend_from_slice(run.get(3 * broken.start..3 * broken.end).unwrap_or_default());
            place = broken.end;
        }
        rest = behind;
    }
    decoded.extend_from_slice(rest);
    decoded
}

fn is_triplet(bytes: &[u8]) -> bool {
    matches!(bytes, [b'%', high, low] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit())
}

/// The places of the keys in the records of one table, and how they are read.
pub(super) struct KeyReader {
    links: Vec<LinkEntries>,
    slots: Vec<Slot>,
    conditions: Vec<Condition>,
}

/// The settings of a link for one table.
pub(super) struct LinkKeys<'s> {
    pub(super) entries: &'s [KeyEntry],
    pub(super) conditions: &'s [Condition],
    pub(super) ignore_case: bool,
}

struct LinkEntries {
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
pub(super) enum KeyTarget {
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
            reader.links.push(LinkEntries {
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
    pub(super) fn paths(&self) -> impl Iterator<Item = (&Path, KeyTarget)> {
        let values = self.slots.iter().map(|slot| &slot.path.path).zip((0..).map(KeyTarget::Value));
        let conditions = self.conditions.iter().map(|condition| &condition.path);
        values.chain(conditions.zip((0..).map(KeyTarget::Condition)))
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
    pub(super) fn offer(&self, wanted: KeyTarget, value: &[u8], gathered: &mut Gathered) {
        match wanted {
            KeyTarget::Value(number) => self.offer_key(number, value, gathered),
            KeyTarget::Condition(number) => {
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
                if keys.len() > MAX_KEYS {
                    keys.truncate(MAX_KEYS);
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

impl LinkEntries {
    /// Returns the keys of the first entry that yields any, sorted and without duplicates. There may be more than
    /// [`MAX_KEYS`].
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
        lists = longer.take(MAX_KEYS + 1).collect();
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
