//! The records of the repartition topic, which ROUTE sends to JOIN, and their bytes.
//!
//! A partition of the topic is the input of a deterministic state machine: it contains everything that JOIN's output
//! depends on, clocks included. The bytes are a stored format, because the topic keeps them for weeks: a version byte,
//! then postcard. Variants and fields are only ever added at the end, under a new version byte. This module does no IO
//! and makes no decisions.
//!
//! The rows of activities are compressed once, by ROUTE. They stay compressed in the repartition topic and in the state
//! until JOIN emits them. A compressed row is a zstd frame (RFC 8878) made with the dictionary `rows.zdict`, which
//! contains the names of the columns. Without it, the names take most of a row. A row that would not become smaller
//! stays as it is.

use std::borrow::Cow;
use std::cell::RefCell;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};
use zstd::bulk::{Compressor, Decompressor};
use zstd::dict::{DecoderDictionary, EncoderDictionary};
use zstd::zstd_safe;

use crate::record::{Activity, AlertId, LinkId, Text, Version};
use crate::time::{EventTime, WallTime, Window};

/// The format version that this program writes, and the only one that it reads.
const VERSION: u8 = 5;
/// The index of `RepartitionRecord::Activities` among the variants; a test checks it.
const ACTIVITIES: u8 = 4;

/// One record of a partition of the repartition topic.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum RepartitionRecord<'a> {
    /// An activity, with those of its keys that belong to this partition.
    #[serde(borrow)]
    Activity(Activity<'a>),
    /// A version of an alert.
    Alert(#[serde(borrow)] AlertVersion<'a>),
    /// How far one router has read its source partitions. It covers all records of that router that precede it.
    WatermarkUpdate(WatermarkUpdate),
    /// There is no more input, so every window closes. Only a log in memory has this record.
    EndOfInput,
    /// Activities in order, each with those of its keys that belong to this partition. [`Bundle`] encodes them.
    Activities(#[serde(borrow)] Vec<Activity<'a>>),
}

/// A version of an alert, with what concerns one partition. Every partition gets every version, so that a partition
/// drops the keys that the alert no longer has.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AlertVersion<'a> {
    /// The alert.
    pub id: AlertId,
    /// Its version.
    pub version: Version,
    /// The keys and windows by each link, in the order of the links' numbers.
    pub links: Vec<LinkVersion>,
    /// The SecurityAlert row; empty if the partition owns no key of it.
    #[serde(borrow, with = "serde_bytes")]
    pub row: Cow<'a, [u8]>,
}

impl AlertVersion<'_> {
    /// Returns this version with one key by the query alone, and with this window and deadline.
    #[must_use]
    pub fn by_query(self, correlation_id: Text, window: Window, deadline: WallTime) -> Self {
        let links = vec![LinkVersion {
            link: LinkId::QUERY,
            window,
            deadline,
            keys: vec![correlation_id],
        }];
        Self { links, ..self }
    }
}

/// A version of an alert by one link.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LinkVersion {
    /// The link.
    pub link: LinkId,
    /// The window in event time.
    pub window: Window,
    /// The wall-clock time at which the alert closes by the link whatever the watermark is.
    pub deadline: WallTime,
    /// The correlation ids that belong to the partition, in order and without duplicates.
    pub keys: Vec<Text>,
}

/// How far one router has read its source partitions.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WatermarkUpdate {
    /// The router's clock.
    pub wall: WallTime,
    /// The watermark that the clock alone gives, for use while every source partition is idle.
    pub clock: EventTime,
    /// All input topics with their partition counts. There is no watermark until there is an update for each of these
    /// partitions.
    pub topics: Vec<(String, u32)>,
    /// The source partitions that this router reads.
    pub sources: Vec<SourceWatermark>,
    /// The hash of the settings that state depends on. It is the same in all updates of a partition's log.
    pub settings: [u8; 32],
}

