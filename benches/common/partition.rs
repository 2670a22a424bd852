use alerttrail::join::{Joiner, Limit, Outbox, Output};
use alerttrail::log::LogRecord;
use alerttrail::store::{Base, Memory};
use std::time::Duration;

/// Log records in one transaction: as many as JOIN takes in at the most.
const BATCH: usize = 2_000;

/// A partition, over state in memory unless said otherwise: its state, and who works on it.
pub(crate) struct Partition<B = Memory> {
    pub(crate) base: B,
    /// Outputs so far.
    pub(crate) outputs: u64,
    joiner: Joiner,
    offset: i64,
}

impl<B: Base> Partition<B> {
    pub(crate) fn open(base: B, retention: Option<Duration>) -> Self {
        let joiner = Joiner::open(&base, retention).unwrap();
        Self {
            base,
            outputs: 0,
            offset: joiner.next_offset(),
            joiner,
        }
    }

    /// Takes in records with everything that follows from them, and writes state behind every full outbox and every batch.
    pub(crate) fn apply<'r>(&mut self, records: impl Iterator<Item = LogRecord<'r>>) {
        self.apply_to(records, &mut |output| drop(std::hint::black_box(output)));
    }

    /// The same, and hands over what there is to say.
    pub(crate) fn apply_to<'r>(&mut self, records: impl Iterator<Item = LogRecord<'r>>, each: &mut dyn FnMut(Output)) {
        let mut records = records.peekable();
        let mut outbox = Outbox::new(Limit::default());
        loop {
            let batch = (self.offset..).zip(records.by_ref()).take(BATCH);
            let changes = self.joiner.apply(&self.base, batch, &mut outbox).unwrap();
            self.offset = self.joiner.next_offset();
            for (_, output) in outbox.drain() {
                self.outputs += 1;
                each(output);
            }
            self.base.write(changes).unwrap();
            if !self.joiner.has_work() && records.peek().is_none() {
                return;
            }
        }
    }
}
