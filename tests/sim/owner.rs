//! The owner of a partition: one process, from the assignment of the partition until it ends. It performs the effects
//! of the program's own [`JoinTask`] one at a time, so that anything can happen between any two. A planted fault
//! performs an effect wrongly.

use alerttrail::join::{Effect, JoinTask, Outcome, Position};
use alerttrail::store::{Base, Memory, Table};

use crate::Failure;
use crate::broker::{Broker, Producer, Refused};
use crate::disk::Disk;
use crate::faults::Fault;
use crate::hits::Hits;
use crate::joining::{Applied, Joining, Work};
use crate::plan::Cut;
use crate::rng::Rng;
use crate::trace::Trace;

/// What becomes of an owner after an effect.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Going {
    /// It continues with the next effect.
    On,
    /// It has applied the whole log.
    Done,
    /// Its producer failed: the process starts over with what its disk has.
    Restarts,
    /// The partition has another owner.
    Lost,
}

/// What an owner works with.
pub(crate) struct Around<'r, 'a> {
    pub(crate) broker: &'r mut Broker<'a>,
    pub(crate) disk: &'r mut Disk,
    /// State of another partition.
    pub(crate) foreign: Option<&'r Memory>,
    pub(crate) rng: &'r mut Rng,
    pub(crate) hits: &'r mut Hits,
    pub(crate) trace: &'r mut Trace,
}

pub(crate) struct Owner<'a> {
    work: &'a Work<'a>,
    /// The number of the process.
    pub(crate) process: usize,
    pub(crate) generation: u64,
    task: JoinTask,
    producer: Producer,
    /// The sequence number of the first output of the batch.
    sequence: u64,
    joining: Option<Joining<'a>>,
    /// Whether its state is ahead of the outputs that the previous owner was sending again.
    pub(crate) overtakes: bool,
    /// Whether it has sent an output after others that come after it.
    pub(crate) reorders: bool,
    batch: Option<Applied>,
    /// Number of acknowledged outputs of the batch.
    pub(crate) acked: usize,
    /// The committed position as a planted fault takes it, instead of the fetched one.
    pub(crate) believed: Option<Position>,
}

impl<'a> Owner<'a> {
    pub(crate) fn new(work: &'a Work<'a>, process: usize, broker: &mut Broker<'_>, hits: &mut Hits) -> Self {
        Self {
            work,
            process,
            generation: broker.join_group(),
            task: JoinTask::new(work.plan.delivery),
            // Exactly once, the first effect takes over the transactional id instead.
            producer: match work.plan.is_exactly_once() {
                true => Producer::default(),
                false => broker.init_producer(hits),
            },
            sequence: 0,
            joining: None,
            overtakes: false,
            reorders: false,
            batch: None,
            acked: 0,
            believed: None,
        }
    }

    /// Returns the effect that it performs next.
    pub(crate) fn next(&self) -> Effect {
        self.task.next()
    }

    /// Returns the number of outputs that are not acknowledged.
    pub(crate) fn unacked(&self) -> usize {
        self.batch.as_ref().map_or(0, |batch| batch.outputs.len() - self.acked)
    }

    pub(crate) fn is_open(&self) -> bool {
        self.joining.is_some()
    }

    /// Returns whether outputs are to be sent or have been sent.
    pub(crate) fn delivers(&self) -> bool {
        self.batch.as_ref().is_some_and(|batch| !batch.outputs.is_empty())
    }

