//! Requests information about topics, before and while they are read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigResource, NewTopic, OwnedResourceSpecifier, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use super::Error;
use super::admin_probe::{self, AdminProbe};
use super::clients::{self, Logged, REQUEST_TIMEOUT};
use super::reading::Extent;
use crate::check::topics::{Facts, RETENTION_MARGIN, Role, configured, is_compacted, short_retention};
use crate::clock;
use crate::config::Config;
use crate::shutdown::Shutdown;
use crate::time::WallTime;

/// How long to wait for the first response before looking for the cause. The time doubles with each attempt.
const FIRST_TIMEOUT: Duration = Duration::from_secs(2);
/// If there is no response after this time and the broker closes the connection, the settings are probably wrong.
const CLOSED_TIMEOUT: Duration = Duration::from_secs(6);

impl ConsumerContext for Logged {}

/// Whether the repartition topic already existed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RepartitionTopic {
    /// The topic was just created and is empty.
    New,
    /// The topic existed.
    Existing,
}

/// Requests information about topics.
pub struct Topics<'c> {
    config: &'c Config,
    consumer: Arc<BaseConsumer<AdminProbe>>,
    runtime: tokio::runtime::Runtime,
    /// Ends the wait for a broker when a shutdown is requested.
    shutdown: Option<Shutdown>,
}

