//! How clients are set up: what the program must have, what serves it well, and over that what the user says.

use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::Error;
use super::roster::AT;
use super::topic_ids;
use crate::config::{Config, Property};

/// librdkafka's name for how a client is called in the broker's logs.
const CLIENT_ID: &str = "client.id";

/// librdkafka's name for the greatest message that is sent.
pub const MESSAGE_MAX_BYTES: &str = "message.max.bytes";

/// librdkafka's name for how long a member that says nothing still counts as one.
const SESSION_TIMEOUT_MS: &str = "session.timeout.ms";
/// What it is here unless the configuration says otherwise.
const SESSION_DEFAULT: &str = "15000";

/// Returns how long a consumer that has ended still counts as a member of its group.
pub fn session_timeout(config: &Config) -> Duration {
    let configured = config.kafka.properties.get(SESSION_TIMEOUT_MS).map(Property::expose);
    Duration::from_millis(configured.unwrap_or(SESSION_DEFAULT).parse().unwrap_or(15_000))
}

/// A consumer in the group `<application.id>-<stage>` that decides itself where to begin and what to commit. With the id of an instance it
/// is a static member (KIP-345): a process that comes back within `session.timeout.ms` has its partitions at once, and nobody else's move.
pub fn consumer<C, T>(config: &Config, stage: &str, instance: Option<&str>, context: C) -> Result<T, Error>
where
    C: ClientContext,
    T: FromClientConfigAndContext<C>,
{
    create(&consumer_settings(config, stage, instance), context)
}

/// The same for the input topics, with the lines of librdkafka's debug log that tell the ids of topics.
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

/// Returns the settings of [`consumer`].
pub(super) fn consumer_settings(config: &Config, stage: &str, instance: Option<&str>) -> ClientConfig {
    /// Many partitions together would fill the default of 50 MiB. The C library maps room as large as that anew for
    /// each answer, which costs more than to read it.
    const FETCH_MAX_BYTES: usize = 16_777_216;
    // librdkafka wants room for the greatest message.
    let fetch_max_bytes = FETCH_MAX_BYTES.max(message_max_bytes(config)).to_string();
    let address = config
        .http_address()
        .filter(|_| stage == "join")
        .map(|address| format!("{AT}{address}"));
    let mut client = base(config, &format!("{stage}{}", address.unwrap_or_default()));
    client.set("group.id", format!("{}-{stage}", config.application.id));
    // The default makes a consumer wait a second when its queue is full for a moment: a third of the rate.
    let serves_well = [
        ("fetch.queue.backoff.ms", "10"),
        ("queued.max.messages.kbytes", "32768"),
        ("fetch.message.max.bytes", "4194304"),
        ("fetch.max.bytes", &fetch_max_bytes),
        ("fetch.wait.max.ms", "100"),
        // For so long the partitions of an instance that died wait for it to come back, before others take them over.
        (SESSION_TIMEOUT_MS, SESSION_DEFAULT),
        // A partition that was added is read after this long at the most.
        ("topic.metadata.refresh.interval.ms", "30000"),
    ];
    overlay(&mut client, config, &serves_well);
    let must_have = [
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        // Positions that no longer exist are the user's decision, never a silent jump.
        ("auto.offset.reset", "error"),
        ("enable.partition.eof", "false"),
        // Partitions come and go all at once: the callbacks rely on it.
        ("group.protocol", "classic"),
        ("partition.assignment.strategy", "range,roundrobin"),
    ];
    set_all(&mut client, &must_have);
    if let Some(instance) = instance {
        client.set("group.instance.id", instance);
    }
    client
}

/// A consumer that reads what is there, says where each partition ends, and leaves no position behind.
pub fn reader<C, T>(config: &Config, stage: &str, context: C) -> Result<T, Error>
where
    C: ClientContext,
    T: FromClientConfigAndContext<C>,
{
    create(&reader_settings(config, stage), context)
}

/// Returns the settings of [`reader`].
pub(super) fn reader_settings(config: &Config, stage: &str) -> ClientConfig {
    let mut client = base(config, stage);
    client.set("group.id", format!("{}-{stage}", config.application.id));
    let serves_well = [
        ("fetch.queue.backoff.ms", "10"),
        ("queued.max.messages.kbytes", "65536"),
        ("fetch.message.max.bytes", "4194304"),
        ("fetch.wait.max.ms", "100"),
    ];
    overlay(&mut client, config, &serves_well);
    let must_have = [
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        ("auto.offset.reset", "error"),
        ("enable.partition.eof", "true"),
        // What a transaction has not committed is no record.
        ("isolation.level", "read_committed"),
    ];
    set_all(&mut client, &must_have);
    client
}

/// A producer that sends each record once and in order.
pub fn producer<C, T>(config: &Config, stage: &str, linger_ms: &str, context: C) -> Result<T, Error>
where
    C: ClientContext,
    T: FromClientConfigAndContext<C>,
{
    create(&producer_settings(config, stage, linger_ms), context)
}

/// Returns the settings of [`producer`].
pub(super) fn producer_settings(config: &Config, stage: &str, linger_ms: &str) -> ClientConfig {
    let mut client = base(config, stage);
    let serves_well = [
        ("linger.ms", linger_ms),
        ("queue.buffering.max.kbytes", "65536"),
        ("queue.buffering.max.messages", "100000"),
        // A record's place must not depend on which client wrote it: this is the Java clients' rule.
        ("partitioner", "murmur2_random"),
        // A broker that is away is waited for; the reader stands still meanwhile.
        ("message.timeout.ms", "0"),
    ];
    overlay(&mut client, config, &serves_well);
    limit_batches(&mut client, config);
    set_all(&mut client, &[("enable.idempotence", "true")]);
    client
}

