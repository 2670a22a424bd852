//! Takes apart what is not one JSON text: several texts in one message, and lists in which a record is broken or which end too early.
//!
//! Every whole record is used, and each stretch that is none becomes one [`Leaf`] with its own bytes. Where a record breaks, the next one
//! begins
//!
//! 1. behind the bracket that closes the broken one, if brackets are balanced in it and a comma or the end of the list follows; but
//! 2. at the first place before that at which a whole record of ours begins that stands where a record may: not behind a colon, as the value
//!    of a member does, nor behind a quote in the same line.
//!
//! The work is linear in the length of the text: a search for the next record is never repeated over the same bytes, and the bytes looked
//! at for closing brackets have a budget. The result depends on the bytes alone.

use super::body::MARK;
use super::envelope::says_something;
use super::reject::{Fault, Reason};
use super::wrapper::{Found, Leaf, MAX_LEVELS, Opener, is_list_name};
use crate::json::prefix::{Broken, balanced_end, space, value_end};
use crate::json::{Cursor, Index, unescape};

/// Bytes that may be looked at for closing brackets, for each byte of the text.
const BUDGET: usize = 4;

/// Adds what `text` holds, which is not one JSON text. Returns [`Found::Nothing`] when no record of a known form is in it; what was added
/// then is of no use.
pub(super) fn take_apart<'a>(opener: &mut Opener<'_>, text: &'a [u8], level: usize, out: &mut Vec<Leaf<'a>>) -> Found {
    let mut parts = Parts {
        opener,
        text,
        level,
        out,
        found: Found::Nothing,
        budget: text.len().saturating_mul(BUDGET),
        next: None,
        is_whole: true,
    };
    parts.sequence();
    match (parts.found, parts.is_whole) {
        // Several whole texts, none of them a record: each speaks for itself.
        (Found::Nothing, true) if !parts.out.is_empty() => Found::Empty,
        (found, _) => found,
    }
}

struct Parts<'p, 'd, 'a> {
    opener: &'p mut Opener<'d>,
    text: &'a [u8],
    level: usize,
    out: &'p mut Vec<Leaf<'a>>,
    found: Found,
    /// Bytes that may still be looked at for closing brackets.
    budget: usize,
    /// The result of the last search: from where it began, and where a record was found.
    next: Option<(usize, Option<usize>)>,
    /// Whether nothing was broken so far.
    is_whole: bool,
}

/// What ends a list of values.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Around {
    /// Nothing: texts one after another.
    Message,
    /// A closing bracket.
    List,
}

impl<'a> Parts<'_, '_, 'a> {
    fn sequence(&mut self) {
        self.values(0, Around::Message, 0);
    }

    /// Adds the values from `at` on; returns the place behind them and the bracket that closes them.
    fn values(&mut self, mut at: usize, around: Around, depth: usize) -> usize {
        loop {
            at += separators(self.text, at, around);
            match (self.text.get(at), around) {
                (None, _) => return at,
                (Some(b']'), Around::List) => return at + 1,
                _ => {}
            }
            at = match self.whole(at).and_then(|end| self.separate(at, end, around)) {
                Ok(end) => {
                    self.value(at, end);
                    end
                }
                Err(broken) => self.broken(at, broken, depth),
            };
        }
    }

    /// Returns the place behind the whole value that begins here.
    fn whole(&self, at: usize) -> Result<usize, Broken> {
        let end = value_end(self.text, at)?;
        match simdutf8::compat::from_utf8(&self.text[at..end]) {
            Ok(_) => Ok(end),
            Err(error) => Err(Broken {
                at: at + error.valid_up_to(),
                resume: at,
            }),
        }
    }

