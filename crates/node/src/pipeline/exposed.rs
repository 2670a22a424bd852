//! The parts of a running instance that other threads may look at. They are never a source of truth: the stages write
//! them and do not read them.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use crate::heartbeat::Heartbeat;

/// A stage whose last heartbeat is older than this is stuck, and only a restart helps. Stages send heartbeats while
/// they wait, for example for a broker that is unavailable.
pub const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// What other threads may look at.
#[derive(Default)]
pub struct Exposed {
    /// The state of the partitions that are joined here.
    pub readers: crate::store::Readers,
    log_ends: Mutex<BTreeMap<(String, i32), i64>>,
    instance: OnceLock<String>,
    heartbeats: Mutex<BTreeMap<&'static str, Heartbeat>>,
    members: Mutex<Vec<Member>>,
}

/// An instance that joins partitions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    /// Its id.
    pub instance: String,
    /// The address of its API, as `host:port`.
    pub address: Option<String>,
    /// The partitions of the repartition topic that are assigned to it.
    pub partitions: Vec<u32>,
}

impl Exposed {
    /// Returns the id of this instance, or an empty string before its state directory is opened.
    pub fn instance(&self) -> &str {
        self.instance.get().map_or("", String::as_str)
    }

    /// Returns the heartbeat of a stage that runs here.
    pub fn heartbeat(&self, stage: &'static str) -> Heartbeat {
        let mut heartbeats = self.heartbeats.lock().unwrap_or_else(PoisonError::into_inner);
        heartbeats.entry(stage).or_default().clone()
    }

    /// Returns the stage whose last heartbeat is the oldest, and its age. Returns `None` before any stage has started.
    pub fn oldest_heartbeat(&self) -> Option<(&'static str, Duration)> {
        let heartbeats = self.heartbeats.lock().unwrap_or_else(PoisonError::into_inner);
        let ages = heartbeats.iter().map(|(stage, heartbeat)| (*stage, heartbeat.age()));
        ages.max_by_key(|(_, age)| *age)
    }

    /// Returns the log-end offsets that were last requested, by topic and partition.
    pub fn log_ends(&self) -> BTreeMap<(String, i32), i64> {
        self.lock().clone()
    }

    /// Returns the instances of the group, as the broker last reported them. They may include this one.
    pub fn members(&self) -> Vec<Member> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Stores the members that the broker reported.
    pub fn set_members(&self, members: Vec<Member>) {
        *self.members.lock().unwrap_or_else(PoisonError::into_inner) = members;
    }

    /// Stores the id of this instance.
    pub fn set_instance(&self, instance: &str) {
        // The first id stays: an instance opens one state directory only.
        drop(self.instance.set(instance.to_owned()));
    }

    /// Stores the log-end offset of a partition.
    pub fn set_log_end(&self, topic: &str, partition: i32, end: i64) {
        self.lock().insert((topic.to_owned(), partition), end);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(String, i32), i64>> {
        self.log_ends.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
