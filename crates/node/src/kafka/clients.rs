//! Client configuration: mandatory settings, tuned defaults, and the user's overrides.

use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::Error;
use super::topic_ids;
use crate::config::{Config, Property};

/// How long to wait for a response of the broker.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);

/// Separates the name and the address in a client id.
pub(super) const ADDRESS_SEPARATOR: char = '@';

/// librdkafka's property for the name of a client in the broker's logs.
const CLIENT_ID: &str = "client.id";

/// librdkafka's property for the largest message that is sent.
pub const MESSAGE_MAX_BYTES: &str = "message.max.bytes";

/// librdkafka's property for how long a member without heartbeats stays in its group.
const SESSION_TIMEOUT_MS: &str = "session.timeout.ms";
/// The default of this program, unless the configuration overrides it.
const DEFAULT_SESSION_TIMEOUT_MS: &str = "15000";

/// Returns how long a consumer that has ended stays a member of its group.
pub fn session_timeout(config: &Config) -> Duration {
    let configured = config.kafka.properties.get(SESSION_TIMEOUT_MS).map(Property::expose);
    Duration::from_millis(configured.unwrap_or(DEFAULT_SESSION_TIMEOUT_MS).parse().unwrap_or(15_000))
}

/// Creates a consumer in the group `<application.id>-<stage>`. The caller decides where it begins and what it commits.
/// With the id of an instance, it is a static member (KIP-345): a process that restarts within `session.timeout.ms`
/// gets its partitions back at once, and no other partition moves.
pub fn consumer<C, T>(config: &Config, stage: &str, instance: Option<&str>, context: C) -> Result<T, Error>
where
    C: ClientContext,
    T: FromClientConfigAndContext<C>,
{
    create(&consumer_settings(config, stage, instance), context)
}

/// Creates the same consumer for the input topics, with the part of librdkafka's debug log that contains topic ids.
pub fn input_consumer<C, T>(config: &Config, stage: &str, instance: &str, context: C) -> Result<T, Error>
where
    C: ClientContext,
    T: FromClientConfigAndContext<C>,
{
    let mut client = consumer_settings(config, stage, Some(instance));
    client.set("debug", topic_ids::DEBUG);
    client.set_log_level(RDKafkaLogLevel::Debug);
    create(&client, context)
}

/// Maximum bytes of the records of one partition in a response.
const FETCH_PARTITION_BYTES: &str = "1048576";

/// Returns the settings of [`consumer`].
pub(super) fn consumer_settings(config: &Config, stage: &str, instance: Option<&str>) -> ClientConfig {
    /// Maximum bytes of a response. A connection of 50 KB/s must complete it within `socket.timeout.ms` (60 s), or the
    /// consumer requests the same records again for ever. The C library allocates this much memory for each response.
    const FETCH_MAX_BYTES: usize = 2_097_152;
    // librdkafka requires that the largest message fits in.
    let fetch_max_bytes = FETCH_MAX_BYTES.max(message_max_bytes(config)).to_string();
    let address = config
        .http_address()
        .filter(|_| stage == "join")
        .map(|address| format!("{ADDRESS_SEPARATOR}{address}"));
    let mut client = common_settings(config, &format!("{stage}{}", address.unwrap_or_default()));
    client.set("group.id", format!("{}-{stage}", config.application.id));
    // JOIN's records are compressed.
    let queue = if stage == "join" { "16384" } else { "32768" };
    // By default, a consumer waits for a second when its queue is briefly full, which costs a third of the throughput.
    let tuned = [
        ("fetch.queue.backoff.ms", "10"),
        ("queued.max.messages.kbytes", queue),
        ("fetch.message.max.bytes", FETCH_PARTITION_BYTES),
        ("fetch.max.bytes", &fetch_max_bytes),
        ("fetch.wait.max.ms", "100"),
        // After a member has died, the others receive the request to rejoin with their next heartbeat.
        ("heartbeat.interval.ms", "1000"),
        // The partitions of an instance that died are not assigned to other instances for this time, so that it can
        // restart.
        (SESSION_TIMEOUT_MS, DEFAULT_SESSION_TIMEOUT_MS),
        // A new partition is read within this time.
        ("topic.metadata.refresh.interval.ms", "30000"),
    ];
    apply_overrides(&mut client, config, &tuned);
    let mandatory = [
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        // When positions no longer exist, the user decides what to do; the consumer never jumps without a report.
        ("auto.offset.reset", "error"),
        ("enable.partition.eof", "false"),
        // The assignment is eager: the rebalance callbacks rely on getting and losing all partitions at once.
        ("group.protocol", "classic"),
        ("partition.assignment.strategy", "range,roundrobin"),
    ];
    set_all(&mut client, &mandatory);
    if let Some(instance) = instance {
        client.set("group.instance.id", instance);
    }
    client
}

