//! Finds our records in wrappers that [`message`](super::message) does not read: lists in lists, objects around lists,
//! strings that contain JSON, exports of the audit log, and the responses of query interfaces.
//!
//! This is the slow path. Records of a known form that are not in such a wrapper are not read here, so nothing here has
//! to be fast. All of it is linear in the length of the text, and it opens up to [`MAX_LEVELS`] nested wrappers.
//!
//! The result is a list of [`Leaf`]s, each of which is one record. Every element of a list becomes a leaf, whether it
//! can be used or not. Of an object that is not a record, only those members count that contain a record of ours; the
//! other members are what a sender adds to its records.

use std::borrow::Cow;

use super::alert::AlertReader;
use super::audit;
use super::broken;
use super::message::{Class, Fields, Form, InputTable, Record, classify};
use super::reject::{Fault, Reason};
use super::response;
use super::value::{Paths, Room, text};
use super::{Ignore, body};
use crate::json::{Cursor, Index, unescape};

/// The largest number of nested wrappers.
pub(super) const MAX_LEVELS: usize = 16;

/// One record, or something in the place of a record that cannot be used.
#[derive(Debug)]
pub(super) struct Leaf<'a> {
    /// Its JSON text, without the wrappers around it.
    pub(super) record: Cow<'a, [u8]>,
    pub(super) what: What<'a>,
}

#[derive(Debug)]
pub(super) enum What<'a> {
    /// A row of one of our tables.
    Row {
        table: InputTable,
        /// The row, which is an object.
        row: Cow<'a, [u8]>,
        form: Form<'a>,
    },
    /// A record of the table with this name.
    OtherTable(Cow<'a, str>),
    /// A record that matches `[[input.ignore]]`.
    Ignored,
    /// Something that cannot be used.
    Unusable(Fault),
}

impl Leaf<'_> {
    pub(super) fn unusable<'a>(record: impl Into<Cow<'a, [u8]>>, fault: Fault) -> Leaf<'a> {
        Leaf {
            record: record.into(),
            what: What::Unusable(fault),
        }
    }

    fn into_owned(self) -> Leaf<'static> {
        Leaf {
            record: Cow::Owned(self.record.into_owned()),
            what: match self.what {
                What::Row { table, row, form } => What::Row {
                    table,
                    row: Cow::Owned(row.into_owned()),
                    form: form.into_owned(),
                },
                What::OtherTable(table) => What::OtherTable(Cow::Owned(table.into_owned())),
                What::Ignored => What::Ignored,
                What::Unusable(fault) => What::Unusable(fault),
            },
        }
    }
}

/// What was found in a value.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum FoundRecords {
    /// No record. What was added is of no use.
    Nothing,
    /// A response without rows, or a part of a response that contains none.
    Empty,
    /// Records of other tables, or ignored records.
    Others,
    /// A record of ours, or any record in the envelope of the streaming API.
    Ours,
}

/// Names of members into which senders and query interfaces put lists of records. In these members, records of other
/// tables count too, and a broken list in one of them is split.
const LISTS: [&str; 14] = [
    "records", "value", "values", "results", "result", "rows", "tables", "events", "messages", "items", "data", "hits", "logs",
    "body",
];

/// Returns whether a member of this name usually contains records.
pub(super) fn is_list_name(name: &[u8]) -> bool {
    LISTS.iter().any(|list| name.eq_ignore_ascii_case(list.as_bytes()))
}

/// A reader of wrappers with the given settings.
pub(super) struct Opener<'d> {
    pub(super) alerts: &'d AlertReader,
    pub(super) ignored: &'d Ignored,
    pub(super) room: &'d mut Room,
    /// Whether anything was left unread because of [`MAX_LEVELS`].
    pub(super) is_cut: bool,
}

