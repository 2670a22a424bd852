//! Disks without space and processes without file descriptors: the work stops with a readable error, and continues from
//! the state on disk.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::Path;

use alerttrail::store::{Backend, Error, Reads as _, Shared, State, Table, Txn};

use super::joined_log::JoinedLog;
use super::util::{Tmpfs, rerun_test, rerun_test_under};

/// The variable that gives a child of this test binary the folder for its stores.
const FOLDER: &str = "ALERTTRAIL_TEST_STORES";
/// The variables that give it the disk to fill, and what to fill it with: bytes or files.
const DISK: &str = "ALERTTRAIL_TEST_FULL_DISK";
const KIND: &str = "ALERTTRAIL_TEST_FULL_OF";

/// Opens a store with so little memory that tables are written often.
fn open(path: &Path) -> Result<State, Error> {
    State::open(path, &Shared::new(1 << 20))
}

/// Fills the disk while a child writes to a store there, and frees space again.
fn full_disk(options: &str, kind: &str) {
    let Some(disk) = Tmpfs::mount(options) else { return };
    let mut child = rerun_test("storage::limits::writes_until_the_disk_is_full", DISK, disk.path());
    let output = child.env(KIND, kind).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    eprintln!("{text}");
    fs::remove_dir_all(disk.path().join("ballast")).unwrap();
    let position = full_disk_log()
        .continue_to_end(&mut open(&disk.path().join("store")).unwrap())
        .unwrap();
    assert!(position > 0, "nothing had reached the disk");
}

fn full_disk_log() -> JoinedLog {
    JoinedLog::new(4, 600, 8 << 10)
}

/// Not a test of its own: a child process of another test runs it. It ends although nothing more can be written.
#[test]
fn writes_until_the_disk_is_full() {
    let Some(disk) = std::env::var_os(DISK) else { return };
    let (store, ballast) = (Path::new(&disk).join("store"), Path::new(&disk).join("ballast"));
    let joined_log = full_disk_log();
    let mut backend = open(&store).unwrap();
    let mut acknowledged = 200;
    joined_log.apply(&mut backend, acknowledged).unwrap();
    fs::create_dir(&ballast).unwrap();
    match std::env::var(KIND).unwrap().as_str() {
        "bytes" => {
            let mut file = File::create(ballast.join("bytes")).unwrap();
            let full = loop {
                if let Err(full) = file.write_all(&[1; 4096]) {
                    break full;
                }
            };
            assert_eq!(full.kind(), ErrorKind::StorageFull);
        }
        _ => {
            let full = (0..300).find_map(|number| File::create(ballast.join(number.to_string())).err());
            assert_eq!(full.unwrap().kind(), ErrorKind::StorageFull);
        }
    }
    let error = loop {
        assert!(acknowledged < joined_log.len(), "the disk was not full");
        match joined_log.apply(&mut backend, acknowledged + 5) {
            Ok(_) => acknowledged += 5,
            Err(error) => break error,
        }
    };
    assert_eq!(
        error.to_string(),
        format!(
            "no space is left for the store at {}; free some there and start again, nothing was lost",
            store.display()
        )
    );
    println!("\nacknowledged {acknowledged}");
}

#[test]
fn b3_a_full_disk() {
    full_disk("size=24m", "bytes");
}

#[test]
fn b12_no_more_files_on_the_disk() {
    full_disk("size=64m,nr_inodes=200", "inodes");
}

#[test]
fn b4_a_read_only_store() {
    let Some(disk) = Tmpfs::mount("size=64m") else { return };
    let joined_log = JoinedLog::new(4, 100, 100);
    let store = disk.path().join("store");
    joined_log.apply(&mut open(&store).unwrap(), 50).unwrap();
    disk.remount("ro");
    let error = open(&store).err().unwrap();
    assert!(!error.is_corruption(), "{error}");
    assert!(error.to_string().contains("Read-only file system"), "{error}");
    disk.remount("rw");
    assert_eq!(joined_log.continue_to_end(&mut open(&store).unwrap()).unwrap(), 50);
}

fn write(backend: &mut State, key: u8) -> Result<(), Error> {
    let mut txn = Txn::new(backend);
    txn.put(Table::Alerts, vec![key], vec![key; 10]);
    let batch = txn.into_batch();
    backend.write(batch)
}

#[test]
fn b11_no_more_files_for_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let limited = ["prlimit", "--nofile=100"];
    let child = rerun_test_under(
        &limited,
        "storage::limits::opens_stores_until_it_cannot",
        FOLDER,
        folder.path(),
    )
    .output();
    let output = match child {
        Ok(output) => output,
        Err(error) => return eprintln!("SKIPPED: prlimit is needed: {error}"),
    };
    let text = String::from_utf8(output.stdout).unwrap();
    let refused = text
        .lines()
        .find_map(|line| line.strip_prefix("refused: "))
        .unwrap_or_else(|| panic!("{text}"));
    assert!(
        refused.contains("cannot open another file") && refused.contains("ulimit -n"),
        "{refused}"
    );
    let written = text.lines().filter(|line| line.starts_with("written")).count();
    assert!((2..64).contains(&written), "{text}");
    for partition in 0..64u8 {
        let backend = open(&folder.path().join(partition.to_string())).unwrap();
        let value = backend.get(Table::Alerts, &[partition]).unwrap();
        // The child ended normally, and flushed to the disk what it could.
        assert!(value.is_none() || usize::from(partition) < written, "{partition}");
    }
}

/// Not a test of its own: a child process of another test runs it.
#[test]
fn opens_stores_until_it_cannot() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let mut backends = Vec::new();
    println!();
    for partition in 0..64u8 {
        let opened = open(&Path::new(&folder).join(partition.to_string()));
        match opened.and_then(|mut backend| write(&mut backend, partition).map(|()| backend)) {
            Ok(backend) => backends.push(backend),
            Err(error) => {
                println!("refused: {error}");
                return;
            }
        }
        println!("written {partition}");
    }
}
