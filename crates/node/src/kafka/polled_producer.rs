//! A producer whose delivery reports arrive by themselves.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::producer::{BaseProducer, ProducerContext};

use super::Error;
use super::poll_thread::PollThread;

/// How long one poll takes, and so how long a drop waits at most. rdkafka 0.39 waits for whole milliseconds of the time
/// that is left, rounded down, and polls without a pause in the last one: a hundredth of a core for each idle producer
/// (`findings/rust-rdkafka-producers-spin-in-each-poll.sh`). With a little more than whole milliseconds, the last wait
/// ends after the poll's time is over.
const POLL_TIMEOUT: Duration = Duration::from_micros(100_100);

/// The name of the threads that poll.
const THREAD: &str = "acknowledgments";

/// A producer that a separate thread polls until the producer is dropped. It replaces rdkafka's `ThreadedProducer`,
/// whose polls have a fixed time.
pub(super) struct PolledProducer<C: ProducerContext + 'static> {
    /// Dropped first, so that the messages that are still queued are discarded before the caller continues.
    _thread: PollThread,
    producer: Arc<BaseProducer<C>>,
}

impl<C: ProducerContext + 'static> PolledProducer<C> {
    pub(super) fn new(producer: BaseProducer<C>) -> Result<Self, Error> {
        let producer = Arc::new(producer);
        let polled = Arc::clone(&producer);
        Ok(Self {
            _thread: PollThread::start(THREAD, move || polled.poll(POLL_TIMEOUT))?,
            producer,
        })
    }
}

impl<C: ProducerContext + 'static> Deref for PolledProducer<C> {
    type Target = BaseProducer<C>;

    fn deref(&self) -> &BaseProducer<C> {
        &self.producer
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rdkafka::config::ClientConfig;
    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::DefaultProducerContext;

    use super::*;

    /// Returns the CPU time of the threads of this process whose name begins like this, in hundredths of a second.
    fn cpu_of_threads(name: &str) -> std::io::Result<u64> {
        let ticks = std::fs::read_dir("/proc/self/task")?.filter_map(|thread| {
            let folder = thread.ok()?.path();
            let is_one = std::fs::read_to_string(folder.join("comm")).ok()?.starts_with(name);
            let stat = std::fs::read_to_string(folder.join("stat")).ok().filter(|_| is_one)?;
            // User and system time are the 14th and the 15th field. The second one is the name, in parentheses.
            let fields = stat.rsplit(')').next()?.split_whitespace().skip(11).take(2);
            Some(fields.filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>())
        });
        Ok(ticks.sum())
    }

    #[test]
    fn an_idle_producer_uses_no_cpu() {
        let cluster = MockCluster::<DefaultProducerContext>::new(1).unwrap();
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", cluster.bootstrap_servers());
        let producers: Vec<_> = (0..40)
            .map(|_| PolledProducer::new(client.create().unwrap()).unwrap())
            .collect();
        std::thread::sleep(Duration::from_secs(3));
        let ticks = cpu_of_threads(THREAD).unwrap();
        assert_eq!(producers.len(), 40);
        // With polls of exactly 100 ms it is about 30.
        assert!(ticks < 12, "{ticks} hundredths of a second in 3 s");
    }
}
