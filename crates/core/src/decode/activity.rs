use std::borrow::Cow;

use super::dedup_key::{by_content, by_report_id, shallow};
use super::envelope::says_something;
use super::key::{self, KeyReader, LinkKeys};
use super::path::{Path, listed};
use super::reject::{Fault, Reason};
use super::value::{First, Paths, Room, text, time};
use super::{Decoded, Identity, Link, Settings};
use crate::json::{Cursor, Index, one_line, unescape};
use crate::record::{Activity, ActivityId, Key, Text};
use crate::time::EventTime;

/// A reader of rows of CloudAppEvents.
pub(super) struct ActivityReader {
    paths: Paths<Wanted>,
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
enum Wanted {
    Key(key::Wanted),
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

impl ActivityReader {
    pub(super) fn new(settings: &Settings) -> Self {
        let links: Vec<Link> = settings.all_links().map(|(_, link)| link).collect();
        let reader = KeyReader::new(links.iter().map(|link| LinkKeys {
            entries: &link.activity_key,
            conditions: &link.activity_where,
            ignore_case: link.ignore_case,
        }));
        let keys = reader.paths().map(|(path, wanted)| (path, Wanted::Key(wanted)));
        let times = settings.activity_time.iter().zip((0..).map(Wanted::Time));
        let report_id = Path::new(["ReportId"]);
        let report_id = (settings.identity == Identity::ReportId).then_some((&report_id, Wanted::ReportId));
        let raw_event_data = Path::new([RAW_EVENT_DATA]);
        let raw_event_data = [(&raw_event_data, Wanted::RawEventData)];
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
            Wanted::Key(wanted) => self.keys.offer(*wanted, value, &mut gathered),
            Wanted::Time(place) => times.offer(*place, || says_something(value).then(|| time(value))),
            Wanted::ReportId => report_id = text(value).unwrap_or_default().into_owned(),
            Wanted::RawEventData => raw_event_data = RawEventData::of(value),
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
    fn of(value: &[u8]) -> Self {
        match value.first() {
            Some(b'{') => Self::Object,
            _ if !says_something(value) => Self::Unseen,
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

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};

    use super::super::KeyEntry;
    use super::*;

    fn read_with<'a>(settings: &Settings, row: &'a str) -> Result<Decoded<'a>, Reason> {
        ActivityReader::new(settings)
            .read(&Cursor::new(row.as_bytes()), "", &mut Room::default())
            .map_err(|fault| fault.reason)
    }

    fn activity_with<'a>(settings: &Settings, row: &'a str) -> Activity<'a> {
        match read_with(settings, row) {
            Ok(Decoded::Activity(activity)) => activity,
            other => panic!("{other:?}"),
        }
    }