/// How far one source partition has been read.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SourceWatermark {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// The next offset to read.
    pub position: i64,
    /// The partition's own watermark: the greatest activity time in it, less the out-of-orderness; `None` before the
    /// first activity.
    pub time: Option<EventTime>,
    /// Whether everything has been read and no activity has arrived for so long that the partition no longer holds the
    /// watermark back.
    pub idle: bool,
    /// The number of its records that were sent to the dead-letter topic since this router's previous watermark update.
    /// A record that is read again after a crash counts again.
    pub rejected: u64,
}

/// The reason why bytes are not a repartition record.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another version of the program wrote them.
    #[error(
        "the repartition record has format version {0}, this program reads version {VERSION}; run the program that wrote it, or begin again with another application.id or `alerttrail reset`"
    )]
    Version(u8),
    /// This program did not write them.
    #[error("the repartition record is damaged or not alerttrail's: {0}")]
    Damaged(#[from] postcard::Error),
}

impl<'a> RepartitionRecord<'a> {
    /// Appends the record's bytes to `out`.
    pub fn encode(&self, out: Vec<u8>) -> Result<Vec<u8>, Error> {
        let mut out = out;
        out.push(VERSION);
        Ok(postcard::to_extend(self, out)?)
    }

    /// Decodes a record. Its row is borrowed from `bytes`.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Error> {
        match bytes.split_first() {
            Some((&VERSION, rest)) => Ok(postcard::from_bytes(rest)?),
            Some((&version, _)) => Err(Error::Version(version)),
            None => Err(Error::Damaged(postcard::Error::DeserializeUnexpectedEnd)),
        }
    }
}

/// Activities for one partition that become one repartition record, so that the cost of a message is paid only once for
/// all of them.
#[derive(Debug, Default)]
pub struct Bundle {
    /// The encoded activities, one after another.
    activities: Vec<u8>,
    count: u32,
}

impl Bundle {
    /// Adds an activity after the others.
    pub fn push(&mut self, activity: &Activity<'_>) -> Result<(), Error> {
        let before = self.activities.len();
        let activities = std::mem::take(&mut self.activities);
        self.activities = postcard::to_extend(activity, activities)?;
        debug_assert!(self.activities.len() > before, "an activity has an identity");
        self.count += 1;
        Ok(())
    }

    /// Returns the number of bytes of the activities.
    pub fn len(&self) -> usize {
        self.activities.len()
    }

    /// Returns whether there are no activities in the bundle.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Replaces the content of `out` by the repartition record of all activities, and empties the bundle.
    pub fn take(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        out.clear();
        out.extend([VERSION, ACTIVITIES]);
        *out = postcard::to_extend(&self.count, std::mem::take(out))?;
        out.append(&mut self.activities);
        self.count = 0;
        Ok(())
    }
}

/// Returns which of `partitions` partitions of the repartition topic owns a correlation id of a tenant. The link does
/// not matter: an activity or an alert that has the same key by several links is stored in one place. Every instance
/// and every version must agree on the owner: it is part of the meaning of the stored log, and fixed by a test.
pub fn partition_of(tenant: &Text, correlation_id: &Text, partitions: u32) -> u32 {
    use sha2::{Digest, Sha256};
    let mut hash = Sha256::new();
    hash.update((tenant.as_bytes().len() as u64).to_be_bytes());
    hash.update(tenant.as_bytes());
    hash.update(correlation_id.as_bytes());
    let digest: [u8; 32] = hash.finalize().into();
    let [a, b, c, d, ..] = digest;
    u32::from_be_bytes([a, b, c, d]) % partitions.max(1)
}

/// The dictionary, made by `scripts/dictionary`. Its number is in every frame. It is a part of the stored format: the
/// bytes never change, because rows that were compressed with it can be read only with it.
const DICTIONARY: &[u8] = include_bytes!("rows.zdict");
/// The compression level. With a dictionary, the next ones take longer and save little.
const LEVEL: i32 = 1;
/// The first byte of a zstd frame. No other value of an activity begins with it: a row is a JSON object.
const FRAME: u8 = 0x28;
/// The greatest size of a row. librdkafka's messages are smaller, so a frame that claims more is damaged.
const MAX_ROW: u64 = 1 << 30;

