//! Adaptive size of transactions: each must be committed before the broker times it out, however slow the broker is.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::join::Limit;

/// After a transaction faster than this, the next one may be larger.
const FAST: Duration = Duration::from_millis(500);
/// After a transaction slower than this, the next one is smaller. The broker's timeout is some seconds longer.
const SLOW: Duration = Duration::from_secs(2);

/// The size of transactions, adapted to their durations.
#[derive(Debug, Default)]
pub(super) struct AdaptiveBatchSize {
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    /// The size of the next one.
    next: Limit,
    /// The size of the one that began last.
    begun: Limit,
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

    /// Adapts the next limit to the duration of the transaction.
    pub(super) fn done(&self, taken: Duration) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.next = match taken {
            taken if taken < FAST => scaled(state.begun, 2, 1),
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

    #[test]
    fn a_transaction_that_never_completes_makes_the_next_one_smaller() {
        let batch_size = AdaptiveBatchSize::default();
        assert_eq!(batch_size.begin(), Limit::default());
        let second = batch_size.begin();
        assert_eq!(second.bytes, Limit::default().bytes / 8);
        for _ in 0..20 {
            batch_size.begin();
        }
        assert_eq!(batch_size.begin(), Limit { outputs: 1, bytes: 1 });
    }

    #[test]
    fn fast_transactions_grow_to_the_limit_and_slow_ones_shrink() {
        let batch_size = AdaptiveBatchSize::default();
        batch_size.begin();
        batch_size.done(SLOW * 2);
        assert_eq!(batch_size.begin().outputs, Limit::default().outputs / 2);
        batch_size.done(FAST / 2);
        assert_eq!(batch_size.begin(), Limit::default());
        batch_size.done(FAST * 2);
        assert_eq!(batch_size.begin(), Limit::default(), "neither quick nor slow");
    }
}
