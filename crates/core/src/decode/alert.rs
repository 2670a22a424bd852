use super::key::{self, KeyReader, LinkKeys};
use super::path::listed;
use super::reject::{Fault, Reason};
use super::value::{First, Paths, Room, has_content, text, time};
use super::{AlertColumns, Link, Settings, content_hash, is_service_column};
use crate::json::{Cursor, one_line};
use crate::record::{Alert, AlertId, AlertLink, LinkId, Text, Version};
use crate::time::{EventTime, Widening, Window};

/// A reader of rows of SecurityAlert.
pub(super) struct AlertReader {
    paths: Paths<AlertTarget>,
    /// The paths to the id only.
    id: Paths<usize>,
    keys: KeyReader,
    /// For each link, how its window is computed from the alert's times.
    widenings: Vec<Widening>,
    /// For each column, the paths to it as error messages list them.
    places: [String; 4],
}

/// What a path leads to, with its position in the order of fallbacks.
enum AlertTarget {
    Id(usize),
    /// The column, by its position in [`TIMES`], and the position of the path.
    Time(usize, usize),
    Key(key::KeyTarget),
}

/// The columns that contain times, by their names in `[alert]`.
const TIMES: [&str; 3] = ["version", "start", "end"];

impl AlertReader {
    pub(super) fn new(settings: &Settings) -> Self {
        let AlertColumns { id, version, start, end } = &settings.alert;
        let times = [version, start, end]
            .into_iter()
            .enumerate()
            .flat_map(|(column, paths)| paths.iter().zip((0..).map(move |place| AlertTarget::Time(column, place))));
        let links: Vec<Link> = settings.all_links().map(|(_, link)| link).collect();
        let reader = KeyReader::new(links.iter().map(|link| LinkKeys {
            entries: &link.key,
            conditions: &link.alert_where,
            ignore_case: link.ignore_case,
        }));
        let keys = reader.paths().map(|(path, wanted)| (path, AlertTarget::Key(wanted)));
        let ids = id.iter().zip((0..).map(AlertTarget::Id));
        let paths = Paths::new(times.chain(ids).chain(keys));
        Self {
            paths,
            id: Paths::new(id.iter().zip(0..)),
            keys: reader,
            widenings: links.iter().map(|link| link.widening).collect(),
            places: [version, start, end, id].map(|paths| listed(paths)),
        }
    }

    /// Returns whether a row has the id of an alert.
    pub(super) fn has_id(&self, row: &Cursor<'_, '_>, room: &mut Room) -> bool {
        let mut found = false;
        self.id
            .read(row.clone(), room, &mut |_, value| found |= scalar(value).is_some());
        found
    }

    pub(super) fn read<'a>(&self, row: &Cursor<'_, 'a>, tenant: &str, room: &mut Room) -> Result<Alert<'a>, Fault> {
        let mut system_alert_id = First::new();
        let mut gathered = std::mem::take(&mut room.gathered);
        self.keys.begin(&mut gathered);
        let mut times = [const { First::new() }; 3];
        self.paths.read(row.clone(), room, &mut |wanted, value| match wanted {
            AlertTarget::Id(place) => system_alert_id.offer(*place, || scalar(value)),
            AlertTarget::Time(column, place) => {
                times[*column].offer(*place, || has_content(value).then(|| time(value)));
            }
            AlertTarget::Key(wanted) => self.keys.offer(*wanted, value, &mut gathered),
        });
        let (found, cut_keys) = self.keys.finish(&mut gathered);
        room.gathered = gathered;
        room.cut_keys = cut_keys;
        let system_alert_id = system_alert_id
            .found()
            .ok_or_else(|| self.missing("id", &self.places[TIMES.len()]))?;
        let [time_generated, start, end] = self.valid(times.map(First::found))?;
        let hash = content_hash(row.clone(), &is_service_column, room)?;
        Ok(Alert {
            id: AlertId {
                tenant: Text::from(tenant),
                system_alert_id,
            },
            version: Version { time_generated, hash },
            links: self.links(found, start, end),
            row: one_line(row.clone().value()),
        })
    }

    /// Returns the window and the keys of an alert by each link. An alert without a key by the query gets the empty
    /// key.
    fn links(&self, found: Vec<(LinkId, Vec<Text>)>, start: EventTime, end: EventTime) -> Vec<AlertLink> {
        let links = (0..).map(LinkId).zip(&self.widenings);
        let mut links: Vec<AlertLink> = links
            .map(|(link, widening)| AlertLink {
                link,
                window: Window::for_alert(start, end, *widening),
                keys: Vec::new(),
            })
            .collect();
        for (link, keys) in found {
            if let Some(of_link) = links.get_mut(usize::from(link.0)) {
                of_link.keys = keys;
            }
        }
        if let Some(query) = links.first_mut().filter(|query| query.keys.is_empty()) {
            query.keys = vec![Text::default()];
        }
        links
    }

