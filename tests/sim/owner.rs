//! The owner of a partition: one process, from when the group gives it the partition until it ends. Its effects are carried out one at a
//! time, so that anything can happen between any two.

use alerttrail::join::Position;
use alerttrail::store::{Base, Memory};

use crate::Failure;
use crate::broker::{Broker, Producer, Refused};
use crate::disk::Disk;
use crate::faults::Fault;
use crate::hits::Hits;
use crate::joining::{Joining, Slice, Work};
use crate::plan::{Cut, Delivery};
use crate::rng::Rng;
use crate::trace::Trace;

/// What an owner does next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Effect {
    /// Gets a producer, and so fences the owner before.
    Fence,
    /// Asks the group for its position.
    Ask,
    /// Opens its store.
    Open,
    /// Applies records of the log in memory.
    Apply,
    /// Sends outputs.
    Send,
    /// Adds the position to the transaction.
    AddPosition,
    /// Commits the transaction.
    Commit,
    /// Notes at home, at least once, how far the output has gone out.
    Note,
    /// Writes its store.
    Write,
    /// Tells the group its position.
    Tell,
}

/// How it goes on with an owner.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Going {
    On,
    /// The log is at its end.
    Done,
    /// The partition is another's.
    Lost,
}

/// What an owner has to do with.
pub(crate) struct Around<'r, 'a> {
    pub(crate) broker: &'r mut Broker<'a>,
    pub(crate) disk: &'r mut Disk,
    /// State that belongs to another partition.
    pub(crate) foreign: Option<&'r Memory>,
    pub(crate) rng: &'r mut Rng,
    pub(crate) hits: &'r mut Hits,
    pub(crate) trace: &'r mut Trace,
}

pub(crate) struct Owner<'a> {
    work: &'a Work<'a>,
    /// Which process it is.
    pub(crate) process: usize,
    pub(crate) next: Effect,
    pub(crate) generation: u64,
    producer: Producer,
    /// The number of the first output of the slice in what the producer sends.
    sequence: u64,
    /// The group's position as far as this owner knows: outputs before it have gone out.
    committed: Position,
    joining: Option<Joining<'a>>,
    /// Whether it went on behind what the owner before was sending again.
    pub(crate) overtakes: bool,
    /// Whether it has sent an output behind others that come after it.
    pub(crate) reorders: bool,
    slice: Option<Slice>,
    /// Number of outputs of the slice whose acknowledgement has come.
    pub(crate) acked: usize,
    /// How far the store has been written.
    written: Position,
}

impl<'a> Owner<'a> {
    pub(crate) fn new(work: &'a Work<'a>, process: usize, generation: u64) -> Self {
        Self {
            work,
            process,
            next: first_effect(work),
            generation,
            producer: Producer::default(),
            sequence: 0,
            committed: Position::default(),
            joining: None,
            overtakes: false,
            reorders: false,
            slice: None,
            acked: 0,
            written: Position::default(),
        }
    }

    /// Number of outputs still to be acknowledged.
    pub(crate) fn unacked(&self) -> usize {
        self.slice.as_ref().map_or(0, |slice| slice.outputs.len() - self.acked)
    }

    pub(crate) fn is_open(&self) -> bool {
        self.joining.is_some()
    }

    /// Whether there are outputs on their way.
    pub(crate) fn delivers(&self) -> bool {
        self.slice.as_ref().is_some_and(|slice| !slice.outputs.is_empty())
    }

    /// Its producer is of no use any more.
    pub(crate) fn lose_producer(&mut self) {
        if !matches!(
            self.next,
            Effect::Ask | Effect::Open | Effect::Note | Effect::Write | Effect::Tell
        ) {
            self.next = first_effect(self.work);
        }
    }

    /// Carries out one effect.
    pub(crate) fn act(&mut self, around: &mut Around<'_, 'a>) -> Result<Going, Failure> {
        let (process, effect) = (self.process, self.next);
        around.trace.note(|| format!("process {process}: {effect:?}"));
        let asks_first = self.work.plan.has(Fault::AskBeforeFencing);
        match self.next {
            Effect::Fence => {
                self.producer = around.broker.init_producer(around.hits);
                self.sequence = 0;
                self.next = if asks_first { self.resume() } else { Effect::Ask };
            }
            Effect::Ask => {
                self.committed = around.broker.committed();
                if !self.work.plan.is_exactly_once() {
                    let noted = around.disk.noted();
                    if noted > self.committed {
                        around.hits.hit("open: the note is ahead of the group");
                    }
                    self.committed = self.committed.max(noted);
                }
                self.next = if asks_first { Effect::Fence } else { self.resume() };
            }
            Effect::Open => self.open(around)?,
            Effect::Apply => return self.apply(around),
            Effect::Send => return Ok(self.send(around)),
            Effect::AddPosition => return Ok(self.add_position(around)),
            Effect::Commit => return self.commit(around),
            Effect::Note => {
                around.disk.note(self.slice.as_ref().unwrap().position);
                self.next = Effect::Write;
            }
            Effect::Write => self.write(around)?,
            Effect::Tell => return Ok(self.tell(around)),
        }
        Ok(Going::On)
    }

