//! A broker that only the fault tests use, with the proxy in front of it, so that faults do not disturb other tests.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::proxy::{Proxy, Rules};
use crate::support::{World, broker};

static TEST_BROKER: Mutex<Option<TestBroker>> = Mutex::new(None);

/// The broker that tests may break.
pub(crate) struct TestBroker {
    data: PathBuf,
    pub(crate) proxy: Proxy,
    address: String,
}

/// Locks the broker while a test uses it.
pub(crate) struct TestBrokerGuard(MutexGuard<'static, Option<TestBroker>>);

impl std::ops::Deref for TestBrokerGuard {
    type Target = TestBroker;

    fn deref(&self) -> &TestBroker {
        self.0.as_ref().unwrap()
    }
}

impl Drop for TestBrokerGuard {
    fn drop(&mut self) {
        self.proxy.rule(Rules::default());
        if std::thread::panicking() {
            // The broker's log may show the cause of the failure.
            let log = std::fs::read_to_string(self.data.join("server.log")).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            println!(
                "the end of the broker's log:\n{}",
                lines[lines.len().saturating_sub(40)..].join("\n")
            );
        }
    }
}

/// Returns the test broker, for one test at a time, or `None` if tests that need a broker are skipped.
pub(crate) fn test_broker() -> Option<TestBrokerGuard> {
    broker()?;
    let mut test_broker = TEST_BROKER.lock().unwrap_or_else(PoisonError::into_inner);
    match test_broker.as_ref() {
        None => *test_broker = Some(TestBroker::new()),
        // The previous test may have failed while the broker was stopped or down.
        Some(test_broker) => {
            test_broker.signal("CONT");
            test_broker.up();
        }
    }
    Some(TestBrokerGuard(test_broker))
}

impl TestBroker {
    fn new() -> Self {
        let mut test_broker = Self {
            data: std::env::temp_dir().join(format!("alerttrail-faults-{}", std::process::id())),
            proxy: Proxy::listen(),
            address: String::new(),
        };
        test_broker.up();
        let read = |name: &str| {
            std::fs::read_to_string(test_broker.data.join(name))
                .unwrap()
                .trim()
                .to_owned()
        };
        let (address, target) = (read("address"), read("address-proxied"));
        test_broker.address = address;
        test_broker.proxy.forward_to(target.parse().unwrap());
        test_broker
    }

    /// Returns a world with topics on this broker; its processor connects through the proxy.
    pub(crate) fn world(&self, name: &str) -> World {
        let mut world = World::on(&self.address, name);
        world.served = self.proxy.address.to_string();
        world
    }

    /// Starts the broker if it is not up, with its previous topics and addresses.
    pub(crate) fn up(&self) {
        let status = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/broker"))
            .args(["up", "--owner", &std::process::id().to_string(), "--data"])
            .arg(&self.data)
            .args(["--advertise", &self.proxy.address.to_string()])
            .env("ALERTTRAIL_BROKER_HEAP", "400m")
            .stdout(std::process::Stdio::null())
            .status();
        assert!(status.unwrap().success());
    }

    /// Returns whether the broker has recorded a transaction as complete without its end in some partitions. It then
    /// returns no position for them, or readers of committed records wait there (docs/operations.md).
    pub(crate) fn has_lost_transactions(&self) -> bool {
        let log = std::fs::read_to_string(self.data.join("server.log")).unwrap_or_default();
        log.contains("these partitions are likely deleted already and hence can be skipped")
    }

    /// Kills the broker with SIGKILL.
    pub(crate) fn kill(&self) {
        assert!(self.signal("KILL"), "the broker does not run");
        while self.signal("0") {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }

    /// Sends a signal by its name. Returns whether the broker runs.
    pub(crate) fn signal(&self, name: &str) -> bool {
        let pid = std::fs::read_to_string(self.data.join("pid")).unwrap_or_default();
        let sent = Command::new("kill")
            .args([&format!("-{name}"), pid.trim()])
            .stderr(std::process::Stdio::null())
            .status();
        !pid.is_empty() && sent.unwrap().success()
    }
}
