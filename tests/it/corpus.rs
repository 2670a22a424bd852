//! Feeds the files of `fuzz/corpus`, and thousands of seeded changes to them, to the entries that the fuzz targets
//! call: no entry panics, breaks its contract or takes long.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use alerttrail::clock;
use alerttrail::generate::{Generator, Messages as _, Options};
use alerttrail::route::Routed;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

use self::entries::{ALL, Entry};

#[path = "../../fuzz/entries.rs"]
mod entries;

/// The number of changed inputs for each target.
const CHANGES: usize = 10_000;
/// The maximum time for one input, on a busy machine and without optimisation.
const MAX_TIME: Duration = Duration::from_secs(5);
/// Other tests cover longer inputs.
const MAX_LENGTH: usize = 32_000;
/// Tokens that occur in inputs, and tokens that break them.
const TOKENS: &[&[u8]] = &[
    b"\"",
    b"\\",
    b"\\u0000",
    b"\\ud800",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"null",
    b"1e400",
    b"-0",
    b"\xff",
    b"\xc3",
    b"\0",
    b"\n",
    b"\x1b[31m",
    b"9223372036854775808",
    b"0001-01-01T00:00:00Z",
    b"9999-12-31T23:59:59.9999999-23:59",
    b"\xff\xff\xff\xff",
    b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
    b"records",
    b"cid",
    b"${CANARY}",
    b"= \"${CANARY}\"",
    b"'''",
    b"[[",
    b"SystemAlertId",
];

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus")
}

fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = folder().join(target);
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let named = |path: PathBuf| {
        (
            path.file_name().unwrap().to_string_lossy().into_owned(),
            fs::read(&path).unwrap(),
        )
    };
    files.into_iter().map(named).collect()
}

/// Calls `entry`, and panics with the name of the input if the entry fails.
fn call(target: &str, name: &str, entry: Entry, data: &[u8]) {
    let began = clock::start();
    let result = std::panic::catch_unwind(|| entry(data));
    let took = began.elapsed();
    if result.is_err() || took > MAX_TIME {
        let path = std::env::temp_dir().join(format!("alerttrail-{target}-{}", std::process::id()));
        fs::write(&path, data).unwrap();
        panic!(
            "{target} fails, or takes {took:?}, with {name}: the input is in {}",
            path.display()
        );
    }
}

fn below(random: &mut ChaCha8Rng, limit: usize) -> usize {
    usize::try_from(random.next_u64() % (limit.max(1) as u64)).unwrap()
}

/// Makes one to four changes.
fn change(random: &mut ChaCha8Rng, data: &mut Vec<u8>, other: &[u8]) {
    for _ in 0..=below(random, 4) {
        let at = below(random, data.len() + 1);
        let end = (at + below(random, 64)).min(data.len());
        match below(random, 7) {
            0 if at < data.len() => data[at] ^= 1 << below(random, 8),
            1 if at < data.len() => data[at] = [0, 1, 0x7f, 0x80, 0xff][below(random, 5)],
            2 => data.truncate(at),
            3 => drop(data.splice(at..end, [])),
            4 => drop(data.splice(at..end, TOKENS[below(random, TOKENS.len())].iter().copied())),
            5 => {
                let piece = data[at..end].to_vec();
                drop(data.splice(at..at, piece.repeat(1 + below(random, 4))));
            }
            _ => {
                let from = below(random, other.len() + 1);
                drop(data.splice(at.., other[from..].iter().copied()));
            }
        }
    }
    data.truncate(MAX_LENGTH);
}

/// Runs every file of the corpus and `CHANGES` changed inputs.
fn run(target: &str) {
    let (_, entry) = *ALL.iter().find(|(name, _)| *name == target).unwrap();
    let corpus = corpus(target);
    assert!(corpus.len() >= 5, "{target}: {} files", corpus.len());
    for (name, data) in &corpus {
        call(target, name, entry, data);
    }
    for seed in 0..CHANGES {
        let mut random = ChaCha8Rng::seed_from_u64(seed as u64);
        let (name, data) = &corpus[below(&mut random, corpus.len())];
        let (_, other) = &corpus[below(&mut random, corpus.len())];
        let mut data = data.clone();
        change(&mut random, &mut data, other);
        call(target, &format!("{name}, seed {seed}"), entry, &data);
    }
}

