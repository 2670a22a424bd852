//! The partition task of one process, from the assignment of the partition until it ends. It performs the effects of
//! the program's own [`JoinTask`] one at a time, so that anything can happen between any two. A planted fault performs
//! an effect wrongly.

use alerttrail::join::{Effect, JoinTask, Outcome, Position};
use alerttrail::store::{Backend, Memory, Table};

use crate::Failure;
use crate::broker::{Broker, Producer, Refused};
use crate::disk::Disk;
use crate::faults::Fault;
use crate::hits::Hits;
use crate::joining::{Applied, Joining, Work};
use crate::plan::BatchLimits;
use crate::rng::Rng;
use crate::trace::Trace;

/// How a partition task continues after an effect.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Continuation {
    /// It continues with the next effect.
    Next,
    /// It has applied the whole log.
    Done,
    /// Its producer failed: the process starts over from its disk.
    Restarts,
    /// The partition belongs to another task.
    Lost,
}

/// The broker, the disk and the random numbers that a partition task works with.
pub(crate) struct Environment<'r, 'a> {
    pub(crate) broker: &'r mut Broker<'a>,
    pub(crate) disk: &'r mut Disk,
    /// State of another partition.
    pub(crate) foreign: Option<&'r Memory>,
    pub(crate) rng: &'r mut Rng,
    pub(crate) hits: &'r mut Hits,
    pub(crate) trace: &'r mut Trace,
}

pub(crate) struct PartitionTask<'a> {
    work: &'a Work<'a>,
    /// The number of the process.
    pub(crate) process: usize,
    pub(crate) generation: u64,
    task: JoinTask,
    producer: Producer,
    /// The sequence number of the first output of the batch.
    sequence: u64,
    joining: Option<Joining<'a>>,
    /// Whether its state is ahead of the outputs that the previous task was sending again.
    pub(crate) overtakes: bool,
    /// Whether it has sent an output after later ones.
    pub(crate) reorders: bool,
    batch: Option<Applied>,
    /// The number of acknowledged outputs of the batch.
    pub(crate) acked: usize,
    /// The committed position that a planted fault uses instead of the fetched one.
    pub(crate) believed: Option<Position>,
}

impl<'a> PartitionTask<'a> {
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
    pub(crate) fn act(&mut self, environment: &mut Environment<'_, 'a>) -> Result<Continuation, Failure> {
        // As the program does every few seconds.
        if self.next() == Effect::Apply && self.work.plan.commits_without_output && environment.rng.percent(30) {
            self.task.request_commit();
        }
        let (process, effect) = (self.process, self.next());
        environment.trace.note(|| format!("process {process}: {effect:?}"));
        let outcome = match effect {
            Effect::Fence => match self.fence(environment) {
                Some(outcome) => outcome,
                None => return Ok(Continuation::Next),
            },
            Effect::Open => self.open(environment)?,
            Effect::FetchPosition => self.fetch_position(environment),
            Effect::Apply => match self.apply(environment)? {
                Some(outcome) => outcome,
                None => return Ok(Continuation::Done),
            },
            Effect::Send => match self.send(environment) {
                Ok(Some(outcome)) => outcome,
                Ok(None) => return Ok(Continuation::Next),
                Err(refused) => return Ok(self.refused(refused, environment)),
            },
            Effect::AddOffsets => match self.add_offsets(environment) {
                Ok(()) => Outcome::Done,
                Err(refused) => return Ok(self.refused(refused, environment)),
            },
            Effect::CommitTransaction => match self.commit(environment)? {
                Ok(true) => Outcome::Done,
                // The program drops its state in memory and starts over.
                Ok(false) => return Ok(Continuation::Restarts),
                Err(refused) => return Ok(self.refused(refused, environment)),
            },
            Effect::NotePosition => self.note_position(environment),
            Effect::Write => self.write(environment)?,
            Effect::CommitPosition => match self.commit_position(environment) {
                Ok(()) => Outcome::Done,
                Err(refused) => return Ok(self.refused(refused, environment)),
            },
            Effect::Close => return Ok(Continuation::Lost),
        };
        self.task.done(outcome);
        Ok(Continuation::Next)
    }

    /// Returns `None` when a planted fault does something else first.
    fn fence(&mut self, environment: &mut Environment<'_, 'a>) -> Option<Outcome> {
        if self.work.plan.has(Fault::PositionFetchedBeforeFencing) && self.believed.is_none() {
            self.believed = Some(environment.broker.committed());
            return None;
        }
        self.producer = match self.work.plan.has(Fault::FenceSkipped) {
            true => environment.broker.add_producer(),
            false => environment.broker.init_producer(environment.hits),
        };
        Some(Outcome::Done)
    }

