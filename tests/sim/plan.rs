//! How a partition of the log is joined: in which batches, by how many processes, and under which disruptions.

use alerttrail::join::{Delivery, Limit};

use crate::faults::Fault;
use crate::rng::Rng;

/// A disruption of the processes of a partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Disruption {
    /// The current task dies: its last writes are lost.
    Kill,
    /// The current task dies with its machine: its note of how far the output was sent may be lost, too.
    PowerLoss,
    /// The current task dies, and its disk with it.
    DiskLoss,
    /// The current task is frozen and its session expires: from now on there are two tasks.
    Freeze,
    /// The current task finishes its batch, and another process takes over.
    Move,
    /// A frozen process dies.
    KillFrozen,
    /// The current task's producer fails permanently: the task continues with a new one.
    ProducerLost,
    /// The broker aborts a transaction that takes too long.
    TimeOut,
    /// The group forgets its position.
    GroupForgets,
    /// The group assigns the partition to the current task again.
    Reassign,
    /// The current task abandons its effect and starts over, as in a shutdown.
    Abandon,
}

const DISRUPTIONS: [Disruption; 11] = [
    Disruption::Kill,
    Disruption::PowerLoss,
    Disruption::DiskLoss,
    Disruption::Freeze,
    Disruption::Move,
    Disruption::KillFrozen,
    Disruption::ProducerLost,
    Disruption::TimeOut,
    Disruption::GroupForgets,
    Disruption::Reassign,
    Disruption::Abandon,
];

/// How a partition task divides the log into batches: each may do it differently.
#[derive(Clone, Copy)]
pub(crate) struct BatchLimits {
    pub(crate) limit: Limit,
    /// The maximum number of records in a batch.
    pub(crate) batch: usize,
}

impl BatchLimits {
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        Self {
            limit: Limit {
                outputs: *rng.pick(&[1, 1, 2, 3, 7, 2_000]),
                bytes: *rng.pick(&[1, 500, 8 << 20, 8 << 20, 8 << 20]),
            },
            batch: *rng.pick(&[1, 2, 5, 20, 1_000]),
        }
    }

    /// Returns limits that put the whole log into one batch.
    pub(crate) fn unlimited() -> Self {
        Self {
            limit: Limit::default(),
            batch: usize::MAX,
        }
    }
}

/// How a partition is joined.
pub(crate) struct Plan {
    pub(crate) delivery: Delivery,
    pub(crate) processes: usize,
    /// The maximum number of disruptions.
    pub(crate) disruptions: usize,
    /// The kinds of disruptions: not all of them in every world, because some would hide others.
    pub(crate) kinds: Vec<Disruption>,
    /// The percentage of sends and commits that get no response.
    pub(crate) lost_responses: u64,
    /// Whether a batch without outputs commits its position, if outputs and position are committed together.
    pub(crate) commits_without_output: bool,
    pub(crate) fault: Option<Fault>,
}

impl Plan {
    pub(crate) fn draw(delivery: Delivery, rng: &mut Rng, fault: Option<Fault>) -> Self {
        let mut kinds: Vec<Disruption> = DISRUPTIONS.into_iter().filter(|_| rng.percent(50)).collect();
        if kinds.is_empty() {
            kinds.push(Disruption::Kill);
        }
        Self {
            delivery,
            processes: *rng.pick(&[1, 2, 3, 3]),
            disruptions: *rng.pick(&[0, 1, 5, 20]),
            kinds,
            lost_responses: *rng.pick(&[0, 0, 10, 30]),
            commits_without_output: rng.percent(50),
            fault,
        }
    }

    /// Returns a plan without disruptions.
    pub(crate) fn undisturbed(fault: Option<Fault>) -> Self {
        Self {
            delivery: Delivery::AtLeastOnce,
            processes: 1,
            disruptions: 0,
            kinds: Vec::new(),
            lost_responses: 0,
            commits_without_output: false,
            fault,
        }
    }

    pub(crate) fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    pub(crate) fn is_exactly_once(&self) -> bool {
        self.delivery == Delivery::ExactlyOnce
    }
}
