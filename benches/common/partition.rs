use alerttrail::join::{Joiner, Limit, Outbox, Output};
use alerttrail::repartition::RepartitionRecord;
use alerttrail::store::{Backend, Memory};
use std::time::Duration;

/// The number of repartition records in one transaction: the maximum that JOIN reads at once.
const BATCH: usize = 2_000;

/// A partition with its state, in memory by default, and its joiner.
pub(crate) struct Partition<B = Memory> {
    pub(crate) backend: B,
    /// The number of outputs so far.
    pub(crate) outputs: u64,
    joiner: Joiner,
    offset: i64,
}

impl<B: Backend> Partition<B> {
    pub(crate) fn open(backend: B, retention: Option<Duration>) -> Self {
        let joiner = Joiner::open(&backend, retention).unwrap();
        Self {
            backend,
            outputs: 0,
            offset: joiner.next_offset(),
            joiner,
        }
    }

    /// Applies records with everything that follows from them, and writes the state after every full outbox and every
    /// batch.
    pub(crate) fn apply<'r>(&mut self, records: impl Iterator<Item = RepartitionRecord<'r>>) {
        self.apply_to(records, &mut |output| drop(std::hint::black_box(output)));
    }

    /// Does the same, and passes each output to `each`.
    pub(crate) fn apply_to<'r>(&mut self, records: impl Iterator<Item = RepartitionRecord<'r>>, each: &mut dyn FnMut(Output)) {
        let mut records = records.peekable();
        let mut outbox = Outbox::new(Limit::default());
        loop {
            let batch = (self.offset..).zip(records.by_ref()).take(BATCH);
            let changes = self.joiner.apply(&self.backend, batch, &mut outbox).unwrap();
            self.offset = self.joiner.next_offset();
            for (_, output) in outbox.drain() {
                self.outputs += 1;
                each(output);
            }
            self.backend.write(changes).unwrap();
            if !self.joiner.has_work() && records.peek().is_none() {
                return;
            }
        }
    }
}
