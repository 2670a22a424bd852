//! The broker, as one partition of JOIN sees it: the output topic, transactions, and the group with its committed
//! position.

use std::collections::BTreeMap;

use alerttrail::join::Position;

use crate::Failure;
use crate::faults::Fault;
use crate::hits::Hits;
use crate::joining::{Delivered, Undisturbed};
use crate::plan::Plan;

/// A producer, as the partition task sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Producer {
    id: u64,
    /// Its number among the producers with the same transactional id: only the last of them may do anything.
    epoch: u64,
}

/// Why the broker refuses a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refused {
    /// The producer has been fenced.
    Fenced,
    /// The group has another generation.
    OldGeneration,
}

/// The state of a record in the output topic.
#[derive(Clone, Copy, PartialEq, Eq)]
enum RecordState {
    Open,
    Committed,
    Aborted,
}

/// An open transaction: its records, and the position that is committed with them.
#[derive(Default)]
struct Transaction {
    records: Vec<usize>,
    position: Option<Position>,
}

pub(crate) struct Broker<'a> {
    is_exactly_once: bool,
    fault: Option<Fault>,
    /// The run without faults, with the complete expected output.
    undisturbed: &'a Undisturbed,
    topic: Vec<(Delivered, RecordState)>,
    /// By producer.
    open: BTreeMap<u64, Transaction>,
    /// The next sequence number of each producer.
    sequences: BTreeMap<u64, u64>,
    epoch: u64,
    pub(crate) generation: u64,
    committed: Position,
    /// The greatest position that was committed since the group's position was last deleted.
    greatest: Position,
    /// The position of the last aborted transaction.
    aborted: Position,
    /// Which outputs of the undisturbed run readers can see; `front` is the number of outputs before the first that
    /// they cannot see.
    visible: Vec<bool>,
    front: usize,
    /// The positions of the records in the topic.
    places: Vec<Position>,
    /// How far a `read_committed` reader has read, and the records that it has seen.
    read: usize,
    seen: Vec<Delivered>,
}

impl<'a> Broker<'a> {
    pub(crate) fn new(plan: &Plan, undisturbed: &'a Undisturbed) -> Self {
        Self {
            is_exactly_once: plan.is_exactly_once(),
            fault: plan.fault,
            undisturbed,
            topic: Vec::new(),
            open: BTreeMap::new(),
            sequences: BTreeMap::new(),
            epoch: 0,
            generation: 0,
            committed: Position::default(),
            greatest: Position::default(),
            aborted: Position::default(),
            visible: vec![false; undisturbed.output.len()],
            front: 0,
            places: Vec::new(),
            read: 0,
            seen: Vec::new(),
        }
    }

    /// Adds a new member, to which the partition now belongs. Returns the new generation.
    pub(crate) fn join_group(&mut self) -> u64 {
        self.generation += 1;
        self.generation
    }

    /// Makes a producer. A transactional producer aborts the open transactions of its transactional id, and fences
    /// their producers.
    pub(crate) fn init_producer(&mut self, hits: &mut Hits) -> Producer {
        if self.is_exactly_once && self.fault != Some(Fault::FencingLeftOut) {
            self.epoch += 1;
            if self.abort_all() {
                hits.hit("transaction: aborted by the next producer");
            }
        }
        self.add_producer()
    }

    /// Adds a producer that fences no other, which the program never does.
    pub(crate) fn add_producer(&mut self) -> Producer {
        let id = self.sequences.len() as u64;
        self.sequences.insert(id, 0);
        Producer { id, epoch: self.epoch }
    }

    /// Aborts the open transaction, if there is one, because it has taken too long, and fences its producer.
    pub(crate) fn time_out(&mut self) -> bool {
        let was_open = self.abort_all();
        self.epoch += u64::from(was_open);
        was_open
    }

    fn abort_all(&mut self) -> bool {
        let open: Vec<u64> = self.open.keys().copied().collect();
        for id in &open {
            self.end(*id, RecordState::Aborted);
        }
        !open.is_empty()
    }

    /// Returns whether the record that the producer sends under this number is in the topic.
    pub(crate) fn has(&self, producer: Producer, sequence: u64) -> bool {
        sequence < self.sequences[&producer.id]
    }

    /// Appends a record, unless the producer has sent it before.
    pub(crate) fn append(
        &mut self,
        producer: Producer,
        sequence: u64,
        place: Position,
        record: &Delivered,
    ) -> Result<(), Refused> {
        self.check_fence(producer)?;
        let next = self.sequences.get_mut(&producer.id).unwrap();
        if sequence < *next {
            return Ok(());
        }
        *next = sequence + 1;
        let number = self.topic.len();
        self.places.push(place);
        if self.is_exactly_once {
            self.topic.push((record.clone(), RecordState::Open));
            self.open.entry(producer.id).or_default().records.push(number);
        } else {
            self.topic.push((record.clone(), RecordState::Committed));
            self.show(number);
        }
        Ok(())
    }

