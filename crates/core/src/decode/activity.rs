//! Reads the rows of CloudAppEvents: keys, time, and the dedup key. Two deliveries with the same dedup key are one
//! activity.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

use super::key::{self, KeyReader, LinkKeys};
use super::path::{Path, listed};
use super::reject::{Fault, Reason};
use super::value::{First, Paths, Room, has_content, text, time};
use super::{Decoded, Identity, Link, Settings, content_hash, is_service_column};
use crate::json::{Cursor, Index, MAX_DEPTH, TooDeep, depth, one_line, unescape};
use crate::record::{Activity, ActivityId, Key, LinkId, Text};
use crate::time::EventTime;

/// A reader of rows of CloudAppEvents.
pub(super) struct ActivityReader {
    paths: Paths<ActivityTarget>,
    row_times: Paths<usize>,
    /// For each path to the time, whether it leads into `RawEventData`.
    is_inside: Vec<bool>,
    keys: KeyReader,
    identity: Identity,
    /// Whether dedup keys are not computed and are zeros instead.
    pub(super) anonymous: bool,
    /// The paths to the time, as error messages list them.
    time_places: String,
}

/// What a path leads to. The numbers are positions in the order of fallbacks.
enum ActivityTarget {
    Key(key::KeyTarget),
    Time(usize),
    ReportId,
    /// The record of the audit log, into which most paths lead.
    RawEventData,
}

/// The column that contains the record of the audit log.
pub(super) const RAW_EVENT_DATA: &str = "RawEventData";
/// The columns with the time of the row itself. They are read if the activity has no time of its own: such a row moves
/// the watermark but joins nothing.
const ROW_TIMES: [&str; 2] = ["Timestamp", "TimeGenerated"];
/// The beginning of what is hashed for a dedup key by report id. It differs from the canonical form of every row.
const REPORT_ID_DOMAIN: &[u8] = b"alerttrail activity by report id\n";

impl ActivityReader {
    pub(super) fn new(settings: &Settings) -> Self {
        let links: Vec<Link> = settings.all_links().map(|(_, link)| link).collect();
        let reader = KeyReader::new(links.iter().map(|link| LinkKeys {
            entries: &link.activity_key,
            conditions: &link.activity_where,
            ignore_case: link.ignore_case,
        }));
        let keys = reader.paths().map(|(path, wanted)| (path, ActivityTarget::Key(wanted)));
        let times = settings.activity_time.iter().zip((0..).map(ActivityTarget::Time));
        let report_id = Path::new(["ReportId"]);
        let report_id = (settings.identity == Identity::ReportId).then_some((&report_id, ActivityTarget::ReportId));
        let raw_event_data = Path::new([RAW_EVENT_DATA]);
        let raw_event_data = [(&raw_event_data, ActivityTarget::RawEventData)];
        let row_times = ROW_TIMES.map(|column| Path::new([column]));
        let paths = Paths::new(keys.chain(times).chain(report_id).chain(raw_event_data));
        Self {
            paths,
            row_times: Paths::new(row_times.iter().zip(0..)),
            is_inside: settings.activity_time.iter().map(is_inside).collect(),
            keys: reader,
            identity: settings.identity,
            anonymous: false,
            time_places: listed(&settings.activity_time),
        }
    }

    pub(super) fn read<'a>(&self, row: &Cursor<'_, 'a>, tenant: &str, room: &mut Room) -> Result<Decoded<'a>, Fault> {
        let (mut times, mut report_id) = (First::new(), Vec::new());
        let mut raw_event_data = RawEventData::Unseen;
        room.unopened = false;
        let mut gathered = std::mem::take(&mut room.gathered);
        self.keys.begin(&mut gathered);
        self.paths.read(row.clone(), room, &mut |wanted, value| match wanted {
            ActivityTarget::Key(wanted) => self.keys.offer(*wanted, value, &mut gathered),
            ActivityTarget::Time(place) => times.offer(*place, || has_content(value).then(|| time(value))),
            ActivityTarget::ReportId => report_id = text(value).unwrap_or_default().into_owned(),
            ActivityTarget::RawEventData => raw_event_data = RawEventData::classify(value),
        });
        let (found, cut_keys) = self.keys.finish(&mut gathered);
        room.gathered = gathered;
        room.cut_keys = cut_keys;
        let key = |link, correlation_id| Key {
            tenant: Text::from(tenant),
            link,
            correlation_id,
        };
        let keys: Vec<Key> = found
            .into_iter()
            .flat_map(|(link, ids)| ids.into_iter().map(move |id| key(link, id)))
            .collect();
        if keys.is_empty() {
            // A time that was found inside the column proves that the column could be read as JSON.
            if room.unopened {
                raw_event_data = RawEventData::Scalar;
            } else if times.place().is_some_and(|place| self.is_inside.get(place) == Some(&true)) {
                raw_event_data = RawEventData::Object;
            }
            return Ok(self.unkeyed(row, times.found(), raw_event_data, room));
        }
        let time = self.valid(times.found())?;
        let text = row.clone().value();
        let id = match self.identity {
            _ if self.anonymous => shallow(text).map(|()| ActivityId([0; 32]))?,
            Identity::ReportId if !report_id.is_empty() => by_report_id(tenant, &keys, time, &report_id, text)?,
            Identity::ReportId | Identity::Content => by_content(row.clone(), room)?,
        };
        Ok(Decoded::Activity(Activity {
            keys,
            time,
            id,
            row: one_line(text),
        }))
    }

