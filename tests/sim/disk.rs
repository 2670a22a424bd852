//! The disk of one process: tables that may lose the last writes, and that ignore some changes under a planted fault.

use alerttrail::join::Position;
use alerttrail::store::{Backend, Batch, Direction, Error, Memory, Pairs, Reads, Span, Table, keys};

use crate::faults::Fault;
use crate::rng::Rng;

/// The maximum number of writes that a crash removes.
const MAX_LOST: usize = 40;

/// The state of one partition on the disk of one process.
#[derive(Default)]
pub(crate) struct Disk {
    /// The state that the process sees.
    memory: Memory,
    /// The state that survives everything except the loss of the disk.
    safe: Memory,
    /// The writes since then, each atomic: after a crash, any prefix of them is on the disk.
    unsafe_writes: Vec<Batch>,
    /// How far the output has been sent, as the process records it after its deliveries. It survives a crash of the
    /// process, but not of the machine.
    noted: Position,
    fault: Option<Fault>,
}

impl Disk {
    pub(crate) fn new(fault: Option<Fault>) -> Self {
        Self {
            fault,
            ..Self::default()
        }
    }

    /// Returns whether nothing was ever written.
    pub(crate) fn is_empty(&self) -> bool {
        self.len(Table::Meta) == 0
    }

    pub(crate) fn len(&self, table: Table) -> usize {
        self.memory.len(table)
    }

    /// Returns the record of how far the output has been sent.
    pub(crate) fn noted(&self) -> Position {
        self.noted
    }

    /// Records how far the output has been sent.
    pub(crate) fn note(&mut self, position: Position) {
        self.noted = self.noted.max(position);
    }

    /// Crashes the machine: the last writes are lost as in a crash of the process, and perhaps also the record of how
    /// far the output has been sent. Returns whether any write was lost.
    pub(crate) fn lose_power(&mut self, rng: &mut Rng) -> bool {
        if rng.percent(50) {
            self.noted = Position::default();
        }
        self.lose_tail(rng)
    }

    /// Crashes the process and drops the last writes. Returns whether any write was lost.
    pub(crate) fn lose_tail(&mut self, rng: &mut Rng) -> bool {
        let kept = rng.below(self.unsafe_writes.len() + 1);
        let lost = kept < self.unsafe_writes.len();
        self.unsafe_writes.truncate(kept);
        for batch in self.unsafe_writes.drain(..) {
            self.safe.write(batch).unwrap();
        }
        self.memory = self.safe.clone();
        lost
    }

    pub(crate) fn lose_all(&mut self) {
        *self = Self::new(self.fault);
    }

    /// Returns an older state of the same tables.
    pub(crate) fn past(&self) -> Memory {
        self.safe.clone()
    }

    /// Replaces the tables with others.
    pub(crate) fn replace(&mut self, memory: Memory) {
        (self.safe, self.memory) = (memory.clone(), memory);
        self.unsafe_writes.clear();
    }

    /// Returns the changes without those that the planted fault makes the disk ignore.
    fn apply_fault(&self, mut batch: Batch) -> Batch {
        let kept_table = match self.fault {
            Some(Fault::TimersStay) => Some(Table::Timers),
            Some(Fault::ClosedWindowsStay) => Some(Table::ClosedWindows),
            Some(Fault::AlertRowsStay) => Some(Table::AlertRows),
            _ => None,
        };
        for (table, changes) in Table::ALL.into_iter().zip(&mut batch.changes) {
            changes.retain(|_, value| value.is_some() || Some(table) != kept_table);
            if table == Table::Meta {
                changes.retain(|key, _| match self.fault {
                    Some(Fault::ProgressLost) => key != keys::PROGRESS,
                    Some(Fault::WorkLost) => key != keys::WORK,
                    Some(Fault::DaysLost) => key.first() != Some(&b'd'),
                    _ => true,
                });
            }
        }
        if self.fault == Some(Fault::SpansStay) {
            batch.removed.clear();
        }
        batch
    }
}

impl Reads for Disk {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.memory.get(table, key)
    }

    fn scan<'a>(&'a self, table: Table, span: Span, direction: Direction) -> Pairs<'a> {
        self.memory.scan(table, span, direction)
    }
}

impl Backend for Disk {
    fn write(&mut self, batch: Batch) -> Result<(), Error> {
        let batch = self.apply_fault(batch);
        if self.unsafe_writes.len() == MAX_LOST {
            self.safe.write(self.unsafe_writes.remove(0))?;
        }
        self.unsafe_writes.push(Batch {
            removed: batch.removed.clone(),
            changes: batch.changes.clone(),
        });
        self.memory.write(batch)
    }
}