/// A producer of load: as [`producer`], but for a whole second of backlog, and it reports only what failed.
pub fn load_producer<C, T>(config: &Config, context: C) -> Result<T, Error>
where
    C: ClientContext,
    T: FromClientConfigAndContext<C>,
{
    let mut client = base(config, "load");
    let serves_well = [
        // What a record waits for others here counts as latency.
        ("linger.ms", "1"),
        ("queue.buffering.max.kbytes", "524288"),
        ("queue.buffering.max.messages", "1000000"),
        ("message.timeout.ms", "0"),
    ];
    overlay(&mut client, config, &serves_well);
    limit_batches(&mut client, config);
    set_all(
        &mut client,
        &[("enable.idempotence", "true"), ("delivery.report.only.error", "true")],
    );
    create(&client, context)
}

/// A producer all of whose messages belong to transactions.
pub fn transactional_producer<C, T>(config: &Config, stage: &str, transactional_id: &str, context: C) -> Result<T, Error>
where
    C: ClientContext,
    T: FromClientConfigAndContext<C>,
{
    create(&transactional_producer_settings(config, stage, transactional_id), context)
}

/// Returns the settings of [`transactional_producer`].
pub(super) fn transactional_producer_settings(config: &Config, stage: &str, transactional_id: &str) -> ClientConfig {
    let mut client = base(config, stage);
    let serves_well = [
        ("linger.ms", "1"),
        ("queue.buffering.max.kbytes", "65536"),
        ("queue.buffering.max.messages", "100000"),
        ("partitioner", "murmur2_random"),
        // Readers of committed records wait behind an open transaction: an owner that freezes must not hold them up for long.
        ("transaction.timeout.ms", "10000"),
    ];
    overlay(&mut client, config, &serves_well);
    limit_batches(&mut client, config);
    // A message lives as long as its transaction at the most.
    client.remove("message.timeout.ms");
    client.set("transactional.id", transactional_id);
    client
}

/// A producer whose every record the broker refuses: there is no such number of acknowledgements.
pub fn refused_producer<C, T>(config: &Config, context: C) -> Result<T, Error>
where
    C: ClientContext,
    T: FromClientConfigAndContext<C>,
{
    let mut client = base(config, "check");
    overlay(&mut client, config, &[]);
    let must_have = [
        ("enable.idempotence", "false"),
        ("acks", "2"),
        ("retries", "0"),
        ("message.timeout.ms", "10000"),
    ];
    set_all(&mut client, &must_have);
    create(&client, context)
}

/// A client without a group, for questions about topics.
pub fn plain<C, T>(config: &Config, context: C) -> Result<T, Error>
where
    C: ClientContext,
    T: FromClientConfigAndContext<C>,
{
    create(&plain_settings(config), context)
}

/// Makes the same with a context that also hears what librdkafka thinks of connections that are closed.
pub(super) fn plain_that_hears<C, T>(config: &Config, context: C) -> Result<T, Error>
where
    C: ClientContext,
    T: FromClientConfigAndContext<C>,
{
    create(plain_settings(config).set_log_level(RDKafkaLogLevel::Info), context)
}

/// Returns the settings of [`plain`].
pub(super) fn plain_settings(config: &Config) -> ClientConfig {
    let mut client = base(config, "admin");
    overlay(&mut client, config, &[]);
    client
}

/// The greatest message a producer of this configuration sends.
pub fn message_max_bytes(config: &Config) -> usize {
    let configured = config.kafka.properties.get(MESSAGE_MAX_BYTES);
    /// librdkafka's default.
    const DEFAULT: usize = 1_000_000;
    configured.and_then(|value| value.expose().parse().ok()).unwrap_or(DEFAULT)
}

/// To a broker a batch is a message too: none may be larger than a message may be.
fn limit_batches(client: &mut ClientConfig, config: &Config) {
    /// librdkafka's name for the greatest batch.
    const BATCH_SIZE: &str = "batch.size";
    let limit = message_max_bytes(config);
    let configured = client.get(BATCH_SIZE).and_then(|value| value.parse().ok());
    client.set(BATCH_SIZE, configured.unwrap_or(limit).min(limit).to_string());
}

/// What every client has; `name` tells it from the application's others in the broker's logs.
fn base(config: &Config, name: &str) -> ClientConfig {
    let mut client = ClientConfig::new();
    client.set(CLIENT_ID, format!("{}-{name}", config.application.id));
    client.set("bootstrap.servers", &config.kafka.bootstrap_servers);
    client.set_log_level(RDKafkaLogLevel::Warning);
    client
}

fn create<C, T>(client: &ClientConfig, context: C) -> Result<T, Error>
where
    C: ClientContext,
    T: FromClientConfigAndContext<C>,
{
    client.create_with_context(context).map_err(Error::Client)
}

fn overlay(client: &mut ClientConfig, config: &Config, serves_well: &[(&str, &str)]) {
    set_all(client, serves_well);
    for (name, value) in &config.kafka.properties {
        client.set(name, value.expose());
    }
}

fn set_all(client: &mut ClientConfig, settings: &[(&str, &str)]) {
    for (name, value) in settings {
        client.set(*name, *value);
    }
}

/// A context that logs what librdkafka says, and nothing more.
#[derive(Clone, Copy, Debug, Default)]
pub struct Logged;

impl ClientContext for Logged {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // A reader asks for these, and is told of each twice: as a message and here.
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::PartitionEOF) {
            return;
        }
        tracing::warn!(%error, reason, "the broker connection has a problem");
    }
}

/// What librdkafka says, in the program's own log.
pub fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    // Consumers and producers are given the same properties, and each says which are not for it.
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
