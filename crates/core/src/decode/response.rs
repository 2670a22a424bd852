//! Reads the responses of query interfaces that name the columns once and send each row as a list of values.
//!
//! Log Analytics and Azure Data Explorer respond with tables of `columns` and `rows`. Version 1 of Azure Data
//! Explorer's API writes both names with a capital letter, and its version 2 puts each table into a frame with a
//! `FrameType`. Responses whose rows are objects do not need this module.

use crate::json::{Cursor, key_is, members, unescape};

/// What an object is if it is read as a response.
pub(super) enum Response {
    /// The object is not a response.
    None,
    /// A response without rows, or a frame that only marks the beginning or the end of a response.
    Empty,
    /// A table. Each row is an object with the columns as names.
    Rows(Vec<Vec<u8>>),
    /// A table whose rows would be more than [`MAX_GROWTH`] times as large if they were written as objects.
    TooLarge,
}

/// The most that a table may grow when every row repeats the names of the columns, as a multiple of its text. Real
/// tables become 3 to 6 times as large.
const MAX_GROWTH: usize = 32;

/// Reads the object at `start` as a response.
pub(super) fn rows(start: &Cursor<'_, '_>) -> Response {
    let object = start.clone().value();
    let (mut columns, mut rows, mut is_frame) = (None, None, false);
    let (mut has_context, mut has_schema, mut empty_value, mut empty_results) = (false, false, false, false);
    for member in members(object) {
        has_context |= key_is(member.key, b"@odata.context");
        has_schema |= key_is(member.key, b"schema") || key_is(member.key, b"Schema");
        if key_is(member.key, b"value") {
            empty_value = is_empty(member.value);
        } else if key_is(member.key, b"results") || key_is(member.key, b"Results") {
            empty_results = is_empty(member.value);
        }
        if key_is(member.key, b"columns") || key_is(member.key, b"Columns") {
            columns = names(member.value);
        } else if key_is(member.key, b"rows") || key_is(member.key, b"Rows") {
            rows = Some(member.value);
        }
        is_frame |= key_is(member.key, b"FrameType");
    }
    match (columns, rows) {
        (Some(columns), Some(rows)) => table(&columns, rows),
        _ if is_frame || (has_context && empty_value) || (has_schema && empty_results) => Response::Empty,
        _ => Response::None,
    }
}

/// Returns the names of the columns as string literals, or `None` if a column has no name.
fn names(columns: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut cursor = Cursor::new(columns);
    if !cursor.enter(b'[') {
        return None;
    }
    let mut names = Vec::new();
    while cursor.has_element() {
        let column = cursor.value();
        let name = members(column)
            .find(|member| key_is(member.key, b"name") || key_is(member.key, b"ColumnName"))
            .map(|member| member.value)?;
        unescape(name)?;
        names.push(name.to_vec());
    }
    Some(names)
}

fn is_empty(list: &[u8]) -> bool {
    let mut cursor = Cursor::new(list);
    cursor.enter(b'[') && !cursor.has_element()
}

fn table(columns: &[Vec<u8>], rows: &[u8]) -> Response {
    let mut cursor = Cursor::new(rows);
    if !cursor.enter(b'[') {
        return Response::None;
    }
    let (mut objects, mut left) = (Vec::new(), rows.len().saturating_mul(MAX_GROWTH));
    while cursor.has_element() {
        // A row that is not a list reports that the query failed.
        let values = cursor.value();
        if values.first() != Some(&b'[') {
            continue;
        }
        let object = object(columns, values);
        let Some(rest) = left.checked_sub(object.len()) else {
            return Response::TooLarge;
        };
        left = rest;
        objects.push(object);
    }
    Response::Rows(objects)
}

fn object(columns: &[Vec<u8>], values: &[u8]) -> Vec<u8> {
    let mut object = Vec::with_capacity(2 * values.len());
    object.push(b'{');
    let mut cursor = Cursor::new(values);
    cursor.enter(b'[');
    for name in columns {
        if !cursor.has_element() {
            break;
        }
        if object.len() > 1 {
            object.push(b',');
        }
        object.extend_from_slice(name);
        object.push(b':');
        object.extend_from_slice(cursor.value());
    }
    object.push(b'}');
    object
}
