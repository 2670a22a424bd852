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

use super::util::again;
use super::world::{Random, World, copy, files, fill, folder, in_parallel, number, open};

/// The variable that tells a child of this test binary where its store is.
const STORE: &str = "ALERTTRAIL_TEST_KILLED_STORE";
/// The variable that tells it after which record to abort. Without it, the child continues until it is killed.
const END: &str = "ALERTTRAIL_TEST_KILLED_END";
/// The number of log records between two flushes.
const FLUSH: usize = 60;

/// Opens a store with so little memory that RocksDB also writes tables because the memory is full.
fn open_small(path: &Path) -> Result<State, Error> {
    State::open(path, &Shared::new(1 << 20))
}

/// Returns a world that is long enough that days fall before the retention cut-off, with rows large enough to fill the
/// memory.
fn world() -> World {
    World::new(1, 600, 4 << 10)
}

fn child(store: &Path) -> Command {
    again("storage::killed::writes_until_it_is_killed", STORE, store)
}

/// Not a test of its own: a child process of another test runs it. After each write it prints its position.
#[test]
fn writes_until_it_is_killed() {
    let Some(store) = std::env::var_os(STORE) else { return };
    let store = Path::new(&store);
    let world = world();
    let end = number(END, world.len());
    let mut base = open_small(store).unwrap();
    let files_before = files(store, |name| name.ends_with(".sst")).len();
    println!();
    for position in (0..=end).step_by(5) {
        world.apply(&mut base, position).unwrap();
        println!("at {position}");
        if position % FLUSH == 0 {
            base.begin_flush().unwrap();
        }
        base.check().unwrap();
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
    let mut said = 0;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        if let Some(position) = line.unwrap().strip_prefix("at ") {
            said = position.parse().unwrap();
            if said >= until {
                break;
            }
        }
    }
    std::thread::sleep(Duration::from_micros(u64::try_from(random.below(3_000)).unwrap()));
    child.kill().unwrap();
    child.wait().unwrap();
    said
}

#[test]
fn b1_a_killed_process_leaves_an_earlier_state() {
    let world = world();
    let folder = folder();
    let seed = number("SEED", 7);
    let trials = number("ALERTTRAIL_TEST_FAULTS", 100).div_ceil(5);
    let positions = Mutex::new(BTreeSet::new());
    in_parallel(0..trials, |trial| {
        let mut random = Random::new((seed * 100_000 + trial) as u64);
        let store = folder.path().join(trial.to_string());
        let said = kill_somewhere(&mut child(&store).spawn().unwrap(), &mut random, world.len());
        let position = match open(&store).and_then(|mut base| world.go_on(&mut base)) {
            Ok(position) => position,
            Err(error) => panic!("killed at {said}: {error}"),
        };
        // The store lacks the records that were written but not flushed: the memory holds about 120 records, and a
        // flush takes time.
        let lost = said.saturating_sub(usize::try_from(position).unwrap());
        assert!(lost <= 300, "killed at {said}, {lost} records are lost");
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
fn b1_files_given_back_are_not_missed() {
    let world = world();
    let folder = folder();
    let given_back = Mutex::new(0);
    in_parallel(0..20, |trial| {
        let store = folder.path().join(trial.to_string());
        // The data of an earlier process is in table files, some of which the child deletes.
        fill(&world, &store, &[], 60 + 20 * trial);
        let end = (180 + 20 * trial).to_string();
        let output = child(&store).env(END, end).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let counts = text
            .lines()
            .find_map(|line| line.strip_prefix("files "))
            .unwrap_or_else(|| panic!("{text}"));
        let (before, after) = counts.split_once(' ').unwrap();
        let (before, after): (usize, usize) = (before.parse().unwrap(), after.parse().unwrap());
        *given_back.lock().unwrap() += usize::from(after < before);
        world.go_on(&mut open(&store).unwrap()).unwrap();
    });
    let given_back = given_back.into_inner().unwrap();
    assert!(given_back > 0, "no file was given back");
    println!("B1 ok given back {given_back}");
}

/// A process that ends normally leaves its whole state.
#[test]
fn a_dropped_store_is_on_the_disk() {
    let world = World::new(3, 300, 120);
    let folder = folder();
    let store = folder.path().join("store");
    fill(&world, &store, &[], 200);
    assert_eq!(world.go_on(&mut open(&store).unwrap()).unwrap(), 200);
}

#[test]
fn b9_yesterdays_folder() {
    let world = World::new(3, 300, 120);
    let folder = folder();
    let (store, yesterday) = (folder.path().join("store"), folder.path().join("yesterday"));
    fill(&world, &store, &[50], 120);
    copy(&store, &yesterday);
    fill(&world, &store, &[200], world.len());
    assert_eq!(world.go_on(&mut open(&store).unwrap()).unwrap(), 300);
    assert_eq!(world.go_on(&mut open(&yesterday).unwrap()).unwrap(), 120);
}
