//! Bits that change on the disk. No result may be wrong afterwards: the store is unchanged, or it is in an earlier
//! state, or it reports damage and is rebuilt.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Mutex;

use alerttrail::join::Joiner;
use alerttrail::store::{Backend, Error, LogOrigin, Reads as _, State, Table, Txn, keys, set_aside};

use super::joined_log::{JoinedLog, Random, copy, files, fill, folder, in_parallel, number, open};

/// The results of the flips in one kind of file.
#[derive(Default, Debug)]
struct Outcome {
    unchanged: usize,
    earlier: usize,
    rebuilt: usize,
}

fn origin() -> LogOrigin {
    LogOrigin {
        application: "a".to_owned(),
        topic: "t".to_owned(),
        partition: 0,
    }
}

/// Opens the store of a partition as the processor does: it moves a damaged store aside and creates a new one.
fn open_partition(path: &Path) -> Result<State, Error> {
    let open_claimed = || origin().claim(path).and_then(|()| open(path));
    match open_claimed() {
        Err(error) if error.is_corruption() => {
            set_aside(path)?;
            open_claimed()
        }
        opened => opened,
    }
}

/// Creates a store as four successive processes leave it.
fn create_store(joined_log: &JoinedLog, path: &Path) {
    for end in [150, 300, 400, joined_log.len()] {
        let mut backend = open_partition(path).unwrap();
        joined_log.apply(&mut backend, end).unwrap();
    }
}

/// Continues with a store whose file was changed, first as it is and then as the next start does.
fn continue_after_fault(joined_log: &JoinedLog, path: &Path, outcome: &mut Outcome, context: &str) {
    let is_damaged = |error: Error| assert!(error.is_corruption(), "{context}: {error}");
    let damaged = || path.with_extension("damaged-1").exists();
    let first = open_partition(path).and_then(|mut backend| {
        let continued = joined_log.continue_to_end(&mut backend);
        if let Err(error @ Error::Damaged { .. }) = &continued {
            backend.mark_corrupt(error);
        }
        continued
    });
    match first {
        Ok(_) if damaged() => outcome.rebuilt += 1,
        Ok(position) if position < i64::try_from(joined_log.len()).unwrap() => outcome.earlier += 1,
        Ok(_) => outcome.unchanged += 1,
        Err(error) => {
            is_damaged(error);
            assert!(!damaged(), "{context}: it was damaged before it was used");
            let mut backend = open_partition(path).unwrap_or_else(|error| panic!("{context}: {error}"));
            assert!(damaged(), "{context}: the damage was not recorded");
            assert_eq!(joined_log.continue_to_end(&mut backend).unwrap(), 0, "{context}");
            outcome.rebuilt += 1;
        }
    }
}

