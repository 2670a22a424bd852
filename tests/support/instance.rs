//! The program as a process that tests start, stop and kill.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::{TIMEOUT, program};

/// A running processor. It is killed when the test ends.
pub(crate) struct Instance {
    child: Child,
    log: PathBuf,
}

impl Instance {
    /// Starts a processor with these environment variables.
    pub(crate) fn start_with(config: &Path, log: &Path, environment: &[(&str, &str)]) -> Self {
        Self::start_as(Path::new(program()), config, log, environment)
    }

    /// Starts this program as a processor.
    pub(super) fn start_as(program: &Path, config: &Path, log: &Path, environment: &[(&str, &str)]) -> Self {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        let child = Command::new(program)
            .arg("run")
            .arg("--config")
            .arg(config)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .unwrap();
        Self {
            child,
            log: log.to_owned(),
        }
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    pub(crate) fn assert_runs(&mut self) {
        if let Some(status) = self.child.try_wait().unwrap() {
            panic!("the processor ended with {status}:\n{}", self.log());
        }
    }

    /// Kills the process with SIGKILL, like a crash.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Returns the maximum memory that the process has used, in MiB.
    pub(crate) fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name, such as `STOP`.
    pub(crate) fn signal(&self, name: &str) {
        let name = format!("-{name}");
        let sent = Command::new("kill").args([&name, &self.pid().to_string()]).status();
        assert!(sent.unwrap().success());
    }

    /// Waits for the process to end by itself. Returns its exit status, or `None` if it still runs after this time.
    pub(crate) fn ended_within(&mut self, timeout: Duration) -> Option<ExitStatus> {
        let began = Instant::now();
        loop {
            let ended = self.child.try_wait().unwrap();
            if ended.is_some() || began.elapsed() > timeout {
                return ended;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until its log contains this text.
    pub(crate) fn wait_for_log(&mut self, text: &str) {
        let began = Instant::now();
        while !self.log().contains(text) {
            self.assert_runs();
            assert!(
                began.elapsed() < TIMEOUT,
                "its log does not contain {text:?}:\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until the process ends by itself. Returns its exit status and its log.
    pub(crate) fn wait_for_end(mut self) -> (ExitStatus, String) {
        let ended = self.ended_within(TIMEOUT);
        (
            ended.unwrap_or_else(|| panic!("the processor does not end:\n{}", self.log())),
            self.log(),
        )
    }

    /// Sends SIGTERM. Returns the exit status and how long the process took to end.
    pub(crate) fn terminate(mut self) -> (ExitStatus, Duration) {
        let began = Instant::now();
        self.signal("TERM");
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status, began.elapsed());
            }
            assert!(
                began.elapsed() < TIMEOUT,
                "SIGTERM does not end the processor:\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
