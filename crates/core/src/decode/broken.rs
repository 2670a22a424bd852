//! Splits a message that is not one JSON text: several texts in one message, and lists that end too early or contain a
//! broken record.
//!
//! Every complete record is used. Each stretch of text that is not a record becomes one [`Leaf`] with its own bytes. If
//! a record is broken, the next one begins at the earlier of these two places:
//!
//! 1. after the bracket that closes the broken record, if its brackets are balanced and are followed by a comma, a
//!    closing bracket, the beginning of another record, or the end of the text;
//! 2. at the first complete record of ours that follows neither a colon, like the value of a member, nor a quote on the
//!    same line.
//!
//! The work is linear in the length of the text: a search for the next record never reads the same bytes twice, and the
//! number of bytes that are read to find closing brackets is limited. The result depends only on the bytes.

use super::body::MARK;
use super::reject::{Fault, Reason};
use super::value::has_content;
use super::wrapper::{FoundRecords, Leaf, MAX_LEVELS, Opener, is_list_name};
use crate::json::prefix::{Broken, balanced_end, space, value_end};
use crate::json::{Cursor, Index, unescape};

/// The number of bytes that may be read to find closing brackets, for each byte of the text.
const BUDGET: usize = 4;

/// Adds the records in `text`, which is not one JSON text. Returns [`FoundRecords::Nothing`] if it contains no record
/// of a known form; the caller then discards what was added.
pub(super) fn take_apart<'a>(opener: &mut Opener<'_>, text: &'a [u8], level: usize, out: &mut Vec<Leaf<'a>>) -> FoundRecords {
    let mut parts = Parts {
        opener,
        text,
        level,
        out,
        found: FoundRecords::Nothing,
        budget: text.len().saturating_mul(BUDGET),
        next: None,
        is_whole: true,
    };
    parts.sequence();
    match (parts.found, parts.is_whole) {
        // There are several complete texts and none of them is a record: each of them is reported separately.
        (FoundRecords::Nothing, true) if !parts.out.is_empty() => FoundRecords::Empty,
        (found, _) => found,
    }
}

struct Parts<'p, 'd, 'a> {
    opener: &'p mut Opener<'d>,
    text: &'a [u8],
    level: usize,
    out: &'p mut Vec<Leaf<'a>>,
    found: FoundRecords,
    /// The number of bytes that may still be read to find closing brackets.
    budget: usize,
    /// The last search for a record: the position where it began, and the position of the record that it found.
    next: Option<(usize, Option<usize>)>,
    /// Whether nothing broken has been found so far.
    is_whole: bool,
}

/// What encloses a list of values.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Around {
    /// Nothing: the texts follow one another.
    Message,
    /// A list, which ends with a closing bracket.
    List,
}

impl<'a> Parts<'_, '_, 'a> {
    fn sequence(&mut self) {
        self.values(0, Around::Message, 0);
    }

    /// Adds the values from `at` on. Returns the position after them and after the bracket that closes them.
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

    /// Returns the position after the complete value that begins at `at`.
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

    /// Returns `end`, or an error if the value is a number or a literal in the middle of other text. For example, the
    /// time of day before a record in a message is text and not several numbers.
    fn separate(&self, at: usize, end: usize, around: Around) -> Result<usize, Broken> {
        let is_bracketed = matches!(self.text.get(at), Some(b'{' | b'[' | b'"'));
        let is_alone = matches!(self.text.get(end), None | Some(b'\n' | b'\r' | b',' | 0x1e));
        match around == Around::List || is_bracketed || is_alone {
            true => Ok(end),
            false => Err(Broken { at: end, resume: at }),
        }
    }

    /// Adds a complete value as an element of a list: the value itself, or the records in it.
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

    /// Adds the records in a complete member of a wrapper. Returns whether there are any.
    fn member(&mut self, at: usize, end: usize) -> bool {
        let before = self.out.len();
        let found = self.opener.text(&self.text[at..end], self.level, self.out);
        if found == FoundRecords::Nothing {
            self.out.truncate(before);
        }
        self.found = self.found.max(found);
        found > FoundRecords::Nothing
    }

    /// Adds the records in a broken value. Returns the position after the value.
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

    /// Adds the records in an object that is broken inside a list or after one. Returns the position after the object,
    /// or `None` if the object is not a wrapper but a broken record.
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
                    if is_column(&name) && has_content(&self.text[at..end]) {
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

    /// Returns the end of the broken record that begins at `start`.
    fn boundary(&mut self, start: usize) -> usize {
        let closed = self.closed(start);
        let next = self.next_record(start + 1);
        match (closed, next) {
            (Some(closed), Some(next)) => closed.min(next),
            (Some(end), None) | (None, Some(end)) => end,
            (None, None) => self.text.len(),
        }
    }

    /// Returns the position after the bracket that closes the value at `start`, if it is followed by something that may
    /// follow a record.
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

    /// Returns the position of the next complete record of ours at or after `from`.
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
                    if self.opener.text(&self.text[at..end], self.level + 1, &mut leaves) == FoundRecords::Ours {
                        return Some(at);
                    }
                    at = end;
                }
                Err(broken) => at = broken.resume.max(at + 1),
            }
        }
    }

    /// Returns whether a record may begin at `at`: not as the value of a member and not in a string, unless a line ends
    /// before it.
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

/// Returns the number of bytes from `at` on that only separate values: white space and commas. Between texts these are
/// also byte order marks, the record separator of JSON text sequences (RFC 7464), and the closing brackets of a list
/// whose beginning is in a broken record.
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

/// Returns whether only records have a member of this name.
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