/// Flips bits in the files whose names satisfy `is_selected`, one in each copy of the store. `choose` selects each bit.
fn flip(trials: usize, is_selected: impl Fn(&str) -> bool, choose: impl Fn(usize, usize) -> usize + Sync) -> Outcome {
    let joined_log = JoinedLog::new(5, 500, 120);
    let folder = folder();
    let store_path = folder.path().join("store");
    create_store(&joined_log, &store_path);
    let names = files(&store_path, is_selected);
    assert!(!names.is_empty());
    let total = Mutex::new(Outcome::default());
    in_parallel(0..trials, |trial| {
        let parent = folder.path().join(trial.to_string());
        fs::create_dir(&parent).unwrap();
        let path = parent.join("0");
        copy(&store_path, &path);
        let name = &names[trial % names.len()];
        let mut bytes = fs::read(path.join(name)).unwrap();
        let bit = choose(trial, bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        // A table file is a hard link to that of the original store.
        fs::remove_file(path.join(name)).unwrap();
        fs::write(path.join(name), bytes).unwrap();
        let mut outcome = Outcome::default();
        continue_after_fault(&joined_log, &path, &mut outcome, &format!("bit {bit} of {name}"));
        fs::remove_dir_all(&parent).unwrap();
        let mut total = total.lock().unwrap();
        total.unchanged += outcome.unchanged;
        total.earlier += outcome.earlier;
        total.rebuilt += outcome.rebuilt;
    });
    total.into_inner().unwrap()
}

/// Flips random bits in this kind of file, a fifth of all faults.
fn flip_some(kind: &str, is_selected: impl Fn(&str) -> bool) -> Outcome {
    let trials = number("ALERTTRAIL_TEST_FAULTS", 100).div_ceil(5);
    let seed = number("SEED", 11);
    let outcome = flip(trials, is_selected, |trial, bits| {
        Random::new((seed * 100_000 + trial) as u64).below(bits)
    });
    eprintln!("{kind}: {outcome:?}");
    outcome
}

#[test]
fn b2_flipped_bits_in_table_files() {
    let outcome = flip_some("tables", |name| name.ends_with(".sst"));
    assert!(outcome.rebuilt > 0 && outcome.earlier == 0, "{outcome:?}");
}

#[test]
fn b2_flipped_bits_in_the_manifest() {
    let outcome = flip_some("MANIFEST", |name| name.starts_with("MANIFEST"));
    assert!(outcome.rebuilt > 0 && outcome.earlier + outcome.unchanged == 0, "{outcome:?}");
}

#[test]
fn b2_flipped_bits_in_current() {
    let outcome = flip_some("CURRENT", |name| name == "CURRENT");
    assert!(outcome.rebuilt > 0 && outcome.earlier == 0, "{outcome:?}");
}

#[test]
fn b2_flipped_bits_in_options() {
    let outcome = flip_some("OPTIONS", |name| name.starts_with("OPTIONS"));
    assert!(outcome.rebuilt + outcome.earlier == 0, "{outcome:?}");
}

#[test]
fn b2_missing_and_cut_files() {
    let joined_log = JoinedLog::new(5, 500, 120);
    let folder = folder();
    let store_path = folder.path().join("store");
    create_store(&joined_log, &store_path);
    let names = files(&store_path, |name| {
        name.ends_with(".sst") || name.starts_with("MANIFEST") || name == "CURRENT" || name == "FORMAT" || name == "ORIGIN"
    });
    let mut rebuilt = BTreeMap::new();
    for name in &names {
        for cut in [None, Some(0), Some(1), Some(5)] {
            let parent = tempfile::tempdir_in(folder.path()).unwrap();
            let path = parent.path().join("0");
            copy(&store_path, &path);
            let bytes = fs::read(path.join(name)).unwrap();
            fs::remove_file(path.join(name)).unwrap();
            if let Some(cut) = cut {
                // `cut` bytes are removed from the end; 0 removes everything.
                let length = if cut == 0 { 0 } else { bytes.len().saturating_sub(cut) };
                fs::write(path.join(name), &bytes[..length]).unwrap();
            }
            let mut outcome = Outcome::default();
            continue_after_fault(&joined_log, &path, &mut outcome, &format!("{name} cut by {cut:?}"));
            *rebuilt.entry(name).or_insert(0) += outcome.rebuilt;
        }
    }
    for (name, rebuilt) in rebuilt {
        let sure = name.ends_with(".sst") || name == "CURRENT";
        assert!(rebuilt == 4 || !sure, "{name}: rebuilt {rebuilt} times of 4");
    }
}

/// RocksDB cannot detect a value that is intact but wrong.
#[test]
fn b2_a_wrong_position_is_detected() {
    let joined_log = JoinedLog::new(5, 100, 50);
    let folder = folder();
    let path = folder.path().join("0");
    fill(&joined_log, &path, &[], 50);
    {
        let mut options = rocksdb::Options::default();
        options.set_atomic_flush(true);
        let names = Table::ALL.map(Table::name);
        let db = rocksdb::DB::open_cf(&options, &path, names).unwrap();
        let meta = db.cf_handle("meta").unwrap();
        let mut value = db.get_cf(meta, keys::PROGRESS).unwrap().unwrap();
        // The position is 50, encoded as a signed number of postcard.
        assert_eq!(value[1], 100);
        value[1] = 80;
        db.put_cf(meta, keys::PROGRESS, value).unwrap();
    }
    let backend = open(&path).unwrap();
    let error = Joiner::open(&backend, None).unwrap_err();
    assert!(error.is_corruption(), "{error}");
    drop(backend);
    // The damage is recorded for the next start.
    let error = open(&path).err().unwrap();
    assert!(
        matches!(&error, Error::Corrupt { cause, .. } if cause.contains("earlier run")),
        "{error}"
    );
}

/// The caller of the join reports the damage that the join finds.
#[test]
fn a_store_marked_as_corrupt_is_rebuilt() {
    let folder = folder();
    let path = folder.path().join("0");
    let mut backend = open_partition(&path).unwrap();
    let mut txn = Txn::new(&backend);
    txn.put(Table::Alerts, vec![1], vec![2]);
    let batch = txn.into_batch();
    backend.write(batch).unwrap();
    backend.mark_corrupt(&Error::Damaged { what: "alert" });
    drop(backend);
    let backend = open_partition(&path).unwrap();
    assert_eq!(backend.get(Table::Alerts, &[1]).unwrap(), None);
    assert!(folder.path().join("0.damaged-1/DAMAGED").exists());
}

#[test]
fn b10_the_folder_of_another_repartition_topic() {
    let folder = folder();
    let store = folder.path().join("0");
    drop(open_partition(&store).unwrap());
    let here = origin();
    let others = [
        LogOrigin {
            partition: 1,
            ..here.clone()
        },
        LogOrigin {
            topic: "u".to_owned(),
            ..here.clone()
        },
        LogOrigin {
            application: "b".to_owned(),
            ..here
        },
    ];
    for other in others {
        let copied = folder.path().join("copied");
        copy(&store, &copied);
        let error = other.claim(&copied).unwrap_err();
        assert!(!error.is_corruption());
        assert_eq!(
            error.to_string(),
            format!(
                "the store at {} was made from partition 0 of topic t for application.id a, and this is {other}; put back the folder that \
                 belongs here, or remove it: it is rebuilt from the repartition topic",
                copied.display()
            )
        );
        // The copy is still intact for its own partition.
        drop(open_partition(&copied).unwrap());
        assert!(!folder.path().join("copied.damaged-1").exists());
        fs::remove_dir_all(&copied).unwrap();
    }
}
