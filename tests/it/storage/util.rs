//! Small file systems, child processes, and text.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

/// A file system in memory, mounted until it is dropped.
pub(super) struct Tmpfs(tempfile::TempDir);

impl Tmpfs {
    /// Mounts a file system. Returns `None` and prints the reason if the tests may not mount.
    pub(super) fn mount(options: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(folder.path());
        match mount.output() {
            Ok(output) if output.status.success() => Some(Self(folder)),
            output => {
                eprintln!("SKIPPED: a file system in memory is needed, and this user may not mount one: {output:?}");
                None
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(super) fn remount(&self, options: &str) {
        let remount = format!("remount,{options}");
        let mounted = Command::new("mount").args(["-o", &remount]).arg(self.path()).status();
        assert!(mounted.unwrap().success());
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // Unmounts lazily, because a failed test may still have files open there.
        drop(Command::new("umount").arg("-l").arg(self.path()).status());
    }
}

/// Returns a command that runs one test of this test binary, which reads its task from the environment variable `name`.
pub(super) fn rerun_test(test: &str, name: &str, value: impl AsRef<OsStr>) -> Command {
    wrapped(Command::new(std::env::current_exe().unwrap()), test, name, value)
}

/// Returns the same command, run by `wrapper`, a program with its arguments.
pub(super) fn rerun_test_under(wrapper: &[&str], test: &str, name: &str, value: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(wrapper[0]);
    command.args(&wrapper[1..]).arg(std::env::current_exe().unwrap());
    wrapped(command, test, name, value)
}

fn wrapped(mut command: Command, test: &str, name: &str, value: impl AsRef<OsStr>) -> Command {
    command
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(name, value);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}