/// Creates a consumer that reads the committed records, reports the end of each partition, and commits no position.
pub fn reader<C: ClientContext, T: FromClientConfigAndContext<C>>(config: &Config, stage: &str, context: C) -> Result<T, Error> {
    create(&reader_settings(config, stage), context)
}

/// Returns the settings of [`reader`].
pub(super) fn reader_settings(config: &Config, stage: &str) -> ClientConfig {
    let mut client = common_settings(config, stage);
    client.set("group.id", format!("{}-{stage}", config.application.id));
    let tuned = [
        ("fetch.queue.backoff.ms", "10"),
        ("queued.max.messages.kbytes", "65536"),
        ("fetch.message.max.bytes", FETCH_PARTITION_BYTES),
        ("fetch.wait.max.ms", "100"),
    ];
    apply_overrides(&mut client, config, &tuned);
    let mandatory = [
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        ("auto.offset.reset", "error"),
        ("enable.partition.eof", "true"),
        // Records of transactions that are not committed must not be read.
        ("isolation.level", "read_committed"),
    ];
    set_all(&mut client, &mandatory);
    client
}

/// Creates a producer that sends each record once and in order. `partitions` is the number of partitions that receive
/// most of its records, if it is known.
pub fn producer<C, T>(config: &Config, stage: &str, linger_ms: &str, partitions: Option<u32>, context: C) -> Result<T, Error>
where
    C: ClientContext,
    T: FromClientConfigAndContext<C>,
{
    create(&producer_settings(config, stage, linger_ms, partitions), context)
}

/// Returns the settings of [`producer`].
pub(super) fn producer_settings(config: &Config, stage: &str, linger_ms: &str, partitions: Option<u32>) -> ClientConfig {
    let mut client = common_settings(config, stage);
    limit_requests(&mut client, partitions);
    let tuned = [
        ("linger.ms", linger_ms),
        ("queue.buffering.max.kbytes", "32768"),
        ("queue.buffering.max.messages", "100000"),
        // The partition of a record must not depend on the client that wrote it, so this is the rule of the Java
        // clients.
        ("partitioner", "murmur2_random"),
        // Messages wait for a broker that is unavailable. The reader pauses meanwhile.
        ("message.timeout.ms", "0"),
    ];
    apply_overrides(&mut client, config, &tuned);
    limit_batches(&mut client, config);
    set_all(&mut client, &[("enable.idempotence", "true")]);
    client
}

/// Creates a producer for load tests: like [`producer`], but with a queue for a full second of backlog, and with
/// delivery reports of failures only.
pub fn load_producer<C: ClientContext, T: FromClientConfigAndContext<C>>(config: &Config, context: C) -> Result<T, Error> {
    let mut client = common_settings(config, "load");
    let tuned = [
        // The time that a record waits here for a batch counts as latency.
        ("linger.ms", "1"),
        ("queue.buffering.max.kbytes", "524288"),
        ("queue.buffering.max.messages", "1000000"),
        ("message.timeout.ms", "0"),
    ];
    apply_overrides(&mut client, config, &tuned);
    limit_batches(&mut client, config);
    set_all(
        &mut client,
        &[("enable.idempotence", "true"), ("delivery.report.only.error", "true")],
    );
    create(&client, context)
}

/// Creates a producer whose messages all belong to transactions.
pub fn transactional_producer<C, T>(
    config: &Config,
    stage: &str,
    transactional_id: &str,
    partitions: Option<u32>,
    context: C,
) -> Result<T, Error>
where
    C: ClientContext,
    T: FromClientConfigAndContext<C>,
{
    create(
        &transactional_producer_settings(config, stage, transactional_id, partitions),
        context,
    )
}

