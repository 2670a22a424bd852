// The entries for fuzzing: every place that reads bytes which someone outside may have made. Each function takes any
// bytes and panics if the program breaks a guarantee about them. The fuzz targets and `tests/it/corpus.rs` both include
// this file.

use std::borrow::Cow;
use std::time::Duration;

use alerttrail::config::Config;
use alerttrail::correlate::local::{Local, Output, Resources, Scanner, Stream};
use alerttrail::decode::{Decoded, Decoder, Identity, Ignore, KeyEntry, KeyPath, Path, Settings, Tenants, parse_time};
use alerttrail::emit::{Emitter, Format, Links};
use alerttrail::join::{Joiner, Limit, Outbox};
use alerttrail::json::{Canonical, Cursor, Index, MAX_DEPTH, compact, depth, members, one_line, unescape};
use alerttrail::record::{Activity, ActivityId, AlertId, Key, Version};
use alerttrail::repartition::{AlertVersion, RepartitionRecord as Record, SourceWatermark, WatermarkUpdate};
use alerttrail::route::{self, Arrival, Routed, Router};
use alerttrail::shutdown::Shutdown;
use alerttrail::sink::dead_letter::{Address, DeadLetter};
use alerttrail::source::file::Chunk;
use alerttrail::store::{Backend as _, Batch, Direction, Memory, Reads as _, Span, Table, keys};
use alerttrail::time::{EventTime, Widening, Window};
use serde::de::IgnoredAny;
use serde_json::Value;

/// An entry point.
pub(crate) type Entry = fn(&[u8]);

/// Every entry point, with the name of its target and of its folder in `fuzz/corpus`.
#[allow(dead_code, reason = "a fuzz target calls one entry and the test calls all")]
pub(crate) const ALL: [(&str, Entry); 7] = [
    ("message", message),
    ("broken", broken),
    ("timestamp", timestamp),
    ("canonical", canonical_form),
    ("repartition_record", repartition_record),
    ("stored", stored),
    ("configuration", configuration),
];

fn is_json(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok())
}

/// Runs a message of an input topic from its bytes to the output.
pub(crate) fn message(data: &[u8]) {
    for (settings, tenants) in settings() {
        routed(data, &settings, tenants);
    }
    let resources = Resources {
        threads: 1,
        memory: usize::MAX,
        folder: std::env::temp_dir(),
    };
    let (settings, shutdown) = (Settings::default(), Shutdown::default());
    let mut local = Local::new(
        settings.clone(),
        resources,
        Memory::default(),
        emitter(Format::Native),
        Checked,
    )
    .unwrap();
    // Twice: a message that is delivered again changes nothing.
    let part = Scanner::new(&settings).scan(Chunk::of("fuzz", [data, data]));
    local.take(part, &shutdown).unwrap().unwrap();
    let (totals, Checked) = local.end(&shutdown).unwrap().unwrap();
    assert_eq!(totals.keyed % 2, 0);
    assert!(totals.duplicates * 2 >= totals.keyed, "{totals:?}");
}

/// Returns the query's own settings, and settings that read other fields.
pub(crate) fn settings() -> [(Settings, bool); 2] {
    let key = |names: &[&str], strip: Option<&str>| {
        KeyEntry::from(KeyPath {
            strip_prefix: strip.iter().map(|prefix| (*prefix).to_owned()).collect(),
            ..KeyPath::from(Path::new(names.iter().copied()))
        })
    };
    let others = Settings {
        activity_key: vec![
            key(&["RawEventData", "Data", "cid"], None),
            key(&["RawEventData", "PolicyId"], Some("dl")),
        ],
        activity_time: vec![Path::new(["Timestamp"]), Path::new(["RawEventData", "CreationTime"])],
        alert_key: vec![key(&["VendorOriginalId"], Some("dl")), key(&["AlertType"], None)],
        ignore_case: true,
        identity: Identity::ReportId,
        tenants: Some(Tenants::new([("t".to_owned(), "w".to_owned())])),
        ignore: vec![Ignore {
            path: Path::new(["type"]),
            values: vec!["heartbeat".to_owned()],
        }],
        ..Settings::default()
    };
    [(Settings::default(), false), (others, true)]
}

