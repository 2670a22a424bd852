//! Reads records of the audit log as tools export them. They are what the column `RawEventData` of CloudAppEvents would
//! contain.
//!
//! `Search-UnifiedAuditLog` returns rows with the record as a string in `AuditData`. The audit log queries of the Graph
//! API return rows with the record as an object in `auditData`. The Office 365 Management Activity API returns the bare
//! record. According to the common schema that this API documents, every record has `CreationTime`, `Id`, `Operation`,
//! `OrganizationId`, `RecordType` and a few more members.

use super::activity::RAW_EVENT_DATA;
use super::value::{has_content, unicode};
use crate::json::{Cursor, Index, key_is, members, one_line, unescape};

/// A record of the audit log.
pub(super) struct Audit {
    /// The row of CloudAppEvents that contains the record: one object on one line.
    pub(super) row: Vec<u8>,
    /// The Entra tenant to which the record belongs.
    pub(super) tenant: Option<String>,
}

/// Returns the audit record that the object at `start` is or contains.
pub(super) fn read(start: &Cursor<'_, '_>) -> Option<Audit> {
    let object = start.clone().value();
    if is_record(object) {
        return Some(Audit::new(object));
    }
    let data = member(object, &[b"AuditData", b"auditData"])?;
    match data.first()? {
        b'{' => Some(Audit::new(data)),
        b'"' => {
            let unescaped = unescape(data)?;
            let is_object = unescaped.trim_ascii_start().first() == Some(&b'{');
            let is_json = simdutf8::basic::from_utf8(&unescaped).is_ok() && Index::default().read(&unescaped).is_ok();
            (is_object && is_json).then(|| Audit::new(&unescaped))
        }
        _ => None,
    }
}

/// Returns whether an object has the members that every record of the audit log has. A row of another table hardly ever
/// has all of them.
fn is_record(object: &[u8]) -> bool {
    let has = |name: &[u8]| member(object, &[name]).is_some_and(has_content);
    has(b"CreationTime") && has(b"Operation") && has(b"RecordType") && has(b"Id")
}

/// Returns the value of the last member that has one of these names.
fn member<'a>(object: &'a [u8], names: &[&[u8]]) -> Option<&'a [u8]> {
    members(object)
        .filter(|member| names.iter().any(|name| key_is(member.key, name)))
        .last()
        .map(|member| member.value)
}

impl Audit {
    fn new(record: &[u8]) -> Self {
        let record = record.trim_ascii();
        let line = one_line(record);
        let mut row = Vec::with_capacity(line.len() + RAW_EVENT_DATA.len() + 5);
        row.extend_from_slice(b"{\"");
        row.extend_from_slice(RAW_EVENT_DATA.as_bytes());
        row.extend_from_slice(b"\":");
        row.extend_from_slice(&line);
        row.push(b'}');
        Self {
            row,
            tenant: member(record, &[b"OrganizationId"])
                .and_then(unicode)
                .map(|tenant| tenant.into_owned()),
        }
    }
}