    /// Performs one effect; sending may take several turns.
    pub(crate) fn act(&mut self, around: &mut Around<'_, 'a>) -> Result<Going, Failure> {
        // As the program does every few seconds.
        if self.next() == Effect::Apply && self.work.plan.commits_silence && around.rng.percent(30) {
            self.task.request_commit();
        }
        let (process, effect) = (self.process, self.next());
        around.trace.note(|| format!("process {process}: {effect:?}"));
        let outcome = match effect {
            Effect::Fence => match self.fence(around) {
                Some(outcome) => outcome,
                None => return Ok(Going::On),
            },
            Effect::Open => self.open(around)?,
            Effect::FetchPosition => self.fetch_position(around),
            Effect::Apply => match self.apply(around)? {
                Some(outcome) => outcome,
                None => return Ok(Going::Done),
            },
            Effect::Send => match self.send(around) {
                Ok(Some(outcome)) => outcome,
                Ok(None) => return Ok(Going::On),
                Err(refused) => return Ok(self.refused(refused, around)),
            },
            Effect::AddOffsets => match self.add_offsets(around) {
                Ok(()) => Outcome::Done,
                Err(refused) => return Ok(self.refused(refused, around)),
            },
            Effect::CommitTransaction => match self.commit(around)? {
                Ok(true) => Outcome::Done,
                // The program gives up what it has in memory and starts over.
                Ok(false) => return Ok(Going::Restarts),
                Err(refused) => return Ok(self.refused(refused, around)),
            },
            Effect::NotePosition => self.note_position(around),
            Effect::Write => self.write(around)?,
            Effect::CommitPosition => match self.commit_position(around) {
                Ok(()) => Outcome::Done,
                Err(refused) => return Ok(self.refused(refused, around)),
            },
            Effect::Close => return Ok(Going::Lost),
        };
        self.task.done(outcome);
        Ok(Going::On)
    }

    /// Returns `None` when a planted fault does something else first.
    fn fence(&mut self, around: &mut Around<'_, 'a>) -> Option<Outcome> {
        if self.work.plan.has(Fault::AskBeforeFencing) && self.believed.is_none() {
            self.believed = Some(around.broker.committed());
            return None;
        }
        self.producer = match self.work.plan.has(Fault::FenceSkipped) {
            true => around.broker.add_producer(),
            false => around.broker.init_producer(around.hits),
        };
        Some(Outcome::Done)
    }

    fn open(&mut self, around: &mut Around<'_, 'a>) -> Result<Outcome, Failure> {
        let plan = &self.work.plan;
        let is_lost = around.disk.is_empty() && self.generation > 1;
        if let (Some(foreign), true) = (around.foreign, is_lost && plan.has(Fault::ForeignStore)) {
            around.disk.replace(foreign.clone());
        }
        let cut = Cut::draw(around.rng);
        let mut joining = match plan.has(Fault::StateNotRead) {
            true => Joining::open(self.work, cut, &Disk::new(None))?,
            false => Joining::open(self.work, cut, around.disk)?,
        };
        if is_lost && plan.has(Fault::ReplayFromTheEnd) {
            joining.skip_to(self.work.log.bytes.len() as i64);
        }
        let position = joining.position();
        self.joining = Some(joining);
        Ok(Outcome::Opened(position))
    }

    fn fetch_position(&mut self, around: &mut Around<'_, 'a>) -> Outcome {
        let plan = &self.work.plan;
        let joining = self.joining.as_mut().unwrap();
        let store = joining.position();
        let committed = self.believed.take().unwrap_or_else(|| around.broker.committed());
        let noted = match plan.is_exactly_once() {
            true => Position::default(),
            false => around.disk.noted(),
        };
        if noted > committed {
            around.hits.hit("open: the note is ahead of the group");
        }
        if plan.has(Fault::ReplayFromCommitted) {
            joining.skip_to(committed.offset);
        }
        let emitted = committed.max(noted);
        if store < emitted {
            around.hits.hit(match around.disk.is_empty() && self.generation > 1 {
                true => "open: without a store, all is replayed",
                false => "open: the store is behind what went out",
            });
        }
        // Only at least once: the group's position may be older than this state.
        self.overtakes = around.broker.leaves_a_gap(store.max(emitted));
        if self.overtakes {
            around.hits.hit("open: the store is ahead of what is being sent again");
        }
        around
            .trace
            .note(|| format!("the state is at {store:?}, the group at {committed:?}, the note at {noted:?}"));
        match plan.fault {
            Some(Fault::SilentUpToTheStore) => Outcome::Positions {
                committed: store,
                noted: store,
            },
            Some(Fault::PositionNotFetched) => Outcome::Positions {
                committed: Position::default(),
                noted: Position::default(),
            },
            _ => Outcome::Positions { committed, noted },
        }
    }