pub(crate) fn router(settings: &Settings, tenants: bool) -> Router {
    let settings_of_route = route::Settings {
        partitions: 3,
        max_wait: Duration::from_secs(3_600),
        max_future_skew: Duration::from_secs(600),
        max_window_ahead: None,
        tenants,
    };
    Router::new(Decoder::new(settings.clone()).with_limit(1_000_000), settings_of_route)
}

pub(crate) fn arrival() -> Arrival {
    let now = parse_time("2026-03-01T12:00:00Z").unwrap().to_wall();
    Arrival { now, timestamp: None }
}

fn emitter(format: Format) -> Emitter {
    Emitter {
        format,
        links: Links::query(Widening::default()),
        summaries: true,
        unmatched: true,
        limit: None,
    }
}

fn routed(data: &[u8], settings: &Settings, tenants: bool) {
    let mut items = 0;
    router(settings, tenants).route(Some(data), arrival(), &mut |routed| {
        items += 1;
        match routed {
            Routed::Record { partition, record } => {
                assert!(partition < 3);
                if let Record::Activity(Activity { row, .. }) | Record::Alert(AlertVersion { row, .. }) = &record {
                    let is_elsewhere = row.is_empty() && matches!(record, Record::Alert(_));
                    assert!(is_elsewhere || is_json(row) && !row.contains(&b'\n'));
                }
                let bytes = record.encode(Vec::new()).unwrap();
                assert_eq!(Record::decode(&bytes).unwrap(), record);
            }
            Routed::Rejected { index, reject } => dead_letter(&DeadLetter::from_reject(reject, address(index)), data),
            Routed::OtherTable(_) | Routed::SecondTenant => {}
        }
    });
    // An alert goes to every partition, a second tenant is reported in addition to its record, and a record takes at
    // least a byte and a comma.
    let is_compressed = data.starts_with(b"\x1f\x8b") || data.starts_with(b"\x28\xb5\x2f\xfd");
    assert!(is_compressed || items <= 4 * (data.len() + 1));
}

/// Puts any bytes between two intact records of a batch: whatever they break, the two records are used.
pub(crate) fn broken(data: &[u8]) {
    const ACTIVITY: &[u8] = br#"{"RawEventData":{"Data":{"cid":"p"},"CreationTime":"2026-03-01T10:00:00"}}"#;
    const ALERT: &[u8] = concat!(
        r#"{"SystemAlertId":"id","AlertType":"p","TimeGenerated":"2026-03-01T12:00:00Z","#,
        r#""StartTime":"2026-03-01T09:00:00Z","EndTime":"2026-03-01T11:00:00Z"}"#
    )
    .as_bytes();
    let message = [b"[", ACTIVITY, b",", data, b",", ALERT, b"]"].concat();
    let (mut items, mut activities, mut alerts) = (0, 0, 0);
    Decoder::new(Settings::default()).decode(Some(&message), &mut |item| {
        assert_eq!(item.index, items);
        items += 1;
        match item.what {
            Decoded::Activity(activity) => activities += u32::from(*activity.row == *ACTIVITY),
            Decoded::Alert(alert) => alerts += u32::from(*alert.row == *ALERT),
            _ => {}
        }
    });
    assert!(activities >= 1 && alerts >= 1);
}

fn address(index: usize) -> Address<'static> {
    Address {
        topic: "fuzz",
        partition: 0,
        offset: 0,
        index,
    }
}

/// Asserts that a dead-letter record has the original bytes, and that its line can be read again.
fn dead_letter(letter: &DeadLetter<'_>, data: &[u8]) {
    // A record that was in a string or in a compressed body has its own buffer.
    if let Cow::Borrowed(value) = &letter.value {
        assert!(value.is_empty() || data.as_ptr_range().contains(&value.as_ptr()));
    }
    assert!(
        letter.error.len() < 1_000 && !letter.error.contains(char::is_control),
        "{}",
        letter.error
    );
    let mut line = Vec::new();
    letter.write_json_line(&mut line);
    let line: Value = serde_json::from_slice(&line).unwrap();
    assert!(line["value"].is_string() || line["value_hex"].is_string());
}