impl Opener<'_> {
    /// Adds the records in `text`. Returns [`FoundRecords::Nothing`] if it is not one valid JSON value.
    pub(super) fn text<'a>(&mut self, text: &'a [u8], level: usize, out: &mut Vec<Leaf<'a>>) -> FoundRecords {
        let mut index = Index::default();
        if index.read(text).is_err() {
            return FoundRecords::Nothing;
        }
        self.value(&Cursor::indexed(text, &index), level, out)
    }

    /// Adds the records in the value at `start`.
    pub(super) fn value<'a>(&mut self, start: &Cursor<'_, 'a>, level: usize, out: &mut Vec<Leaf<'a>>) -> FoundRecords {
        if level > MAX_LEVELS {
            self.is_cut |= may_hold_records(start);
            return FoundRecords::Nothing;
        }
        match start.clone().peek() {
            Some(b'{') => self.object(start, level, out),
            Some(b'[') => self.list(start, level, out),
            Some(b'"') => self.string(start.clone().value(), level, out),
            _ => FoundRecords::Nothing,
        }
    }

    /// Adds the records in every element of a list. An element without a record is added as unusable.
    fn list<'a>(&mut self, start: &Cursor<'_, 'a>, level: usize, out: &mut Vec<Leaf<'a>>) -> FoundRecords {
        let mut found = FoundRecords::Nothing;
        let mut cursor = start.clone();
        cursor.enter(b'[');
        while cursor.has_element() {
            let element = cursor.clone();
            let text = cursor.value();
            found = found.max(self.element(&element, text, level, out));
        }
        found
    }

    /// Adds the records in an element of a list, or the element itself as unusable.
    pub(super) fn element<'a>(
        &mut self,
        start: &Cursor<'_, 'a>,
        text: &'a [u8],
        level: usize,
        out: &mut Vec<Leaf<'a>>,
    ) -> FoundRecords {
        let was_cut = std::mem::take(&mut self.is_cut);
        let before = out.len();
        let found = self.value(start, level + 1, out);
        if found == FoundRecords::Nothing {
            out.truncate(before);
            out.push(Leaf::unusable(text, self.unknown(start)));
        }
        self.is_cut |= was_cut;
        found
    }

    fn object<'a>(&mut self, start: &Cursor<'_, 'a>, level: usize, out: &mut Vec<Leaf<'a>>) -> FoundRecords {
        let record = Record::at(start);
        let json = record.json;
        let mut add = |what| {
            out.push(Leaf {
                record: Cow::Borrowed(json),
                what,
            });
        };
        match classify(&record) {
            Class::Row(mut row) => {
                add(What::Row {
                    table: row.table,
                    row: Cow::Borrowed(row.start.value()),
                    form: row.form,
                });
                FoundRecords::Ours
            }
            Class::OtherTable(table) => {
                add(What::OtherTable(table));
                match record.fields.as_ref().is_some_and(Fields::is_enveloped) {
                    true => FoundRecords::Ours,
                    false => FoundRecords::Others,
                }
            }
            Class::Wrapped { table, properties, form } => self.properties(json, table, &properties, &form, out),
            Class::Unknown(_) => {
                let workspace = record.fields.as_ref().and_then(Fields::workspace);
                self.unknown_object(start, json, workspace, level, out)
            }
        }
    }

    /// Adds the rows that the `properties` of an envelope contain, in any wrappers.
    fn properties<'a>(
        &mut self,
        record: &'a [u8],
        table: InputTable,
        properties: &Cursor<'_, 'a>,
        form: &Form<'a>,
        out: &mut Vec<Leaf<'a>>,
    ) -> FoundRecords {
        let mut rows = Vec::new();
        self.is_cut |= objects(properties.clone(), 0, &mut rows);
        if rows.is_empty() {
            return FoundRecords::Nothing;
        }
        let is_one = rows.len() == 1;
        out.extend(rows.into_iter().map(|row| Leaf {
            // If there are several rows, none of them is the only one in the envelope, so each has its own bytes.
            record: if is_one { Cow::Borrowed(record) } else { row.clone() },
            what: What::Row {
                table,
                row,
                form: form.clone(),
            },
        }));
        FoundRecords::Ours
    }

    fn unknown_object<'a>(
        &mut self,
        start: &Cursor<'_, 'a>,
        json: &'a [u8],
        workspace: Option<Cow<'a, str>>,
        level: usize,
        out: &mut Vec<Leaf<'a>>,
    ) -> FoundRecords {
        if self.ignored.has(start, self.room) {
            out.push(Leaf {
                record: Cow::Borrowed(json),
                what: What::Ignored,
            });
            return FoundRecords::Others;
        }
        if let Some(audit) = audit::read(start) {
            out.push(Leaf {
                record: Cow::Borrowed(json),
                what: What::Row {
                    table: InputTable::CloudAppEvents,
                    row: Cow::Owned(audit.row),
                    form: Form::Enveloped {
                        entra_tenant: audit.tenant.map(Cow::Owned),
                    },
                },
            });
            return FoundRecords::Ours;
        }
        if self.alerts.has_id(start, self.room) {
            out.push(Leaf {
                record: Cow::Borrowed(json),
                what: What::Row {
                    table: InputTable::SecurityAlert,
                    row: Cow::Borrowed(json),
                    form: Form::Bare { workspace },
                },
            });
            return FoundRecords::Ours;
        }
        match response::rows(start) {
            response::Response::None => self.members(start, level, out),
            response::Response::Empty => FoundRecords::Empty,
            response::Response::Rows(rows) => self.response(rows, json, level, out),
            response::Response::TooLarge => {
                let error = "the rows of this answer would be far larger as objects; ask for fewer columns or with shorter names";
                out.push(Leaf::unusable(json, Fault::new(Reason::TooLarge, error)));
                FoundRecords::Others
            }
        }
    }

    /// Adds the rows of a response. Each row is an object that was made from the columns and the values.
    fn response<'a>(&mut self, rows: Vec<Vec<u8>>, json: &'a [u8], level: usize, out: &mut Vec<Leaf<'a>>) -> FoundRecords {
        let before = out.len();
        let (mut found, are_none) = (FoundRecords::Empty, rows.is_empty());
        for row in rows {
            let mut inner = Vec::new();
            let of_row = self.text(&row, level + 1, &mut inner);
            match of_row {
                FoundRecords::Nothing | FoundRecords::Empty => {
                    out.push(Leaf::unusable(row, Fault::new(Reason::UnknownRecord, NO_ROW)));
                }
                FoundRecords::Others | FoundRecords::Ours => {
                    out.extend(inner.into_iter().map(|leaf| -> Leaf<'a> { leaf.into_owned() }))
                }
            }
            found = found.max(of_row);
        }
        if found < FoundRecords::Others && !are_none {
            out.truncate(before);
            let error = "none of the rows of this answer is a row of a known table";
            out.push(Leaf::unusable(json, Fault::new(Reason::UnknownRecord, error)));
        }
        found.max(FoundRecords::Empty)
    }

    /// Adds the records in the members of an object that is not a record itself.
    fn members<'a>(&mut self, start: &Cursor<'_, 'a>, level: usize, out: &mut Vec<Leaf<'a>>) -> FoundRecords {
        let mut all = FoundRecords::Nothing;
        let mut cursor = start.clone();
        cursor.enter(b'{');
        while let Some(key) = cursor.key() {
            let member = cursor.clone();
            cursor.value();
            let before = out.len();
            let found = self.value(&member, level + 1, out);
            let is_list = unescape(key).is_some_and(|name| is_list_name(&name));
            // In other members, `Type` may mean anything and is not the name of a table.
            match found == FoundRecords::Ours || (is_list && found > FoundRecords::Nothing) {
                true => all = all.max(found),
                false => out.truncate(before),
            }
        }
        all
    }

    /// Adds the records in a string that contains JSON, which may be in base64, or a broken batch.
    fn string<'a>(&mut self, literal: &'a [u8], level: usize, out: &mut Vec<Leaf<'a>>) -> FoundRecords {
        let Some(mut unescaped) = unescape(literal) else {
            return FoundRecords::Nothing;
        };
        if let Some(decoded) = body::decode_base_64(&unescaped) {
            unescaped = Cow::Owned(decoded);
        }
        let unescaped = body::without_mark(&unescaped);
        if !matches!(unescaped.trim_ascii_start().first(), Some(b'{' | b'[' | b'"'))
            || simdutf8::basic::from_utf8(unescaped).is_err()
        {
            return FoundRecords::Nothing;
        }
        let mut inner = Vec::new();
        let mut found = self.text(unescaped, level + 1, &mut inner);
        if found == FoundRecords::Nothing {
            inner.clear();
            found = broken::take_apart(self, unescaped, level + 1, &mut inner);
        }
        if found >= FoundRecords::Others {
            out.extend(inner.into_iter().map(|leaf| -> Leaf<'a> { leaf.into_owned() }));
            return found;
        }
        FoundRecords::Nothing
    }

    /// Returns what is wrong with a value in which no record was found.
    pub(super) fn unknown(&self, start: &Cursor<'_, '_>) -> Fault {
        let record = Record::at(start);
        let mut error = match classify(&record) {
            Class::Unknown(error) => error,
            Class::Wrapped { .. } => "the envelope's properties are no object, and hold none",
            // All other classes are records.
            Class::Row(_) | Class::OtherTable(_) => NO_ROW,
        }
        .to_owned();
        if self.is_cut {
            let inside = match record.fields {
                None => "the record is nested too deeply".to_owned(),
                Some(_) => error,
            };
            error = format!("{inside}: arrays and other wrappers are opened up to {MAX_LEVELS} levels deep");
        }
        Fault::new(Reason::UnknownRecord, error)
    }
}

