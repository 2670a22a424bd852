//! Being the only one: a consumer group that no second process may be in.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::KafkaError;

use super::clients;
use super::topics::TIMEOUT;
use super::{Error, groups};
use crate::clock;
use crate::config::Config;

/// How long the consumer is waited for at once.
const POLL: Duration = Duration::from_millis(100);

/// Membership of the group, for as long as it is held.
pub struct Alone {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// A member that only is one: that it has no position to read from is no problem.
struct Member;

impl ClientContext for Member {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        clients::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "a member of a group that is only a lock");
    }
}

impl ConsumerContext for Member {}

impl Alone {
    /// Joins the group `<application.id>-<stage>`, as a reader of `topic` that reads nothing. Fails when somebody else is in it: of two that come at
    /// the same moment, one or both are refused, and never neither. One that was killed counts until its session has timed out.
    pub fn join(config: &Config, stage: &str, topic: &str) -> Result<Self, Error> {
        let group = format!("{}-{stage}", config.application.id);
        let consumer: BaseConsumer<Member> = clients::consumer(config, stage, None, Member)?;
        let failed = |cause: String| Error::Unreachable {
            servers: config.kafka.bootstrap_servers.clone(),
            what: format!("the consumer group {group}"),
            cause,
        };
        consumer.subscribe(&[topic]).map_err(|error| failed(error.to_string()))?;
        let began = clock::start();
        loop {
            drop(consumer.poll(POLL));
            let members = groups::find(config, &group)?.map_or(0, |group| group.members.len());
            if members > 1 {
                return Err(Error::NotAlone { group });
            }
            if members == 1 && consumer.assignment().is_ok_and(|assigned| assigned.count() > 0) {
                break;
            }
            if began.elapsed() > TIMEOUT {
                return Err(failed("it did not take this process as a member".to_owned()));
            }
        }
        let over = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&over);
        let poll = move || {
            while !is_over.load(Ordering::Relaxed) {
                drop(consumer.poll(POLL));
            }
        };
        let thread = std::thread::Builder::new().name("alone".into()).spawn(poll);
        let thread = thread.map_err(|error| Error::Client(rdkafka::error::KafkaError::ClientCreation(error.to_string())))?;
        Ok(Self {
            over,
            thread: Some(thread),
        })
    }
}

/// Leaves the group.
impl Drop for Alone {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It does nothing that could fail.
            drop(thread.join());
        }
    }
}