/// Returns the settings of [`transactional_producer`].
pub(super) fn transactional_producer_settings(
    config: &Config,
    stage: &str,
    transactional_id: &str,
    partitions: Option<u32>,
) -> ClientConfig {
    let mut client = common_settings(config, stage);
    limit_requests(&mut client, partitions);
    let tuned = [
        ("linger.ms", "1"),
        ("queue.buffering.max.kbytes", "32768"),
        ("queue.buffering.max.messages", "100000"),
        ("partitioner", "murmur2_random"),
        // Readers of committed records wait for open transactions, so a partition task that freezes must not block them
        // for long.
        ("transaction.timeout.ms", "10000"),
    ];
    apply_overrides(&mut client, config, &tuned);
    limit_batches(&mut client, config);
    // A message lives at most as long as its transaction.
    client.remove("message.timeout.ms");
    client.set("transactional.id", transactional_id);
    client
}

/// Creates a producer whose records the broker always refuses, because it requests an invalid number of
/// acknowledgements.
pub fn probe_producer<C: ClientContext, T: FromClientConfigAndContext<C>>(config: &Config, context: C) -> Result<T, Error> {
    let mut client = common_settings(config, "check");
    apply_overrides(&mut client, config, &[]);
    let mandatory = [
        ("enable.idempotence", "false"),
        ("acks", "2"),
        ("retries", "0"),
        ("message.timeout.ms", "10000"),
    ];
    set_all(&mut client, &mandatory);
    create(&client, context)
}

/// Creates a client without a group, for requests about topics.
pub fn admin<C: ClientContext, T: FromClientConfigAndContext<C>>(config: &Config, context: C) -> Result<T, Error> {
    create(&admin_settings(config), context)
}

/// Creates the same client with a context that also receives librdkafka's messages about closed connections.
pub(super) fn admin_with_logs<C: ClientContext, T: FromClientConfigAndContext<C>>(
    config: &Config,
    context: C,
) -> Result<T, Error> {
    create(admin_settings(config).set_log_level(RDKafkaLogLevel::Info), context)
}

/// Returns the settings of [`admin`].
pub(super) fn admin_settings(config: &Config) -> ClientConfig {
    let mut client = common_settings(config, "admin");
    apply_overrides(&mut client, config, &[]);
    client
}

/// Returns the size of the largest message that a producer of this configuration sends.
pub fn message_max_bytes(config: &Config) -> usize {
    let configured = config.kafka.properties.get(MESSAGE_MAX_BYTES);
    /// librdkafka's default.
    const DEFAULT: usize = 1_000_000;
    configured.and_then(|value| value.expose().parse().ok()).unwrap_or(DEFAULT)
}

/// Limits the requests in flight to one fewer than there are partitions. librdkafka's idempotent producer sends nothing
/// more from a partition with five unacknowledged messages. Until the broker acknowledges them, its thread polls
/// without blocking for the messages that wait in that partition. It blocks while a finished request waits for its
/// turn. A partition rarely has two requests in flight, so with this limit a request waits whenever all partitions are
/// busy.
fn limit_requests(client: &mut ClientConfig, partitions: Option<u32>) {
    /// Maximum number of requests in flight that an idempotent producer may have.
    const MAX_IN_FLIGHT: u32 = 5;
    if let Some(partitions) = partitions {
        let requests = partitions.saturating_sub(1).clamp(1, MAX_IN_FLIGHT);
        client.set("max.in.flight.requests.per.connection", requests.to_string());
    }
}

/// Limits the size of batches: a broker applies its message limit to a whole batch.
fn limit_batches(client: &mut ClientConfig, config: &Config) {
    /// librdkafka's property for the largest batch.
    const BATCH_SIZE: &str = "batch.size";
    let limit = message_max_bytes(config);
    let configured = client.get(BATCH_SIZE).and_then(|value| value.parse().ok());
    client.set(BATCH_SIZE, configured.unwrap_or(limit).min(limit).to_string());
}

/// Returns the settings that every client has. `name` identifies the client in the broker's logs.
fn common_settings(config: &Config, name: &str) -> ClientConfig {
    let mut client = ClientConfig::new();
    client.set(CLIENT_ID, format!("{}-{name}", config.application.id));
    client.set("bootstrap.servers", &config.kafka.bootstrap_servers);
    client.set_log_level(RDKafkaLogLevel::Warning);
    client
}

fn create<C: ClientContext, T: FromClientConfigAndContext<C>>(client: &ClientConfig, context: C) -> Result<T, Error> {
    client.create_with_context(context).map_err(Error::Client)
}

/// Sets the tuned defaults and then the user's properties, which take precedence.
fn apply_overrides(client: &mut ClientConfig, config: &Config, tuned: &[(&str, &str)]) {
    set_all(client, tuned);
    for (name, value) in &config.kafka.properties {
        client.set(name, value.expose());
    }
}