    /// Where it goes on with a new producer: what the group's position tells to be out is not sent again.
    fn resume(&mut self) -> Effect {
        let Some(slice) = &mut self.slice else {
            return match self.joining {
                Some(_) => Effect::Apply,
                None => Effect::Open,
            };
        };
        if !self.work.plan.has(Fault::CommitTakenForFailed) {
            slice.outputs.retain(|(place, _)| *place >= self.committed);
        }
        self.acked = 0;
        Effect::Send
    }

    fn open(&mut self, around: &mut Around<'_, 'a>) -> Result<(), Failure> {
        let plan = &self.work.plan;
        let is_lost = around.disk.is_empty() && self.generation > 1;
        if let (Some(foreign), true) = (around.foreign, is_lost && plan.has(Fault::ForeignStore)) {
            around.disk.replace(foreign.clone());
        }
        let mut joining = Joining::open(self.work, Cut::draw(around.rng), around.disk)?;
        if is_lost && plan.has(Fault::ReplayFromTheEnd) {
            joining.skip_to(self.work.log.bytes.len() as i64);
        }
        if plan.has(Fault::ReplayFromCommitted) {
            joining.skip_to(self.committed.offset);
        }
        let (store, committed) = (joining.position(), self.committed);
        if store < committed {
            around.hits.hit(match is_lost {
                true => "open: without a store, all is replayed",
                false => "open: the store is behind what went out",
            });
        }
        // At least once, that is: the group's position may be older than this store.
        self.overtakes = around.broker.leaves_a_gap(store.max(committed));
        if self.overtakes {
            around.hits.hit("open: the store is ahead of what is being sent again");
        }
        if plan.has(Fault::SilentUpToTheStore) {
            self.committed = store;
        }
        around
            .trace
            .note(|| format!("the store stands at {store:?}, the group at {committed:?}"));
        self.joining = Some(joining);
        self.next = Effect::Apply;
        Ok(())
    }

    fn apply(&mut self, around: &mut Around<'_, 'a>) -> Result<Going, Failure> {
        let joining = self.joining.as_mut().unwrap();
        let Some(mut slice) = joining.slice(around.disk, around.hits)? else {
            return Ok(Going::Done);
        };
        let plan = &self.work.plan;
        let applied = slice.outputs.len();
        slice
            .outputs
            .retain(|(place, _)| !is_silent(*place, self.committed, plan.fault));
        if slice.outputs.len() < applied {
            around.hits.hit("open: what went out is passed over in silence");
            let amid = slice.outputs.first().map(|(place, _)| place.offset);
            if amid == Some(self.committed.offset) {
                around.hits.hit("open: what went out ends amid a record");
            }
        }
        self.acked = 0;
        if plan.has(Fault::PositionBeforeOutputs) {
            around.broker.commit_position(self.generation, slice.position).ok();
        }
        if plan.has(Fault::NoteBeforeOutputs) && !plan.is_exactly_once() {
            around.disk.note(slice.position);
        }
        self.slice = Some(slice);
        if plan.has(Fault::WriteBeforeDelivery) {
            self.write_slice(around)?;
        }
        self.next = Effect::Send;
        Ok(Going::On)
    }

    fn send(&mut self, around: &mut Around<'_, 'a>) -> Going {
        let plan = &self.work.plan;
        let slice = self.slice.as_ref().unwrap();
        let left = &slice.outputs[self.acked..];
        let mut refused = None;
        if left.is_empty() {
            self.sequence += slice.outputs.len() as u64;
            let commits = self.moves(slice.position) && (plan.commits_silence || !slice.outputs.is_empty());
            self.next = match plan.delivery {
                Delivery::ExactlyOnce if commits => Effect::AddPosition,
                Delivery::ExactlyOnce => Effect::Write,
                Delivery::AtLeastOnce => Effect::Note,
            };
            return Going::On;
        }
        let burst = around.rng.below(left.len()) + 1;
        let mut all_acked = true;
        for (number, (place, record)) in (self.acked..).zip(&left[..burst]) {
            let mut sequence = self.sequence + number as u64;
            let answered = !around.rng.percent(plan.unanswered);
            if !answered && around.rng.percent(50) {
                around.hits.hit("send: never arrives");
                if plan.has(Fault::SentTakenForAcked) {
                    self.acked += 1;
                    continue;
                }
                let may_be_refused = !plan.is_exactly_once() && !around.broker.has(self.producer, sequence);
                refused = (may_be_refused && around.rng.percent(30)).then_some(number);
                break;
            }
            if plan.has(Fault::SentAgainAsNew) {
                self.sequence += 1;
                sequence = self.sequence;
            }
            if let Err(refused) = around.broker.append(self.producer, sequence, *place, record) {
                return self.refused(refused, around);
            }
            around.trace.note(|| format!("output {}", record.value));
            all_acked &= answered;
            if all_acked {
                self.acked += 1;
            } else {
                around.hits.hit("send: the acknowledgement is lost");
            }
        }
        if let Some(number) = refused {
            around.hits.hit("send: refused, and sent again behind others");
            self.slice.as_mut().unwrap().outputs[number..].rotate_left(1);
            self.reorders = true;
        }
        Going::On
    }

