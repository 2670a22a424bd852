//! Reads values of a row: as text, as a time, and at the ends of paths.

use std::borrow::Cow;

use memchr::memmem::{self, Finder};

use super::key::Gathered;
use super::path::{Elements, Path, Segment};
use crate::json::{self, Canonical, Cursor, Index};
use crate::time::{EventTime, TICKS_PER_SECOND};

/// Returns the text that KQL's `tostring` makes of a value: the content of a string, the JSON text of a number or
/// boolean, and the JSON text of an array or object without white space. Returns `None` for `null`.
pub(super) fn text(value: &[u8]) -> Option<Cow<'_, [u8]>> {
    match value.first()? {
        b'"' => json::unescape(value),
        b'{' | b'[' => Some(json::compact(value)),
        b'n' => None,
        _ => Some(Cow::Borrowed(value)),
    }
}

/// Returns whether the value of a column is neither null nor the empty string.
pub(super) fn has_content(value: &[u8]) -> bool {
    !matches!(value, b"null" | b"\"\"")
}

/// Returns the text of a value, in which anything that is not Unicode is replaced. Returns `None` if the text is
/// missing or empty.
pub(super) fn unicode(value: &[u8]) -> Option<Cow<'_, str>> {
    text(value).map(lossy).filter(|text| !text.is_empty())
}

/// Returns the content of a string, in which anything that is not Unicode is replaced. Returns `None` for other values.
pub(super) fn string(value: &[u8]) -> Option<Cow<'_, str>> {
    json::unescape(value).map(lossy)
}

fn lossy(text: Cow<'_, [u8]>) -> Cow<'_, str> {
    match text {
        // Nearly every text is Unicode, and validating it is faster than searching for what to replace.
        Cow::Borrowed(text) => simdutf8::basic::from_utf8(text).map_or_else(|_| String::from_utf8_lossy(text), Cow::Borrowed),
        Cow::Owned(text) => Cow::Owned(String::from_utf8_lossy(&text).into_owned()),
    }
}

/// Returns the time that a string contains.
pub(super) fn time(value: &[u8]) -> Option<EventTime> {
    if value.first() != Some(&b'"') {
        return None;
    }
    parse_time(std::str::from_utf8(&json::unescape(value)?).ok()?)
}

/// Parses an ISO 8601 time: `YYYY-MM-DD`, a `T` or a space, and `hh:mm:ss`. A point and 1 to 9 digits may follow; the
/// digits after the seventh (100 ns) are discarded. A zone may follow: `Z`, `+hh:mm`, `+hhmm` or `+hh`, or one with
/// `-`, up to 23:59. Letters may have either case. A time without a zone is in UTC.
///
/// Returns `None` for any other text, for a date that does not exist, for a leap second, and for a time that is outside
/// the years 1 to 9999 in UTC.
pub fn parse_time(text: &str) -> Option<EventTime> {
    let mut rest = Rest(text.as_bytes());
    let year = rest.number(4)?;
    rest.one_of(b"-")?;
    let month = rest.number(2)?;
    rest.one_of(b"-")?;
    let day = rest.number(2)?;
    rest.one_of(b"Tt ")?;
    let hour = rest.number(2).filter(|hour| *hour <= 23)?;
    rest.one_of(b":")?;
    let minute = rest.number(2).filter(|minute| *minute <= 59)?;
    rest.one_of(b":")?;
    let second = rest.number(2).filter(|second| *second <= 59)?;
    let fraction = match rest.one_of(b".") {
        Some(_) => rest.fraction()?,
        None => 0,
    };
    let offset = rest.offset()?;
    if year == 0 || !rest.0.is_empty() {
        return None;
    }
    let seconds = i64::from((hour * 60 + minute) * 60 + second) - offset;
    let time = EventTime::from_date(i32::try_from(year).ok()?, month, day, seconds * TICKS_PER_SECOND + fraction)?;
    (EventTime::FIRST..=EventTime::LAST).contains(&time).then_some(time)
}

/// The bytes that have not been read.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn one_of(&mut self, allowed: &[u8]) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        if !allowed.contains(&first) {
            return None;
        }
        self.0 = rest;
        Some(first)
    }

    /// Reads a number of exactly this many digits, which may be up to nine.
    fn number(&mut self, digits: usize) -> Option<u32> {
        let (number, rest) = self.0.split_at_checked(digits)?;
        self.0 = rest;
        number.iter().try_fold(0, |sum, digit| match digit {
            b'0'..=b'9' => Some(sum * 10 + u32::from(digit - b'0')),
            _ => None,
        })
    }

    /// Reads the digits after the point, and returns them in ticks of 100 ns.
    fn fraction(&mut self) -> Option<i64> {
        let digits = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if !(1..=9).contains(&digits) {
            return None;
        }
        let number = i64::from(self.number(digits)?);
        Some((0..9 - digits).fold(number, |scaled, _| scaled * 10) / 100)
    }

    /// Reads the zone, and returns it in seconds east of UTC.
    fn offset(&mut self) -> Option<i64> {
        if self.0.is_empty() || self.one_of(b"Zz").is_some() {
            return Some(0);
        }
        let sign = if self.one_of(b"+-")? == b'-' { -1 } else { 1 };
        let hours = self.number(2).filter(|hours| *hours <= 23)?;
        let minutes = match (self.one_of(b":"), self.0) {
            (None, []) => 0,
            _ => self.number(2).filter(|minutes| *minutes <= 59)?,
        };
        Some(sign * i64::from((hours * 60 + minutes) * 60))
    }
}

