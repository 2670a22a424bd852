//! The partition tasks of one partition of the log, one after another and two at once, and the disruptions that they
//! meet.

use alerttrail::join::Effect;
use alerttrail::store::Memory;

use crate::Failure;
use crate::broker::Broker;
use crate::disk::Disk;
use crate::hits::Hits;
use crate::joining::{Delivered, Undisturbed, Work, check_state};
use crate::partition_task::{Continuation, Environment, PartitionTask};
use crate::plan::Disruption;
use crate::rng::Rng;
use crate::trace::Trace;

/// More effects than any partition takes.
const MAX_EFFECTS: usize = 200_000;

/// A partition that was joined under disruptions.
pub(crate) struct Disturbed {
    /// Everything in the output topic.
    pub(crate) topic: Vec<Delivered>,
    /// What a `read_committed` reader has seen, if delivery is exactly once.
    pub(crate) seen_once: Option<Vec<Delivered>>,
    /// Whether a record may be followed by an older one of the same id, so that readers must go by `seq`: a task whose
    /// session had expired has sent something, or a task was sending outputs again that the next one, whose store is
    /// further ahead, does not send.
    pub(crate) out_of_order: bool,
    /// Whether an output was refused for a while, and later ones were sent before it.
    pub(crate) reordered: bool,
    /// The disk of the process that reached the end of the log.
    pub(crate) disk: Disk,
}

/// Joins the log under disruptions. `foreign` is the state of another partition, which a planted fault uses.
pub(crate) fn run(
    work: &Work<'_>,
    undisturbed: &Undisturbed,
    foreign: Option<&Memory>,
    rng: &mut Rng,
    hits: &mut Hits,
    trace: &mut Trace,
) -> Result<Disturbed, Failure> {
    let plan = &work.plan;
    trace.note(|| format!("{:?}, disruptions {:?}", plan.delivery, plan.kinds));
    let mut broker = Broker::new(plan, undisturbed);
    let process = rng.below(plan.processes);
    let mut cluster = Cluster {
        work,
        current: PartitionTask::new(work, process, &mut broker, hits),
        broker,
        disks: (0..plan.processes).map(|_| Disk::new(plan.fault)).collect(),
        frozen: Vec::new(),
        disruptions: plan.disruptions,
        out_of_order: false,
        reordered: false,
        foreign,
        rng,
        hits,
        trace,
    };
    for _ in 0..MAX_EFFECTS {
        if cluster.turn()? {
            return cluster.end();
        }
    }
    Err(Failure::new("bounded", "it never reaches the end of the log".to_owned()))
}

struct Cluster<'r, 'a> {
    work: &'a Work<'a>,
    broker: Broker<'a>,
    /// By process.
    disks: Vec<Disk>,
    /// The task to which the group has assigned the partition.
    current: PartitionTask<'a>,
    /// The tasks that are frozen, and may continue at any time.
    frozen: Vec<PartitionTask<'a>>,
    /// The number of disruptions that are left.
    disruptions: usize,
    out_of_order: bool,
    reordered: bool,
    foreign: Option<&'r Memory>,
    rng: &'r mut Rng,
    hits: &'r mut Hits,
    trace: &'r mut Trace,
}

