//! The batch join, which emits the rows that are expected.

use std::time::Duration;

use super::comparison::Comparison;
use crate::emit::{Emitted, Emitter};
use crate::join::{Joiner, Limit, Outbox, Output};
use crate::repartition::RepartitionRecord;
use crate::route::{Arrival, Routed, Router, Seen};
use crate::store::{self, Backend};
use crate::time::{EventTime, TICKS_PER_SECOND};

/// The reason why rows cannot be recomputed or compared.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The state failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The temporary files failed.
    #[error("cannot keep rows in temporary files: {0}; name a folder with more room with --temp-dir")]
    Temporary(#[from] std::io::Error),
}

/// ROUTE and JOIN of one partition, from the beginning to the end of the input.
pub struct Recomputation<B> {
    router: Router,
    joiner: Joiner,
    backend: B,
    /// Determines which rows are larger than the broker accepts.
    emitter: Emitter,
    offset: i64,
    lead: Duration,
}

impl<B: Backend> Recomputation<B> {
    /// Creates a recomputation over an empty backend. `router` must send everything to one partition, and `emitter`
    /// must write no summaries.
    pub fn new(router: Router, backend: B, emitter: Emitter) -> Result<Self, Error> {
        Ok(Self {
            router,
            joiner: Joiner::open(&backend, None)?,
            backend,
            emitter,
            offset: 0,
            lead: Duration::ZERO,
        })
    }

    /// Returns the longest time by which an activity's time was ahead of its arrival.
    pub fn lead(&self) -> Duration {
        self.lead
    }

    /// Processes the next messages of one source and returns what they contained.
    pub fn messages<'m>(
        &mut self,
        messages: impl IntoIterator<Item = (Option<&'m [u8]>, Arrival)>,
        comparison: &mut Comparison,
    ) -> Result<Seen, Error> {
        let mut outbox = Outbox::new(Limit::default());
        let mut batch = self.joiner.begin_batch(&self.backend, &mut outbox)?;
        let mut all = Seen::default();
        for (message, arrival) in messages {
            let mut result = Ok(());
            let (offset, lead) = (&mut self.offset, &mut self.lead);
            all += self.router.route(message, arrival, &mut |routed| {
                if result.is_err() {
                    return;
                }
                result = match routed {
                    Routed::Record { record, .. } => {
                        if let RepartitionRecord::Activity(activity) = &record {
                            *lead = ahead(activity.time, arrival).max(*lead);
                        }
                        let delivered = comparison.add_delivered(&record);
                        *offset += 1;
                        // No row is emitted before the end, because there is no watermark.
                        delivered
                            .map_err(Error::from)
                            .and_then(|()| Ok(batch.apply(*offset - 1, record)?))
                    }
                    Routed::Rejected { reject, .. } => {
                        comparison.count_dead_letter(reject.reason.as_str());
                        Ok(())
                    }
                    Routed::OtherTable(_) | Routed::SecondTenant => Ok(()),
                };
            });
            result?;
        }
        let changes = batch.finish()?;
        self.backend.write(changes)?;
        Ok(all)
    }

    /// Closes every window. Calls `on_progress` with the number of rows so far; it returns whether to continue. Returns
    /// whether every window was closed.
    pub fn end(mut self, comparison: &mut Comparison, on_progress: &mut dyn FnMut(u64) -> bool) -> Result<bool, Error> {
        let mut outbox = Outbox::new(Limit::default());
        let mut records = std::iter::once((self.offset, RepartitionRecord::EndOfInput));
        let mut rows = 0;
        let mut value = Vec::new();
        while records.len() > 0 || self.joiner.has_work() {
            if !on_progress(rows) {
                return Ok(false);
            }
            // The state is written after every full outbox, so that the new states of alerts do not fill the memory.
            let changes = self.joiner.apply(&self.backend, &mut records, &mut outbox)?;
            for (_, output) in outbox.drain() {
                if let Output::Row(row) = &output {
                    rows += 1;
                    let is_too_large = is_too_large(&self.emitter, &output, &mut value);
                    comparison.add_expected(row, is_too_large)?;
                }
            }
            self.backend.write(changes)?;
        }
        Ok(true)
    }
}

/// Returns how far a time is ahead of an arrival, rounded up to whole seconds.
fn ahead(time: EventTime, arrival: Arrival) -> Duration {
    let arrived = arrival.timestamp.map_or(arrival.now, |timestamp| timestamp.min(arrival.now));
    let ticks = time.ticks().saturating_sub(arrived.to_event().ticks());
    let ticks = u64::try_from(ticks).unwrap_or(0);
    Duration::from_secs(ticks.div_ceil(TICKS_PER_SECOND.unsigned_abs()))
}

/// Returns whether a row is too large to be sent. Most rows are so small that they need not be encoded to decide this.
fn is_too_large(emitter: &Emitter, output: &Output, value: &mut Vec<u8>) -> bool {
    /// More bytes than a record needs in addition to its two rows.
    const OVERHEAD: usize = 64 << 10;
    let Some(limit) = emitter.limit else { return false };
    let size = match output {
        Output::Row(row) => row.rows.as_ref().map_or(0, |(alert, activity)| alert.len() + activity.len()),
        Output::Summary(_) => 0,
    };
    let may_be_too_large = size.saturating_add(OVERHEAD) > limit;
    may_be_too_large && matches!(emitter.emit(output, i64::MAX, value), Emitted::TooLarge(_))
}