    /// Whether the group's position moves by being set to this one. A replay is behind what was committed, and must not take it back.
    fn moves(&self, position: Position) -> bool {
        position > self.committed || self.work.plan.has(Fault::PositionGoesBack)
    }

    fn add_position(&mut self, around: &mut Around<'_, 'a>) -> Going {
        let slice = self.slice.as_ref().unwrap();
        match around.broker.send_offsets(self.producer, self.generation, slice.position) {
            Ok(()) => {
                self.next = Effect::Commit;
                Going::On
            }
            Err(refused) => self.refused(refused, around),
        }
    }

    fn commit(&mut self, around: &mut Around<'_, 'a>) -> Result<Going, Failure> {
        let plan = &self.work.plan;
        let answered = !around.rng.percent(plan.unanswered);
        if !answered && around.rng.percent(50) {
            around.hits.hit("commit: never arrives");
            self.next = first_effect(self.work);
        } else {
            if plan.has(Fault::WriteBeforeCommit) {
                self.write_slice(around)?;
            }
            if let Err(refused) = around.broker.commit_transaction(self.producer) {
                return Ok(self.refused(refused, around));
            }
            self.committed = self.slice.as_ref().unwrap().position;
            self.next = Effect::Write;
        }
        if !answered {
            around.hits.hit("commit: nobody knows whether it happened");
            self.next = match plan.has(Fault::CommitTakenForDone) {
                true => Effect::Write,
                false => first_effect(self.work),
            };
        }
        Ok(Going::On)
    }

    fn write(&mut self, around: &mut Around<'_, 'a>) -> Result<(), Failure> {
        self.write_slice(around)?;
        self.written = self.slice.take().unwrap().position;
        self.next = match self.work.plan.is_exactly_once() {
            true => Effect::Apply,
            false => Effect::Tell,
        };
        Ok(())
    }

    fn write_slice(&mut self, around: &mut Around<'_, 'a>) -> Result<(), Failure> {
        let slice = self.slice.as_mut().unwrap();
        for batch in slice.batches.drain(..) {
            around.disk.write(batch)?;
        }
        around.broker.check_written(slice.position)
    }

    /// The position may be told now or later: it says what need not be sent again.
    fn tell(&mut self, around: &mut Around<'_, 'a>) -> Going {
        self.next = Effect::Apply;
        if around.rng.percent(60) || !self.moves(self.written) {
            return Going::On;
        }
        match around.broker.commit_position(self.generation, self.written) {
            Ok(()) => {
                self.committed = self.written;
                Going::On
            }
            Err(refused) => self.refused(refused, around),
        }
    }

    /// One that is fenced begins anew with the group's position if it still has the partition. One that has not may believe that it has.
    fn refused(&mut self, refused: Refused, around: &mut Around<'_, 'a>) -> Going {
        let is_member = self.generation == around.broker.generation;
        match refused {
            Refused::Fenced => {
                around.hits.hit("refused: fenced");
                self.next = first_effect(self.work);
                match is_member || around.rng.percent(40) {
                    true => Going::On,
                    false => Going::Lost,
                }
            }
            Refused::OldGeneration => {
                around.hits.hit("refused: the generation is old");
                // Where that is refused too, somebody else has aborted it.
                around.broker.abort_transaction(self.producer).ok();
                Going::Lost
            }
        }
    }
}

/// What an owner begins with, and begins anew with when its producer is lost.
fn first_effect(work: &Work<'_>) -> Effect {
    match work.plan.has(Fault::AskBeforeFencing) {
        true => Effect::Ask,
        false => Effect::Fence,
    }
}

/// Whether an output is passed over because it lies before what the group says to be out.
fn is_silent(place: Position, committed: Position, fault: Option<Fault>) -> bool {
    let amid_record = committed.outputs > 0;
    match fault {
        Some(Fault::SilentOneTooMany) if amid_record => place <= committed,
        Some(Fault::SilentOneTooFew) if amid_record => {
            let one_before = committed.outputs - 1;
            place
                < Position {
                    outputs: one_before,
                    ..committed
                }
        }
        Some(Fault::SilentByWholeRecords) => place.offset < committed.offset,
        _ => place < committed,
    }
}