/// Asserts that every output record is a JSON object on one line.
struct Checked;

impl Output for Checked {
    fn write(&mut self, _: Stream, lines: &[u8]) -> std::io::Result<()> {
        assert!(lines.is_empty() || lines.ends_with(b"\n"));
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            assert!(is_json(line) && line.starts_with(b"{"));
        }
        Ok(())
    }
}

/// Parses a time.
pub(crate) fn timestamp(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Some(time) = parse_time(&text) {
        assert!((EventTime::FIRST..=EventTime::LAST).contains(&time));
        assert_eq!(parse_time(&time.to_string()), Some(time), "{text}");
        let wall = time.to_wall().to_event();
        assert!(wall <= time && time.ticks() - wall.ticks() < 10_000, "{text}");
    }
}

/// Reads JSON, or text that only resembles it.
pub(crate) fn canonical_form(data: &[u8]) {
    let mut canonical = Canonical::default();
    let done = canonical.form(Cursor::new(data), &|_| false).map(<[u8]>::to_vec);
    let line = one_line(data);
    let short = compact(data);
    assert!(short.len() <= data.len() && line.len() <= data.len());
    for member in members(data) {
        drop(member.name());
    }
    drop(unescape(data));
    if std::str::from_utf8(data).is_ok() {
        assert_eq!(Index::default().read(data).is_ok(), is_json(data));
    }
    if !is_json(data) {
        return;
    }
    assert_eq!(done.is_err(), depth(data) > MAX_DEPTH);
    assert!(is_json(&short) && is_json(&line) && !line.contains(&b'\n'));
    if let Ok(form) = done {
        assert!(is_json(&form));
        assert_eq!(compact(&form), form.as_slice());
        for other in [form.as_slice(), &short, &line] {
            assert_eq!(canonical.form(Cursor::new(other), &|_| false), Ok(form.as_slice()));
        }
    }
}

/// Reads records of the repartition topic, which others may write to. Each is preceded by its length in two bytes.
pub(crate) fn repartition_record(data: &[u8]) {
    let mut backend = Memory::default();
    let mut joiner = Joiner::open(&backend, Some(Duration::from_secs(86_400))).unwrap();
    let mut rest = data;
    let mut offset = 0;
    while let Some((length, behind)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes(*length)).min(behind.len());
        let (bytes, behind) = behind.split_at(length);
        rest = behind;
        let Ok(record) = Record::decode(bytes) else { continue };
        let encoded = record.encode(Vec::new()).unwrap();
        assert_eq!(Record::decode(&encoded).unwrap(), record);
        if !apply(&mut joiner, &mut backend, offset, record) {
            return;
        }
        offset += 1;
    }
}

/// Applies a record, with everything that follows from it. Returns `false` if the state is damaged.
fn apply(joiner: &mut Joiner, backend: &mut Memory, offset: i64, record: Record<'_>) -> bool {
    let mut outbox = Outbox::new(Limit {
        outputs: 10,
        bytes: 10_000,
    });
    let mut value = Vec::new();
    let mut records = std::iter::once((offset, record));
    while records.len() > 0 || joiner.has_work() {
        let Ok(changes) = joiner.apply(backend, &mut records, &mut outbox) else {
            return false;
        };
        for (position, output) in outbox.drain() {
            for format in [Format::Native, Format::Kql, Format::Ocsf, Format::Ecs] {
                drop(emitter(format).emit(&output, position.offset, &mut value));
            }
        }
        backend.write(changes).unwrap();
    }
    true
}

