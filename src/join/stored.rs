//! The rows of activities in the store.
//!
//! An activity that has several keys in a partition is stored once, under the first of them; under the others stands which key that is.

use crate::record::{Activity, ActivityId, Key, LinkId};
use crate::store::{Base, Error, Table, Txn, keys};
use crate::time::EventTime;

/// Begins a value that names the key under which the row stands. A row begins with a brace, and the place of a row in a file with zeros.
const ELSEWHERE: u8 = 1;

/// Stores an activity under those of its keys under which it is not stored yet, and returns these. The keys come in the order of
/// the times for which their links keep activities, the longest first: a row outlives what refers to it.
pub(super) fn put<'k, B: Base>(
    activity: &Activity<'_>,
    keys: impl Iterator<Item = &'k Key>,
    txn: &mut Txn<'_, B>,
) -> Result<Vec<&'k Key>, Error> {
    let mut new: Vec<&Key> = Vec::new();
    for key in keys {
        let stored = keys::activity(key, activity.time, activity.id);
        if txn.contains(Table::Activities, &stored)? {
            continue;
        }
        let value = match new.first() {
            None => activity.row.to_vec(),
            Some(first) => [&[ELSEWHERE, first.link.0], first.correlation_id.as_bytes()].concat(),
        };
        txn.put(Table::Activities, stored, value);
        new.push(key);
    }
    Ok(new)
}

/// Returns the row of an activity whose value under `key` is `value`.
/// `get` reads the table of activities.
pub(super) fn row(
    key: &Key,
    time: EventTime,
    id: ActivityId,
    value: Box<[u8]>,
    get: impl FnOnce(&[u8]) -> Result<Option<Vec<u8>>, Error>,
) -> Result<Box<[u8]>, Error> {
    let [ELSEWHERE, link, correlation_id @ ..] = &*value else {
        return Ok(value);
    };
    let first = Key {
        tenant: key.tenant.clone(),
        link: LinkId(*link),
        correlation_id: correlation_id.to_vec().into(),
    };
    let row = get(&keys::activity(&first, time, id))?;
    Ok(row
        .ok_or(Error::Damaged {
            what: "row of an activity",
        })?
        .into())
}
