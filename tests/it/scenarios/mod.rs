//! Each rule of the join as a file in `tests/scenarios`: the input, and the output that it causes.
//!
//! A scenario runs through the real stages: messages go through [`Router`](alerttrail::route::Router), repartition
//! records are encoded to bytes, each partition of the repartition topic has one [`Joiner`](alerttrail::join::Joiner),
//! and [`Emitter`](alerttrail::emit::Emitter) encodes the output. It runs with one to three partitions, over every
//! backend, in large steps and with a restart after every single output: all must give the same bytes. At the end its
//! input goes through the batch run. Both outputs, folded by id, must be the same.
//!
//! `tests/scenarios/README.md` explains the files. `SCENARIO=120 cargo test --no-default-features scenario` runs only
//! those whose name contains `120`.

mod backends;
mod batch;
mod file;
mod show;
mod stages;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use alerttrail::emit::Emitter;
use alerttrail::join::Output;
use alerttrail::store::ON_DISK;
use backends::{Backends, InMemory};
use file::Scenario;
use stages::{Stages, Transactions};

/// The partition counts that a scenario runs with.
const PARTITIONS: [u32; 3] = [1, 2, 3];

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios")
}

/// Returns the names of all scenarios, in order, without `.toml`.
pub(crate) fn names() -> Vec<String> {
    let files = std::fs::read_dir(folder()).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names
        .filter_map(|name| name.strip_suffix(".toml").map(str::to_owned))
        .collect();
    names.sort_unstable();
    names
}

fn read(name: &str) -> Scenario {
    let text = std::fs::read_to_string(folder().join(format!("{name}.toml"))).unwrap();
    toml::from_str(&text).unwrap_or_else(|error| panic!("{name}.toml: {error}"))
}

/// The whole output of a run: for each step and each partition of the repartition topic, the values of the records.
type Transcript = Vec<Vec<Vec<Vec<u8>>>>;

#[test]
fn every_scenario_passes() {
    let only = std::env::var("SCENARIO").unwrap_or_default();
    let mut failed = Vec::new();
    let names: Vec<String> = names().into_iter().filter(|name| name.contains(&only)).collect();
    assert!(!names.is_empty(), "there is no scenario whose name contains {only:?}");
    for name in names {
        let scenario = read(&name);
        // A scenario that fails does not hide the results of the others.
        if catch_unwind(AssertUnwindSafe(|| assert_passes(&scenario))).is_err() {
            eprintln!("^^^ {name}: {}\n", scenario.rule);
            failed.push(name);
        }
    }
    assert!(failed.is_empty(), "{} scenarios fail: {failed:?}", failed.len());
}

fn assert_passes(scenario: &Scenario) {
    for partitions in PARTITIONS {
        let (expected, fold) = run(scenario, partitions, Transactions::OnePerRecord, InMemory, true);
        let (restarted, _) = run(scenario, partitions, Transactions::RestartAfterEveryOutput, InMemory, false);
        assert_eq!(
            text(&expected),
            text(&restarted),
            "restarts change the output with {partitions} partitions"
        );
        // Opening RocksDB takes time, so these runs use only the smallest number of partitions with which a key can
        // move.
        for transactions in [Transactions::OnePerRecord, Transactions::RestartAfterEveryOutput] {
            if partitions != 2 || !ON_DISK {
                continue;
            }
            let (on_disk, _) = run(scenario, partitions, transactions, backends::OnDisk::default(), false);
            assert_eq!(
                text(&expected),
                text(&on_disk),
                "RocksDB, {partitions} partitions, {transactions:?}"
            );
        }
        batch::compare(scenario, &fold);
    }
}

/// Runs the scenario. Returns its output, and the fold of that output.
fn run<B: Backends>(
    scenario: &Scenario,
    partitions: u32,
    transactions: Transactions,
    backends: B,
    check: bool,
) -> (Transcript, BTreeMap<String, serde_json::Value>) {
    let mut stages = Stages::new(scenario, partitions, transactions, backends);
    let mut transcript = Vec::new();
    for (number, step) in scenario.step.iter().enumerate() {
        let outcome = stages.run(step);
        if check {
            outcome.check(step, partitions, number);
        }
        transcript.push(outcome.values());
    }
    let fold = stages.end();
    (transcript, fold)
}

/// Returns the emitter of a scenario, and the outputs of the join with their offsets in the repartition topic.
pub(crate) fn outputs(name: &str) -> (Emitter, Vec<(i64, Output)>) {
    let scenario = read(name);
    let mut stages = Stages::new(&scenario, 1, Transactions::OnePerRecord, InMemory);
    for step in &scenario.step {
        stages.run(step);
    }
    (stages::emitter(&stages::config(&scenario), &scenario), stages.into_outputs())
}

fn text(transcript: &Transcript) -> String {
    let values = transcript.iter().flatten().flatten();
    values.map(|value| String::from_utf8_lossy(value) + "\n").collect()
}

#[test]
fn scenario_files_are_numbered_and_state_their_rule() {
    let mut numbers = Vec::new();
    for name in names() {
        let (number, words) = name.split_once('-').unwrap_or_else(|| panic!("{name}: NNN-words.toml"));
        assert!(
            number.len() == 3 && number.bytes().all(|byte| byte.is_ascii_digit()),
            "{name}"
        );
        assert!(
            words.bytes().all(|byte| byte == b'-' || byte.is_ascii_alphanumeric()),
            "{name}"
        );
        let rule = read(&name).rule;
        assert!(rule.len() > 20 && rule.ends_with('.'), "{name}: {rule}");
        numbers.push(number.to_owned());
    }
    numbers.dedup();
    assert_eq!(numbers.len(), names().len(), "two scenarios have one number");
}