/// Returns whether a string may contain an object with members, so that it is worth opening. Such an object contains
/// quotes, so the string's literal contains escapes. The literal begins with a brace, white space, or an escape.
fn may_hold_members(literal: &[u8]) -> bool {
    matches!(literal.get(1), Some(b'{' | b' ' | b'\\')) && memchr::memchr(b'\\', literal).is_some()
}

/// Returns whether a string may contain a list or an object, so that it is worth opening. It need not contain quotes: a
/// list of numbers has none.
fn may_hold_elements(literal: &[u8]) -> bool {
    matches!(literal.get(1), Some(b'{' | b'[' | b' ' | b'\\'))
}

/// The beginning of an object that PowerShell flattened, because it is nested deeper than `ConvertTo-Json -Depth`
/// allows.
const FLATTENED: &[u8] = b"\"@{";

/// Memory for one row, which is reused for the next.
#[derive(Default)]
pub(super) struct Room {
    /// The texts of strings that hold JSON.
    opened: Vec<Opened>,
    /// Whether a path met a string that begins like an object but could not be opened, because it was truncated or
    /// flattened.
    pub(super) unopened: bool,
    pub(super) canonical: Canonical,
    pub(super) gathered: Gathered,
    /// The number of links for which keys of the row were left out, because it has too many.
    pub(super) cut_keys: u32,
}

#[derive(Default)]
struct Opened {
    text: Vec<u8>,
    index: Index,
}

impl Opened {
    /// Stores the content of the literal. Returns whether it is JSON.
    fn open(&mut self, literal: &[u8]) -> bool {
        self.text.clear();
        json::unescape_into(literal, &mut self.text) && self.index.read(&self.text).is_ok()
    }
}

/// Paths that are followed in a row, all in one pass: a tree of the names with which they begin. `W` identifies a path.
pub(super) struct Paths<W> {
    wanted: Vec<W>,
    keys: Vec<Branch<W>>,
    lists: Vec<List<W>>,
}

/// A step of paths to elements of a list.
struct List<W> {
    /// The member that an element must have, and its value as text; `None` for every element.
    with: Option<(String, String)>,
    below: Paths<W>,
}

/// A step of paths to the member with this name.
struct Branch<W> {
    key: String,
    /// A search for the key in the literal of a string that may contain it; `None` if a literal may spell the key in
    /// several ways.
    finder: Option<Finder<'static>>,
    below: Paths<W>,
}

impl<W> Branch<W> {
    fn new(key: &str) -> Self {
        let is_plain = !key.is_empty()
            && key
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_-.@".contains(&byte));
        Self {
            key: key.to_owned(),
            finder: is_plain.then(|| Finder::new(key).into_owned()),
            below: Paths::empty(),
        }
    }

    fn may_be_in(&self, literal: &[u8]) -> bool {
        self.finder.as_ref().is_none_or(|finder| finder.find(literal).is_some())
    }
}

/// The number of branches of a node up to which nothing is allocated.
const FEW: usize = 4;