    fn open(&mut self, environment: &mut Environment<'_, 'a>) -> Result<Outcome, Failure> {
        let plan = &self.work.plan;
        let is_lost = environment.disk.is_empty() && self.generation > 1;
        if let (Some(foreign), true) = (environment.foreign, is_lost && plan.has(Fault::ForeignStore)) {
            environment.disk.replace(foreign.clone());
        }
        let limits = BatchLimits::draw(environment.rng);
        let mut joining = match plan.has(Fault::StateNotRead) {
            true => Joining::open(self.work, limits, &Disk::new(None))?,
            false => Joining::open(self.work, limits, environment.disk)?,
        };
        if is_lost && plan.has(Fault::ReplayFromTheEnd) {
            joining.skip_to(self.work.log.bytes.len() as i64);
        }
        let position = joining.position();
        self.joining = Some(joining);
        Ok(Outcome::Opened(position))
    }

    fn fetch_position(&mut self, environment: &mut Environment<'_, 'a>) -> Outcome {
        let plan = &self.work.plan;
        let joining = self.joining.as_mut().unwrap();
        let store = joining.position();
        let committed = self.believed.take().unwrap_or_else(|| environment.broker.committed());
        let noted = match plan.is_exactly_once() {
            true => Position::default(),
            false => environment.disk.noted(),
        };
        if noted > committed {
            environment.hits.hit("open: the note is ahead of the group");
        }
        if plan.has(Fault::ReplayFromCommitted) {
            joining.skip_to(committed.offset);
        }
        let emitted = committed.max(noted);
        if store < emitted {
            environment
                .hits
                .hit(match environment.disk.is_empty() && self.generation > 1 {
                    true => "open: without a store, everything is replayed",
                    false => "open: the store is behind the emitted outputs",
                });
        }
        // Only at least once: the group's position may be older than this state.
        self.overtakes = environment.broker.leaves_a_gap(store.max(emitted));
        if self.overtakes {
            environment.hits.hit("open: the store is ahead of what is being sent again");
        }
        environment
            .trace
            .note(|| format!("the state is at {store:?}, the group at {committed:?}, the note at {noted:?}"));
        match plan.fault {
            Some(Fault::SuppressedUpToTheStore) => Outcome::Positions {
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
    fn apply(&mut self, environment: &mut Environment<'_, 'a>) -> Result<Option<Outcome>, Failure> {
        let joining = self.joining.as_mut().unwrap();
        let Some(mut batch) = joining.apply(environment.disk, environment.hits)? else {
            return Ok(None);
        };
        let plan = &self.work.plan;
        let applied = batch.outputs.len();
        let (task, fault) = (&self.task, plan.fault);
        batch.outputs.retain(|(place, _)| !suppresses(task, *place, fault));
        if batch.outputs.len() < applied {
            environment.hits.hit("open: emitted outputs are suppressed");
            let first_offset = batch.outputs.first().map(|(place, _)| place.offset);
            if first_offset == Some(task.emitted().offset) {
                environment.hits.hit("open: the emitted outputs end within a record");
            }
        }
        let (position, has_outputs) = (batch.position, batch.has_outputs);
        if plan.has(Fault::PositionBeforeOutputs) {
            environment.broker.commit_position(self.generation, position).ok();
        }
        if plan.has(Fault::NoteBeforeOutputs) && !plan.is_exactly_once() {
            environment.disk.note(position);
        }
        self.acked = 0;
        self.batch = Some(batch);
        if plan.has(Fault::WriteBeforeDelivery) {
            self.write_batch(environment)?;
        }
        Ok(Some(Outcome::Applied { position, has_outputs }))
    }

    /// Sends some of the outputs. Returns `None` while any of them is not acknowledged.
    fn send(&mut self, environment: &mut Environment<'_, 'a>) -> Result<Option<Outcome>, Refused> {
        let plan = &self.work.plan;
        let batch = self.batch.as_mut().unwrap();
        let unacked_outputs = &batch.outputs[self.acked..];
        if unacked_outputs.is_empty() || plan.has(Fault::SendSkipped) {
            self.sequence += batch.outputs.len() as u64;
            let any_sent = !batch.outputs.is_empty();
            return Ok(Some(Outcome::Sent { any: any_sent }));
        }
        let burst = environment.rng.below(unacked_outputs.len()) + 1;
        let mut refused = None;
        let mut all_acked = true;
        for (number, (place, record)) in (self.acked..).zip(&unacked_outputs[..burst]) {
            let mut sequence = self.sequence + number as u64;
            let is_acked = !environment.rng.percent(plan.lost_responses);
            if !is_acked && environment.rng.percent(50) {
                environment.hits.hit("send: never arrives");
                if plan.has(Fault::SentCountsAsAcked) {
                    self.acked += 1;
                    continue;
                }
                let may_be_refused = !plan.is_exactly_once() && !environment.broker.has(self.producer, sequence);
                refused = (may_be_refused && environment.rng.percent(30)).then_some(number);
                break;
            }
            if plan.has(Fault::SentAgainAsNew) {
                self.sequence += 1;
                sequence = self.sequence;
            }
            environment.broker.append(self.producer, sequence, *place, record)?;
            environment.trace.note(|| format!("output {}", record.value));
            all_acked &= is_acked;
            if all_acked {
                self.acked += 1;
            } else {
                environment.hits.hit("send: the acknowledgement is lost");
            }
        }
        if let Some(number) = refused {
            environment.hits.hit("send: refused, and sent again after others");
            batch.outputs[number..].rotate_left(1);
            self.reorders = true;
        }
        Ok(None)
    }

    /// Applies that the group has assigned the partition to this task again.
    pub(crate) fn reassign(&mut self, broker: &mut Broker<'_>) {
        self.generation = broker.join_group();
        self.task.reassigned();
    }

    /// Abandons the effect that it had to perform, as in a shutdown.
    pub(crate) fn abandon(&mut self) {
        self.task.done(Outcome::Abandoned);
    }

    fn add_offsets(&self, environment: &mut Environment<'_, 'a>) -> Result<(), Refused> {
        if self.batch.is_none() {
            environment.hits.hit("commit: a position without outputs");
        }
        match self.work.plan.has(Fault::OffsetsNotAdded) {
            true => Ok(()),
            false => environment
                .broker
                .send_offsets(self.producer, self.generation, self.task.position()),
        }
    }

    /// Returns whether the transaction is known to be committed.
    fn commit(&mut self, environment: &mut Environment<'_, 'a>) -> Result<Result<bool, Refused>, Failure> {
        let plan = &self.work.plan;
        if plan.has(Fault::CommitSkipped) {
            return Ok(Ok(true));
        }
        let has_response = !environment.rng.percent(plan.lost_responses);
        if !has_response && environment.rng.percent(50) {
            environment.hits.hit("commit: never arrives");
        } else {
            if plan.has(Fault::WriteBeforeCommit) && self.batch.is_some() {
                self.write_batch(environment)?;
            }
            let before = environment.broker.committed();
            if let Err(refused) = environment.broker.commit_transaction(self.producer) {
                return Ok(Err(refused));
            }
            if !has_response && plan.has(Fault::UnconfirmedCommitCountsAsFailed) {
                self.believed = Some(before);
            }
        }
        if !has_response {
            environment.hits.hit("commit: the outcome is unknown");
        }
        Ok(Ok(has_response || plan.has(Fault::UnconfirmedCommitCountsAsDone)))
    }

    fn note_position(&self, environment: &mut Environment<'_, 'a>) -> Outcome {
        let position = self.task.position();
        environment.disk.note(match self.work.plan.has(Fault::NotedAhead) {
            true => one_output_on(position),
            false => position,
        });
        Outcome::Done
    }

    fn write(&mut self, environment: &mut Environment<'_, 'a>) -> Result<Outcome, Failure> {
        self.write_batch(environment)?;
        self.batch = None;
        if self.work.plan.has(Fault::PositionGoesBack) {
            environment.broker.commit_position(self.generation, self.task.position()).ok();
        }
        Ok(Outcome::Done)
    }

    fn write_batch(&mut self, environment: &mut Environment<'_, 'a>) -> Result<(), Failure> {
        let is_half_written = self.work.plan.has(Fault::HalfWritten);
        let batch = self.batch.as_mut().unwrap();
        for mut changes in batch.changes.drain(..) {
            if is_half_written {
                let tables = Table::ALL.into_iter().zip(&mut changes.changes);
                tables
                    .filter(|(table, _)| *table != Table::Meta)
                    .for_each(|(_, changes)| changes.clear());
            }
            environment.disk.write(changes)?;
        }
        environment.broker.check_written(batch.position)
    }

    /// Commits the position, or leaves that to the commit of a later one.
    fn commit_position(&self, environment: &mut Environment<'_, 'a>) -> Result<(), Refused> {
        if environment.rng.percent(60) {
            return Ok(());
        }
        let position = match self.work.plan.has(Fault::CommittedAhead) {
            true => one_output_on(self.task.position()),
            false => self.task.position(),
        };
        environment.broker.commit_position(self.generation, position)
    }

    fn refused(&self, refused: Refused, environment: &mut Environment<'_, 'a>) -> Continuation {
        match refused {
            Refused::Fenced => {
                environment.hits.hit("refused: fenced");
                match self.generation == environment.broker.generation {
                    true => Continuation::Restarts,
                    false => Continuation::Lost,
                }
            }
            Refused::OldGeneration => {
                environment.hits.hit("refused: the generation is old");
                // If that is refused too, the next task has aborted it.
                environment.broker.abort_transaction(self.producer).ok();
                Continuation::Lost
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
        Some(Fault::OneTooManySuppressed) if amid_record => place <= emitted,
        Some(Fault::OneTooFewSuppressed) if amid_record => {
            let one_before = emitted.outputs - 1;
            place
                < Position {
                    outputs: one_before,
                    ..emitted
                }
        }
        Some(Fault::SuppressedByWholeRecords) => place.offset < emitted.offset,
        _ => task.suppresses(place),
    }
}
