//! A process that is killed leaves its stores as they were at the last flush, complete. Also covers folders that are
//! older than they should be.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command};
use std::sync::Mutex;
use std::time::Duration;

use alerttrail::store::{Error, Shared, State};

use super::joined_log::{JoinedLog, Random, copy, files, fill, folder, in_parallel, number, open};
use super::util::rerun_test;

/// The variable that gives a child of this test binary the path of its store.
const STORE: &str = "ALERTTRAIL_TEST_KILLED_STORE";
/// The variable that gives it the record after which to abort. Without it, the child continues until it is killed.
const END: &str = "ALERTTRAIL_TEST_KILLED_END";
/// The number of repartition records between two flushes.
const FLUSH: usize = 60;

/// Opens a store with so little memory that RocksDB also writes tables because the memory is full.
fn open_small(path: &Path) -> Result<State, Error> {
    State::open(path, &Shared::new(1 << 20))
}

/// Returns a world that is long enough that days fall before the retention cut-off, with rows large enough to fill the
/// memory.
fn joined_log() -> JoinedLog {
    JoinedLog::new(1, 600, 4 << 10)
}

fn child(store: &Path) -> Command {
    rerun_test("storage::killed::writes_until_it_is_killed", STORE, store)
}

/// Not a test of its own: a child process of another test runs it. After each write it prints its position.
#[test]
fn writes_until_it_is_killed() {
    let Some(store) = std::env::var_os(STORE) else { return };
    let store = Path::new(&store);
    let joined_log = joined_log();
    let end = number(END, joined_log.len());
    let mut backend = open_small(store).unwrap();
    let files_before = files(store, |name| name.ends_with(".sst")).len();
    println!();
    for position in (0..=end).step_by(5) {
        joined_log.apply(&mut backend, position).unwrap();
        println!("at {position}");
        if position % FLUSH == 0 {
            backend.begin_flush().unwrap();
        }
        backend.check().unwrap();
    }
    println!("files {files_before} {}", files(store, |name| name.ends_with(".sst")).len());
    if std::env::var_os(END).is_some() {
        // The process closes nothing and flushes nothing.
        std::process::abort();
    }
    std::thread::sleep(Duration::from_secs(60));
}

/// Kills the child at a random moment. Returns the last position that it printed.
fn kill_somewhere(child: &mut Child, random: &mut Random, records: usize) -> usize {
    let until = random.below(records);
    let mut printed = 0;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        if let Some(position) = line.unwrap().strip_prefix("at ") {
            printed = position.parse().unwrap();
            if printed >= until {
                break;
            }
        }
    }
    std::thread::sleep(Duration::from_micros(u64::try_from(random.below(3_000)).unwrap()));
    child.kill().unwrap();
    child.wait().unwrap();
    printed
}

#[test]
fn b1_a_killed_process_leaves_an_earlier_state() {
    let joined_log = joined_log();
    let folder = folder();
    let seed = number("SEED", 7);
    let trials = number("ALERTTRAIL_TEST_FAULTS", 100).div_ceil(5);
    let positions = Mutex::new(BTreeSet::new());
    in_parallel(0..trials, |trial| {
        let mut random = Random::new((seed * 100_000 + trial) as u64);
        let store = folder.path().join(trial.to_string());
        let printed = kill_somewhere(&mut child(&store).spawn().unwrap(), &mut random, joined_log.len());
        let position = match open(&store).and_then(|mut backend| joined_log.continue_to_end(&mut backend)) {
            Ok(position) => position,
            Err(error) => panic!("killed at {printed}: {error}"),
        };
        // The store lacks the records that were written but not flushed: the memory holds about 120 records, and a
        // flush takes time.
        let lost = printed.saturating_sub(usize::try_from(position).unwrap());
        assert!(lost <= 300, "killed at {printed}, {lost} records are lost");
        positions.lock().unwrap().insert(position);
        fs::remove_dir_all(&store).unwrap();
    });
    let positions = positions.into_inner().unwrap();
    assert!(positions.len() > 3 && positions.last() > Some(&0), "{positions:?}");
    println!("B1 ok kills={trials} positions={positions:?}");
}

/// A day falls before the retention cut-off, its files are deleted, and then the process is killed: the store must not
/// be in an earlier state that needs those files.
#[test]
fn b1_deleted_files_are_not_needed() {
    let joined_log = joined_log();
    let folder = folder();
    let deleted = Mutex::new(0);
    in_parallel(0..20, |trial| {
        let store = folder.path().join(trial.to_string());
        // The data of an earlier process is in table files, some of which the child deletes.
        fill(&joined_log, &store, &[], 60 + 20 * trial);
        let end = (180 + 20 * trial).to_string();
        let output = child(&store).env(END, end).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let counts = text
            .lines()
            .find_map(|line| line.strip_prefix("files "))
            .unwrap_or_else(|| panic!("{text}"));
        let (before, after) = counts.split_once(' ').unwrap();
        let (before, after): (usize, usize) = (before.parse().unwrap(), after.parse().unwrap());
        *deleted.lock().unwrap() += usize::from(after < before);
        joined_log.continue_to_end(&mut open(&store).unwrap()).unwrap();
    });
    let deleted = deleted.into_inner().unwrap();
    assert!(deleted > 0, "no file was deleted");
    println!("B1 ok deleted {deleted}");
}

/// A process that ends normally leaves its whole state.
#[test]
fn a_store_that_is_closed_is_on_the_disk() {
    let joined_log = JoinedLog::new(3, 300, 120);
    let folder = folder();
    let store = folder.path().join("store");
    fill(&joined_log, &store, &[], 200);
    assert_eq!(joined_log.continue_to_end(&mut open(&store).unwrap()).unwrap(), 200);
}

#[test]
fn b9_the_folder_of_yesterday() {
    let joined_log = JoinedLog::new(3, 300, 120);
    let folder = folder();
    let (store, yesterday) = (folder.path().join("store"), folder.path().join("yesterday"));
    fill(&joined_log, &store, &[50], 120);
    copy(&store, &yesterday);
    fill(&joined_log, &store, &[200], joined_log.len());
    assert_eq!(joined_log.continue_to_end(&mut open(&store).unwrap()).unwrap(), 300);
    assert_eq!(joined_log.continue_to_end(&mut open(&yesterday).unwrap()).unwrap(), 120);
}
