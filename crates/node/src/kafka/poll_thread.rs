//! A thread that polls a client until it is no longer needed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};

use rdkafka::error::KafkaError;

use super::Error;

/// The thread. It ends when this is dropped, which waits for the last poll.
pub(super) struct PollThread {
    is_stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl PollThread {
    /// Starts a thread that calls `poll` repeatedly. A debugger and `top -H` show its name.
    pub(super) fn start(name: &str, poll: impl Fn() + Send + 'static) -> Result<Self, Error> {
        let is_stopped = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&is_stopped);
        let run = move || {
            while !ends.load(Ordering::Relaxed) {
                poll();
            }
        };
        let thread = Builder::new().name(name.to_owned()).spawn(run);
        let thread = thread.map_err(|error| Error::Client(KafkaError::ClientCreation(error.to_string())))?;
        Ok(Self {
            is_stopped,
            thread: Some(thread),
        })
    }
}

impl Drop for PollThread {
    fn drop(&mut self) {
        self.is_stopped.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // The thread does nothing that could fail.
            drop(thread.join());
        }
    }
}