    /// Returns `None` at the end of the log.
    fn apply(&mut self, around: &mut Around<'_, 'a>) -> Result<Option<Outcome>, Failure> {
        let joining = self.joining.as_mut().unwrap();
        let Some(mut batch) = joining.apply(around.disk, around.hits)? else {
            return Ok(None);
        };
        let plan = &self.work.plan;
        let applied = batch.outputs.len();
        let (task, fault) = (&self.task, plan.fault);
        batch.outputs.retain(|(place, _)| !suppresses(task, *place, fault));
        if batch.outputs.len() < applied {
            around.hits.hit("open: what went out is passed over in silence");
            let amid = batch.outputs.first().map(|(place, _)| place.offset);
            if amid == Some(task.emitted().offset) {
                around.hits.hit("open: what went out ends amid a record");
            }
        }
        let (position, has_outputs) = (batch.position, batch.has_outputs);
        if plan.has(Fault::PositionBeforeOutputs) {
            around.broker.commit_position(self.generation, position).ok();
        }
        if plan.has(Fault::NoteBeforeOutputs) && !plan.is_exactly_once() {
            around.disk.note(position);
        }
        self.acked = 0;
        self.batch = Some(batch);
        if plan.has(Fault::WriteBeforeDelivery) {
            self.write_batch(around)?;
        }
        Ok(Some(Outcome::Applied { position, has_outputs }))
    }

