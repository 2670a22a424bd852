//! How a partition of the log is worked off: in which steps, by how many processes, and what befalls them.

use alerttrail::join::{Delivery, Limit};

use crate::faults::Fault;
use crate::rng::Rng;

/// What may befall the processes of a partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Storm {
    /// The owner dies: the end of what it wrote is lost.
    Kill,
    /// The owner dies with its machine: what it noted of its output may be lost, too.
    PowerLoss,
    /// The owner dies, and its disk with it.
    DiskLoss,
    /// The owner stands still and is taken for dead: there are two from now on.
    Freeze,
    /// The owner ends what it is at, and another process takes over.
    Move,
    /// A process that stands still dies.
    KillFrozen,
    /// The owner's producer fails for good: it goes on with a new one.
    ProducerLost,
    /// The broker aborts a transaction that takes too long.
    TimeOut,
    /// The group forgets its position.
    GroupForgets,
    /// The group assigns the partition to its owner again.
    Reassign,
    /// The owner gives up what it does and starts over, as in a shutdown.
    Abandon,
}

const STORMS: [Storm; 11] = [
    Storm::Kill,
    Storm::PowerLoss,
    Storm::DiskLoss,
    Storm::Freeze,
    Storm::Move,
    Storm::KillFrozen,
    Storm::ProducerLost,
    Storm::TimeOut,
    Storm::GroupForgets,
    Storm::Reassign,
    Storm::Abandon,
];

/// Where an owner cuts the log into slices: no two need to do it alike.
#[derive(Clone, Copy)]
pub(crate) struct Cut {
    pub(crate) limit: Limit,
    /// Records in a batch.
    pub(crate) batch: usize,
}

impl Cut {
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        Self {
            limit: Limit {
                outputs: *rng.pick(&[1, 1, 2, 3, 7, 2_000]),
                bytes: *rng.pick(&[1, 500, 8 << 20, 8 << 20, 8 << 20]),
            },
            batch: *rng.pick(&[1, 2, 5, 20, 1_000]),
        }
    }

    /// All that is there at once.
    pub(crate) fn none() -> Self {
        Self {
            limit: Limit::default(),
            batch: usize::MAX,
        }
    }
}

/// How a partition is worked off.
pub(crate) struct Plan {
    pub(crate) delivery: Delivery,
    pub(crate) processes: usize,
    /// Storms in all, at the most.
    pub(crate) storms: usize,
    /// What they can be; not everything goes wrong in every world, or some of it would hide the rest.
    pub(crate) kinds: Vec<Storm>,
    /// How many of a hundred sends and commits get no answer.
    pub(crate) unanswered: u64,
    /// Whether a slice without outputs commits its position, when outputs and position go together.
    pub(crate) commits_silence: bool,
    pub(crate) fault: Option<Fault>,
}

impl Plan {
    pub(crate) fn draw(delivery: Delivery, rng: &mut Rng, fault: Option<Fault>) -> Self {
        let mut kinds: Vec<Storm> = STORMS.into_iter().filter(|_| rng.percent(50)).collect();
        if kinds.is_empty() {
            kinds.push(Storm::Kill);
        }
        Self {
            delivery,
            processes: *rng.pick(&[1, 2, 3, 3]),
            storms: *rng.pick(&[0, 1, 5, 20]),
            kinds,
            unanswered: *rng.pick(&[0, 0, 10, 30]),
            commits_silence: rng.percent(50),
            fault,
        }
    }

    /// Nothing happens.
    pub(crate) fn calm(fault: Option<Fault>) -> Self {
        Self {
            delivery: Delivery::AtLeastOnce,
            processes: 1,
            storms: 0,
            kinds: Vec::new(),
            unanswered: 0,
            commits_silence: false,
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