    fn valid(&self, times: [Option<Option<EventTime>>; 3]) -> Result<[EventTime; 3], Fault> {
        let mut valid = [EventTime::FIRST; 3];
        for (column, (valid, time)) in valid.iter_mut().zip(times).enumerate() {
            let (setting, places) = (TIMES[column], &self.places[column]);
            *valid = time.ok_or_else(|| self.missing(setting, places))?.ok_or_else(|| {
                let error = format!("the alert's {places} is no ISO 8601 time between the years 1 and 9999 ([alert] {setting})");
                Fault::new(Reason::InvalidTime, error)
            })?;
        }
        Ok(valid)
    }

    fn missing(&self, setting: &str, places: &str) -> Fault {
        let error = format!("the alert has no {places}; [alert] {setting} says where else it may be");
        Fault::new(Reason::MissingField, error)
    }
}

/// Returns the text of a string, a number or a boolean, unless it is empty.
fn scalar(value: &[u8]) -> Option<Text> {
    if matches!(value.first(), Some(b'{' | b'[')) {
        return None;
    }
    let text = text(value)?;
    (!text.is_empty()).then(|| Text::from(text.into_owned()))
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::super::{KeyEntry, KeyPath, Path};
    use super::*;

    const ROW: &str = concat!(
        r#"{"SystemAlertId":"id","AlertType":"policy","TimeGenerated":"2026-03-01T12:00:00Z","#,
        r#""StartTime":"2026-03-01T10:00:00Z","EndTime":"2026-03-01T11:00:00Z"}"#
    );

    fn read(row: &str) -> Result<Alert<'_>, Fault> {
        AlertReader::new(&Settings::default()).read(&Cursor::new(row.as_bytes()), "", &mut Room::default())
    }

    fn with(column: &str, value: &str) -> String {
        ROW.replace('}', &format!(",\"{column}\":{value}}}"))
    }

    fn without(column: &str) -> String {
        ROW.replace(&format!("\"{column}\""), "\"Other\"")
    }

    #[test]
    fn an_alert_is_read() {
        let alert = read(ROW).unwrap();
        assert_eq!(alert.id.system_alert_id, Text::from("id"));
        assert_eq!(alert.links[0].keys, [Text::from("policy")]);
        assert!(alert.id.tenant.is_empty() && alert.links.len() == 1);
        assert_eq!(alert.version.time_generated.to_string(), "2026-03-01T12:00:00.0000000Z");
        assert_eq!(alert.links[0].window.from.to_string(), "2026-03-01T10:00:00.0000001Z");
        assert_eq!(alert.links[0].window.to.to_string(), "2026-03-01T11:00:00.0000000Z");
        assert_eq!(*alert.row, *ROW.as_bytes());
    }

    #[test]
    fn a_window_of_no_length_is_an_alert() {
        assert!(
            read(&with("EndTime", "\"2026-03-01T10:00:00Z\"")).unwrap().links[0]
                .window
                .is_empty()
        );
        assert!(
            read(&with("EndTime", "\"0001-01-01T00:00:00\"")).unwrap().links[0]
                .window
                .is_empty()
        );
    }

    #[test]
    fn an_alert_needs_its_id() {
        for row in ["null", "\"\"", "{}", "[1]"]
            .map(|value| with("SystemAlertId", value))
            .iter()
            .chain([&without("SystemAlertId")])
        {
            let fault = read(row).unwrap_err();
            assert_eq!(
                (fault.reason, &*fault.error),
                (
                    Reason::MissingField,
                    "the alert has no SystemAlertId; [alert] id says where else it may be"
                ),
                "{row}"
            );
        }
        assert_eq!(
            read(&with("SystemAlertId", "12.0")).unwrap().id.system_alert_id,
            Text::from("12.0")
        );
    }

    #[test]
    fn an_alert_needs_its_times() {
        for (column, places, setting) in [
            ("TimeGenerated", "TimeGenerated", "version"),
            ("StartTime", "StartTime or StartTimeUtc", "start"),
            ("EndTime", "EndTime or EndTimeUtc", "end"),
        ] {
            for row in [without(column), with(column, "null"), with(column, "\"\"")] {
                let fault = read(&row).unwrap_err();
                let error = format!("the alert has no {places}; [alert] {setting} says where else it may be");
                assert_eq!((fault.reason, fault.error), (Reason::MissingField, error));
            }
            for value in ["\"later\"", "1772359200", "{}", "false"] {
                let fault = read(&with(column, value)).unwrap_err();
                assert_eq!(fault.reason, Reason::InvalidTime, "{column} {value}");
                assert!(fault.error.contains(places) && fault.error.contains(setting));
            }
        }
    }

    #[test]
    fn columns_may_lie_elsewhere() {
        let row = without("EndTime").replace('}', r#","EndTimeUtc":"2026-03-01T11:00:00Z"}"#);
        assert_eq!(read(&row).unwrap().links[0].window, read(ROW).unwrap().links[0].window);
        let path = |keys: &[&str]| Path::new(keys.iter().copied());
        let settings = Settings {
            alert: AlertColumns {
                id: vec![path(&["Alert", "Name"])],
                version: vec![path(&["Seen"]), path(&["TimeGenerated"])],
                start: vec![path(&["Extended", "Query Start"]), path(&["StartTime"])],
                end: vec![path(&["EndTime"])],
            },
            ..Settings::default()
        };
        let row = with(
            "Alert",
            r#"{"Name":"n"},"Seen":"","Extended":"{\"Query Start\":\"2026-03-01 08:00:00Z\"}""#,
        );
        let reader = AlertReader::new(&settings);
        let alert = reader.read(&Cursor::new(row.as_bytes()), "", &mut Room::default()).unwrap();
        assert_eq!(alert.id.system_alert_id, Text::from("n"));
        assert_eq!(alert.version.time_generated.to_string(), "2026-03-01T12:00:00.0000000Z");
        assert_eq!(alert.links[0].window.from.to_string(), "2026-03-01T08:00:00.0000001Z");
        assert!(reader.has_id(&Cursor::new(row.as_bytes()), &mut Room::default()));
        assert!(!reader.has_id(&Cursor::new(ROW.as_bytes()), &mut Room::default()));
    }

    #[test]
    fn an_alert_without_a_key_is_an_alert() {
        for row in ["null", "\"\""]
            .map(|value| with("AlertType", value))
            .iter()
            .chain([&without("AlertType")])
        {
            assert!(read(row).unwrap().links[0].keys[0].is_empty());
        }
    }

    #[test]
    fn the_key_may_lie_elsewhere() {
        let settings = Settings {
            alert_key: vec![
                KeyEntry::from(KeyPath {
                    strip_prefix: vec!["dl".to_owned()],
                    ..KeyPath::from(Path::new(["VendorOriginalId"]))
                }),
                KeyEntry::from(Path::new(["ExtendedProperties", "Policy"])),
                KeyEntry::from(Path::new(["SystemAlertId"])),
            ],
            ..Settings::default()
        };
        let reader = AlertReader::new(&settings);
        let key = |row: &str| {
            let alert = reader.read(&Cursor::new(row.as_bytes()), "t", &mut Room::default());
            alert.unwrap().into_owned()
        };
        assert_eq!(key(&with("VendorOriginalId", "\"dl42\"")).links[0].keys, [Text::from("42")]);
        let row = with(
            "VendorOriginalId",
            "\"dl\",\"ExtendedProperties\":\"{\\\"Policy\\\":\\\"p\\\"}\"",
        );
        assert_eq!(key(&row).links[0].keys, [Text::from("p")]);
        assert_eq!(key(ROW).links[0].keys, [Text::from("id")]);
        assert_eq!(key(ROW).id.tenant, Text::from("t"));
    }

    #[test]
    fn a_version_is_its_content() {
        let hash = |row: &str| read(row).unwrap().version.hash;
        let canonical = concat!(
            r#"{"AlertType":"policy","EndTime":"2026-03-01T11:00:00Z","StartTime":"2026-03-01T10:00:00Z","#,
            r#""SystemAlertId":"id","TimeGenerated":"2026-03-01T12:00:00Z"}"#
        );
        assert_eq!(hash(ROW), <[u8; 32]>::from(Sha256::digest(canonical)));
        for column in ["Type", "TenantId", "SourceSystem", "_ItemId", "_"] {
            assert_eq!(hash(&with(column, "\"x\"")), hash(ROW), "{column}");
        }
        assert_ne!(hash(&with("TimeGenerated", "\"2026-03-01T12:00:00.0Z\"")), hash(ROW));
        assert_ne!(hash(&with("Status", "\"New\"")), hash(ROW));
        let deep = with("x", &("[".repeat(128) + &"]".repeat(128)));
        assert_eq!(read(&deep).unwrap_err().reason, Reason::TooDeep);
        let just = with("x", &("[".repeat(127) + &"]".repeat(127)));
        assert!(read(&just).is_ok());
    }
}