    /// Sends some of the outputs. Returns `None` while any of them is not acknowledged.
    fn send(&mut self, around: &mut Around<'_, 'a>) -> Result<Option<Outcome>, Refused> {
        let plan = &self.work.plan;
        let batch = self.batch.as_mut().unwrap();
        let left = &batch.outputs[self.acked..];
        if left.is_empty() || plan.has(Fault::SendSkipped) {
            self.sequence += batch.outputs.len() as u64;
            let any = !batch.outputs.is_empty();
            return Ok(Some(Outcome::Sent { any }));
        }
        let burst = around.rng.below(left.len()) + 1;
        let mut refused = None;
        let mut all_acked = true;
        for (number, (place, record)) in (self.acked..).zip(&left[..burst]) {
            let mut sequence = self.sequence + number as u64;
            let is_acked = !around.rng.percent(plan.unanswered);
            if !is_acked && around.rng.percent(50) {
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
            around.broker.append(self.producer, sequence, *place, record)?;
            around.trace.note(|| format!("output {}", record.value));
            all_acked &= is_acked;
            if all_acked {
                self.acked += 1;
            } else {
                around.hits.hit("send: the acknowledgement is lost");
            }
        }
        if let Some(number) = refused {
            around.hits.hit("send: refused, and sent again behind others");
            batch.outputs[number..].rotate_left(1);
            self.reorders = true;
        }
        Ok(None)
    }

    /// The group has assigned the partition to this owner again.
    pub(crate) fn reassign(&mut self, broker: &mut Broker<'_>) {
        self.generation = broker.join_group();
        self.task.reassigned();
    }

    /// Gives up the effect that it was to perform, as in a shutdown.
    pub(crate) fn abandon(&mut self) {
        self.task.done(Outcome::Abandoned);
    }

    fn add_offsets(&self, around: &mut Around<'_, 'a>) -> Result<(), Refused> {
        if self.batch.is_none() {
            around.hits.hit("commit: a position without outputs");
        }
        match self.work.plan.has(Fault::OffsetsNotAdded) {
            true => Ok(()),
            false => around
                .broker
                .send_offsets(self.producer, self.generation, self.task.position()),
        }
    }

    /// Returns whether the transaction is known to be committed.
    fn commit(&mut self, around: &mut Around<'_, 'a>) -> Result<Result<bool, Refused>, Failure> {
        let plan = &self.work.plan;
        if plan.has(Fault::CommitSkipped) {
            return Ok(Ok(true));
        }
        let is_answered = !around.rng.percent(plan.unanswered);
        if !is_answered && around.rng.percent(50) {
            around.hits.hit("commit: never arrives");
        } else {
            if plan.has(Fault::WriteBeforeCommit) && self.batch.is_some() {
                self.write_batch(around)?;
            }
            let before = around.broker.committed();
            if let Err(refused) = around.broker.commit_transaction(self.producer) {
                return Ok(Err(refused));
            }
            if !is_answered && plan.has(Fault::CommitTakenForFailed) {
                self.believed = Some(before);
            }
        }
        if !is_answered {
            around.hits.hit("commit: nobody knows whether it happened");
        }
        Ok(Ok(is_answered || plan.has(Fault::CommitTakenForDone)))
    }

    fn note_position(&self, around: &mut Around<'_, 'a>) -> Outcome {
        let position = self.task.position();
        around.disk.note(match self.work.plan.has(Fault::NotedAhead) {
            true => one_output_on(position),
            false => position,
        });
        Outcome::Done
    }

    fn write(&mut self, around: &mut Around<'_, 'a>) -> Result<Outcome, Failure> {
        self.write_batch(around)?;
        self.batch = None;
        if self.work.plan.has(Fault::PositionGoesBack) {
            around.broker.commit_position(self.generation, self.task.position()).ok();
        }
        Ok(Outcome::Done)
    }

    fn write_batch(&mut self, around: &mut Around<'_, 'a>) -> Result<(), Failure> {
        let is_half_written = self.work.plan.has(Fault::HalfWritten);
        let batch = self.batch.as_mut().unwrap();
        for mut changes in batch.changes.drain(..) {
            if is_half_written {
                let tables = Table::ALL.into_iter().zip(&mut changes.changes);
                tables
                    .filter(|(table, _)| *table != Table::Meta)
                    .for_each(|(_, changes)| changes.clear());
            }
            around.disk.write(changes)?;
        }
        around.broker.check_written(batch.position)
    }

    /// The group may commit the position now, or not at all before a later one.
    fn commit_position(&self, around: &mut Around<'_, 'a>) -> Result<(), Refused> {
        if around.rng.percent(60) {
            return Ok(());
        }
        let position = match self.work.plan.has(Fault::CommittedAhead) {
            true => one_output_on(self.task.position()),
            false => self.task.position(),
        };
        around.broker.commit_position(self.generation, position)
    }

    fn refused(&self, refused: Refused, around: &mut Around<'_, 'a>) -> Going {
        match refused {
            Refused::Fenced => {
                around.hits.hit("refused: fenced");
                match self.generation == around.broker.generation {
                    true => Going::Restarts,
                    false => Going::Lost,
                }
            }
            Refused::OldGeneration => {
                around.hits.hit("refused: the generation is old");
                // If that is refused too, the next owner has aborted it.
                around.broker.abort_transaction(self.producer).ok();
                Going::Lost
            }
        }
    }
}

fn one_output_on(position: Position) -> Position {
    Position {
        outputs: position.outputs + 1,
        ..position
    }
}

/// Returns whether an output is suppressed: as the task decides, or as a planted fault does.
fn suppresses(task: &JoinTask, place: Position, fault: Option<Fault>) -> bool {
    let emitted = task.emitted();
    let amid_record = emitted.outputs > 0;
    match fault {
        Some(Fault::SilentOneTooMany) if amid_record => place <= emitted,
        Some(Fault::SilentOneTooFew) if amid_record => {
            let one_before = emitted.outputs - 1;
            place
                < Position {
                    outputs: one_before,
                    ..emitted
                }
        }
        Some(Fault::SilentByWholeRecords) => place.offset < emitted.offset,
        _ => task.suppresses(place),
    }
}