fn set_all(client: &mut ClientConfig, settings: &[(&str, &str)]) {
    for (name, value) in settings {
        client.set(*name, *value);
    }
}

/// A context that only writes librdkafka's messages to the log.
#[derive(Clone, Copy, Debug, Default)]
pub struct Logged;

impl ClientContext for Logged {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // Readers enable these events and receive each of them twice: as a message and here.
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::PartitionEOF) {
            return;
        }
        tracing::warn!(%error, reason, "the broker connection has a problem");
    }
}

/// Writes a message of librdkafka to the program's own log.
pub fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    // Consumers and producers have the same properties, and each logs which ones do not apply to it.
    let level = match facility == "CONFWARN" && message.contains("will be ignored by this") {
        true => RDKafkaLogLevel::Debug,
        false => level,
    };
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error => {
            tracing::error!(facility, message, "librdkafka");
        }
        RDKafkaLogLevel::Warning => tracing::warn!(facility, message, "librdkafka"),
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => tracing::info!(facility, message, "librdkafka"),
        RDKafkaLogLevel::Debug => tracing::debug!(facility, message, "librdkafka"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use rdkafka::Statistics;
    use rdkafka::message::DeliveryResult;
    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};

    use super::*;

    fn config(more: &str) -> Config {
        Config::from_text("test", more, std::iter::empty()).unwrap_or_else(|errors| panic!("{errors}"))
    }

    /// Counts how often the producer's threads woke up.
    #[derive(Clone, Default)]
    struct Wakeups(Arc<AtomicU64>);

    impl ClientContext for Wakeups {
        fn stats(&self, statistics: Statistics) {
            let wakeups = statistics.brokers.values().filter_map(|broker| broker.wakeups).sum();
            self.0.store(wakeups, Ordering::Relaxed);
        }
    }

    impl ProducerContext for Wakeups {
        type DeliveryOpaque = ();

        fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
    }

    #[test]
    fn a_producer_that_waits_for_acknowledgements_blocks() {
        const PARTITIONS: i32 = 4;
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("t", PARTITIONS, 1).unwrap();
        let config = config(&format!("kafka.bootstrap_servers = \"{}\"", cluster.bootstrap_servers()));
        let mut client = producer_settings(&config, "test", "1", Some(4));
        client.set("statistics.interval.ms", "100");
        let wakeups = Wakeups::default();
        let producer: ThreadedProducer<Wakeups> = create(&client, wakeups.clone()).unwrap();
        let send = |messages: usize| {
            for _ in 0..messages {
                for partition in 0..PARTITIONS {
                    let record = BaseRecord::<[u8], [u8]>::to("t").partition(partition).payload(&[7; 100]);
                    producer.send(record).map_err(|(error, _)| error).unwrap();
                }
            }
        };
        send(1);
        producer.flush(Duration::from_secs(10)).unwrap();
        cluster.broker_round_trip_time(1, Duration::from_secs(20)).unwrap();
        // The first messages fill the requests that every partition may have in flight, and the others wait.
        send(10);
        std::thread::sleep(Duration::from_millis(20));
        send(10);
        std::thread::sleep(Duration::from_millis(300));
        let before = wakeups.0.load(Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(700));
        let woken = wakeups.0.load(Ordering::Relaxed) - before;
        assert!(producer.in_flight_count() > 0, "the broker responded too early");
        assert!(woken < 1_000, "its threads woke up {woken} times in 0.7 s");
    }

    #[test]
    fn one_request_waits_when_all_partitions_are_busy() {
        let name = "max.in.flight.requests.per.connection";
        let requests = |config: &Config, partitions| {
            let client = producer_settings(config, "test", "1", partitions);
            client.get(name).map(str::to_owned)
        };
        let defaults = config("");
        for (partitions, expected) in [(1, "1"), (2, "1"), (4, "3"), (6, "5"), (64, "5")] {
            assert_eq!(
                requests(&defaults, Some(partitions)).as_deref(),
                Some(expected),
                "{partitions}"
            );
        }
        assert_eq!(requests(&defaults, None), None);
        let set = config(&format!("[kafka.properties]\n\"{name}\" = 2"));
        assert_eq!(
            requests(&set, Some(64)).as_deref(),
            Some("2"),
            "the user's value takes precedence"
        );
    }
}