impl<'c> Topics<'c> {
    /// Creates a client for the brokers that `config` names.
    pub fn new(config: &'c Config) -> Result<Self, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Ok(Self {
            config,
            consumer: Arc::new(clients::admin_with_logs(config, AdminProbe::new(config))?),
            runtime: runtime.map_err(|error| Error::Client(rdkafka::error::KafkaError::AdminOpCreation(error.to_string())))?,
            shutdown: None,
        })
    }

    /// Creates a client that stops waiting for a broker as soon as `shutdown` is requested. Every request then fails
    /// with [`Error::Stopped`].
    pub fn until(config: &'c Config, shutdown: &Shutdown) -> Result<Self, Error> {
        let mut topics = Self::new(config)?;
        topics.shutdown = Some(shutdown.clone());
        Ok(topics)
    }

    /// Returns the number of partitions of a topic, or `None` if it does not exist. Fails early if the broker refuses
    /// the login or shows an untrusted certificate, because waiting would not help.
    pub fn partitions(&self, topic: &str) -> Result<Option<u32>, Error> {
        let mut left = REQUEST_TIMEOUT;
        let mut timeout = FIRST_TIMEOUT;
        loop {
            let (consumer, name, within) = (Arc::clone(&self.consumer), topic.to_owned(), timeout.min(left));
            let request = move || partitions_within(&consumer, &name, within);
            let result = admin_probe::run(self.shutdown.as_ref(), request);
            // The cause of a missing connection is reported only to clients that poll; the response itself does not
            // contain it.
            admin_probe::poll_events(&self.consumer);
            let cause = match result {
                Ok(found) => return Ok(found),
                Err(cause) => cause,
            };
            left = left.saturating_sub(timeout);
            timeout *= 2;
            let servers = &self.config.kafka.bootstrap_servers;
            if let Some(refusal) = self.consumer.context().refusal(servers) {
                return Err(refusal);
            }
            if self.shutdown.as_ref().is_some_and(Shutdown::is_requested) {
                return Err(Error::Stopped);
            }
            if REQUEST_TIMEOUT.saturating_sub(left) >= CLOSED_TIMEOUT
                && let Some(mismatch) = self.consumer.context().mismatch(servers)
            {
                return Err(mismatch);
            }
            let is_retriable = matches!(
                cause.rdkafka_error_code(),
                Some(RDKafkaErrorCode::OperationTimedOut | RDKafkaErrorCode::BrokerTransportFailure)
            );
            if cause.rdkafka_error_code() == Some(RDKafkaErrorCode::TopicAuthorizationFailed) {
                return Err(Error::Hidden {
                    topic: topic.to_owned(),
                    cause: cause.to_string(),
                });
            }
            if left.is_zero() || !is_retriable {
                return Err(Error::Unreachable {
                    servers: servers.clone(),
                    what: format!("the topic {topic}"),
                    cause: self.consumer.context().reason().unwrap_or_else(|| cause.to_string()),
                });
            }
        }
    }

    /// Checks that the configured topics exist, and creates the repartition topic if it does not.
    pub fn prepare(&self) -> Result<RepartitionTopic, Error> {
        let mut missing = Vec::new();
        for (role, topic) in configured(self.config) {
            if role != Role::Repartition && self.partitions(&topic)?.is_none() {
                missing.push((role, topic));
            }
        }
        if !missing.is_empty() {
            return Err(Error::NoTopics { missing });
        }
        self.refuse_compacted(&self.config.output.topic)?;
        self.prepare_repartition_topic()
    }

    /// Returns the maximum number of records in a topic: the offsets between the beginnings and the ends of its
    /// partitions.
    pub fn records(&self, topic: &str) -> Result<u64, Error> {
        Ok(self.extent(topic)?.map_or(0, |extent| extent.len()))
    }

    /// Returns the first and the log-end offsets of a topic's partitions, or `None` if the topic does not exist.
    pub fn extent(&self, topic: &str) -> Result<Option<Extent>, Error> {
        let Some(count) = self.partitions(topic)? else {
            return Ok(None);
        };
        let mut partitions = BTreeMap::new();
        for partition in 0..count {
            let partition = i32::try_from(partition).unwrap_or(i32::MAX);
            let watermarks = self.consumer.fetch_watermarks(topic, partition, REQUEST_TIMEOUT);
            let ends = watermarks.map_err(|cause| self.unreachable(topic, &cause))?;
            partitions.insert(partition, ends);
        }
        Ok(Some(Extent {
            topic: topic.to_owned(),
            partitions,
        }))
    }

    /// Returns the extent from the first record whose timestamp is `time` or later, or `None` if the topic does not
    /// exist.
    pub fn extent_from(&self, topic: &str, time: WallTime) -> Result<Option<Extent>, Error> {
        let Some(mut extent) = self.extent(topic)? else {
            return Ok(None);
        };
        let mut times = TopicPartitionList::new();
        for partition in extent.partitions.keys() {
            // This fails only for an invalid offset.
            drop(times.add_partition_offset(topic, *partition, Offset::Offset(time.0)));
        }
        let found = self.consumer.offsets_for_times(times, REQUEST_TIMEOUT);
        let found = found.map_err(|cause| self.unreachable(topic, &cause))?;
        for (partition, (low, high)) in &mut extent.partitions {
            let begin = found.find_partition(topic, *partition).map(|found| found.offset());
            *low = match begin {
                Some(Offset::Offset(offset)) => offset.max(*low),
                // There is no record with this timestamp or a later one.
                _ => *high,
            };
        }
        Ok(Some(extent))
    }

    fn unreachable(&self, topic: &str, cause: &KafkaError) -> Error {
        Error::Unreachable {
            servers: self.config.kafka.bootstrap_servers.clone(),
            what: format!("the topic {topic}"),
            cause: cause.to_string(),
        }
    }

    /// Deletes a topic, if it exists, and waits until the broker no longer reports it.
    pub fn delete(&self, topic: &str) -> Result<(), Error> {
        let failed = |cause: String| Error::Delete {
            what: format!("the topic {topic}"),
            cause,
            way_out: "delete it with the broker's own tools, then run the command again, which skips what is already deleted",
        };
        let admin: AdminClient<DefaultClientContext> = clients::admin(self.config, DefaultClientContext)?;
        let options = AdminOptions::new()
            .operation_timeout(Some(REQUEST_TIMEOUT))
            .request_timeout(Some(REQUEST_TIMEOUT));
        let results = self.runtime.block_on(admin.delete_topics(&[topic], &options));
        for result in results.map_err(|error| failed(error.to_string()))? {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::UnknownTopicOrPartition)) => {}
                Err((_, code)) => return Err(failed(code.to_string())),
            }
        }
        let began = clock::start();
        while self.partitions(topic)?.is_some() {
            if began.elapsed() > REQUEST_TIMEOUT {
                return Err(failed(format!(
                    "the broker still has it after {} s",
                    REQUEST_TIMEOUT.as_secs()
                )));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    fn prepare_repartition_topic(&self) -> Result<RepartitionTopic, Error> {
        let topic = &self.config.repartition.topic;
        let configured = self.config.repartition.partitions;
        match self.partitions(topic)? {
            Some(found) if found == configured => {
                self.refuse_compacted(topic)?;
                self.warn_of_short_retention(topic);
                Ok(RepartitionTopic::Existing)
            }
            Some(found) => Err(Error::Partitions {
                topic: topic.clone(),
                found: found as usize,
                configured,
            }),
            None => {
                self.create_repartition_topic(topic, configured)?;
                self.wait_for(topic, configured)?;
                Ok(RepartitionTopic::New)
            }
        }
    }

    fn create_repartition_topic(&self, topic: &str, partitions: u32) -> Result<(), Error> {
        let created = self.create(Role::Repartition, topic, partitions, None);
        created.map_err(|cause| Error::Create {
            topic: topic.to_owned(),
            partitions,
            cause,
        })?;
        tracing::info!(topic, partitions, "created the repartition topic");
        Ok(())
    }

    /// Creates a topic with the settings of its role and with this number of replicas, or the broker's default. Fails
    /// with the broker's error message.
    pub fn create(&self, role: Role, topic: &str, partitions: u32, replicas: Option<u16>) -> Result<(), String> {
        let retention = (self.config.state.retention + RETENTION_MARGIN).as_millis().to_string();
        let partitions = i32::try_from(partitions).unwrap_or(i32::MAX);
        let replication = TopicReplication::Fixed(replicas.map_or(-1, i32::from));
        let mut new = NewTopic::new(topic, partitions, replication).set("cleanup.policy", "delete");
        if role == Role::Repartition {
            new = new.set("retention.ms", &retention);
        }
        let admin: Result<AdminClient<DefaultClientContext>, _> = clients::admin(self.config, DefaultClientContext);
        let admin = admin.map_err(|error| error.to_string())?;
        let options = AdminOptions::new()
            .operation_timeout(Some(REQUEST_TIMEOUT))
            .request_timeout(Some(REQUEST_TIMEOUT));
        let results = self.runtime.block_on(admin.create_topics([&new], &options));
        for result in results.map_err(|error| error.to_string())? {
            match result {
                // Another instance may have created it first.
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((_, code)) => return Err(code.to_string()),
            }
        }
        Ok(())
    }

    /// Returns the broker's description of a topic, or `None` if it does not exist.
    pub fn facts(&self, topic: &str) -> Result<Option<Facts>, Error> {
        /// The settings that are checked.
        const CHECKED: [&str; 5] = [
            "cleanup.policy",
            "retention.ms",
            "retention.bytes",
            "max.message.bytes",
            "min.insync.replicas",
        ];
        let Some(partitions) = self.partitions(topic)? else {
            return Ok(None);
        };
        let metadata = self.consumer.fetch_metadata(Some(topic), REQUEST_TIMEOUT);
        let metadata = metadata.map_err(|cause| self.unreachable(topic, &cause))?;
        let described = metadata.topics().iter().flat_map(|topic| topic.partitions());
        let replicas = described.map(|partition| partition.replicas().len()).min().unwrap_or(0);
        let described = self.describe(&[topic]);
        let setting = |name: &&str| Some(((*name).to_owned(), value(&described, topic, name)?));
        let settings: BTreeMap<String, String> = CHECKED.iter().filter_map(setting).collect();
        Ok(Some(Facts {
            partitions,
            replicas: u32::try_from(replicas).unwrap_or(u32::MAX),
            settings: (!settings.is_empty()).then_some(settings),
        }))
    }

    /// Returns how many brokers the cluster reports.
    pub fn brokers(&self) -> Result<usize, Error> {
        // This first request finds out why the broker does not respond, if it does not.
        self.partitions(&self.config.output.topic)?;
        let metadata = self.consumer.fetch_metadata(Some(&self.config.output.topic), REQUEST_TIMEOUT);
        let metadata = metadata.map_err(|cause| self.unreachable(&self.config.output.topic, &cause))?;
        Ok(metadata.brokers().len())
    }

    /// Waits until the whole cluster knows a topic that was just created. A client that requests it too early would
    /// wait for half a minute.
    pub fn wait_for(&self, topic: &str, partitions: u32) -> Result<(), Error> {
        let began = clock::start();
        while self.partitions(topic)? != Some(partitions) && began.elapsed() < REQUEST_TIMEOUT {
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    fn refuse_compacted(&self, topic: &str) -> Result<(), Error> {
        match self.setting(topic, "cleanup.policy") {
            Some(policy) if is_compacted(&policy) => Err(Error::Compacted {
                topic: topic.to_owned(),
                policy,
            }),
            _ => Ok(()),
        }
    }

    fn warn_of_short_retention(&self, topic: &str) {
        let needed = self.config.state.retention + RETENTION_MARGIN;
        let retention = self
            .setting(topic, "retention.ms")
            .and_then(|millis| millis.parse::<i64>().ok());
        if let Some(retention) = retention
            .and_then(|millis| u64::try_from(millis).ok())
            .map(Duration::from_millis)
            && retention < needed
        {
            tracing::warn!("{}", short_retention(topic, retention, needed));
        }
    }

    /// Returns the size in bytes of the largest message that every topic to which this program writes accepts. It
    /// includes key, value and headers with Kafka's overhead. It is `message.max.bytes` of the producer, or
    /// `max.message.bytes` of a topic if that is less. If the broker does not report the setting (it may not support or
    /// not allow the request), it is the producer's limit.
    ///
    /// A broker applies the same limit to batches, so a producer's `batch.size` must not be greater.
    pub fn message_limit(&self) -> usize {
        let output = &self.config.output;
        let mut topics = vec![
            output.topic.as_str(),
            &output.dead_letter_topic,
            &self.config.repartition.topic,
        ];
        topics.extend(output.summary_topic.as_deref());
        let sent = clients::message_max_bytes(self.config);
        let mut limit = sent;
        for (topic, accepted) in topics.iter().zip(self.settings(&topics, "max.message.bytes")) {
            let Some(accepted) = accepted.and_then(|bytes| bytes.parse().ok()) else {
                continue;
            };
            if accepted < sent {
                tracing::warn!(
                    topic,
                    "the topic accepts messages of at most {accepted} bytes, less than the producer's message.max.bytes ({sent}): larger records are truncated or become dead letters; raise the topic's max.message.bytes to keep them whole"
                );
            }
            limit = limit.min(accepted);
        }
        limit
    }

    /// Returns the size of the largest message for `topic`, as [`message_limit`](Self::message_limit) does for all
    /// topics.
    pub fn message_limit_of(&self, topic: &str) -> usize {
        let sent = clients::message_max_bytes(self.config);
        let accepted = self.setting(topic, "max.message.bytes").and_then(|bytes| bytes.parse().ok());
        accepted.map_or(sent, |accepted: usize| accepted.min(sent))
    }

    /// Returns a setting of a topic, or `None` if the broker does not report it (it may not support or not allow the
    /// request).
    fn setting(&self, topic: &str, name: &str) -> Option<String> {
        self.settings(&[topic], name).pop().flatten()
    }

    /// Returns a setting of several topics, in their order, with `None` for each topic without a reported value.
    fn settings(&self, topics: &[&str], name: &str) -> Vec<Option<String>> {
        let described = self.describe(topics);
        topics.iter().map(|topic| value(&described, topic, name)).collect()
    }

    /// Returns all settings of the topics whose settings the broker reports.
    fn describe(&self, topics: &[&str]) -> Vec<ConfigResource> {
        let specifiers: Vec<ResourceSpecifier<'_>> = topics.iter().map(|topic| ResourceSpecifier::Topic(topic)).collect();
        let options = AdminOptions::new().request_timeout(Some(REQUEST_TIMEOUT));
        let admin: Result<AdminClient<DefaultClientContext>, _> = clients::admin(self.config, DefaultClientContext);
        let resources = admin.ok().and_then(|admin| {
            let described = self.runtime.block_on(admin.describe_configs(&specifiers, &options));
            described.ok()
        });
        resources.into_iter().flatten().flatten().collect()
    }
}

/// Returns a setting of a topic from the broker's descriptions.
fn value(described: &[ConfigResource], topic: &str, name: &str) -> Option<String> {
    let is_it = |specifier: &OwnedResourceSpecifier| matches!(specifier, OwnedResourceSpecifier::Topic(found) if found == topic);
    let found = described.iter().find(|resource| is_it(&resource.specifier))?;
    found.get(name)?.value.clone()
}

/// Returns the number of partitions of a topic, or `None` if it does not exist. Fails if the broker does not report to
/// this client whether it exists.
pub fn partitions<C: ConsumerContext>(consumer: &BaseConsumer<C>, topic: &str) -> rdkafka::error::KafkaResult<Option<u32>> {
    partitions_within(consumer, topic, REQUEST_TIMEOUT)
}

fn partitions_within<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    timeout: Duration,
) -> rdkafka::error::KafkaResult<Option<u32>> {
    let metadata = consumer.fetch_metadata(Some(topic), timeout)?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    let error = found.and_then(|found| found.error()).map(RDKafkaErrorCode::from);
    if let Some(hidden @ RDKafkaErrorCode::TopicAuthorizationFailed) = error {
        return Err(KafkaError::MetadataFetch(hidden));
    }
    Ok(match found {
        Some(found) if found.error().is_none() && has_leaders(found) => {
            Some(u32::try_from(found.partitions().len()).unwrap_or(u32::MAX))
        }
        _ => None,
    })
}

/// Returns the log-end offsets of partitions. One request is sent for all: single requests may each have to wait a
/// tenth of a second for a fetch in progress. Partitions without a response are left out.
pub fn log_end_offsets<C: ConsumerContext>(consumer: &BaseConsumer<C>, partitions: &[(String, i32)]) -> Vec<(String, i32, i64)> {
    let mut request = TopicPartitionList::new();
    for (topic, partition) in partitions {
        // In the protocol, the log-end offset is requested with the timestamp -1 (ListOffsets).
        drop(request.add_partition_offset(topic, *partition, Offset::End));
    }
    if partitions.is_empty() {
        return Vec::new();
    }
    let responses = consumer.offsets_for_times(request, REQUEST_TIMEOUT);
    let ends_of_all = responses.map(|responses| {
        let ends = responses.elements().into_iter().filter(|end| end.error().is_ok());
        let ends = ends.filter_map(|end| Some((end.topic().to_owned(), end.partition(), end.offset().to_raw()?)));
        ends.filter(|(_, _, end)| *end >= 0).collect()
    });
    ends_of_all.unwrap_or_else(|error| {
        tracing::debug!(%error, "cannot request the log-end offsets together; requesting each of them");
        let each = partitions.iter().filter_map(|(topic, partition)| {
            let found = consumer.fetch_watermarks(topic, *partition, REQUEST_TIMEOUT);
            Some((topic.clone(), *partition, found.ok()?.1))
        });
        each.collect()
    })
}

fn has_leaders(topic: &rdkafka::metadata::MetadataTopic) -> bool {
    let mut partitions = topic.partitions().iter();
    !topic.partitions().is_empty() && partitions.all(|partition| partition.leader() >= 0)
}
