//! The cases that the worlds of a run met. A simulation that never meets a case proves nothing about it.

use std::collections::BTreeMap;

/// How often each case was met.
#[derive(Default, Clone)]
pub(crate) struct Hits(BTreeMap<&'static str, u64>);

impl Hits {
    pub(crate) fn hit(&mut self, case: &'static str) {
        self.add(case, 1);
    }

    pub(crate) fn add(&mut self, case: &'static str, count: u64) {
        *self.0.entry(case).or_default() += count;
    }

    /// Returns the cases of [`CASES`] that were not met.
    pub(crate) fn missing(&self) -> Vec<&'static str> {
        CASES.iter().copied().filter(|case| !self.0.contains_key(case)).collect()
    }
}

impl std::fmt::Display for Hits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (case, count) in &self.0 {
            writeln!(f, "{count:>9}  {case}")?;
        }
        Ok(())
    }
}

/// The cases that a run over all seeds must meet.
const CASES: [&str; 98] = [
    "close: by the watermark",
    "close: by the clock",
    "close: by max_wait",
    "close: at the end of input",
    "close: with a match",
    "close: without a match",
    "close: of an empty window",
    "alert: late",
    "alert: older version after a newer one",
    "alert: same version again",
    "alert: tie of TimeGenerated",
    "alert: expired",
    "alert: without a key",
    "alert: forgotten",
    "alert: back after it was forgotten",
    "update: before the close",
    "update: after the close, no row changes",
    "update: after the close, rows are added",
    "update: after the close, rows are removed",
    "update: after the close, kept rows are emitted again",
    "update: key moves within the partition",
    "update: key moves away",
    "update: key of a closed alert comes from another partition",
    "update: key comes back",
    "link: alert without a key",
    "link: alert with several keys in a partition",
    "link: activity that the query does not find",
    "link: activity with keys in several partitions",
    "link: activity with several keys in a partition",
    "link: after the close, one of several keys is gained",
    "link: after the close, one of several keys is lost",
    "link: after the close, keys are gained and lost at once",
    "link: after the close, the first key is gained",
    "link: after the close, the last key is lost",
    "link: activity expired, and kept for another link",
    "link: alert expired, and read by another link",
    "link: activity dropped from state before the others",
    "activity: late",
    "activity: late for several alerts",
    "activity: again",
    "activity: expired",
    "activity: future, does not move the watermark",
    "activity: dropped from state",
    "revision: for late activities",
    "watermark: goes by the clock",
    "watermark: waits for a partition",
    "watermark: partition added",
    "watermark: lease of idleness runs out",
    "route: crash loses pending records",
    "route: crash in a turn",
    "route: crash while it takes partitions over",
    "route: crash while it gives partitions up",
    "route: crash while it ends",
    "route: routed again",
    "route: partition moves",
    "route: revoked with pending records",
    "route: stops before everything is acknowledged",
    "route: stops with everything acknowledged",
    "route: an effect fails",
    "route: a commit is refused",
    "join: resumed within the outputs of a record",
    "log: gap in the offsets",
    "crash: before it is open",
    "crash: after apply",
    "crash: while sending",
    "crash: after sending",
    "crash: before the transaction's commit",
    "crash: after the transaction's commit",
    "crash: before the note",
    "crash: before the write",
    "crash: after the write",
    "store: lost",
    "open: the note is ahead of the group",
    "store: its last writes are lost",
    "store: an old one is found",
    "open: the store is behind the emitted outputs",
    "open: the store is ahead of what is being sent again",
    "open: without a store, everything is replayed",
    "open: emitted outputs are suppressed",
    "open: the emitted outputs end within a record",
    "task: passes the partition on",
    "task: gets a new producer",
    "task: gets its partition again",
    "task: abandons its effect",
    "two tasks: one is frozen",
    "two tasks: the old one sends",
    "two tasks: the old one dies",
    "refused: fenced",
    "refused: the generation is old",
    "send: never arrives",
    "send: refused, and sent again after others",
    "send: the acknowledgement is lost",
    "commit: a position without outputs",
    "commit: never arrives",
    "commit: the outcome is unknown",
    "transaction: aborted by the next producer",
    "transaction: takes too long",
    "group: forgets its position",
];