/// Opens a store whose content a disk, or somebody, has changed. The entries consist of the number of a table, a key
/// and a value; the key is preceded by its length in one byte, the value in two. In the last table, a key of one byte
/// stands for one of the program's own keys.
pub(crate) fn stored(data: &[u8]) {
    stored_keys(data);
    let mut batch = Batch::default();
    let mut rest = data;
    while let Some(([table, key], behind)) = rest.split_first_chunk::<2>() {
        let (key, behind) = behind.split_at(usize::from(*key).min(behind.len()));
        let Some((length, behind)) = behind.split_first_chunk::<2>() else {
            break;
        };
        let (value, behind) = behind.split_at(usize::from(u16::from_be_bytes(*length)).min(behind.len()));
        rest = behind;
        let table = usize::from(*table) % Table::ALL.len();
        let own = [keys::PROGRESS, keys::WORK, keys::SETTINGS];
        let key = match key {
            [number] if Table::ALL[table] == Table::Meta => own[usize::from(*number) % own.len()],
            key => key,
        };
        batch.changes[table].insert(key.to_vec(), Some(value.to_vec()));
    }
    let mut backend = Memory::default();
    backend.write(batch).unwrap();
    let Ok(mut joiner) = Joiner::open(&backend, Some(Duration::from_secs(86_400))) else {
        return;
    };
    if !finish(&mut joiner, &mut backend) {
        return;
    }
    for record in some_records() {
        let offset = joiner.next_offset();
        if offset == i64::MAX || !apply(&mut joiner, &mut backend, offset, record) {
            return;
        }
    }
}

/// Completes the work that the store lists as unfinished.
fn finish(joiner: &mut Joiner, backend: &mut Memory) -> bool {
    let mut outbox = Outbox::default();
    if joiner.next_offset() <= 0 {
        return false;
    }
    while joiner.has_work() {
        let Ok(changes) = joiner.apply(backend, [], &mut outbox) else {
            return false;
        };
        backend.write(changes).unwrap();
        drop(outbox.drain());
    }
    true
}

fn stored_keys(data: &[u8]) {
    let key = Key::default();
    if let Ok((time, id)) = keys::activity_parts(data) {
        let again = keys::activity(&key, time, id);
        assert_eq!(keys::activity_parts(&again).unwrap(), (time, id));
    }
    if let Ok(id) = keys::timer_alert(data) {
        assert_eq!(keys::alert(&id), data[9..]);
    }
    if let Ok(id) = keys::closed_window_alert(&key, data) {
        assert_eq!(keys::alert(&id), data[17..]);
    }
    drop(keys::day_of(data));
}

/// Returns an activity, an alert around it, an older version elsewhere, a watermark update that closes its window, a
/// late activity, and the end.
pub(crate) fn some_records() -> [Record<'static>; 6] {
    let time = parse_time("2026-03-01T10:00:00Z").unwrap();
    let key = Key {
        correlation_id: "p".into(),
        ..Key::default()
    };
    let hour = Duration::from_secs(3_600);
    let activity = Activity {
        keys: vec![key.clone()],
        time,
        id: ActivityId([1; 32]),
        row: b"{}".as_slice().into(),
    };
    let alert = AlertVersion {
        id: AlertId {
            tenant: "".into(),
            system_alert_id: "A1".into(),
        },
        version: Version {
            time_generated: time,
            hash: [2; 32],
        },
        links: Vec::new(),
        row: b"{}".as_slice().into(),
    };
    let deadline = time.to_wall();
    let window = Window {
        from: time.minus(hour),
        to: time.plus(hour),
    };
    let mut elsewhere = alert.clone().by_query(key.correlation_id.clone(), window, deadline);
    elsewhere.version.hash = [1; 32];
    elsewhere.links[0].keys.clear();
    let alert = alert.by_query(key.correlation_id, window, deadline);
    let mark = SourceWatermark {
        topic: "a".to_owned(),
        partition: 0,
        position: 1,
        time: Some(time.plus(2 * hour)),
        idle: false,
        rejected: 0,
    };
    let update = WatermarkUpdate {
        wall: deadline,
        clock: time,
        topics: vec![("a".to_owned(), 1)],
        sources: vec![mark],
        settings: [3; 32],
    };
    let late = Activity {
        id: ActivityId([4; 32]),
        ..activity.clone()
    };
    [
        Record::Activity(activity),
        Record::Alert(alert),
        Record::Alert(elsewhere),
        Record::WatermarkUpdate(update),
        Record::Activity(late),
        Record::EndOfInput,
    ]
}

