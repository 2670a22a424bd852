//! The rows of activities in the store.
//!
//! An activity that has several keys in a partition is stored once, under the first of them; under the others stands which key that is.

use crate::record::{Activity, ActivityId, Key, LinkId};
use crate::store::{Base, Error, Table, Txn, keys};
use crate::time::EventTime;

/// Begins a value that names the key under which the row stands. A row begins with a brace, and the place of a row in a file with zeros.
const ELSEWHERE: u8 = 1;

/// An activity on its way into the store, under one key after another.
pub(super) struct Row<'a> {
    activity: &'a Activity<'a>,
    /// The key under which the row stands.
    first: Option<&'a Key>,
    /// The link of a key under which the activity was stored before.
    known: Option<LinkId>,
}

/// What has become of an activity.
pub(super) enum Outcome {
    /// It is stored under a key under which it was not before.
    New,
    /// It is stored already under every key, of which one is by this link.
    Known(LinkId),
    /// It is older than every link keeps activities.
    Expired,
}

impl<'a> Row<'a> {
    pub(super) fn new(activity: &'a Activity<'a>) -> Self {
        Self {
            activity,
            first: None,
            known: None,
        }
    }

    pub(super) fn activity(&self) -> &'a Activity<'a> {
        self.activity
    }

    /// Stores the activity under a key, and returns whether it was not stored there before. The keys come in the order of the times for
    /// which their links keep activities, the longest first.
    pub(super) fn put<B: Base>(&mut self, key: &'a Key, txn: &mut Txn<'_, B>) -> Result<bool, Error> {
        let stored = keys::activity(key, self.activity.time, self.activity.id);
        if txn.contains(Table::Activities, &stored)? {
            self.known = Some(key.link);
            return Ok(false);
        }
        let value = match self.first {
            None => self.activity.row.to_vec(),
            Some(first) => [&[ELSEWHERE, first.link.0], first.correlation_id.as_bytes()].concat(),
        };
        self.first = self.first.or(Some(key));
        txn.put(Table::Activities, stored, value);
        Ok(true)
    }

    pub(super) fn outcome(&self) -> Outcome {
        match (self.first, self.known) {
            (Some(_), _) => Outcome::New,
            (None, Some(link)) => Outcome::Known(link),
            (None, None) => Outcome::Expired,
        }
    }
}

/// Returns the row of an activity whose value under `key` is `value`. `get` reads the table of activities.
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
