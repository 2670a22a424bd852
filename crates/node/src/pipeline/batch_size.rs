//! Adaptive size of transactions: each must be committed before the broker times it out, however slow the broker is.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::join_batch::BatchOutcome;
use crate::join::Limit;

/// The size of the first transactions, as a share of the largest one: 256 KiB take 5 s at 50 KB/s.
const FIRST_SHARE: usize = 32;

/// After a transaction faster than this, the next one may be twice as large. It then takes at most [`SLOW`], even if
/// the time is in proportion to the size; if the broker's latency is most of it, a larger one hardly takes longer.
const FAST: Duration = Duration::from_secs(2);
/// After a transaction slower than this, the next one is smaller. The broker's timeout is some seconds longer.
const SLOW: Duration = Duration::from_secs(4);

/// The size of transactions, adapted to their durations.
#[derive(Debug)]
pub(super) struct AdaptiveBatchSize {
    state: Mutex<Sizes>,
}

#[derive(Clone, Copy, Debug)]
struct Sizes {
    /// The size of the next one.
    next: Limit,
    /// The size of the one that began last.
    begun: Limit,
}

impl Default for AdaptiveBatchSize {
    fn default() -> Self {
        let first = scaled(Limit::default(), 1, FIRST_SHARE);
        Self {
            state: Mutex::new(Sizes {
                next: first,
                begun: first,
            }),
        }
    }
}

impl AdaptiveBatchSize {
    /// Returns the limit for the transaction that begins now. The next limit is an eighth of it unless
    /// [`AdaptiveBatchSize::done`] is called, in case this transaction never completes.
    pub(super) fn begin(&self) -> Limit {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.begun = state.next;
        state.next = scaled(state.begun, 1, 8);
        state.begun
    }

    /// Adapts the next limit to the duration of the transaction. Only a transaction that reached its limit shows that a
    /// larger one may be fast enough, so the limit never exceeds twice what this broker has accepted in time.
    pub(super) fn done(&self, outcome: BatchOutcome, taken: Duration) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.next = match taken {
            taken if taken < FAST && outcome == BatchOutcome::ReachedLimit => scaled(state.begun, 2, 1),
            taken if taken > SLOW => scaled(state.begun, 1, 2),
            _ => state.begun,
        };
    }
}

fn scaled(limit: Limit, by: usize, of: usize) -> Limit {
    let most = Limit::default();
    Limit {
        outputs: (limit.outputs * by / of).clamp(1, most.outputs),
        bytes: (limit.bytes * by / of).clamp(1, most.bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first() -> Limit {
        AdaptiveBatchSize::default().begin()
    }

    #[test]
    fn a_transaction_that_never_completes_makes_the_next_one_smaller() {
        let batch_size = AdaptiveBatchSize::default();
        batch_size.begin();
        assert_eq!(batch_size.begin().bytes, first().bytes / 8);
        for _ in 0..20 {
            batch_size.begin();
        }
        assert_eq!(batch_size.begin(), Limit { outputs: 1, bytes: 1 });
    }

    #[test]
    fn fast_transactions_grow_to_the_limit_and_slow_ones_shrink() {
        let batch_size = AdaptiveBatchSize::default();
        for _ in 0..10 {
            batch_size.begin();
            batch_size.done(BatchOutcome::ReachedLimit, FAST / 2);
        }
        assert_eq!(batch_size.begin(), Limit::default());
        batch_size.done(BatchOutcome::Finished, SLOW * 2);
        assert_eq!(batch_size.begin().outputs, Limit::default().outputs / 2);
        batch_size.done(BatchOutcome::ReachedLimit, (FAST + SLOW) / 2);
        assert_eq!(
            batch_size.begin().outputs,
            Limit::default().outputs / 2,
            "neither quick nor slow"
        );
    }

    #[test]
    fn a_transaction_below_its_limit_does_not_raise_it() {
        let batch_size = AdaptiveBatchSize::default();
        assert!(first().bytes <= 256 << 10, "{:?}", first());
        batch_size.begin();
        batch_size.done(BatchOutcome::Finished, FAST / 2);
        assert_eq!(batch_size.begin(), first());
    }
}
