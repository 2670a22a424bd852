//! The processes that own one partition of the log, one after another and two at once, and what happens to them.

use alerttrail::join::Effect;
use alerttrail::store::Memory;

use crate::Failure;
use crate::broker::Broker;
use crate::disk::Disk;
use crate::hits::Hits;
use crate::joining::{Calm, Delivered, Work, check_state};
use crate::owner::{Around, Going, Owner};
use crate::plan::Storm;
use crate::rng::Rng;
use crate::trace::Trace;

/// More effects than this no partition takes.
const MOST_EFFECTS: usize = 200_000;

/// A partition that has been worked off.
pub(crate) struct Stormy {
    /// Everything in the output topic.
    pub(crate) topic: Vec<Delivered>,
    /// What a `read_committed` reader has seen, where the promise is exactly once.
    pub(crate) seen_once: Option<Vec<Delivered>>,
    /// Whether a record may be followed by an older one of the same id, so that readers must go by `seq`: an owner that
    /// was taken for dead has sent something, or one was sending again what the next, whose store is further on, does
    /// not.
    pub(crate) out_of_order: bool,
    /// Whether an output was refused for a while, and others that come after it were sent before it.
    pub(crate) reordered: bool,
    /// The disk of the process that came to the end of the log.
    pub(crate) disk: Disk,
}

/// Works off the log. `foreign` is state of another partition that happens to lie around.
pub(crate) fn run(
    work: &Work<'_>,
    calm: &Calm,
    foreign: Option<&Memory>,
    rng: &mut Rng,
    hits: &mut Hits,
    trace: &mut Trace,
) -> Result<Stormy, Failure> {
    let plan = &work.plan;
    trace.note(|| format!("{:?}, storms {:?}", plan.delivery, plan.kinds));
    let mut broker = Broker::new(plan, calm);
    let process = rng.below(plan.processes);
    let mut cluster = Cluster {
        work,
        owner: Owner::new(work, process, &mut broker, hits),
        broker,
        disks: (0..plan.processes).map(|_| Disk::new(plan.fault)).collect(),
        frozen: Vec::new(),
        storms: plan.storms,
        out_of_order: false,
        reordered: false,
        foreign,
        rng,
        hits,
        trace,
    };
    for _ in 0..MOST_EFFECTS {
        if cluster.turn()? {
            return cluster.end();
        }
    }
    Err(Failure::new("bounded", "it never comes to an end".to_owned()))
}

struct Cluster<'r, 'a> {
    work: &'a Work<'a>,
    broker: Broker<'a>,
    /// By process.
    disks: Vec<Disk>,
    /// The one that the group takes for the owner.
    owner: Owner<'a>,
    /// Those that stand still, and go on at any time.
    frozen: Vec<Owner<'a>>,
    /// How many storms are to come.
    storms: usize,
    out_of_order: bool,
    reordered: bool,
    foreign: Option<&'r Memory>,
    rng: &'r mut Rng,
    hits: &'r mut Hits,
    trace: &'r mut Trace,
}

