//! The store as a folder on disk: a process that opens it again finds the same content, and a folder that is not
//! certainly a store of this version stays untouched.

use std::fs;
use std::path::Path;

use alerttrail::join::{Joiner, Outbox, Output};
use alerttrail::record::{Activity, ActivityId, AlertId, Key, Version};
use alerttrail::repartition::{AlertVersion, RepartitionRecord};
use alerttrail::store::{Backend, Direction, Error, Shared, Span, State, Table, Txn};
use alerttrail::time::{EventTime, WallTime, Window};

fn open(path: &Path) -> Result<State, Error> {
    State::open(path, &Shared::new(16 << 20))
}

/// Returns the error message of `open`.
fn refusal(path: &Path) -> String {
    match open(path) {
        Ok(_) => panic!("it was opened"),
        Err(error) => error.to_string(),
    }
}

/// Returns every pair of every table.
fn content(backend: &impl Backend) -> Vec<(&'static str, Vec<u8>, Vec<u8>)> {
    let everything = Span {
        from: Vec::new(),
        to: vec![0xff; 64],
    };
    let mut content = Vec::new();
    for table in Table::ALL {
        for pair in backend.scan(table, everything.clone(), Direction::Forward) {
            let (key, value) = pair.unwrap();
            content.push((table.name(), key.into(), value.into()));
        }
    }
    content
}

fn key() -> Key {
    Key {
        correlation_id: "policy".into(),
        ..Key::default()
    }
}

fn at(ticks: i64) -> EventTime {
    EventTime::from_ticks(ticks)
}

/// Applies a record and writes the result to the backend. Returns the outputs.
fn apply(offset: i64, record: RepartitionRecord<'_>, backend: &mut State) -> Vec<Output> {
    let mut joiner = Joiner::open(backend, None).unwrap();
    let mut outbox = Outbox::default();
    let changes = joiner.apply(backend, [(offset, record)], &mut outbox).unwrap();
    assert!(!joiner.has_work());
    backend.write(changes).unwrap();
    outbox.drain().map(|(_, output)| output).collect()
}

fn fill(backend: &mut State) {
    let activity = Activity {
        keys: vec![key()],
        time: at(15),
        id: ActivityId([1; 32]),
        row: br#"{"an":"activity"}"#.into(),
    };
    let version = AlertVersion {
        id: AlertId {
            tenant: "".into(),
            system_alert_id: "A".into(),
        },
        version: Version {
            time_generated: at(30),
            hash: [2; 32],
        },
        links: Vec::new(),
        row: br#"{"an":"alert"}"#.into(),
    };
    let window = Window {
        from: at(10),
        to: at(20),
    };
    let version = version.by_query(key().correlation_id, window, WallTime(1_000));
    assert!(apply(0, RepartitionRecord::Activity(activity), backend).is_empty());
    assert!(apply(1, RepartitionRecord::Alert(version), backend).is_empty());
}

#[test]
fn a_reopened_store_has_the_same_content() {
    let folder = tempfile::tempdir().unwrap();
    let mut backend = open(folder.path()).unwrap();
    fill(&mut backend);
    let before = content(&backend);
    assert!(before.len() > 4, "{before:?}");
    drop(backend);
    assert_eq!(fs::read_to_string(folder.path().join("FORMAT")).unwrap(), "5\n");
    let mut backend = open(folder.path()).unwrap();
    assert_eq!(content(&backend), before);
    assert_eq!(Joiner::open(&backend, None).unwrap().next_offset(), 2);
    let outputs = apply(2, RepartitionRecord::EndOfInput, &mut backend);
    assert!(
        matches!(outputs.as_slice(), [Output::Row(_), Output::Summary(_)]),
        "{outputs:?}"
    );
}

#[test]
fn a_store_of_another_format_is_refused_and_not_touched() {
    for found in ["1", "2", "3", "4", "0", "17\n"] {
        let folder = tempfile::tempdir().unwrap();
        let mut backend = open(folder.path()).unwrap();
        fill(&mut backend);
        let before = content(&backend);
        drop(backend);
        fs::write(folder.path().join("FORMAT"), found).unwrap();
        assert_eq!(
            refusal(folder.path()),
            format!(
                "the store at {} has format version {}, this program reads version 5; run the version that wrote it or remove \
                 the folder, it is rebuilt from the repartition topic",
                folder.path().display(),
                found.trim()
            )
        );
        assert_eq!(fs::read_to_string(folder.path().join("FORMAT")).unwrap(), found);
        // The content is unchanged for the version that can read it.
        fs::write(folder.path().join("FORMAT"), "5\n").unwrap();
        assert_eq!(content(&open(folder.path()).unwrap()), before);
    }
}

#[test]
fn a_store_is_open_once() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path()).unwrap();
    assert_eq!(
        refusal(folder.path()),
        format!(
            "{} is in use by another process; give each instance on one machine a state.dir of its own",
            folder.path().display()
        )
    );
    assert!(matches!(open(folder.path()), Err(Error::InUse { .. })));
    drop(first);
    open(folder.path()).unwrap();
}

#[test]
fn a_store_below_a_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let error = refusal(&file.join("store"));
    assert!(error.contains(&file.join("store").display().to_string()), "{error}");
}

#[test]
fn removed_spans_are_gone_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let mut backend = open(folder.path()).unwrap();
    let mut txn = Txn::new(&backend);
    for number in 0..200u8 {
        txn.put(Table::Activities, vec![number], vec![number; 100]);
    }
    let batch = txn.into_batch();
    backend.write(batch).unwrap();
    let mut txn = Txn::new(&backend);
    let span = Span {
        from: vec![50],
        to: vec![150],
    };
    txn.remove_span(Table::Activities, span);
    txn.put(Table::Activities, vec![100], b"back".to_vec());
    let batch = txn.into_batch();
    backend.write(batch).unwrap();
    drop(backend);
    let left = content(&open(folder.path()).unwrap());
    assert_eq!(left.len(), 101);
    assert_eq!(left[50], ("activities", vec![100], b"back".to_vec()));
}
