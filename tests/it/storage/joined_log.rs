//! A log, and the result of joining it: a store must give this result after any fault.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use alerttrail::join::{Joiner, Limit, Outbox, Position};
use alerttrail::record::{Activity, ActivityId, AlertId, Key, Version};
use alerttrail::repartition::{AlertVersion, RepartitionRecord, SourceWatermark, WatermarkUpdate};
use alerttrail::store::{Backend, Direction, Error, Memory, Shared, Span, State, Table};
use alerttrail::time::{EventTime, WallTime, Window};

/// The number of repartition records in one write.
const BATCH: usize = 7;
const HOUR: i64 = 36_000_000_000;
const RETENTION: Duration = Duration::from_secs(2 * 86_400);

/// A generator of small random numbers from a seed.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap() % limit.max(1)
    }

    fn time(&mut self, around: i64, spread: i64) -> i64 {
        around - spread + i64::try_from(self.below(usize::try_from(2 * spread).unwrap())).unwrap()
    }
}

/// Returns a seed or a count from the environment.
pub(super) fn number(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// Every pair of every table.
type Content = Vec<(Table, Box<[u8]>, Box<[u8]>)>;

/// A log of one partition over many days, with retention: activities, alerts and their newer versions, late activities,
/// closes, evictions.
pub(super) struct JoinedLog {
    log: Vec<Vec<u8>>,
    /// The outputs, by position.
    outputs: BTreeMap<Position, String>,
    content: Content,
}

impl JoinedLog {
    pub(super) fn new(seed: u64, records: usize, row: usize) -> Self {
        let mut random = Random::new(seed);
        let log = (0..records).map(|number| record(&mut random, number, records, row)).collect();
        let mut joined_log = Self {
            log,
            outputs: BTreeMap::new(),
            content: Vec::new(),
        };
        let mut backend = Memory::default();
        joined_log.outputs = joined_log.apply(&mut backend, joined_log.len()).unwrap();
        joined_log.content = content(&backend).unwrap();
        let rows = joined_log.outputs.values().filter(|output| output.starts_with("Row")).count();
        assert!(rows > records / 10, "{rows} rows of {records} records");
        joined_log
    }

    pub(super) fn len(&self) -> usize {
        self.log.len()
    }

    /// Applies the log from the position of the backend up to, but not including, `end`. Returns the outputs.
    pub(super) fn apply<B: Backend>(&self, backend: &mut B, end: usize) -> Result<BTreeMap<Position, String>, Error> {
        let mut joiner = Joiner::open(backend, Some(RETENTION))?;
        let mut outputs = BTreeMap::new();
        let mut out = Outbox::new(Limit::default());
        let mut at = usize::try_from(joiner.next_offset()).unwrap();
        let mut more = true;
        while more {
            let until = end.min(at + BATCH).max(at);
            let records = self.log[at..until]
                .iter()
                .map(|bytes| RepartitionRecord::decode(bytes).unwrap());
            let mut records = (i64::try_from(at).unwrap()..).zip(records);
            let changes = joiner.apply(backend, &mut records, &mut out)?;
            outputs.extend(out.drain().map(|(at, output)| (at, format!("{output:?}"))));
            backend.write(changes)?;
            at = usize::try_from(joiner.next_offset()).unwrap();
            more = at < end || joiner.has_work();
        }
        Ok(outputs)
    }

    /// Continues from the position of the backend to the end of the log. Asserts that all outputs and the state at the
    /// end are the same as without a fault. Returns the position of the backend at the start.
    pub(super) fn continue_to_end<B: Backend>(&self, backend: &mut B) -> Result<i64, Error> {
        let from = Joiner::open(backend, Some(RETENTION))?.position();
        let outputs = self.apply(backend, self.len())?;
        let expected: BTreeMap<_, _> = self.outputs.range(from..).collect();
        assert!(outputs.iter().eq(expected), "other outputs from {from:?}");
        let content = content(backend)?;
        assert!(content == self.content, "another state from {from:?}");
        Ok(from.offset)
    }
}

fn record(random: &mut Random, number: usize, records: usize, row: usize) -> Vec<u8> {
    let at = EventTime::from_ticks;
    // The log covers eight days.
    let now = i64::try_from(number * 8 * 24 / records).unwrap() * HOUR;
    let key = Key {
        correlation_id: format!("key-{}", random.below(4)).as_str().into(),
        ..Key::default()
    };
    let text: String = (0..row)
        .map(|_| char::from(b'a' + u8::try_from(random.below(26)).unwrap()))
        .collect();
    let record = match random.below(10) {
        0 | 1 => {
            let version = AlertVersion {
                id: AlertId {
                    tenant: "".into(),
                    system_alert_id: format!("alert-{}", random.below(40)).as_str().into(),
                },
                version: Version {
                    time_generated: at(now),
                    hash: [u8::try_from(number % 256).unwrap(); 32],
                },
                links: Vec::new(),
                row: Cow::Owned(text.into_bytes()),
            };
            let window = Window {
                from: at(random.time(now - 12 * HOUR, 12 * HOUR)),
                to: at(random.time(now + 6 * HOUR, 6 * HOUR)),
            };
            RepartitionRecord::Alert(version.by_query(key.correlation_id, window, WallTime(i64::MAX / 2)))
        }
        2 => RepartitionRecord::WatermarkUpdate(WatermarkUpdate {
            wall: WallTime(i64::try_from(number).unwrap()),
            clock: at(0),
            topics: vec![("a".into(), 1)],
            sources: vec![SourceWatermark {
                topic: "a".into(),
                partition: 0,
                position: i64::try_from(number).unwrap(),
                time: Some(at(now - HOUR)),
                idle: false,
                rejected: 0,
            }],
            settings: [0; 32],
        }),
        _ => {
            let mut id = [0; 32];
            id[..8].copy_from_slice(&number.to_be_bytes());
            RepartitionRecord::Activity(Activity {
                keys: vec![key],
                time: at(random.time(now, 10 * HOUR)),
                id: ActivityId(id),
                row: Cow::Owned(text.into_bytes()),
            })
        }
    };
    record.encode(Vec::new()).unwrap()
}

fn content(backend: &impl Backend) -> Result<Content, Error> {
    let everything = Span {
        from: Vec::new(),
        to: vec![0xff; 64],
    };
    let mut content = Vec::new();
    for table in Table::ALL {
        for pair in backend.scan(table, everything.clone(), Direction::Forward) {
            let (key, value) = pair?;
            content.push((table, key, value));
        }
    }
    Ok(content)
}

/// Returns a folder for stores, in memory if possible: no test here checks what a power cut leaves on a real disk.
pub(super) fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    match memory.is_dir() {
        true => tempfile::tempdir_in(memory).unwrap(),
        false => tempfile::tempdir().unwrap(),
    }
}