impl<'a> Cluster<'_, 'a> {
    /// Performs one effect or one disruption. Returns whether it was the last.
    fn turn(&mut self) -> Result<bool, Failure> {
        if self.rng.percent(10) {
            self.broker.poll();
        }
        // Most can go wrong while outputs are being sent.
        let odds = if self.current.delivers() { 35 } else { 4 };
        if self.disruptions > 0 && self.rng.percent(odds) {
            self.disruptions -= 1;
            let kinds = &self.work.plan.kinds;
            // A task that is frozen during its commit is the hardest to fence.
            let is_committing = self.current.next() == Effect::CommitTransaction && kinds.contains(&Disruption::Freeze);
            let disruption = match is_committing && self.rng.percent(50) {
                true => Disruption::Freeze,
                false => *self.rng.pick(kinds),
            };
            return self.disrupt(disruption).map(|()| false);
        }
        // Fencing protects against what the old task does while the new one opens.
        let odds = if self.current.is_open() { 30 } else { 60 };
        if !self.frozen.is_empty() && self.rng.percent(odds) {
            return self.resume_frozen().map(|()| false);
        }
        match self.act_as_member()? {
            Continuation::Next | Continuation::Restarts => Ok(false),
            Continuation::Lost => Err(Failure::new(
                "sound",
                "the current task is treated as if it had lost the partition".to_owned(),
            )),
            Continuation::Done if self.disruptions > 0 && self.rng.percent(50) => Ok(false),
            Continuation::Done => Ok(true),
        }
    }

    /// Performs one effect of the current task. If its producer fails, its process starts over.
    fn act_as_member(&mut self) -> Result<Continuation, Failure> {
        let continuation = self.act()?;
        if continuation == Continuation::Restarts {
            self.hits.hit("task: starts over in its process");
            self.restart();
        }
        Ok(continuation)
    }

    /// Drops the memory of the current task's process, which joins the group again.
    fn restart(&mut self) {
        let next = PartitionTask::new(self.work, self.current.process, &mut self.broker, self.hits);
        let before = std::mem::replace(&mut self.current, next);
        self.current.believed = before.believed;
    }

    /// Performs one effect of the current task.
    fn act(&mut self) -> Result<Continuation, Failure> {
        let continuation = self.current.act(&mut Environment {
            broker: &mut self.broker,
            disk: &mut self.disks[self.current.process],
            foreign: self.foreign,
            rng: self.rng,
            hits: self.hits,
            trace: self.trace,
        })?;
        self.reordered |= self.current.reorders;
        self.out_of_order |= self.current.overtakes || self.current.reorders;
        self.broker.check_committed()?;
        Ok(continuation)
    }

    /// Performs one effect of a frozen task, before it learns that the partition belongs to another.
    fn resume_frozen(&mut self) -> Result<(), Failure> {
        let number = self.rng.below(self.frozen.len());
        let sent = self.broker.len();
        std::mem::swap(&mut self.current, &mut self.frozen[number]);
        let continuation = self.act();
        std::mem::swap(&mut self.current, &mut self.frozen[number]);
        if self.broker.len() > sent {
            self.out_of_order = true;
            self.hits.hit("two tasks: the old one sends");
        }
        let has_learned = self.frozen[number].next() == Effect::Apply && self.rng.percent(50);
        if continuation? != Continuation::Next || has_learned {
            self.frozen.swap_remove(number);
        }
        Ok(())
    }

    fn disrupt(&mut self, disruption: Disruption) -> Result<(), Failure> {
        let is_exactly_once = self.work.plan.is_exactly_once();
        self.trace.note(|| format!("disruption: {disruption:?}"));
        match disruption {
            Disruption::Kill => {
                self.note_death();
                if self.disks[self.current.process].lose_tail(self.rng) {
                    self.hits.hit("store: its last writes are lost");
                }
                self.take_over();
            }
            Disruption::PowerLoss => {
                self.note_death();
                self.disks[self.current.process].lose_power(self.rng);
                self.take_over();
            }
            Disruption::DiskLoss => {
                self.note_death();
                self.hits.hit("store: lost");
                self.disks[self.current.process].lose_all();
                self.take_over();
            }
            Disruption::Freeze => self.freeze(),
            Disruption::Move => {
                while self.current.next() != Effect::Apply {
                    self.act_as_member()?;
                }
                self.hits.hit("task: passes the partition on");
                self.take_over();
            }
            Disruption::Reassign => {
                while self.current.next() != Effect::Apply {
                    self.act_as_member()?;
                }
                self.hits.hit("task: gets its partition again");
                self.current.reassign(&mut self.broker);
            }
            Disruption::Abandon => {
                self.hits.hit("task: abandons its effect");
                self.current.abandon();
                Failure::unless(self.current.next() == Effect::Close, "sound", || {
                    "an abandoned task does not close".to_owned()
                })?;
                self.restart();
            }
            Disruption::KillFrozen => {
                if let Some(dead) = self.frozen.pop() {
                    self.hits.hit("two tasks: the old one dies");
                    self.disks[dead.process].lose_tail(self.rng);
                }
            }
            Disruption::ProducerLost => {
                self.hits.hit("task: gets a new producer");
                self.restart();
            }
            Disruption::TimeOut => {
                if self.broker.time_out() {
                    self.hits.hit("transaction: takes too long");
                }
            }
            // Exactly-once delivery depends on that position: the group must keep it.
            Disruption::GroupForgets if is_exactly_once => {}
            Disruption::GroupForgets => {
                self.hits.hit("group: forgets its position");
                self.broker.forget_position();
            }
        }
        check_state(self.work, &self.disks[self.current.process])
    }

    fn note_death(&mut self) {
        self.hits
            .hit(match (self.current.next(), self.current.acked, self.current.unacked()) {
                (Effect::Send, 0, 1..) => "crash: after apply",
                (Effect::Send, _, 1..) => "crash: while sending",
                (Effect::Send | Effect::AddOffsets, ..) => "crash: after sending",
                (Effect::CommitTransaction, ..) => "crash: before the transaction's commit",
                (Effect::Write, ..) if self.work.plan.is_exactly_once() => "crash: after the transaction's commit",
                (Effect::NotePosition, ..) => "crash: before the note",
                (Effect::Write, ..) => "crash: before the write",
                (Effect::Apply | Effect::CommitPosition | Effect::Close, ..) => "crash: after the write",
                (Effect::Fence | Effect::Open | Effect::FetchPosition, ..) => "crash: before it is open",
            });
    }

    /// Assigns the partition to a process that has nothing of it in memory.
    fn take_over(&mut self) {
        let is_frozen = |process: &usize| self.frozen.iter().any(|task| task.process == *process);
        let free: Vec<usize> = (0..self.disks.len()).filter(|process| !is_frozen(process)).collect();
        let process = *self.rng.pick(&free);
        if process != self.current.process && !self.disks[process].is_empty() {
            self.hits.hit("store: an old one is found");
        }
        self.current = PartitionTask::new(self.work, process, &mut self.broker, self.hits);
    }

    fn freeze(&mut self) {
        // One process has to continue.
        if self.frozen.len() + 1 == self.disks.len() {
            return;
        }
        self.hits.hit("two tasks: one is frozen");
        let others: Vec<usize> = (0..self.disks.len())
            .filter(|process| *process != self.current.process && self.frozen.iter().all(|task| task.process != *process))
            .collect();
        let process = *self.rng.pick(&others);
        let next = PartitionTask::new(self.work, process, &mut self.broker, self.hits);
        self.frozen.push(std::mem::replace(&mut self.current, next));
    }

    /// Ends the run at the end of the log: the frozen tasks continue, then all disks are checked.
    fn end(mut self) -> Result<Disturbed, Failure> {
        while !self.frozen.is_empty() {
            self.resume_frozen()?;
        }
        for disk in &self.disks {
            check_state(self.work, disk)?;
        }
        let (topic, seen) = self.broker.close();
        Ok(Disturbed {
            topic,
            seen_once: self.work.plan.is_exactly_once().then_some(seen),
            out_of_order: self.out_of_order,
            reordered: self.reordered,
            disk: self.disks.swap_remove(self.current.process),
        })
    }
}