impl<W> Paths<W> {
    pub(super) fn new<'p>(paths: impl IntoIterator<Item = (&'p Path, W)>) -> Self {
        let mut tree = Self::empty();
        for (path, wanted) in paths {
            tree.at(path.segments()).wanted.push(wanted);
        }
        tree
    }

    fn empty() -> Self {
        Self {
            wanted: Vec::new(),
            keys: Vec::new(),
            lists: Vec::new(),
        }
    }

    fn at(&mut self, segments: &[Segment]) -> &mut Self {
        let mut node = self;
        for Segment { name, elements } in segments {
            let known = node.keys.iter().position(|branch| branch.key == *name);
            let place = known.unwrap_or_else(|| {
                node.keys.push(Branch::new(name));
                node.keys.len() - 1
            });
            node = &mut node.keys[place].below;
            node = match elements {
                Elements::Whole => node,
                Elements::Each => node.list(None),
                Elements::With(member, value) => node.list(Some((member.clone(), value.clone()))),
            };
        }
        node
    }

    fn list(&mut self, with: Option<(String, String)>) -> &mut Self {
        let known = self.lists.iter().position(|list| list.with == with);
        let place = known.unwrap_or_else(|| {
            self.lists.push(List {
                with,
                below: Self::empty(),
            });
            self.lists.len() - 1
        });
        &mut self.lists[place].below
    }

    /// Returns whether a path continues after this node.
    fn goes_on(&self) -> bool {
        !self.keys.is_empty() || !self.lists.is_empty()
    }

    /// Calls `found` with every value that a path leads to, in no particular order. If a key is repeated, the last one
    /// counts. A string on the way that contains JSON is opened. A path ends without a value where it meets any other
    /// value than an object, or than a list if it continues to the elements of one.
    pub(super) fn read(&self, value: Cursor<'_, '_>, room: &mut Room, found: &mut dyn FnMut(&W, &[u8])) {
        if !self.wanted.is_empty() {
            let text = value.clone().value();
            for wanted in &self.wanted {
                found(wanted, text);
            }
        }
        if self.goes_on() {
            self.below(value, room, found);
        }
    }

    fn below(&self, mut value: Cursor<'_, '_>, room: &mut Room, found: &mut dyn FnMut(&W, &[u8])) {
        match value.peek() {
            Some(b'{') => {
                for list in &self.lists {
                    list.element(value.clone(), room, found);
                }
                if !self.keys.is_empty() {
                    self.members(value, room, found);
                }
            }
            Some(b'[') if !self.lists.is_empty() => {
                value.enter(b'[');
                while value.has_element() {
                    let element = value.clone();
                    value.value();
                    for list in &self.lists {
                        list.element(element.clone(), room, found);
                    }
                }
            }
            Some(b'"') => {
                let literal = value.value();
                let may_hold = !self.lists.is_empty() && may_hold_elements(literal)
                    || !self.keys.is_empty() && may_hold_members(literal) && self.may_be_in(literal);
                if may_hold {
                    let mut opened = room.opened.pop().unwrap_or_default();
                    match opened.open(literal) {
                        // The content may be a string too: the object may have been encoded as a string several times.
                        true => self.below(Cursor::indexed(&opened.text, &opened.index), room, found),
                        false => room.unopened |= literal.starts_with(b"\"{"),
                    }
                    room.opened.push(opened);
                } else {
                    room.unopened |= literal.starts_with(FLATTENED);
                }
            }
            _ => {}
        }
    }

    /// Returns whether a string may contain one of the keys. Its literal contains the key's letters unchanged or as
    /// `\u` escapes.
    fn may_be_in(&self, literal: &[u8]) -> bool {
        self.keys.iter().any(|branch| branch.may_be_in(literal)) || memmem::find(literal, b"\\u").is_some()
    }

    fn members(&self, mut object: Cursor<'_, '_>, room: &mut Room, found: &mut dyn FnMut(&W, &[u8])) {
        let (mut few, mut many) = ([const { None }; FEW], Vec::new());
        let last = match few.get_mut(..self.keys.len()) {
            Some(few) => few,
            None => {
                many.resize_with(self.keys.len(), || None);
                &mut many
            }
        };
        object.enter(b'{');
        while let Some(key) = object.key() {
            let named = self
                .keys
                .iter()
                .zip(&mut *last)
                .find(|(branch, _)| json::key_is(key, branch.key.as_bytes()));
            if let Some((_, last)) = named {
                *last = Some(object.clone());
            }
            object.skip();
        }
        for (branch, value) in self.keys.iter().zip(last) {
            if let Some(value) = value.take() {
                branch.below.read(value, room, found);
            }
        }
    }
}

impl<W> List<W> {
    /// Follows the paths into an element if it meets their condition.
    fn element(&self, element: Cursor<'_, '_>, room: &mut Room, found: &mut dyn FnMut(&W, &[u8])) {
        let is_wanted = |(member, value): &(String, String)| {
            let is_it = |found: &json::Member<'_>| *found.name() == *member.as_bytes();
            let last = json::members(element.clone().value()).filter(is_it).last();
            last.and_then(|found| text(found.value))
                .is_some_and(|text| *text == *value.as_bytes())
        };
        if self.with.as_ref().is_none_or(is_wanted) {
            self.below.read(element, room, found);
        }
    }
}

/// The first of several fallbacks that leads to something, whatever the order in which they are offered.
pub(super) struct First<T>(Option<(usize, T)>);

impl<T> First<T> {
    pub(super) const fn new() -> Self {
        Self(None)
    }

    /// Stores what `find` returns for the fallback at position `place`. Calls `find` only if that would replace what
    /// was found so far.
    pub(super) fn offer(&mut self, place: usize, find: impl FnOnce() -> Option<T>) {
        let counts = self.0.as_ref().is_none_or(|(best, _)| place < *best);
        if let Some(found) = counts.then(find).flatten() {
            self.0 = Some((place, found));
        }
    }

    /// Returns the position of the fallback that was found.
    pub(super) fn place(&self) -> Option<usize> {
        self.0.as_ref().map(|(place, _)| *place)
    }

    pub(super) fn found(self) -> Option<T> {
        self.0.map(|(_, found)| found)
    }
}