const NO_ROW: &str = "the record is no envelope, and no row of a known table";

/// Returns whether the value at `start` is a list, an object, or a string that begins like one of them.
fn may_hold_records(start: &Cursor<'_, '_>) -> bool {
    match start.clone().peek() {
        Some(b'[' | b'{') => true,
        Some(b'"') => start.clone().value().get(1).is_some_and(|first| matches!(first, b'[' | b'{')),
        _ => false,
    }
}

/// Adds the objects at `start`, including those in lists and in strings that contain JSON. Returns whether something
/// was left unread because of [`MAX_LEVELS`].
fn objects<'a>(mut start: Cursor<'_, 'a>, level: usize, out: &mut Vec<Cow<'a, [u8]>>) -> bool {
    if level > MAX_LEVELS {
        return may_hold_records(&start);
    }
    let mut is_cut = false;
    match start.peek() {
        Some(b'{') => out.push(Cow::Borrowed(start.value())),
        Some(b'[') => {
            start.enter(b'[');
            while start.has_element() {
                is_cut |= objects(start.clone(), level + 1, out);
                start.value();
            }
        }
        Some(b'"') => {
            let Some(unescaped) = unescape(start.value()) else {
                return false;
            };
            let unescaped = body::without_mark(&unescaped);
            let mut index = Index::default();
            if simdutf8::basic::from_utf8(unescaped).is_ok() && index.read(unescaped).is_ok() {
                let mut inner = Vec::new();
                is_cut |= objects(Cursor::indexed(unescaped, &index), level + 1, &mut inner);
                out.extend(inner.into_iter().map(|object| Cow::Owned(object.into_owned())));
            }
        }
        _ => {}
    }
    is_cut
}

/// The records that match `[[input.ignore]]`.
pub(super) struct Ignored {
    paths: Paths<usize>,
    values: Vec<Vec<String>>,
}

impl Ignored {
    pub(super) fn new(settings: &[Ignore]) -> Self {
        Self {
            paths: Paths::new(settings.iter().map(|ignore| &ignore.path).zip(0..)),
            values: settings.iter().map(|ignore| ignore.values.clone()).collect(),
        }
    }

    fn has(&self, record: &Cursor<'_, '_>, room: &mut Room) -> bool {
        let mut found = false;
        self.paths.read(record.clone(), room, &mut |place, value| {
            let unescaped = text(value).unwrap_or_default();
            let values = self.values.get(*place).map(Vec::as_slice).unwrap_or_default();
            found |= values.iter().any(|value| value.as_bytes() == &*unescaped);
        });
        found
    }
}