/// Returns the content of the store after each of the records in `log`, which have the form of [`repartition_record`];
/// the result has the form of [`stored`].
#[allow(dead_code, reason = "for the test, which writes the corpus")]
pub(crate) fn some_stores(log: &[u8]) -> Vec<Vec<u8>> {
    let mut stores = Vec::new();
    let mut backend = Memory::default();
    let mut joiner = Joiner::open(&backend, None).unwrap();
    let mut rest = log;
    let mut offset = 0;
    while let Some((length, behind)) = rest.split_first_chunk::<2>() {
        let (bytes, behind) = behind.split_at(usize::from(u16::from_be_bytes(*length)));
        rest = behind;
        assert!(apply(&mut joiner, &mut backend, offset, Record::decode(bytes).unwrap()));
        offset += 1;
        if offset % 4 == 0 {
            stores.push(dump(&backend));
        }
    }
    for record in some_records() {
        assert!(apply(&mut joiner, &mut backend, offset, record));
        offset += 1;
        stores.push(dump(&backend));
    }
    // A store that was left in the middle of an emission, with the unfinished work in it.
    let mut outbox = Outbox::new(Limit { outputs: 1, bytes: 1 });
    let changes = joiner.apply(&backend, [(offset, Record::EndOfInput)], &mut outbox).unwrap();
    backend.write(changes).unwrap();
    stores.push(dump(&backend));
    stores
}

fn dump(backend: &Memory) -> Vec<u8> {
    let mut out = Vec::new();
    for (number, table) in Table::ALL.into_iter().enumerate() {
        let all = Span {
            from: Vec::new(),
            to: vec![0xff; 300],
        };
        for pair in backend.scan(table, all, Direction::Forward) {
            let (key, value) = pair.unwrap();
            let key = match &*key {
                keys::PROGRESS => &[0],
                keys::WORK => &[1],
                keys::SETTINGS => &[2],
                key => key,
            };
            let Ok(length) = u8::try_from(key.len()) else { continue };
            out.extend_from_slice(&[u8::try_from(number).unwrap(), length]);
            out.extend_from_slice(key);
            out.extend_from_slice(&u16::try_from(value.len()).unwrap().to_be_bytes());
            out.extend_from_slice(&value);
        }
    }
    out
}

/// Loads a configuration file. After a zero byte come variables `NAME=VALUE`, each after another zero byte.
pub(crate) fn configuration(data: &[u8]) {
    const CANARY: &str = "Endpoint=sb://canary/;SharedAccessKeyName=n;SharedAccessKey=S3CR3T-canary=";
    let text = String::from_utf8_lossy(data);
    let mut parts = text.split('\0');
    let file = parts.next().unwrap_or_default();
    let variables = parts.filter_map(|part| part.split_once('='));
    let variables = variables
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .chain([("CANARY".to_owned(), CANARY.to_owned())]);
    match Config::from_text("fuzz.toml", file, variables) {
        Ok(config) => {
            drop(config.warnings());
            drop(config.state_fingerprint());
            let shown = format!(
                "{:?}{:?}{:?}",
                config.kafka.connection_string, config.kafka.properties, config.http.token
            );
            assert!(!shown.contains("S3CR3T") || text.contains("S3CR3T"), "{shown}");
            assert!(!config.kafka.bootstrap_servers.is_empty() && !config.input.topics.is_empty());
        }
        Err(errors) => {
            assert!(!errors.is_empty());
            let errors = errors.to_string();
            assert!(!errors.contains("S3CR3T") || text.contains("S3CR3T"), "{errors}");
        }
    }
}