impl<'a> Cluster<'_, 'a> {
    /// One thing happens; whether it was the last.
    fn turn(&mut self) -> Result<bool, Failure> {
        if self.rng.percent(10) {
            self.broker.poll();
        }
        // Where outputs are on their way there is most to go wrong.
        let odds = if self.owner.delivers() { 35 } else { 4 };
        if self.storms > 0 && self.rng.percent(odds) {
            self.storms -= 1;
            let kinds = &self.work.plan.kinds;
            // One that stands still with its commit on the way is the hardest to be rid of.
            let is_committing = self.owner.next() == Effect::CommitTransaction && kinds.contains(&Storm::Freeze);
            let storm = match is_committing && self.rng.percent(50) {
                true => Storm::Freeze,
                false => *self.rng.pick(kinds),
            };
            return self.befall(storm).map(|()| false);
        }
        // What the old owner does while the new one opens is what fencing is for.
        let odds = if self.owner.is_open() { 30 } else { 60 };
        if !self.frozen.is_empty() && self.rng.percent(odds) {
            return self.thaw().map(|()| false);
        }
        match self.act_as_member()? {
            Going::On | Going::Restarts => Ok(false),
            Going::Lost => Err(Failure::new("sound", "the group's member is taken for none".to_owned())),
            Going::Done if self.storms > 0 && self.rng.percent(50) => Ok(false),
            Going::Done => Ok(true),
        }
    }

    /// The group's member does one thing. Where its producer fails, its process starts over.
    fn act_as_member(&mut self) -> Result<Going, Failure> {
        let going = self.act()?;
        if going == Going::Restarts {
            self.hits.hit("owner: starts over in its process");
            self.restart();
        }
        Ok(going)
    }

    /// The process of the owner drops what it has in memory and joins the group again.
    fn restart(&mut self) {
        let next = Owner::new(self.work, self.owner.process, &mut self.broker, self.hits);
        let before = std::mem::replace(&mut self.owner, next);
        self.owner.believed = before.believed;
    }

    /// The owner does one thing.
    fn act(&mut self) -> Result<Going, Failure> {
        let going = self.owner.act(&mut Around {
            broker: &mut self.broker,
            disk: &mut self.disks[self.owner.process],
            foreign: self.foreign,
            rng: self.rng,
            hits: self.hits,
            trace: self.trace,
        })?;
        self.reordered |= self.owner.reorders;
        self.out_of_order |= self.owner.overtakes || self.owner.reorders;
        self.broker.check_committed()?;
        Ok(going)
    }

    /// One that stood still does one thing, before it hears that the partition is another's.
    fn thaw(&mut self) -> Result<(), Failure> {
        let number = self.rng.below(self.frozen.len());
        let sent = self.broker.len();
        std::mem::swap(&mut self.owner, &mut self.frozen[number]);
        let going = self.act();
        std::mem::swap(&mut self.owner, &mut self.frozen[number]);
        if self.broker.len() > sent {
            self.out_of_order = true;
            self.hits.hit("two owners: the old one sends");
        }
        let hears = self.frozen[number].next() == Effect::Apply && self.rng.percent(50);
        if going? != Going::On || hears {
            self.frozen.swap_remove(number);
        }
        Ok(())
    }

    fn befall(&mut self, storm: Storm) -> Result<(), Failure> {
        let is_exactly_once = self.work.plan.is_exactly_once();
        self.trace.note(|| format!("storm: {storm:?}"));
        match storm {
            Storm::Kill => {
                self.note_death();
                if self.disks[self.owner.process].lose_tail(self.rng) {
                    self.hits.hit("store: its end is lost");
                }
                self.take_over();
            }
            Storm::PowerLoss => {
                self.note_death();
                self.disks[self.owner.process].lose_power(self.rng);
                self.take_over();
            }
            Storm::DiskLoss => {
                self.note_death();
                self.hits.hit("store: lost");
                self.disks[self.owner.process].lose_all();
                self.take_over();
            }
            Storm::Freeze => self.freeze(),
            Storm::Move => {
                while self.owner.next() != Effect::Apply {
                    self.act_as_member()?;
                }
                self.hits.hit("owner: passes the partition on");
                self.take_over();
            }
            Storm::Reassign => {
                while self.owner.next() != Effect::Apply {
                    self.act_as_member()?;
                }
                self.hits.hit("owner: gets its partition again");
                self.owner.reassign(&mut self.broker);
            }
            Storm::Abandon => {
                self.hits.hit("owner: gives up what it does");
                self.owner.abandon();
                Failure::unless(self.owner.next() == Effect::Close, "sound", || {
                    "an abandoned owner does not close".to_owned()
                })?;
                self.restart();
            }
            Storm::KillFrozen => {
                if let Some(dead) = self.frozen.pop() {
                    self.hits.hit("two owners: the old one dies");
                    self.disks[dead.process].lose_tail(self.rng);
                }
            }
            Storm::ProducerLost => {
                self.hits.hit("owner: gets a new producer");
                self.restart();
            }
            Storm::TimeOut => {
                if self.broker.time_out() {
                    self.hits.hit("transaction: takes too long");
                }
            }
            // Exactly once stands on that position: the group must keep it.
            Storm::GroupForgets if is_exactly_once => {}
            Storm::GroupForgets => {
                self.hits.hit("group: forgets its position");
                self.broker.forget_position();
            }
        }
        check_state(self.work, &self.disks[self.owner.process])
    }

    fn note_death(&mut self) {
        self.hits
            .hit(match (self.owner.next(), self.owner.acked, self.owner.unacked()) {
                (Effect::Send, 0, 1..) => "crash: after apply",
                (Effect::Send, _, 1..) => "crash: amid sending",
                (Effect::Send | Effect::AddOffsets, ..) => "crash: after sending",
                (Effect::CommitTransaction, ..) => "crash: before the transaction's commit",
                (Effect::Write, ..) if self.work.plan.is_exactly_once() => "crash: after the transaction's commit",
                (Effect::NotePosition, ..) => "crash: before the note",
                (Effect::Write, ..) => "crash: before the write",
                (Effect::Apply | Effect::CommitPosition | Effect::Close, ..) => "crash: after the write",
                (Effect::Fence | Effect::Open | Effect::FetchPosition, ..) => "crash: before it is open",
            });
    }

    /// A process that has nothing of the partition in memory becomes the owner.
    fn take_over(&mut self) {
        let is_frozen = |process: &usize| self.frozen.iter().any(|owner| owner.process == *process);
        let free: Vec<usize> = (0..self.disks.len()).filter(|process| !is_frozen(process)).collect();
        let process = *self.rng.pick(&free);
        if process != self.owner.process && !self.disks[process].is_empty() {
            self.hits.hit("store: an old one is found");
        }
        self.owner = Owner::new(self.work, process, &mut self.broker, self.hits);
    }

    fn freeze(&mut self) {
        // Somebody has to go on.
        if self.frozen.len() + 1 == self.disks.len() {
            return;
        }
        self.hits.hit("two owners: one stands still");
        let others: Vec<usize> = (0..self.disks.len())
            .filter(|process| *process != self.owner.process && self.frozen.iter().all(|owner| owner.process != *process))
            .collect();
        let process = *self.rng.pick(&others);
        let next = Owner::new(self.work, process, &mut self.broker, self.hits);
        self.frozen.push(std::mem::replace(&mut self.owner, next));
    }

    /// The log is at its end. Those that stood still go on, then everything is looked at.
    fn end(mut self) -> Result<Stormy, Failure> {
        while !self.frozen.is_empty() {
            self.thaw()?;
        }
        for disk in &self.disks {
            check_state(self.work, disk)?;
        }
        let (topic, seen) = self.broker.close();
        Ok(Stormy {
            topic,
            seen_once: self.work.plan.is_exactly_once().then_some(seen),
            out_of_order: self.out_of_order,
            reordered: self.reordered,
            disk: self.disks.swap_remove(self.owner.process),
        })
    }
}
