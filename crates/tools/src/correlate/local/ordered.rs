use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The results of work that several threads share, in the order in which the work was distributed.
///
/// Threads take turns to fetch pieces of work, so at most two results (`PIECES_PER_THREAD`) for each thread are in
/// progress or waiting, even if the pieces have very different sizes. The threads end when there is no more work. When
/// this value is dropped, they end after the piece that they are working on.
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
pub(super) const PIECES_PER_THREAD: usize = 2;

/// Starts `threads` threads with this name. Each has a worker of its own, and the workers process the pieces that
/// `source` returns until it returns none.
pub fn ordered<J, T, S, W>(name: &str, threads: usize, source: S, worker: impl Fn() -> W) -> Ordered<T>
where
    J: 'static,
    T: Send + 'static,
    S: FnMut() -> Option<J> + Send + 'static,
    W: FnMut(J) -> T + Send + 'static,
{
    let (promise, queue) = sync_channel(PIECES_PER_THREAD * threads);
    let source = Arc::new(Mutex::new((source, promise)));
    for _ in 0..threads.max(1) {
        let (source, mut work) = (source.clone(), worker());
        let thread = std::thread::Builder::new().name(name.to_owned());
        // With fewer threads than requested, the work takes longer. With no thread, the queue reports it.
        let spawned = thread.spawn(move || {
            while let Some((piece, result_sender)) = next_piece(&source) {
                // The receiver may have been dropped.
                if result_sender.send(work(piece)).is_err() {
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
fn next_piece<J, T, S: FnMut() -> Option<J>>(source: &Mutex<(S, SyncSender<Promise<T>>)>) -> Option<(J, SyncSender<T>)> {
    // If the lock is poisoned, another thread ended while it held the lock. The queue reports that when all threads
    // have ended.
    let mut source = source.lock().ok()?;
    let (source, promise) = &mut *source;
    let Some(piece) = source() else {
        promise.send(Promise::End).ok();
        return None;
    };
    let (result_sender, result) = sync_channel(1);
    promise.send(Promise::Result(result)).ok()?;
    Some((piece, result_sender))
}

impl<T> Ordered<T> {
    /// Returns the next result, and waits for it at most `timeout` at each of the two steps: its place in the queue,
    /// and the result itself.
    pub fn next_within(&mut self, timeout: Duration) -> Next<T> {
        let waiting = match self.next.take() {
            Some(waiting) => waiting,
            None => match self.queue.recv_timeout(timeout) {
                Ok(Promise::Result(waiting)) => waiting,
                Ok(Promise::End) => return Next::End,
                Err(RecvTimeoutError::Timeout) => return Next::Pending,
                Err(RecvTimeoutError::Disconnected) => return Next::Broken,
            },
        };
        match waiting.recv_timeout(timeout) {
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
    /// Returns a value that was put back, or a new one.
    pub(super) fn get(&self) -> T {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop()
            .unwrap_or_default()
    }

    /// Puts a value back.
    pub(super) fn put(&self, used: T) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(used);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(60);

    fn all<T>(mut results: Ordered<T>) -> Vec<T> {
        let mut found = Vec::new();
        while let Next::Result(result) = results.next_within(TIMEOUT) {
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
    fn the_number_of_pieces_in_progress_is_limited() {
        let (sender, received) = sync_channel(1_000);
        let mut numbers = 0..100;
        let mut results = ordered(
            "test",
            2,
            move || {
                let number = numbers.next();
                sender.send(number).unwrap();
                number
            },
            || |number| number,
        );
        std::thread::sleep(Duration::from_millis(50));
        // The thread that waits for a place in the queue has one more piece.
        assert!(received.try_iter().count() <= 2 * PIECES_PER_THREAD + 1);
        assert!(matches!(results.next_within(TIMEOUT), Next::Result(0)));
    }

    #[test]
    fn a_thread_that_fails_is_not_the_end_of_the_results() {
        let mut numbers = 0..3;
        let mut results = ordered(
            "test",
            1,
            move || numbers.next(),
            || {
                |number| {
                    assert!(number != 1, "the failure that this test causes");
                    number
                }
            },
        );
        assert!(matches!(results.next_within(TIMEOUT), Next::Result(0)));
        assert!(matches!(results.next_within(TIMEOUT), Next::Broken));
    }

    #[test]
    fn a_wait_for_a_result_ends_at_its_timeout() {
        let (sender, receiver) = sync_channel::<u8>(1);
        let mut results = ordered("test", 1, move || receiver.recv().ok(), || |number| number);
        assert!(matches!(results.next_within(Duration::from_millis(1)), Next::Pending));
        sender.send(7).unwrap();
        drop(sender);
        assert!(matches!(results.next_within(TIMEOUT), Next::Result(7)));
        assert!(matches!(results.next_within(TIMEOUT), Next::End));
    }
}
