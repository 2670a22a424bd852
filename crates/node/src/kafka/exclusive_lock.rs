//! An exclusive lock: a consumer group that only one process may be in.

use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::KafkaError;

use super::clients::{self, REQUEST_TIMEOUT};
use super::poll_thread::PollThread;
use super::{Error, groups};
use crate::clock;
use crate::config::Config;

/// How long one poll of the consumer takes at most.
const POLL_TIMEOUT: Duration = Duration::from_millis(100);

/// Membership of the group. The lock is released when this is dropped: the thread owns the consumer, which then leaves
/// the group.
pub struct ExclusiveLock {
    _thread: PollThread,
}

/// Context of the lock's consumer. It never reads, so a missing offset is not an error.
struct LockContext;

impl ClientContext for LockContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        clients::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "the consumer that holds an exclusive lock has a problem");
    }
}

impl ConsumerContext for LockContext {}

impl ExclusiveLock {
    /// Joins the group `<application.id>-<stage>` with a subscription to `topic` that is never read. Fails if the group
    /// has another member. If two processes join at the same moment, one or both are refused. A process that was killed
    /// counts as a member until its session times out.
    pub fn acquire(config: &Config, stage: &str, topic: &str) -> Result<Self, Error> {
        let group = format!("{}-{stage}", config.application.id);
        let consumer: BaseConsumer<LockContext> = clients::consumer(config, stage, None, LockContext)?;
        let failed = |cause: String| Error::Unreachable {
            servers: config.kafka.bootstrap_servers.clone(),
            what: format!("the consumer group {group}"),
            cause,
        };
        consumer.subscribe(&[topic]).map_err(|error| failed(error.to_string()))?;
        let began = clock::start();
        loop {
            drop(consumer.poll(POLL_TIMEOUT));
            let members = groups::find(config, &group)?.map_or(0, |group| group.members.len());
            if members > 1 {
                return Err(Error::Locked { group });
            }
            if members == 1 && consumer.assignment().is_ok_and(|assigned| assigned.count() > 0) {
                break;
            }
            if began.elapsed() > REQUEST_TIMEOUT {
                return Err(failed("the group did not accept this process as a member".to_owned()));
            }
        }
        let poll = move || drop(consumer.poll(POLL_TIMEOUT));
        Ok(Self {
            _thread: PollThread::start("exclusive-lock", poll)?,
        })
    }
}