static ENCODER: LazyLock<EncoderDictionary<'static>> = LazyLock::new(|| EncoderDictionary::copy(DICTIONARY, LEVEL));
static DECODER: LazyLock<DecoderDictionary<'static>> = LazyLock::new(|| DecoderDictionary::copy(DICTIONARY));

thread_local! {
    /// It takes a hundred kilobytes and some microseconds to make.
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Compresses rows.
pub struct RowCompressor {
    /// `None` if there is no memory for one; then rows stay as they are.
    compressor: Option<Compressor<'static>>,
    frame: Vec<u8>,
}

impl Default for RowCompressor {
    fn default() -> Self {
        Self {
            compressor: Compressor::with_prepared_dictionary(&ENCODER).ok(),
            frame: Vec::new(),
        }
    }
}

impl RowCompressor {
    /// Returns the row compressed, or as it is if that is not smaller.
    pub fn compress<'a>(&mut self, row: Cow<'a, [u8]>) -> Cow<'a, [u8]> {
        let Some(compressor) = &mut self.compressor else { return row };
        self.frame.clear();
        self.frame.reserve(zstd_safe::compress_bound(row.len()));
        match compressor.compress_to_buffer(&row, &mut self.frame) {
            Ok(size) if size < row.len() => Cow::Owned(self.frame.as_slice().to_vec()),
            _ => row,
        }
    }
}

/// The reason why a compressed row cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a compressed row is damaged")]
pub struct Damaged;

