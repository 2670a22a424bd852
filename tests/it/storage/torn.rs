//! Write-ahead logs that lost their end, as after a power cut, and folders that are older than they should be.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Mutex;

use super::world::{Random, World, copy, files, fill, folder, in_parallel, number, open};

/// Bytes at the end of the write-ahead log of which each may be the last one that is left.
const TAIL: usize = 4 << 10;

/// Cuts the write-ahead log to lengths in its last bytes, and to some before. The store opens each time, as it was earlier, and goes on
/// to the same answer.
#[test]
fn b1_a_torn_end_of_the_write_ahead_log() {
    let world = World::new(1, 600, 400);
    let folder = folder();
    let store = folder.path().join("store");
    fill(&world, &store, &[150, 400], world.len());
    let log = files(&store, |name| name.ends_with(".log")).pop().unwrap();
    let whole = fs::read(store.join(&log)).unwrap();
    assert!(whole.len() > 4 * TAIL, "the write-ahead log has {} bytes", whole.len());
    let further = number("ALERTTRAIL_TEST_FAULTS", 100);
    let seed = number("SEED", 7);
    let mut random = Random::new(seed as u64);
    // With as many faults as the whole suite asks for, every length; else each eighth, others with each seed.
    let every = if further < 1000 { 8 } else { 1 };
    let mut lengths: Vec<_> = (whole.len() - TAIL + seed % every..=whole.len()).step_by(every).collect();
    lengths.push(whole.len());
    lengths.extend((0..further).map(|_| random.below(whole.len() - TAIL)));
    let positions = Mutex::new(BTreeSet::new());
    in_parallel(0..lengths.len(), |trial| {
        let torn = folder.path().join(trial.to_string());
        copy(&store, &torn);
        fs::write(torn.join(&log), &whole[..lengths[trial]]).unwrap();
        let position = match open(&torn).and_then(|mut base| world.go_on(&mut base)) {
            Ok(position) => position,
            Err(error) => panic!("with {} of {} bytes: {error}", lengths[trial], whole.len()),
        };
        positions.lock().unwrap().insert(position);
        fs::remove_dir_all(&torn).unwrap();
    });
    // It was cut at different places, and the whole log is the whole state.
    let positions = positions.into_inner().unwrap();
    assert!(positions.len() > 5, "{positions:?}");
    assert_eq!(positions.last(), Some(&i64::try_from(world.len()).unwrap()));
    println!("B1 ok lengths={} positions={}", lengths.len(), positions.len());
}

/// A day falls behind the horizon, its files are given back, and then the power fails: what is left must not be a state from before, without
/// the files that it needs.
#[test]
fn b1_files_given_back_are_not_missed() {
    let world = World::new(2, 900, 400);
    let folder = folder();
    let store = folder.path().join("store");
    let tables = |path: &std::path::Path| files(path, |name| name.ends_with(".sst")).len();
    let mut given_back = 0;
    for end in (100..world.len()).step_by(50) {
        let mut base = open(&store).unwrap();
        let before = tables(&store);
        world.apply(&mut base, end).unwrap();
        given_back += usize::from(tables(&store) < before);
        drop(base);
        let cut = folder.path().join("cut");
        copy(&store, &cut);
        let log = files(&cut, |name| name.ends_with(".log")).pop().unwrap();
        fs::write(cut.join(log), b"").unwrap();
        world.go_on(&mut open(&cut).unwrap()).unwrap();
        fs::remove_dir_all(&cut).unwrap();
    }
    assert!(given_back > 0);
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
