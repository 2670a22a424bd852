//! What a running instance lets others look at. Never a source of truth: the stages put things here and take nothing from it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use crate::pulse::Pulse;

/// What others may look at.
#[derive(Default)]
pub struct Exposed {
    /// The state of the partitions that are joined here.
    pub readers: crate::store::Readers,
    ends: Mutex<BTreeMap<(String, i32), i64>>,
    instance: OnceLock<String>,
    pulses: Mutex<BTreeMap<&'static str, Pulse>>,
    members: Mutex<Vec<Member>>,
}

/// An instance that joins partitions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    /// Its id.
    pub instance: String,
    /// Where its API is, as `host:port`.
    pub address: Option<String>,
    /// The partitions of the repartition topic that it owns.
    pub partitions: Vec<u32>,
}

impl Exposed {
    /// The id of this instance; empty before its folder is opened.
    pub fn instance(&self) -> &str {
        self.instance.get().map_or("", String::as_str)
    }

    /// The pulse of a stage that runs here.
    pub fn pulse(&self, stage: &'static str) -> Pulse {
        let mut pulses = self.pulses.lock().unwrap_or_else(PoisonError::into_inner);
        pulses.entry(stage).or_default().clone()
    }

    /// The stage that has not moved for longest, and for how long; `None` before any was started.
    pub fn most_silent(&self) -> Option<(&'static str, Duration)> {
        let pulses = self.pulses.lock().unwrap_or_else(PoisonError::into_inner);
        let silences = pulses.iter().map(|(stage, pulse)| (*stage, pulse.silence()));
        silences.max_by_key(|(_, silence)| *silence)
    }

    /// Where partitions ended when that was last asked, by topic and partition.
    pub fn ends(&self) -> BTreeMap<(String, i32), i64> {
        self.lock().clone()
    }

    /// The instances of the group, as the broker last told of them; this one may be among them.
    pub fn members(&self) -> Vec<Member> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The broker has told of these.
    pub fn are(&self, members: Vec<Member>) {
        *self.members.lock().unwrap_or_else(PoisonError::into_inner) = members;
    }

    /// This instance has this id.
    pub fn is(&self, instance: &str) {
        // The first folder is the only one.
        drop(self.instance.set(instance.to_owned()));
    }

    /// A partition ended here when that was asked.
    pub fn ended_at(&self, topic: &str, partition: i32, end: i64) {
        self.lock().insert((topic.to_owned(), partition), end);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(String, i32), i64>> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