    /// Returns the end of a value again, unless it is a number or a literal in the middle of other text: a message with a
    /// time of the day before its record has no numbers in it.
    fn separate(&self, at: usize, end: usize, around: Around) -> Result<usize, Broken> {
        let is_bracketed = matches!(self.text.get(at), Some(b'{' | b'[' | b'"'));
        let is_alone = matches!(self.text.get(end), None | Some(b'\n' | b'\r' | b',' | 0x1e));
        match around == Around::List || is_bracketed || is_alone {
            true => Ok(end),
            false => Err(Broken { at: end, resume: at }),
        }
    }

    /// Adds a whole value as a list has it: itself, or what it holds.
    fn value(&mut self, at: usize, end: usize) {
        let text = &self.text[at..end];
        let mut index = Index::default();
        if index.read(text).is_ok() {
            let found = self
                .opener
                .element(&Cursor::indexed(text, &index), text, self.level, self.out);
            self.found = self.found.max(found);
        }
    }

    /// Adds what a whole member of a wrapper holds; whether there are records in it.
    fn member(&mut self, at: usize, end: usize) -> bool {
        let before = self.out.len();
        let found = self.opener.text(&self.text[at..end], self.level, self.out);
        if found == Found::Nothing {
            self.out.truncate(before);
        }
        self.found = self.found.max(found);
        found > Found::Nothing
    }

    /// Adds what a broken value holds; returns the place behind it.
    fn broken(&mut self, at: usize, broken: Broken, depth: usize) -> usize {
        self.is_whole = false;
        if depth < MAX_LEVELS {
            match self.text.get(at) {
                Some(b'[') => return self.values(at + 1, Around::List, depth + 1),
                Some(b'{') => {
                    if let Some(end) = self.wrapper(at, depth) {
                        return end;
                    }
                }
                _ => {}
            }
        }
        let end = self.boundary(at);
        self.unusable(at, end, broken);
        end
    }

    /// Adds what an object holds of which a list is broken, or what stands behind it; returns the place behind it. `None` when it is no
    /// wrapper, but a broken record.
    fn wrapper(&mut self, start: usize, depth: usize) -> Option<usize> {
        let mut at = start + 1;
        let (before, found) = (self.out.len(), self.found);
        let mut holds_records = false;
        let undo = |parts: &mut Self| {
            parts.out.truncate(before);
            parts.found = found;
        };
        loop {
            at += separators(self.text, at, Around::List);
            let member = at;
            if self.text.get(at) == Some(&b'}') && holds_records {
                return Some(at + 1);
            }
            let name = match (self.text.get(at), value_end(self.text, at)) {
                (Some(b'"'), Ok(end)) => {
                    at = end + space(&self.text[end..]);
                    unescape(&self.text[member..end])
                }
                _ => None,
            };
            let name = name.filter(|_| self.text.get(at) == Some(&b':'));
            let Some(name) = name else {
                if !holds_records {
                    undo(self);
                    return None;
                }
                if member == self.text.len() {
                    return Some(member);
                }
                let broken = Broken { at, resume: member };
                let end = self.boundary(member);
                self.unusable(member, end, broken);
                return Some(end);
            };
            at += 1;
            at += space(&self.text[at..]);
            let is_list = is_list_name(&name) && matches!(self.text.get(at), Some(b'[' | b'{'));
            match self.whole(at) {
                Ok(end) => {
                    if is_column(&name) && says_something(&self.text[at..end]) {
                        undo(self);
                        return None;
                    }
                    holds_records |= is_list && self.member(at, end);
                    at = end;
                }
                Err(broken) if is_list => {
                    at = self.broken(at, broken, depth + 1);
                    holds_records = true;
                }
                Err(broken) if holds_records => {
                    let end = self.boundary(member);
                    self.unusable(member, end, broken);
                    return Some(end);
                }
                Err(_) => {
                    undo(self);
                    return None;
                }
            }
        }
    }

    /// Returns where the broken record that begins at `start` ends.
    fn boundary(&mut self, start: usize) -> usize {
        let closed = self.closed(start);
        let next = self.next_record(start + 1);
        match (closed, next) {
            (Some(closed), Some(next)) => closed.min(next),
            (Some(end), None) | (None, Some(end)) => end,
            (None, None) => self.text.len(),
        }
    }

