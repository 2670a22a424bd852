//! The folder with all state: who owns it, and the errors if it cannot be used.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use alerttrail::store::{Error, StateDir, set_aside};

use super::util::{Tmpfs, rerun_test};

/// The variable that gives a child of this test binary the folder to open.
const FOLDER: &str = "ALERTTRAIL_TEST_FOLDER";

/// Returns the error of opening `path`, and asserts that it names the setting and is one line.
fn refusal(path: &Path) -> String {
    let text = StateDir::open(path).expect_err("it was opened").to_string();
    assert!(text.contains("state.dir") && !text.contains('\n'), "{text}");
    assert!(text.contains(&path.display().to_string()), "{text}");
    text
}

#[test]
fn the_folder_keeps_its_id() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("not/there/yet");
    let open = || StateDir::open(&path).unwrap();
    let id = open().instance_id().to_owned();
    assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
    assert_eq!(open().instance_id(), id);
    assert_eq!(open().partition(7), path.join("7"));
    assert_ne!(StateDir::open(folder.path()).unwrap().instance_id(), id);
    for damaged in [&b""[..], b"short\n", &[0; 32], &[0xff; 32], "Z".repeat(32).as_bytes()] {
        fs::write(path.join("instance-id"), damaged).unwrap();
        let replaced = open().instance_id().to_owned();
        assert_ne!(replaced.as_bytes(), damaged);
        assert_eq!(replaced.len(), 32);
        assert_eq!(open().instance_id(), replaced);
    }
}

#[test]
fn the_folder_notes_how_many_partitions_the_output_topics_have() {
    let folder = tempfile::tempdir().unwrap();
    let dir = StateDir::open(folder.path()).unwrap();
    assert!(dir.outputs().is_empty());
    dir.note_outputs([("rows", 3), ("summaries", 1)]).unwrap();
    dir.note_outputs([("rows", 5)]).unwrap();
    let noted: Vec<_> = dir.outputs().into_iter().collect();
    assert_eq!(noted, [("rows".to_owned(), 5)], "the last note counts");
    for damaged in [&b""[..], b"rows\n", b"rows x\n", &[0xff; 9]] {
        fs::write(folder.path().join("outputs"), damaged).unwrap();
        assert!(dir.outputs().is_empty(), "{damaged:?}");
    }
}

#[test]
fn b4_not_a_directory() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "mine").unwrap();
    assert!(refusal(&file).contains("is not a directory"));
    assert!(refusal(&file.join("below")).contains("is not a directory"));
    assert_eq!(fs::read(&file).unwrap(), b"mine");
}

#[test]
fn b4_read_only() {
    let Some(disk) = Tmpfs::mount("size=1m") else { return };
    let path = disk.path().join("data");
    drop(StateDir::open(&path).unwrap());
    disk.remount("ro");
    assert!(refusal(&path).contains("read-only"));
    let other = disk.path().join("other");
    assert!(refusal(&other).contains("read-only"));
    disk.remount("rw");
    assert!(!other.exists());
    StateDir::open(&path).unwrap();
}

#[test]
fn b4_full_at_the_start() {
    let Some(disk) = Tmpfs::mount("size=64k") else { return };
    let ballast = disk.path().join("ballast");
    let full = fs::write(&ballast, vec![0; 1 << 20]).unwrap_err();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    let path = disk.path().join("data");
    assert!(refusal(&path).contains("no space is left"));
    fs::remove_file(&ballast).unwrap();
    StateDir::open(&path).unwrap();
}

#[test]
#[cfg(unix)]
fn b4_of_another_user() {
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::process::CommandExt as _;
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o555)).unwrap();
    let mut child = rerun_test("storage::dir::opens_the_folder_of_the_environment", FOLDER, folder.path());
    // Permissions do not restrict root.
    if fs::write(folder.path().join("probe"), "").is_ok() {
        child.uid(65_534).gid(65_534);
    }
    let output = child.output();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let output = match output {
        Ok(output) => output,
        Err(error) => return eprintln!("SKIPPED: another user may not run this program: {error}"),
    };
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("permission denied; let the user"), "{text}");
}

/// Not a test of its own: child processes of the other tests run it.
#[test]
fn opens_the_folder_of_the_environment() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    match StateDir::open(Path::new(&folder)) {
        Ok(_open) => {
            println!("\nopened");
            // Stays open until the parent closes standard input or kills this process.
            std::io::stdin().lines().for_each(drop);
        }
        Err(error) => println!("\nrefused: {error}"),
    }
}

#[test]
fn b8_the_same_process_twice() {
    let folder = tempfile::tempdir().unwrap();
    let first = StateDir::open(folder.path()).unwrap();
    let error = refusal(folder.path());
    assert!(
        error.contains(&format!("is in use by process {}", std::process::id())),
        "{error}"
    );
    drop(first);
    StateDir::open(folder.path()).unwrap();
}

#[test]
fn b8_a_second_process() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = rerun_test("storage::dir::opens_the_folder_of_the_environment", FOLDER, folder.path())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "opened"));
    let in_use = format!(
        "{} is in use by process {}; give each instance on one machine a state.dir of its own",
        folder.path().display(),
        child.id()
    );
    assert_eq!(refusal(folder.path()), in_use);
    // The lock is not a file that remains: it ends with the process, even if that is killed.
    child.kill().unwrap();
    child.wait().unwrap();
    StateDir::open(folder.path()).unwrap();
}

#[test]
fn stores_that_are_set_aside_are_kept_and_numbered() {
    let folder = tempfile::tempdir().unwrap();
    let dir = StateDir::open(folder.path()).unwrap();
    let partition = dir.partition(3);
    for number in 1..=3 {
        fs::create_dir(&partition).unwrap();
        fs::write(partition.join("content"), number.to_string()).unwrap();
        let copy = set_aside(&partition).unwrap();
        assert_eq!(copy, folder.path().join(format!("3.damaged-{number}")));
        assert_eq!(fs::read_to_string(copy.join("content")).unwrap(), number.to_string());
        assert!(!partition.exists());
    }
    fs::create_dir(&partition).unwrap();
    let error = set_aside(&partition).unwrap_err();
    assert!(matches!(error, Error::DamagedAgain { kept: 3, .. }), "{error}");
    assert!(!error.is_corruption());
    assert!(partition.exists());
    fs::remove_dir_all(folder.path().join("3.damaged-2")).unwrap();
    assert!(set_aside(&partition).unwrap().ends_with("3.damaged-2"));
}