    /// Returns the result for an activity without a correlation id.
    fn unkeyed<'a>(
        &self,
        row: &Cursor<'_, '_>,
        time: Option<Option<EventTime>>,
        raw_event_data: RawEventData,
        room: &mut Room,
    ) -> Decoded<'a> {
        let is_opened = match raw_event_data {
            RawEventData::Unseen | RawEventData::Object => true,
            RawEventData::Literal => holds_object(row, room),
            RawEventData::Scalar => false,
        };
        let time = time.unwrap_or_else(|| self.row_time(row, room));
        match is_opened {
            true => Decoded::Unkeyed { time },
            false => Decoded::Unreadable { time },
        }
    }

    /// Returns the time in the columns of the row itself, independent of the activity in it.
    fn row_time(&self, row: &Cursor<'_, '_>, room: &mut Room) -> Option<EventTime> {
        let mut found = First::new();
        self.row_times
            .read(row.clone(), room, &mut |place, value| found.offer(*place, || time(value)));
        found.found()
    }

    /// Returns the dedup key of a row that has been read before, and reads only what the key is computed from. Returns
    /// `None` if the row is not an activity that can join.
    pub(super) fn identity(&self, row: &Cursor<'_, '_>, tenant: &str, room: &mut Room) -> Option<ActivityId> {
        match self.identity {
            Identity::Content => by_content(row.clone(), room).ok(),
            Identity::ReportId => match self.read(row, tenant, room) {
                Ok(Decoded::Activity(activity)) => Some(activity.id),
                _ => None,
            },
        }
    }

    fn valid(&self, time: Option<Option<EventTime>>) -> Result<EventTime, Fault> {
        let places = &self.time_places;
        match time {
            Some(Some(time)) => Ok(time),
            Some(None) => {
                let error = format!("the activity's time at {places} is no ISO 8601 time between the years 1 and 9999");
                Err(Fault::new(Reason::InvalidTime, error))
            }
            None => {
                let error = format!("the activity has a correlation id but no time at {places}");
                Err(Fault::new(Reason::MissingField, error))
            }
        }
    }
}

/// Returns the dedup key of an activity by its content: all columns but those that the service adds.
fn by_content(row: Cursor<'_, '_>, room: &mut Room) -> Result<ActivityId, TooDeep> {
    content_hash(row, &|name| is_service_column(name) || name == b"TimeGenerated", room).map(ActivityId)
}

/// Returns the dedup key of an activity by its report id. It is computed from the key by the query or, without one,
/// from an empty key, because an activity has one dedup key whatever links it has keys by.
fn by_report_id(tenant: &str, keys: &[Key], time: EventTime, report_id: &[u8], row: &[u8]) -> Result<ActivityId, TooDeep> {
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
fn shallow(row: &[u8]) -> Result<(), TooDeep> {
    // Nearly every row has fewer brackets in total than the depth that is allowed, so that its depth need not be
    // computed.
    let brackets = memchr::memchr2_iter(b'{', b'[', row).take(MAX_DEPTH + 1).count();
    match brackets > MAX_DEPTH && depth(row) > MAX_DEPTH {
        true => Err(TooDeep),
        false => Ok(()),
    }
}

fn is_inside(path: &Path) -> bool {
    let segments = path.segments();
    segments.len() > 1 && segments.first().is_some_and(|segment| segment.name == RAW_EVENT_DATA)
}

/// The kind of value in the column `RawEventData`.
#[derive(Clone, Copy)]
enum RawEventData {
    /// The column is missing or empty.
    Unseen,
    Object,
    /// A string, which may hold an object.
    Literal,
    /// A value that cannot be an audit record.
    Scalar,
}

impl RawEventData {
    fn classify(value: &[u8]) -> Self {
        match value.first() {
            Some(b'{') => Self::Object,
            _ if !has_content(value) => Self::Unseen,
            Some(b'"') => Self::Literal,
            _ => Self::Scalar,
        }
    }
}

/// Returns whether the string in the column `RawEventData` contains an object, however many times it was encoded as a
/// string.
fn holds_object(row: &Cursor<'_, '_>, room: &mut Room) -> bool {
    let mut found = false;
    let path = Path::new([RAW_EVENT_DATA]);
    Paths::new([(&path, ())]).read(row.clone(), room, &mut |(), value| found = opens(value));
    found
}

fn opens(literal: &[u8]) -> bool {
    let mut literal = Cow::Borrowed(literal);
    loop {
        let Some(text) = unescape(&literal) else { return false };
        if Index::default().read(&text).is_err() {
            return false;
        }
        match text.trim_ascii().first() {
            Some(b'{') => return true,
            Some(b'"') => literal = Cow::Owned(text.trim_ascii().to_vec()),
            _ => return false,
        }
    }
}