    /// Returns the place behind the bracket that closes what begins at `start`, when that is followed by what may follow a record.
    fn closed(&mut self, start: usize) -> Option<usize> {
        if !matches!(self.text.get(start), Some(b'{' | b'[')) {
            return None;
        }
        let (end, looked_at) = balanced_end(self.text, start, self.budget);
        self.budget -= looked_at.min(self.budget);
        let end = end?;
        let rest = &self.text[end..];
        let rest = &rest[space(rest)..];
        matches!(
            rest.first(),
            None | Some(b',' | b']' | b'}' | b'{' | b'[' | 0x1e) | Some(0xef)
        )
        .then_some(end)
    }

    /// Returns where the next whole record of ours begins, from `from` on.
    fn next_record(&mut self, from: usize) -> Option<usize> {
        if let Some((began, found)) = self.next
            && began <= from
            && found.is_none_or(|found| found >= from)
        {
            return found;
        }
        let found = self.search(from);
        self.next = Some((from, found));
        found
    }

    fn search(&mut self, from: usize) -> Option<usize> {
        let mut at = from;
        loop {
            at += memchr::memchr(b'{', self.text.get(at..)?)?;
            if !self.may_begin(at) {
                at += 1;
                continue;
            }
            match self.whole(at) {
                Ok(end) => {
                    let mut leaves = Vec::new();
                    if self.opener.text(&self.text[at..end], self.level + 1, &mut leaves) == Found::Ours {
                        return Some(at);
                    }
                    at = end;
                }
                Err(broken) => at = broken.resume.max(at + 1),
            }
        }
    }

    /// Whether a record may begin here: not as the value of a member, and not in a string, unless a line ends before it.
    fn may_begin(&self, at: usize) -> bool {
        let before = &self.text[..at];
        let text = before.trim_ascii_end();
        match text.last() {
            Some(b':') => false,
            Some(b'"') => before[text.len()..].contains(&b'\n'),
            _ => true,
        }
    }

    fn unusable(&mut self, start: usize, end: usize, broken: Broken) {
        let text = &self.text[start..end];
        let text = text.trim_ascii_end();
        let text = text.strip_suffix(b",").unwrap_or(text).trim_ascii_end();
        if text.is_empty() {
            return;
        }
        let error = match broken.at >= self.text.len() {
            true => "the record is not whole: the message ends in the middle of it; the records before it were used".to_owned(),
            false => format!(
                "the record is not JSON in UTF-8: it breaks at its byte {}; the records around it were used",
                broken.at - start
            ),
        };
        self.out.push(Leaf::unusable(text, Fault::new(Reason::InvalidJson, error)));
    }
}

/// Returns how many bytes from `at` on only separate values: white space, commas, and between texts byte order marks, the record separator
/// of JSON text sequences (RFC 7464), and the closing brackets of a list that began in what was broken.
fn separators(text: &[u8], at: usize, around: Around) -> usize {
    let mut rest = text.get(at..).unwrap_or_default();
    let length = rest.len();
    loop {
        rest = match rest {
            [b' ' | b'\n' | b'\r' | b'\t' | b',', rest @ ..] => rest,
            [0x1e | b']' | b'}', rest @ ..] if around == Around::Message => rest,
            _ => match rest.strip_prefix(MARK) {
                Some(rest) if around == Around::Message => rest,
                _ => return length - rest.len(),
            },
        }
    }
}

/// Whether only records have a member of this name.
fn is_column(name: &[u8]) -> bool {
    matches!(
        name,
        b"category"
            | b"properties"
            | b"Type"
            | b"RawEventData"
            | b"SystemAlertId"
            | b"AuditData"
            | b"auditData"
            | b"CreationTime"
    )
}
