use super::key::{KeyReader, places};
use super::reject::{Fault, Reason};
use super::value::{First, Paths, Room, text, time};
use super::{Path, Settings, content_hash, is_service_column};
use crate::json::{Cursor, one_line};
use crate::record::{Alert, AlertId, Key, Text, Version};
use crate::time::{EventTime, Widening, Window};

/// Reads rows of SecurityAlert.
pub(super) struct AlertReader {
    paths: Paths<Wanted>,
    keys: KeyReader,
    widening: Widening,
}

/// What a path leads to.
enum Wanted {
    SystemAlertId,
    /// By its place in [`TIMES`].
    Time(usize),
    /// By its place in the order of fallbacks.
    Key(usize),
}

const TIMES: [&str; 3] = ["TimeGenerated", "StartTime", "EndTime"];

impl AlertReader {
    pub(super) fn new(settings: &Settings) -> Self {
        let id = Path::new(["SystemAlertId"]);
        let times = TIMES.map(|column| Path::new([column]));
        let keys = places(&settings.alert_key).map(|(path, place)| (path, Wanted::Key(place)));
        let fixed = times
            .iter()
            .zip((0..).map(Wanted::Time))
            .chain([(&id, Wanted::SystemAlertId)]);
        Self {
            paths: Paths::new(fixed.chain(keys)),
            keys: KeyReader::new(&settings.alert_key, settings.ignore_case),
            widening: settings.widening,
        }
    }

    pub(super) fn read<'a>(&self, row: &Cursor<'_, 'a>, tenant: &str, room: &mut Room) -> Result<Alert<'a>, Fault> {
        let (mut system_alert_id, mut correlation_id, mut times) = (None, First::new(), [Err(Reason::MissingField); 3]);
        self.paths.read(row.clone(), room, &mut |wanted, value| match wanted {
            Wanted::SystemAlertId => system_alert_id = scalar(value),
            Wanted::Time(place) if value != b"null" => times[*place] = time(value).ok_or(Reason::InvalidTime),
            Wanted::Time(_) => {}
            Wanted::Key(place) => correlation_id.offer(*place, || self.keys.read(*place, value)),
        });
        let system_alert_id =
            system_alert_id.ok_or_else(|| Fault::new(Reason::MissingField, "the alert has no SystemAlertId"))?;
        let [time_generated, start, end] = valid(times)?;
        let hash = content_hash(row.clone(), &is_service_column, room)?;
        Ok(Alert {
            id: AlertId {
                tenant: Text::from(tenant),
                system_alert_id,
            },
            version: Version { time_generated, hash },
            key: Key {
                tenant: Text::from(tenant),
                correlation_id: correlation_id.found().unwrap_or_default(),
            },
            window: Window::of_alert(start, end, self.widening),
            row: one_line(row.clone().value()),
        })
    }
}

/// The text of a string, number or boolean that is not empty.
fn scalar(value: &[u8]) -> Option<Text> {
    if matches!(value.first(), Some(b'{' | b'[')) {
        return None;
    }
    let text = text(value)?;
    (!text.is_empty()).then(|| Text::from(text.into_owned()))
}

fn valid(times: [Result<EventTime, Reason>; 3]) -> Result<[EventTime; 3], Fault> {
    let mut valid = [EventTime::FIRST; 3];
    for ((valid, time), column) in valid.iter_mut().zip(times).zip(TIMES) {
        *valid = time.map_err(|reason| match reason {
            Reason::MissingField => Fault::new(reason, format!("the alert has no {column}")),
            _ => Fault::new(
                reason,
                format!("the alert's {column} is no ISO 8601 time between the years 1 and 9999"),
            ),
        })?;
    }
    Ok(valid)
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::super::KeyPath;
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
        assert_eq!(alert.key.correlation_id, Text::from("policy"));
        assert!(alert.id.tenant.is_empty() && alert.key.tenant.is_empty());
        assert_eq!(alert.version.time_generated.to_string(), "2026-03-01T12:00:00.0000000Z");
        assert_eq!(alert.window.from.to_string(), "2026-03-01T10:00:00.0000001Z");
        assert_eq!(alert.window.to.to_string(), "2026-03-01T11:00:00.0000000Z");
        assert_eq!(*alert.row, *ROW.as_bytes());
    }

    #[test]
    fn a_window_of_no_length_is_an_alert() {
        assert!(read(&with("EndTime", "\"2026-03-01T10:00:00Z\"")).unwrap().window.is_empty());
        assert!(read(&with("EndTime", "\"0001-01-01T00:00:00\"")).unwrap().window.is_empty());
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
                (Reason::MissingField, "the alert has no SystemAlertId"),
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
        for column in TIMES {
            for row in [without(column), with(column, "null")] {
                let fault = read(&row).unwrap_err();
                assert_eq!(
                    (fault.reason, fault.error),
                    (Reason::MissingField, format!("the alert has no {column}"))
                );
            }
            for value in ["\"\"", "\"later\"", "1772359200", "{}", "false"] {
                let fault = read(&with(column, value)).unwrap_err();
                assert_eq!(fault.reason, Reason::InvalidTime, "{column} {value}");
                assert!(fault.error.contains(column));
            }
        }
    }

    #[test]
    fn an_alert_without_a_key_is_an_alert() {
        for row in ["null", "\"\""]
            .map(|value| with("AlertType", value))
            .iter()
            .chain([&without("AlertType")])
        {
            assert!(read(row).unwrap().key.correlation_id.is_empty());
        }
    }

    #[test]
    fn the_key_may_lie_elsewhere() {
        let settings = Settings {
            alert_key: vec![
                KeyPath {
                    path: Path::new(["VendorOriginalId"]),
                    strip_prefix: Some("dl".to_owned()),
                },
                KeyPath::from(Path::new(["ExtendedProperties", "Policy"])),
                KeyPath::from(Path::new(["SystemAlertId"])),
            ],
            ..Settings::default()
        };
        let reader = AlertReader::new(&settings);
        let key = |row: &str| {
            reader
                .read(&Cursor::new(row.as_bytes()), "t", &mut Room::default())
                .unwrap()
                .key
        };
        assert_eq!(key(&with("VendorOriginalId", "\"dl42\"")).correlation_id, Text::from("42"));
        let row = with(
            "VendorOriginalId",
            "\"dl\",\"ExtendedProperties\":\"{\\\"Policy\\\":\\\"p\\\"}\"",
        );
        assert_eq!(key(&row).correlation_id, Text::from("p"));
        assert_eq!(key(ROW).correlation_id, Text::from("id"));
        assert_eq!(key(ROW).tenant, Text::from("t"));
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
