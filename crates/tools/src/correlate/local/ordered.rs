use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The results of work that several threads share, in the order in which the work was distributed.
///
/// Threads take turns to fetch pieces of work, so at most two results (`AHEAD`) for each thread are in progress or
/// waiting, however unequal the pieces are. The threads end when there is no more work, or when this value is dropped,
/// at the latest after the piece that they are working on.
pub struct Ordered<T> {
    queue: Receiver<Promise<T>>,
    next: Option<Receiver<T>>,
}

/// The outcome of waiting for the next result.
#[derive(Debug)]
pub enum Next<T> {
    /// A result.
    Result(T),
    /// It is not ready yet.
    Pending,
    /// There are no more results.
    End,
    /// A thread ended unexpectedly.
    Broken,
}

enum Promise<T> {
    Result(Receiver<T>),
    End,
}

/// The number of pieces in progress for each thread.
pub(super) const AHEAD: usize = 2;

/// Starts `threads` threads with this name. Each has a worker of its own, and the workers process the pieces that
/// `source` returns until it returns none.
pub fn ordered<J, T, S, W>(name: &str, threads: usize, source: S, worker: impl Fn() -> W) -> Ordered<T>
where
    J: 'static,
    T: Send + 'static,
    S: FnMut() -> Option<J> + Send + 'static,
    W: FnMut(J) -> T + Send + 'static,
{
    let (promise, queue) = sync_channel(AHEAD * threads);
    let source = Arc::new(Mutex::new((source, promise)));
    for _ in 0..threads.max(1) {
        let (source, mut work) = (source.clone(), worker());
        let thread = std::thread::Builder::new().name(name.to_owned());
        // With fewer threads than requested, the work takes longer. With no thread, the queue reports it.
        let spawned = thread.spawn(move || {
            while let Some((piece, answer)) = take(&source) {
                // The receiver may have been dropped.
                if answer.send(work(piece)).is_err() {
                    return;
                }
            }
        });
        if let Err(error) = spawned {
            tracing::warn!(%error, "cannot start another thread");
        }
    }
    Ordered { queue, next: None }
}

/// Returns the next piece, and the channel for its result. Its place in the queue is taken before another thread can
/// take the piece that follows.
fn take<J, T, S: FnMut() -> Option<J>>(source: &Mutex<(S, SyncSender<Promise<T>>)>) -> Option<(J, SyncSender<T>)> {
    // If the lock is poisoned, another thread ended while it held the lock. The queue reports that when all threads
    // have ended.
    let mut source = source.lock().ok()?;
    let (source, promise) = &mut *source;
    let Some(piece) = source() else {
        promise.send(Promise::End).ok();
        return None;
    };
    let (answer, result) = sync_channel(1);
    promise.send(Promise::Result(result)).ok()?;
    Some((piece, answer))
}

impl<T> Ordered<T> {
    /// Returns the next result, and waits for it at most `patience` at each of the two steps: its place in the queue,
    /// and the result itself.
    pub fn next_within(&mut self, patience: Duration) -> Next<T> {
        let waiting = match self.next.take() {
            Some(waiting) => waiting,
            None => match self.queue.recv_timeout(patience) {
                Ok(Promise::Result(waiting)) => waiting,
                Ok(Promise::End) => return Next::End,
                Err(RecvTimeoutError::Timeout) => return Next::Pending,
                Err(RecvTimeoutError::Disconnected) => return Next::Broken,
            },
        };
        match waiting.recv_timeout(patience) {
            Ok(result) => Next::Result(result),
            Err(RecvTimeoutError::Timeout) => {
                self.next = Some(waiting);
                Next::Pending
            }
            Err(RecvTimeoutError::Disconnected) => Next::Broken,
        }
    }
}

/// Used values for reuse, because memory that is in the cache is cheaper than new memory.
pub(super) struct Reuse<T>(Arc<Mutex<Vec<T>>>);

impl<T> Clone for Reuse<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Default for Reuse<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T: Default> Reuse<T> {
    /// Returns a value that was given back, or a new one.
    pub(super) fn get(&self) -> T {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop()
            .unwrap_or_default()
    }

    /// Gives a value back.
    pub(super) fn put(&self, used: T) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(used);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    fn all<T>(mut results: Ordered<T>) -> Vec<T> {
        let mut found = Vec::new();
        while let Next::Result(result) = results.next_within(PATIENCE) {
            found.push(result);
        }
        found
    }

    #[test]
    fn results_come_in_the_order_of_the_work() {
        for threads in [1, 2, 7] {
            let mut numbers = 0..200u64;
            let results = ordered(
                "test",
                threads,
                move || numbers.next(),
                || {
                    |number| {
                        // The first pieces take longest.
                        std::thread::sleep(Duration::from_micros(200 - number));
                        number * 2
                    }
                },
            );
            assert_eq!(all(results), (0..200).map(|number| number * 2).collect::<Vec<_>>());
        }
    }

    #[test]
    fn only_so_much_is_done_ahead() {
        let (say, heard) = sync_channel(1_000);
        let mut numbers = 0..100;
        let mut results = ordered(
            "test",
            2,
            move || {
                let number = numbers.next();
                say.send(number).unwrap();
                number
            },
            || |number| number,
        );
        std::thread::sleep(Duration::from_millis(50));
        // The thread that waits for a place in the queue has one more piece.
        assert!(heard.try_iter().count() <= 2 * AHEAD + 1);
        assert!(matches!(results.next_within(PATIENCE), Next::Result(0)));
    }

    #[test]
    fn a_thread_that_fails_is_no_end() {
        let mut numbers = 0..3;
        let mut results = ordered(
            "test",
            1,
            move || numbers.next(),
            || {
                |number| {
                    assert!(number != 1, "a fault of the work, as this test wants it");
                    number
                }
            },
        );
        assert!(matches!(results.next_within(PATIENCE), Next::Result(0)));
        assert!(matches!(results.next_within(PATIENCE), Next::Broken));
    }

    #[test]
    fn what_is_not_there_is_waited_for_no_longer_than_asked() {
        let (give, given) = sync_channel::<u8>(1);
        let mut results = ordered("test", 1, move || given.recv().ok(), || |number| number);
        assert!(matches!(results.next_within(Duration::from_millis(1)), Next::Pending));
        give.send(7).unwrap();
        drop(give);
        assert!(matches!(results.next_within(PATIENCE), Next::Result(7)));
        assert!(matches!(results.next_within(PATIENCE), Next::End));
    }
}