/// Returns the row that `value` is: decompressed if [`RowCompressor`] compressed it, otherwise as it is.
pub fn decompress(value: Box<[u8]>) -> Result<Box<[u8]>, Damaged> {
    if value.first() != Some(&FRAME) {
        return Ok(value);
    }
    let size = zstd_safe::get_frame_content_size(&value).ok().flatten();
    let size = size.filter(|size| *size <= MAX_ROW).ok_or(Damaged)?;
    let size = usize::try_from(size).map_err(|_| Damaged)?;
    DECOMPRESSOR.with_borrow_mut(|known| {
        let decompressor = match known {
            Some(decompressor) => decompressor,
            none => none.insert(Decompressor::with_prepared_dictionary(&DECODER).map_err(|_| Damaged)?),
        };
        let row = decompressor.decompress(&value, size).map_err(|_| Damaged)?;
        Ok(row.into_boxed_slice())
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sha2::{Digest as _, Sha256};

    use super::*;
    use crate::record::{ActivityId, Key};

    #[test]
    fn a_record_survives_the_log_and_borrows_its_row() {
        let record = RepartitionRecord::Activity(Activity {
            keys: vec![Key {
                correlation_id: "p".into(),
                ..Key::default()
            }],
            time: EventTime::from_ticks(-5),
            id: ActivityId([7; 32]),
            row: Cow::Borrowed(br#"{"a":1}"#),
        });
        let bytes = record.encode(Vec::new()).unwrap();
        let RepartitionRecord::Activity(activity) = RepartitionRecord::decode(&bytes).unwrap() else {
            panic!("another record")
        };
        assert!(matches!(activity.row, Cow::Borrowed(br#"{"a":1}"#)));
        assert_eq!(RepartitionRecord::Activity(activity), record);
    }

    #[test]
    fn other_bytes_are_an_error() {
        assert!(matches!(RepartitionRecord::decode(&[9, 0]), Err(Error::Version(9))));
        assert!(matches!(RepartitionRecord::decode(&[]), Err(Error::Damaged(_))));
        assert!(matches!(RepartitionRecord::decode(&[VERSION, 200]), Err(Error::Damaged(_))));
    }

    #[test]
    fn the_owner_of_a_key_never_changes() {
        let owner = |tenant: &str, id: &str| partition_of(&tenant.into(), &id.into(), 8);
        assert_eq!(owner("", "8e6ba277-ef39-404e-aaf1-294f6d9a2b88"), 2);
        assert_eq!(owner("", ""), 5);
        assert_eq!(owner("t", ""), 4);
    }

    fn activity(number: u8) -> Activity<'static> {
        Activity {
            keys: vec![Key {
                tenant: "t".into(),
                correlation_id: "p".into(),
                ..Key::default()
            }],
            time: EventTime::from_ticks(i64::from(number)),
            id: ActivityId([number; 32]),
            row: vec![number; 200].into(),
        }
    }

    #[test]
    fn a_bundle_is_a_record_of_its_activities() {
        let mut bundle = Bundle::default();
        let mut bytes = b"before".to_vec();
        for count in [1, 2, 200] {
            let activities: Vec<_> = (0..count).map(activity).collect();
            activities.iter().for_each(|activity| bundle.push(activity).unwrap());
            assert!(!bundle.is_empty() && bundle.len() > 200 * usize::from(count));
            bundle.take(&mut bytes).unwrap();
            assert!(bundle.is_empty());
            assert_eq!(bundle.len(), 0);
            let record = RepartitionRecord::Activities(activities);
            assert_eq!(bytes, record.encode(Vec::new()).unwrap());
            assert_eq!(RepartitionRecord::decode(&bytes).unwrap(), record);
        }
    }

    fn compressed(row: &[u8]) -> Vec<u8> {
        RowCompressor::default().compress(Cow::Borrowed(row)).into_owned()
    }

    fn decompressed(value: &[u8]) -> Result<Vec<u8>, Damaged> {
        decompress(value.into()).map(<[u8]>::into_vec)
    }

    const ROW: &[u8] = br#"{"ActionType":"FileDownloaded","Application":"SharePoint","AccountObjectId":"e3491938","RawEventData":{"CreationTime":"2026-03-01T00:01:08Z","Operation":"FileDownloaded","Workload":"SharePoint","Data":"{\"cid\":\"p\"}"},"Timestamp":"2026-03-01T00:01:08Z"}"#;

    #[test]
    fn the_names_of_columns_take_almost_no_room() {
        let value = compressed(ROW);
        assert!(value.len() * 2 < ROW.len(), "{} of {} bytes", value.len(), ROW.len());
        assert_eq!(decompressed(&value).unwrap(), ROW);
    }

    #[test]
    fn a_row_that_would_not_become_smaller_stays_as_it_is() {
        for row in ["", "{}", "{\"a\":1}"] {
            assert_eq!(compressed(row.as_bytes()), row.as_bytes());
            assert_eq!(decompressed(row.as_bytes()).unwrap(), row.as_bytes());
        }
        // The position of a row in a file takes the place of the row where the log is in memory.
        let position = [0, 0, 0, 0, 0, 0, 0, 40];
        assert_eq!(decompressed(&position).unwrap(), position);
    }

    #[test]
    fn a_damaged_row_is_an_error() {
        let value = compressed(ROW);
        for length in 1..value.len() {
            assert_eq!(decompressed(&value[..length]), Err(Damaged), "{length}");
        }
        assert_eq!(decompressed(&[value.as_slice(), b"x"].concat()), Err(Damaged));
    }

    /// Rows in the repartition topic and in the state were compressed with exactly these bytes.
    #[test]
    fn the_dictionary_never_changes() {
        let digest = hex::encode(Sha256::digest(DICTIONARY));
        assert_eq!(digest, "eae0b1af8873a5c55e9fe78b05c33a3d10e534e4e91c7e07f7b0a100473e2da8");
        assert_eq!(zstd_safe::get_dict_id_from_dict(DICTIONARY).map(u32::from), Some(40_001));
    }

    proptest! {
        #[test]
        fn every_row_survives(members in "[\"a-f:,\u{e9} ]{0,2000}") {
            let row = format!("{{{members}}}");
            prop_assert_eq!(decompressed(&compressed(row.as_bytes())).unwrap(), row.as_bytes());
        }
    }
}
