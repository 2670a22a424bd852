//! The disk of one process: tables that may lose what was written last, and under a planted fault forget to change.

use alerttrail::join::Position;
use alerttrail::store::{Base, Batch, Direction, Error, Memory, Pairs, Reads, Span, Table, keys};

use crate::faults::Fault;
use crate::rng::Rng;

/// The most writes that a crash takes away.
const MOST_LOST: usize = 40;

/// One partition's state on the disk of one process.
#[derive(Default)]
pub(crate) struct Disk {
    /// What the process sees.
    memory: Memory,
    /// What survives everything but the loss of the disk.
    safe: Memory,
    /// What was written since, each atomic: after a crash any first part of it is there.
    unsafe_writes: Vec<Batch>,
    /// How far the output has gone out, as the process noted behind its deliveries. It survives the process, and not the machine.
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

    /// Whether nothing was ever written.
    pub(crate) fn is_empty(&self) -> bool {
        self.len(Table::Meta) == 0
    }

    pub(crate) fn len(&self, table: Table) -> usize {
        self.memory.len(table)
    }

    /// The note of how far the output has gone out.
    pub(crate) fn noted(&self) -> Position {
        self.noted
    }

    /// Notes how far the output has gone out.
    pub(crate) fn note(&mut self, position: Position) {
        self.noted = self.noted.max(position);
    }

    /// The machine crashes: what is lost when the process does, and maybe the note.
    pub(crate) fn lose_power(&mut self, rng: &mut Rng) -> bool {
        if rng.percent(50) {
            self.noted = Position::default();
        }
        self.lose_tail(rng)
    }

    /// The process crashes, and the end of what was written is gone; whether any was.
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

    /// An older state of the same tables.
    pub(crate) fn past(&self) -> Memory {
        self.safe.clone()
    }

    /// Puts other tables in the place of these.
    pub(crate) fn replace(&mut self, memory: Memory) {
        (self.safe, self.memory) = (memory.clone(), memory);
        self.unsafe_writes.clear();
    }

    /// The changes as this disk carries them out.
    fn weather(&self, mut batch: Batch) -> Batch {
        let stays = match self.fault {
            Some(Fault::TimersStay) => Some(Table::Timers),
            Some(Fault::ClosedWindowsStay) => Some(Table::ClosedWindows),
            Some(Fault::AlertRowsStay) => Some(Table::AlertRows),
            _ => None,
        };
        for (table, changes) in Table::ALL.into_iter().zip(&mut batch.changes) {
            changes.retain(|_, value| value.is_some() || Some(table) != stays);
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

impl Base for Disk {
    fn write(&mut self, batch: Batch) -> Result<(), Error> {
        let batch = self.weather(batch);
        if self.unsafe_writes.len() == MOST_LOST {
            self.safe.write(self.unsafe_writes.remove(0))?;
        }
        self.unsafe_writes.push(Batch {
            removed: batch.removed.clone(),
            changes: batch.changes.clone(),
        });
        self.memory.write(batch)
    }
}