    /// Adds a position to the producer's transaction.
    pub(crate) fn send_offsets(&mut self, producer: Producer, generation: u64, position: Position) -> Result<(), Refused> {
        self.check_fence(producer)?;
        if generation != self.generation && self.fault != Some(Fault::FencingLeftOut) {
            return Err(Refused::OldGeneration);
        }
        self.open.entry(producer.id).or_default().position = Some(position);
        Ok(())
    }

    pub(crate) fn commit_transaction(&mut self, producer: Producer) -> Result<(), Refused> {
        self.check_fence(producer)?;
        self.end(producer.id, RecordState::Committed);
        Ok(())
    }

    pub(crate) fn abort_transaction(&mut self, producer: Producer) -> Result<(), Refused> {
        self.check_fence(producer)?;
        self.end(producer.id, RecordState::Aborted);
        Ok(())
    }

    /// Commits a position outside of any transaction.
    pub(crate) fn commit_position(&mut self, generation: u64, position: Position) -> Result<(), Refused> {
        if generation != self.generation {
            return Err(Refused::OldGeneration);
        }
        self.committed = position;
        Ok(())
    }

    pub(crate) fn forget_position(&mut self) {
        (self.committed, self.greatest) = (Position::default(), Position::default());
    }

    pub(crate) fn committed(&self) -> Position {
        match self.fault {
            Some(Fault::PositionFromAborted) => self.committed.max(self.aborted),
            _ => self.committed,
        }
    }

    fn check_fence(&self, producer: Producer) -> Result<(), Refused> {
        match self.is_exactly_once && producer.epoch != self.epoch {
            true => Err(Refused::Fenced),
            false => Ok(()),
        }
    }

    fn end(&mut self, id: u64, state: RecordState) {
        let transaction = self.open.remove(&id).unwrap_or_default();
        for number in transaction.records {
            self.topic[number].1 = state;
            if state == RecordState::Committed {
                self.show(number);
            }
        }
        match (state, transaction.position) {
            (RecordState::Committed, Some(position)) => self.committed = position,
            (_, Some(position)) => self.aborted = position,
            _ => {}
        }
    }

    /// Makes a record visible to readers.
    fn show(&mut self, number: usize) {
        let Ok(place) = self.undisturbed.places.binary_search(&self.places[number]) else {
            return;
        };
        if self.undisturbed.output[place] == self.topic[number].0 {
            self.visible[place] = true;
            self.front += self.visible[self.front..].iter().take_while(|visible| **visible).count();
        }
    }

    /// Returns whether readers can see everything before `position`.
    fn is_visible_before(&self, position: Position) -> bool {
        self.undisturbed.places.get(self.front).is_none_or(|place| *place >= position)
    }

    /// Asserts that the group's position is not ahead of what readers can see, because no task sends the outputs before
    /// it again. The position does not go back either, because a task without a store would send all outputs in
    /// between again.
    pub(crate) fn check_committed(&mut self) -> Result<(), Failure> {
        Failure::unless(self.committed >= self.greatest, "bounded", || {
            format!("the position goes back from {:?} to {:?}", self.greatest, self.committed)
        })?;
        self.greatest = self.committed;
        Failure::unless(self.is_visible_before(self.committed), "complete", || {
            format!("the position {:?} is committed before the outputs", self.committed)
        })
    }

    /// Asserts that a store is not ahead of what readers can see.
    pub(crate) fn check_written(&self, position: Position) -> Result<(), Failure> {
        Failure::unless(self.is_visible_before(position), "complete", || {
            format!("a store is at {position:?} before its outputs are visible")
        })
    }

    /// Returns true if a task that sends the outputs after `start` skips the next output of the topic: the previous
    /// task sent outputs again that this task, whose store is further ahead, does not send.
    pub(crate) fn leaves_a_gap(&self, start: Position) -> bool {
        let Some(last) = self.places.last() else { return false };
        let next = self.undisturbed.places.partition_point(|place| place <= last);
        self.undisturbed.places.get(next).is_some_and(|place| *place < start)
    }

    /// Lets a `read_committed` reader continue up to the first record whose transaction is open.
    pub(crate) fn poll(&mut self) {
        while let Some((record, state)) = self.topic.get(self.read).filter(|(_, state)| *state != RecordState::Open) {
            if *state == RecordState::Committed {
                self.seen.push(record.clone());
            }
            self.read += 1;
        }
    }

    /// Returns the number of records in the topic.
    pub(crate) fn len(&self) -> usize {
        self.topic.len()
    }

    /// Returns what readers have received at the end: all records in the topic, and those that a `read_committed`
    /// reader has seen.
    pub(crate) fn close(mut self) -> (Vec<Delivered>, Vec<Delivered>) {
        self.poll();
        (self.topic.into_iter().map(|(record, _)| record).collect(), self.seen)
    }
}
