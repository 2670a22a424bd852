//! One batch of a partition: log records that are applied together, and whose changes are written together.

use super::{Joiner, Outbox};
use crate::log::LogRecord;
use crate::store::{Base, Batch, Error, Table, Txn, keys};

/// Applies the log records of one batch. The changes stay in memory until [`Applier::finish`] returns them; the outputs
/// go to the outbox.
pub struct Applier<'a, B> {
    joiner: &'a mut Joiner,
    txn: Txn<'a, B>,
    outbox: &'a mut Outbox,
    is_done: bool,
}

impl Joiner {
    /// Begins a batch over the state in `base`, and first continues what the previous batch left unfinished because
    /// its outbox was full. `base` must be the state that the joiner was opened with, with all changes written so far.
    pub fn begin_batch<'a, B: Base>(&'a mut self, base: &'a B, outbox: &'a mut Outbox) -> Result<Applier<'a, B>, Error> {
        let mut txn = Txn::new(base);
        let is_done = self.step(&mut txn, outbox)?;
        Ok(Applier {
            joiner: self,
            txn,
            outbox,
            is_done,
        })
    }

    /// Applies log records, each with its offset, until none is left or the outbox is full, and returns the changes to
    /// write. [`Joiner::has_work`] then tells whether the last record has more outputs.
    pub fn apply<'r, B: Base>(
        &mut self,
        base: &B,
        records: impl IntoIterator<Item = (i64, LogRecord<'r>)>,
        outbox: &mut Outbox,
    ) -> Result<Batch, Error> {
        let mut applier = self.begin_batch(base, outbox)?;
        let mut records = records.into_iter();
        while applier.wants_more()
            && let Some((offset, record)) = records.next()
        {
            applier.apply(offset, record)?;
        }
        applier.finish()
    }
}

impl<B: Base> Applier<'_, B> {
    /// Returns whether the batch takes another record: everything that follows from the last one is done, and the
    /// outbox has room.
    pub fn wants_more(&self) -> bool {
        self.is_done && !self.outbox.is_full()
    }

    /// Applies the record at `offset`, with everything that follows from it until the outbox is full. To be called
    /// while the batch [wants more](Applier::wants_more). A record before [`Joiner::next_offset`] has been applied
    /// already and changes nothing.
    pub fn apply(&mut self, offset: i64, record: LogRecord<'_>) -> Result<(), Error> {
        self.joiner.begin(offset, record, &mut self.txn)?;
        self.is_done = self.joiner.step(&mut self.txn, self.outbox)?;
        Ok(())
    }

    /// Adds the caller's own value, under a key that the joiner does not use, to the changes of the batch.
    pub fn put_meta(&mut self, key: &[u8], value: Vec<u8>) {
        debug_assert!(
            key != keys::PROGRESS && key != keys::WORK,
            "the joiner's own part of the state"
        );
        self.txn.put(Table::Meta, key.to_vec(), value);
    }

    /// Returns the changes of the batch, the joiner's position among them. They must be written as a whole.
    pub fn finish(mut self) -> Result<Batch, Error> {
        self.joiner.save(&mut self.txn)?;
        Ok(self.txn.into_batch())
    }
}