    fn activity(row: &str) -> Activity<'_> {
        activity_with(&Settings::default(), row)
    }

    fn row_with_cid(cid: &str) -> String {
        let data = serde_json::to_string(&format!("{{\"cid\":{cid}}}")).unwrap();
        format!(r#"{{"RawEventData":{{"Data":{data},"CreationTime":"2026-03-01T10:00:00"}}}}"#)
    }

    fn paths(paths: &[&str]) -> Vec<Path> {
        paths.iter().map(|path| Path::new(path.split('.'))).collect()
    }

    #[test]
    fn the_default_is_the_query() {
        let row = r#"{"RawEventData":{"Data":"{\"cid\":\"Policy 1 \"}","CreationTime":"2026-03-01T10:00:00.1234567"}, "n":1.50}"#;
        let activity = activity(row);
        assert_eq!(activity.keys[0].correlation_id, Text::from("Policy 1 "));
        assert!(activity.keys[0].tenant.is_empty());
        assert_eq!(activity.time.to_string(), "2026-03-01T10:00:00.1234567Z");
        assert!(matches!(activity.row, Cow::Borrowed(same) if same == row.as_bytes()));
    }

    #[test]
    fn a_correlation_id_is_what_tostring_makes_of_it() {
        for (cid, expected) in [
            ("1.0", "1.0"),
            ("true", "true"),
            ("\"\\u00e9\"", "é"),
            ("[ 1 ]", "[1]"),
            ("\" \"", " "),
        ] {
            assert_eq!(activity(&row_with_cid(cid)).keys[0].correlation_id, Text::from(expected));
        }
    }

    #[test]
    fn without_a_correlation_id_only_the_time_matters() {
        let unkeyed = |row: &str| match read_with(&Settings::default(), row) {
            Ok(Decoded::Unkeyed { time }) => time.map(|time| time.to_string()),
            other => panic!("{other:?}"),
        };
        let time = Some("2026-03-01T10:00:00.0000000Z".to_owned());
        assert_eq!(unkeyed(&row_with_cid("null")), time);
        assert_eq!(unkeyed(&row_with_cid("\"\"")), time);
        for data in ["\"\"", "\"no JSON\"", "\"{\\\"eid\\\":\\\"x\\\"}\"", "null", "7", "[]"] {
            let row = format!(r#"{{"RawEventData":{{"Data":{data},"CreationTime":"2026-03-01T10:00:00"}}}}"#);
            assert_eq!(unkeyed(&row), time, "{data}");
        }
        assert_eq!(unkeyed(r#"{"RawEventData":{"CreationTime":"yesterday"}}"#), None);
        assert_eq!(unkeyed(r#"{"RawEventData":"{}"}"#), None);
        let deep = format!(r#"{{"RawEventData":{{"x":{}{}}}}}"#, "[".repeat(500), "]".repeat(500));
        assert_eq!(unkeyed(&deep), None);
    }

    #[test]
    fn what_was_cut_or_flattened_is_unreadable() {
        let read = |raw: &str| {
            let row = format!(r#"{{"Timestamp":"2026-03-01T10:00:00","RawEventData":{raw}}}"#);
            match read_with(&Settings::default(), &row) {
                Ok(Decoded::Unreadable { time: Some(_) }) => true,
                Ok(Decoded::Unkeyed { time: Some(_) }) => false,
                other => panic!("{other:?}"),
            }
        };
        for raw in [
            r#""{\"CreationTime\":\"2026-03-01T10:00:00\",\"Da""#,
            r#""@{Operation=x}""#,
            "7",
            "[{}]",
            r#""[]""#,
            r#"" ""#,
        ] {
            assert!(read(raw), "{raw}");
        }
        for data in [r#""{\"cid\":\"p\",\"a""#, r#""@{cid=p; sev=Medium}""#] {
            let raw = format!(r#"{{"CreationTime":"2026-03-01T10:00:00","Data":{data}}}"#);
            assert!(read(&raw), "{raw}");
        }
        for raw in [
            r#""{}""#,
            "{}",
            r#""\" {} \"""#,
            r#""{\"CreationTime\":\"2026-03-01T10:00:00\"}""#,
            "null",
            "\"\"",
        ] {
            assert!(!read(raw), "{raw}");
        }
    }

    #[test]
    fn without_a_time_of_the_activity_the_row_has_one() {
        let time = |row: &str| match read_with(&Settings::default(), row) {
            Ok(Decoded::Unkeyed { time }) => time.map(|time| time.to_string()),
            other => panic!("{other:?}"),
        };
        let first = Some("2026-03-01T10:00:00.0000000Z".to_owned());
        let both = r#""TimeGenerated":"2026-03-01T11:00:00","Timestamp":"2026-03-01T10:00:00""#;
        assert_eq!(time(&format!(r#"{{"RawEventData":{{"CreationTime":null}},{both}}}"#)), first);
        assert_eq!(time(r#"{"RawEventData":{},"TimeGenerated":"2026-03-01T10:00:00"}"#), first);
        let invalid = format!(r#"{{"RawEventData":{{"CreationTime":"yesterday"}},{both}}}"#);
        assert_eq!(time(&invalid), None, "a time that is there, but is none, is not passed over");
        let keyed = format!(r#"{{"RawEventData":{{"Data":{{"cid":"x"}}}},{both}}}"#);
        assert_eq!(read_with(&Settings::default(), &keyed).unwrap_err(), Reason::MissingField);
    }

    #[test]
    fn a_joinable_activity_needs_a_time() {
        let reason = |time: &str| {
            let row = format!(r#"{{"RawEventData":{{"Data":{{"cid":"x"}}{time}}}}}"#);
            read_with(&Settings::default(), &row).unwrap_err()
        };
        for missing in ["", ",\"CreationTime\":null", ",\"CreationTime\":\"\""] {
            assert_eq!(reason(missing), Reason::MissingField, "{missing}");
        }
        for invalid in [
            "\"yesterday\"",
            "20260301",
            "true",
            "{}",
            "[]",
            "\" \"",
            "\"2026-03-01\"",
            "\"0000-01-01T00:00:00\"",
        ] {
            assert_eq!(
                reason(&format!(",\"CreationTime\":{invalid}")),
                Reason::InvalidTime,
                "{invalid}"
            );
        }
    }

    #[test]
    fn the_first_path_that_leads_to_something_counts() {
        let settings = Settings {
            activity_key: paths(&["RawEventData.AlertId", "RawEventData.Data.cid"])
                .into_iter()
                .map(KeyEntry::from)
                .collect(),
            activity_time: paths(&["Timestamp", "RawEventData.CreationTime"]),
            ignore_case: true,
            ..Settings::default()
        };
        let read = |row: &str| activity_with(&settings, row).keys[0].correlation_id.to_string();
        let tail = r#""CreationTime":"2026-03-01T10:00:00""#;
        assert_eq!(
            read(&format!(
                r#"{{"RawEventData":{{"Data":{{"cid":"C"}},"AlertId":"A",{tail}}}}}"#
            )),
            "a"
        );
        assert_eq!(
            read(&format!(r#"{{"RawEventData":{{"Data":{{"cid":"C"}},"AlertId":"",{tail}}}}}"#)),
            "c"
        );
        assert_eq!(
            read(&format!(
                r#"{{"Timestamp":null,"RawEventData":{{"Data":{{"cid":"C"}},{tail}}}}}"#
            )),
            "c"
        );
        let unreadable = format!(r#"{{"Timestamp":"soon","RawEventData":{{"Data":{{"cid":"C"}},{tail}}}}}"#);
        assert_eq!(read_with(&settings, &unreadable).unwrap_err(), Reason::InvalidTime);
    }

    #[test]
    fn identity_is_the_content() {
        let base = activity(r#"{"A":1.0,"RawEventData":{"Data":{"cid":"x"},"CreationTime":"2026-03-01T10:00:00"}}"#).id;
        for same in [
            r#"{"RawEventData":{"CreationTime":"2026-03-01T10:00:00","Data":{"cid":"x"}},"A":1.0}"#,
            r#"{ "A":1.0, "RawEventData":{"Data":{"c\u0069d":"\u0078"},"CreationTime":"2026-03-01T10:00:00"}}"#,
            r#"{"A":2,"A":1.0,"RawEventData":{"Data":{"cid":"x"},"CreationTime":"2026-03-01T10:00:00"}}"#,
            concat!(
                r#"{"Type":"CloudAppEvents","TenantId":"t","SourceSystem":"s","_ItemId":"i","TimeGenerated":"2026-03-01T10:01:00","A":1.0,"#,
                r#""RawEventData":{"Data":{"cid":"x"},"CreationTime":"2026-03-01T10:00:00"}}"#
            ),
        ] {
            assert_eq!(activity(same).id, base, "{same}");
        }
        for other in [
            r#"{"A":1,"RawEventData":{"Data":{"cid":"x"},"CreationTime":"2026-03-01T10:00:00"}}"#,
            r#"{"A":1.0,"RawEventData":{"Data":"{\"cid\":\"x\"}","CreationTime":"2026-03-01T10:00:00"}}"#,
            r#"{"A":1.0,"RawEventData":{"Data":{"cid":"x"},"CreationTime":"2026-03-01T10:00:00","_ItemId":1}}"#,
            r#"{"A":1.0,"RawEventData":{"Data":{"cid":"x"},"CreationTime":"2026-03-01T10:00:00Z"}}"#,
        ] {
            assert_ne!(activity(other).id, base, "{other}");
        }
        let canonical = r#"{"A":1.0,"RawEventData":{"CreationTime":"2026-03-01T10:00:00","Data":{"cid":"x"}}}"#;
        assert_eq!(base.0, <[u8; 32]>::from(Sha256::digest(canonical)));
    }

    #[test]
    fn identity_may_be_the_report_id() {
        let settings = Settings {
            identity: Identity::ReportId,
            ..Settings::default()
        };
        let row =
            |rest: &str| format!(r#"{{"RawEventData":{{"Data":{{"cid":"x"}},"CreationTime":"2026-03-01T10:00:00"}}{rest}}}"#);
        let id = |rest: &str| activity_with(&settings, &row(rest)).id;
        assert_eq!(id(r#","ReportId":"r","A":1"#), id(r#","ReportId":"r","A":2"#));
        assert_ne!(id(r#","ReportId":"r""#), id(r#","ReportId":"s""#));
        for none in ["", ",\"ReportId\":null", ",\"ReportId\":\"\""] {
            assert_eq!(id(none), activity(&row(none)).id);
        }
        let later = row(r#","ReportId":"r""#).replace("10:00:00", "10:00:01");
        assert_ne!(activity_with(&settings, &later).id, id(r#","ReportId":"r""#));
        let deep = row(&format!(r#","ReportId":"r","x":{}{}"#, "[".repeat(128), "]".repeat(128)));
        assert_eq!(read_with(&settings, &deep).unwrap_err(), Reason::TooDeep);
        assert_eq!(read_with(&Settings::default(), &deep).unwrap_err(), Reason::TooDeep);
        let mut anonymous = ActivityReader::new(&settings);
        anonymous.anonymous = true;
        let read = |row: &str| anonymous.read(&Cursor::new(row.as_bytes()), "", &mut Room::default()).is_ok();
        assert!(!read(&deep) && read(&row("")));
    }

    #[test]
    fn a_row_goes_on_in_one_line() {
        let row = "{\"RawEventData\":{\"Data\":{\"cid\":\"a b\"},\r\n\"CreationTime\":\"2026-03-01T10:00:00\"}}";
        assert_eq!(*activity(row).row, *row.replace("\r\n", "").as_bytes());
    }
}
