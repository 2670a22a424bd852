use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use crate::decode::{Decoded, Decoder, Item, Reason, Settings};
use crate::record::{Alert, Key};
use crate::sink::dead_letter::{Address, DeadLetter};
use crate::source::file::{Chunk, Rest};
use crate::source::limit::TooLong;
use crate::time::EventTime;

/// Finds the records in a chunk. It can run on any thread, because it does not depend on other chunks.
pub struct Scanner {
    decoder: Decoder,
    /// Whether tenants are distinguished.
    tenants: bool,
}

/// The records of a chunk.
pub struct Part {
    pub(super) chunk: Chunk,
    pub(super) activities: Vec<Found>,
    pub(super) alerts: Vec<Alert<'static>>,
    /// Dead-letter records as JSON lines.
    pub(super) dead_letters: Vec<u8>,
    pub(super) seen: Seen,
}

/// An activity that can join.
pub(super) struct Found {
    pub(super) keys: Vec<Key>,
    pub(super) time: EventTime,
    pub(super) row: Row,
}

/// The row of an activity.
pub(super) enum Row {
    /// A range of the chunk's bytes.
    Within(Range<usize>),
    /// Bytes that the chunk does not contain in this form, because the row was on several lines.
    Made(Vec<u8>),
}

/// Counts of what a chunk contains.
#[derive(Default)]
pub(super) struct Seen {
    /// Activities with a time, whether they can join or not.
    pub(super) activities: u64,
    /// Activities without a key and without a time.
    pub(super) timeless: u64,
    /// Activities whose `RawEventData` could not be opened.
    pub(super) unreadable: u64,
    /// Records that `[[input.ignore]]` names.
    pub(super) ignored: u64,
    /// The number of times that a record had too many keys by a link.
    pub(super) cut_keys: u64,
    pub(super) other_tables: BTreeMap<String, u64>,
    pub(super) dead_letters: BTreeMap<&'static str, u64>,
    /// The tenant of the first record whose envelope names one, if tenants are not distinguished. `by_tenant` counts
    /// the records of all these tenants.
    pub(super) first_tenant: Option<String>,
    pub(super) by_tenant: BTreeMap<String, u64>,
    /// The file, if it ends in the middle of a record, which is still being written.
    pub(super) unfinished: Option<String>,
}

impl Scanner {
    /// Returns a scanner with these settings.
    pub fn new(settings: &Settings) -> Self {
        Self {
            decoder: Decoder::new(settings.clone()).without_identities(),
            tenants: settings.tenants.is_some(),
        }
    }

    /// Finds the records in `chunk`.
    pub fn scan(&mut self, chunk: Chunk) -> Part {
        let mut found = Holding {
            bytes: chunk.bytes(),
            activities: Vec::new(),
            alerts: Vec::new(),
            dead_letters: Vec::new(),
            seen: Seen::default(),
        };
        let tenants = self.tenants;
        for (offset, message) in chunk.messages() {
            self.decoder.decode(Some(message), &mut |item| {
                if !tenants && let Some(tenant) = &item.entra_tenant {
                    found.seen.tenant(tenant);
                }
                found.add(item, &chunk.file, offset);
            });
        }
        match chunk.rest() {
            Some((offset, Rest::TooLong(long))) => found.add_too_long(long, &chunk.file, offset),
            Some((_, Rest::Unfinished)) => found.seen.unfinished = Some(chunk.file.to_string()),
            None => {}
        }
        let Holding {
            activities,
            alerts,
            dead_letters,
            seen,
            ..
        } = found;
        Part {
            activities,
            alerts,
            dead_letters,
            seen,
            chunk,
        }
    }
}

/// The records found so far.
struct Holding<'c> {
    bytes: &'c [u8],
    activities: Vec<Found>,
    alerts: Vec<Alert<'static>>,
    dead_letters: Vec<u8>,
    seen: Seen,
}

impl Holding<'_> {
    fn add(&mut self, item: Item<'_>, file: &str, offset: i64) {
        self.seen.cut_keys += u64::from(item.cut_keys);
        match item.what {
            Decoded::Activity(activity) => {
                self.seen.activities += 1;
                let row = match activity.row {
                    Cow::Borrowed(row) => within(self.bytes, row).map_or_else(|| Row::Made(row.to_vec()), Row::Within),
                    Cow::Owned(row) => Row::Made(row),
                };
                self.activities.push(Found {
                    keys: activity.keys,
                    time: activity.time,
                    row,
                });
            }
            Decoded::Unkeyed { time } => self.seen.unkeyed(time),
            Decoded::Unreadable { time } => {
                self.seen.unreadable += 1;
                self.seen.unkeyed(time);
            }
            Decoded::Alert(alert) => self.alerts.push(alert.into_owned()),
            Decoded::OtherTable(table) => *self.seen.other_tables.entry(table.into_owned()).or_default() += 1,
            Decoded::Ignored => self.seen.ignored += 1,
            Decoded::Tombstone => {}
            Decoded::Rejected(reject) => {
                *self.seen.dead_letters.entry(reject.reason.as_str()).or_default() += 1;
                let address = Address {
                    topic: file,
                    partition: 0,
                    offset,
                    index: item.index,
                };
                DeadLetter::of(reject, address).write_json_line(&mut self.dead_letters);
            }
        }
    }
}

impl Holding<'_> {
    fn add_too_long(&mut self, long: &TooLong, file: &str, offset: i64) {
        let reason = Reason::TooLarge.as_str();
        *self.seen.dead_letters.entry(reason).or_default() += 1;
        let letter = DeadLetter {
            reason,
            error: long.sentence(),
            address: Address {
                topic: file,
                partition: 0,
                offset,
                index: 0,
            },
            value: long.head.as_slice().into(),
            truncated: Some(long.length),
            redriven: None,
        };
        letter.write_json_line(&mut self.dead_letters);
    }
}

impl Seen {
    fn unkeyed(&mut self, time: Option<EventTime>) {
        match time {
            Some(_) => self.activities += 1,
            None => self.timeless += 1,
        }
    }

    fn tenant(&mut self, tenant: &str) {
        // Nearly always the tenant was found before, in the same spelling.
        if let Some(count) = self.by_tenant.get_mut(tenant) {
            *count += 1;
            return;
        }
        let tenant = tenant.to_ascii_lowercase();
        if self.first_tenant.is_none() {
            self.first_tenant = Some(tenant.clone());
        }
        *self.by_tenant.entry(tenant).or_default() += 1;
    }
}

/// Returns the range of `part` in `whole`, if it is a part of it.
fn within(whole: &[u8], part: &[u8]) -> Option<Range<usize>> {
    let start = (part.as_ptr() as usize).checked_sub(whole.as_ptr() as usize)?;
    let range = start..start + part.len();
    whole.get(range.clone()).is_some().then_some(range)
}