pub(super) fn open(path: &Path) -> Result<State, Error> {
    State::open(path, &Shared::new(8 << 20))
}

/// Creates a store of the first `end` records, closed and reopened at each position of `reopened`. The records before
/// such a position are then in their own table files.
pub(super) fn fill(joined_log: &JoinedLog, path: &Path, reopened: &[usize], end: usize) {
    for end in reopened.iter().copied().chain([end]) {
        let mut backend = open(path).unwrap();
        joined_log.apply(&mut backend, end).unwrap();
    }
}

/// Copies a folder. Table files never change once they exist, so they are linked.
pub(super) fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let copy = to.join(path.file_name().unwrap());
        match path.extension().is_some_and(|extension| extension == "sst") {
            true => fs::hard_link(&path, &copy).unwrap(),
            false => drop(fs::copy(&path, &copy).unwrap()),
        }
    }
}

/// Returns the files whose names satisfy `is_selected`, sorted.
pub(super) fn files(path: &Path, is_selected: impl Fn(&str) -> bool) -> Vec<String> {
    let names = fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| is_selected(name)).collect();
    names.sort();
    names
}

/// Runs `work` for each number of the range on `PARTS` threads.
pub(super) fn in_parallel(range: Range<usize>, work: impl Fn(usize) + Sync) {
    const PARTS: usize = 4;
    std::thread::scope(|scope| {
        for part in 0..PARTS {
            let numbers = range.clone().skip(part).step_by(PARTS);
            let work = &work;
            scope.spawn(move || numbers.for_each(work));
        }
    });
}
