use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use crate::decode::{Decoded, Decoder, Item, Reason, Settings};
use crate::record::{Alert, Key};
use crate::sink::dead_letter::{Address, DeadLetter};
use crate::source::file::Chunk;
use crate::source::limit::Rest;
use crate::source::limit::TooLong;
use crate::time::EventTime;

/// Finds the records in a chunk. It can run on any thread, because it does not depend on other chunks.
pub struct Scanner {
    decoder: Decoder,
    /// Whether tenants are distinguished.
    tenants: bool,
}

/// The records of a chunk.
pub struct ScannedChunk {
    pub(super) chunk: Chunk,
    pub(super) activities: Vec<FoundActivity>,
    pub(super) alerts: Vec<Alert<'static>>,
    /// Dead-letter records as JSON lines.
    pub(super) dead_letters: Vec<u8>,
    pub(super) counts: ScanCounts,
}

/// An activity that can join.
pub(super) struct FoundActivity {
    pub(super) keys: Vec<Key>,
    pub(super) time: EventTime,
    pub(super) row: ActivityRow,
}

/// The row of an activity.
pub(super) enum ActivityRow {
    /// A range of the chunk's bytes.
    InChunk(Range<usize>),
    /// Bytes that the chunk does not contain in this form, because the row was on several lines.
    Rewritten(Vec<u8>),
}

/// The numbers of records in a chunk.
#[derive(Default)]
pub(super) struct ScanCounts {
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
            decoder: Decoder::new(settings.clone()).without_dedup_keys(),
            tenants: settings.tenants.is_some(),
        }
    }

    /// Finds the records in `chunk`.
    pub fn scan(&mut self, chunk: Chunk) -> ScannedChunk {
        let mut found = ChunkRecords {
            bytes: chunk.bytes(),
            activities: Vec::new(),
            alerts: Vec::new(),
            dead_letters: Vec::new(),
            counts: ScanCounts::default(),
        };
        let tenants = self.tenants;
        for (offset, message) in chunk.messages() {
            self.decoder.decode(Some(message), &mut |item| {
                if !tenants && let Some(tenant) = &item.entra_tenant {
                    found.counts.tenant(tenant);
                }
                found.add(item, &chunk.file, offset);
            });
        }
        match chunk.rest() {
            Some((offset, Rest::TooLong(long))) => found.add_too_long(long, &chunk.file, offset),
            Some((_, Rest::Unfinished)) => found.counts.unfinished = Some(chunk.file.to_string()),
            None => {}
        }
        let ChunkRecords {
            activities,
            alerts,
            dead_letters,
            counts,
            ..
        } = found;
        ScannedChunk {
            activities,
            alerts,
            dead_letters,
            counts,
            chunk,
        }
    }
}

/// The records found so far.
struct ChunkRecords<'c> {
    bytes: &'c [u8],
    activities: Vec<FoundActivity>,
    alerts: Vec<Alert<'static>>,
    dead_letters: Vec<u8>,
    counts: ScanCounts,
}

impl ChunkRecords<'_> {
    fn add(&mut self, item: Item<'_>, file: &str, offset: i64) {
        self.counts.cut_keys += u64::from(item.cut_keys);
        match item.what {
            Decoded::Activity(activity) => {
                self.counts.activities += 1;
                let row = match activity.row {
                    Cow::Borrowed(row) => {
                        within(self.bytes, row).map_or_else(|| ActivityRow::Rewritten(row.to_vec()), ActivityRow::InChunk)
                    }
                    Cow::Owned(row) => ActivityRow::Rewritten(row),
                };
                self.activities.push(FoundActivity {
                    keys: activity.keys,
                    time: activity.time,
                    row,
                });
            }
            Decoded::Unkeyed { time } => self.counts.unkeyed(time),
            Decoded::Unreadable { time } => {
                self.counts.unreadable += 1;
                self.counts.unkeyed(time);
            }
            Decoded::Alert(alert) => self.alerts.push(alert.into_owned()),
            Decoded::OtherTable(table) => *self.counts.other_tables.entry(table.into_owned()).or_default() += 1,
            Decoded::Ignored => self.counts.ignored += 1,
            Decoded::Tombstone => {}
            Decoded::Rejected(reject) => {
                *self.counts.dead_letters.entry(reject.reason.as_str()).or_default() += 1;
                let address = Address {
                    topic: file,
                    partition: 0,
                    offset,
                    index: item.index,
                };
                DeadLetter::from_reject(reject, address).write_json_line(&mut self.dead_letters);
            }
        }
    }
}

impl ChunkRecords<'_> {
    fn add_too_long(&mut self, long: &TooLong, file: &str, offset: i64) {
        let reason = Reason::TooLarge.as_str();
        *self.counts.dead_letters.entry(reason).or_default() += 1;
        let dead_letter = DeadLetter {
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
        dead_letter.write_json_line(&mut self.dead_letters);
    }
}

impl ScanCounts {
    fn unkeyed(&mut self, time: Option<EventTime>) {
        match time {
            Some(_) => self.activities += 1,
            None => self.timeless += 1,
        }
    }

    fn tenant(&mut self, tenant: &str) {
        // In nearly all cases, the tenant was found before in the same spelling.
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