#[test]
fn corpus_of_messages() {
    run("message");
}

#[test]
fn corpus_of_timestamps() {
    run("timestamp");
}

#[test]
fn corpus_of_canonical_forms() {
    run("canonical");
}

#[test]
fn corpus_of_repartition_records() {
    run("repartition_record");
}

#[test]
fn corpus_of_stores() {
    run("stored");
}

#[test]
fn corpus_of_configurations() {
    run("configuration");
}

/// A fuzzer does not know an entry without a target.
#[test]
fn every_entry_has_a_target_and_a_corpus() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let manifest = fs::read_to_string(root.join("fuzz/Cargo.toml")).unwrap();
    for (name, _) in ALL {
        let target = fs::read_to_string(root.join(format!("fuzz/fuzz_targets/{name}.rs"))).unwrap();
        assert!(target.contains("entries::"), "{name}");
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
        assert!(!corpus(name).is_empty(), "{name}");
    }
}

/// A change that changes nothing, or a check that cannot fail, would find nothing.
#[test]
fn changes_change_and_panics_are_found() {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut different = 0;
    for _ in 0..100 {
        let mut data = b"{\"a\":1}".to_vec();
        change(&mut random, &mut data, b"other");
        different += usize::from(data != b"{\"a\":1}");
    }
    assert!(different > 80, "{different}");
    let found = std::panic::catch_unwind(|| call("none", "x", |data| assert!(data.is_empty()), b"x"));
    assert!(found.is_err());
    drop(fs::remove_file(
        std::env::temp_dir().join(format!("alerttrail-none-{}", std::process::id())),
    ));
}

/// Writes the generated part of the corpus: messages of all kinds, the repartition records that they become, a store,
/// and times.
#[test]
#[ignore = "writes fuzz/corpus; run it when a stored format has a new version"]
fn write_the_corpus() {
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let options = Options {
        activities: 12,
        alerts: 4,
        seed: 7,
        record_size: 1_000,
        keyed_share: 0.8,
        malformed: 0.5,
        batch_max: 3,
        alert_updates: 0.5,
        ..Options::default()
    };
    let generator = Generator::new(&options).unwrap();
    let mut buffer = Vec::new();
    let mut messages = Vec::new();
    let (mut activities, mut alerts) = (generator.activities(), generator.alerts());
    while activities.next_message(&mut buffer).is_some() {
        messages.push(std::mem::take(&mut buffer));
    }
    while alerts.next_message(&mut buffer).is_some() {
        messages.push(std::mem::take(&mut buffer));
    }
    messages.retain(|message| message.len() < 8_000);
    let mut log = Vec::new();
    for (number, message) in messages.iter().enumerate() {
        if number % 3 == 0 {
            files.insert(format!("message/generated-{number:02}"), message.clone());
            files.insert(format!("canonical/generated-{number:02}"), message.clone());
        }
        entries::router(&entries::settings()[0].0, false).route(Some(message), entries::arrival(), &mut |routed| {
            if let Routed::Record { record, .. } = routed {
                let bytes = record.encode(Vec::new()).unwrap();
                log.extend_from_slice(&u16::try_from(bytes.len()).unwrap().to_be_bytes());
                log.extend_from_slice(&bytes);
            }
        });
    }
    files.insert("repartition_record/generated".to_owned(), log.clone());
    for (number, record) in entries::some_records().into_iter().enumerate() {
        let bytes = record.encode(Vec::new()).unwrap();
        let mut file = u16::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
        file.extend_from_slice(&bytes);
        files.insert(format!("repartition_record/some-{number}"), file);
    }
    for (number, file) in entries::some_stores(&log).into_iter().enumerate() {
        files.insert(format!("stored/some-{number}"), file);
    }
    for (name, data) in files {
        let path = folder().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, data).unwrap();
    }
}
