use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Results of work that several threads share, in the order in which the work was given out.
///
/// Threads take turns at what there is to do, so at most two results (`AHEAD`) for each are under way or waiting, however unequal the pieces
/// are. They end when there is nothing more to do, or when this is dropped, at the latest behind the piece that they are at.
pub struct Ordered<T> {
    queue: Receiver<Promise<T>>,
    next: Option<Receiver<T>>,
}

/// What the next result is.
#[derive(Debug)]
pub enum Next<T> {
    /// A result.
    Result(T),
    /// It is not there yet.
    Pending,
    /// There is none.
    End,
    /// A thread ended before its time.
    Broken,
}

enum Promise<T> {
    Result(Receiver<T>),
    End,
}

/// Pieces under way for each thread.
pub(super) const AHEAD: usize = 2;

/// Has `threads` threads of this name do, each with a worker of its own, what `source` gives until it gives nothing more.
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
        // With fewer threads than were asked for it takes longer. With none the queue tells so.
        let spawned = thread.spawn(move || {
            while let Some((piece, answer)) = take(&source) {
                // Whoever asked may have gone.
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

/// The next piece, and where its result goes. The place in the queue is taken before another thread can take the piece behind.
fn take<J, T, S: FnMut() -> Option<J>>(source: &Mutex<(S, SyncSender<Promise<T>>)>) -> Option<(J, SyncSender<T>)> {
    // Poisoned: another thread ended in the middle of it, and the queue tells so when all have gone.
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
    /// The next result, waited for as long as `patience`.
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

/// What has been used and can be used again: memory that is warm costs less than new memory.
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
    /// One that was given back, or a new one.
    pub(super) fn get(&self) -> T {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop()
            .unwrap_or_default()
    }

    /// Gives one back.
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
                        // The first ones take longest.
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
        // One more is in the hands of the thread that waits for its place.
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
