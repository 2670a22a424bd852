//! The dedup key of an activity: two deliveries with the same one are one activity.

use sha2::{Digest, Sha256};

use super::value::Room;
use super::{content_hash, is_service_column};
use crate::json::{Cursor, MAX_DEPTH, TooDeep, depth};
use crate::record::{ActivityId, Key, LinkId};
use crate::time::EventTime;

/// The beginning of what is hashed for a dedup key by report id. It differs from the canonical form of every row.
const REPORT_ID_DOMAIN: &[u8] = b"alerttrail activity by report id\n";

/// Returns the dedup key of an activity by its content: all columns but those that the service adds.
pub(super) fn by_content(row: Cursor<'_, '_>, room: &mut Room) -> Result<ActivityId, TooDeep> {
    content_hash(row, &|name| is_service_column(name) || name == b"TimeGenerated", room).map(ActivityId)
}

/// Returns the dedup key of an activity by its report id. It is computed from the key by the query or, without one,
/// from an empty key, because an activity has one dedup key whatever links it has keys by.
pub(super) fn by_report_id(
    tenant: &str,
    keys: &[Key],
    time: EventTime,
    report_id: &[u8],
    row: &[u8],
) -> Result<ActivityId, TooDeep> {
    shallow(row)?;
    let query = keys.iter().find(|key| key.link == LinkId::QUERY);
    let mut hash = Sha256::new();
    hash.update(REPORT_ID_DOMAIN);
    for part in [
        tenant.as_bytes(),
        query.map(|key| key.correlation_id.as_bytes()).unwrap_or_default(),
        &time.ticks().to_be_bytes(),
        report_id,
    ] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    Ok(ActivityId(hash.finalize().into()))
}

/// Returns an error if the row is too deep. The check is the same for every kind of dedup key, so the setting does not
/// change which rows are rejected.
pub(super) fn shallow(row: &[u8]) -> Result<(), TooDeep> {
    // Nearly every row has fewer brackets in total than the depth that is allowed, so that its depth need not be
    // computed.
    let brackets = memchr::memchr2_iter(b'{', b'[', row).take(MAX_DEPTH + 1).count();
    match brackets > MAX_DEPTH && depth(row) > MAX_DEPTH {
        true => Err(TooDeep),
        false => Ok(()),
    }
}
