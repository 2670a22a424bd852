//! Everything that communicates with a broker.
//!
//! - [`clients`]: the configuration of clients
//! - [`topics`] and [`groups`]: requests about topics and consumer groups
//! - [`topic_ids`]: topic ids
//! - [`membership`]: detection of groups that no longer respond
//! - [`exclusive_lock`]: an exclusive lock
//! - [`client_check`]: a check that clients can be created
//! - `admin_probe`: the reason why no broker responds
//! - [`digest`]: fingerprints of records
//! - [`reading`] and [`purge`]: reading a topic once from end to end, and emptying it
//! - [`permissions`]: probing the permission to write
//! - [`delivery`] and [`transactions`]: sending messages and waiting for acknowledgements, with transactions or without
//!
//! It handles bytes and offsets, and does not depend on the content of records.

use crate::check::topics::Role;

mod admin_probe;
pub mod client_check;
pub mod clients;
pub mod delivery;
pub mod digest;
pub mod exclusive_lock;
pub mod group_members;
pub mod groups;
pub mod membership;
pub mod permissions;
mod poll_thread;
mod polled_producer;
pub mod purge;
pub mod reading;
pub mod topic_ids;
pub mod topics;
pub mod transactions;

/// Waits for a response of librdkafka's admin client.
fn block_on<T>(future: impl Future<Output = T>) -> Result<T, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Error::Client(rdkafka::error::KafkaError::AdminOpCreation(error.to_string())))?;
    Ok(runtime.block_on(future))
}

/// Returns the message that these topics do not exist, with the setting that names each of them.
fn describe_missing(topics: &[(Role, String)]) -> String {
    let named = topics.iter().map(|(role, topic)| format!("{topic} ({})", role.key()));
    let subject = if topics.len() == 1 {
        "this topic does"
    } else {
        "these topics do"
    };
    format!("{subject} not exist: {}", named.collect::<Vec<_>>().join(", "))
}

/// The reason why work with the broker failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A client cannot be created from these settings.
    #[error("{}", client_check::client_error_message(.0))]
    Client(rdkafka::error::KafkaError),
    /// A request to the broker failed.
    #[error(
        "cannot get information about {what} from {servers}: {cause}; check kafka.bootstrap_servers, and that the broker is running and reachable"
    )]
    Unreachable {
        /// The configured addresses.
        servers: String,
        /// The subject of the request.
        what: String,
        /// The client's error message.
        cause: String,
    },
    /// The broker refuses the login.
    #[error(
        "{servers} refuses the login: {reason}; check kafka.connection_string, or sasl.mechanism and the credentials in [kafka.properties]"
    )]
    Login {
        /// The configured addresses.
        servers: String,
        /// The client's error message.
        reason: String,
    },
    /// The broker's certificate is not trusted, or the broker does not use TLS.
    #[error(
        "no secure connection to {servers}: {reason}; check that ssl.ca.location names the certificate authority of the broker, that kafka.bootstrap_servers names the broker as the certificate does, and that its port is the one for TLS; no data was sent"
    )]
    Insecure {
        /// The configured addresses.
        servers: String,
        /// The client's error message.
        reason: String,
    },
    /// The broker closes connections that do not begin with TLS.
    #[error(
        "{servers} closes the connection at the first request: its port probably expects TLS, and security.protocol is {protocol}; set \"security.protocol\" = \"SSL\" in [kafka.properties], or \"SASL_SSL\" with a login, or name the port for plaintext in kafka.bootstrap_servers"
    )]
    TlsExpected {
        /// The configured addresses.
        servers: String,
        /// The client's security protocol.
        protocol: String,
    },
    /// The broker closes connections that do not begin with a login.
    #[error(
        "{servers} closes the connection as soon as it is open: its port probably expects a login, and security.protocol is {protocol}; set \"security.protocol\" to \"SASL_SSL\" or \"SASL_PLAINTEXT\", \"sasl.mechanism\" and the credentials in [kafka.properties]"
    )]
    LoginExpected {
        /// The configured addresses.
        servers: String,
        /// The client's security protocol.
        protocol: String,
    },
    /// The broker accepts the login and closes the connection.
    #[error(
        "{servers} accepts the login and then closes the connection ({reason}): Event Hubs does this when roles are assigned on single hubs, because every client first requests metadata of the namespace; assign the roles on the namespace (docs/guides/azure.md), or use a connection string of the namespace"
    )]
    ClosedAfterLogin {
        /// The configured addresses.
        servers: String,
        /// The client's error message.
        reason: String,
    },
    /// A shutdown was requested while the program waited for the broker.
    #[error("stopped while waiting for the broker")]
    Stopped,
    /// The broker does not report whether the topic exists.
    #[error(
        "the broker does not let this principal describe the topic {topic}: {cause}; grant the permissions listed in docs/operations.md (Describe is part of Read and of Write), or correct the topic's name"
    )]
    Hidden {
        /// Its name.
        topic: String,
        /// The broker's error message.
        cause: String,
    },
    /// A required topic does not exist.
    #[error("the topic {topic} ({role}) does not exist; create it, or correct {key}")]
    NoTopic {
        /// Its name.
        topic: String,
        /// Its role.
        role: &'static str,
        /// The setting that names it.
        key: &'static str,
    },
    /// Required topics do not exist.
    #[error("{}", describe_missing(.missing))]
    NoTopics {
        /// The role and the name of each.
        missing: Vec<(Role, String)>,
    },
    /// The repartition topic cannot be created.
    #[error(
        "cannot create the repartition topic {topic}: {cause}; create it with {partitions} partitions and cleanup.policy=delete, or set repartition.topic to one that exists"
    )]
    Create {
        /// Its name.
        topic: String,
        /// The number of partitions that it must have.
        partitions: u32,
        /// The broker's error message.
        cause: String,
    },
    /// The repartition topic has another number of partitions than the configuration.
    #[error(
        "the repartition topic {topic} has {found} partitions and repartition.partitions is {configured}: the number decides which partition a key belongs to, so existing state cannot be used with another number; if the topic was created with {found} and nothing has been joined yet, set repartition.partitions to {found}; otherwise start over with alerttrail reset or another application.id"
    )]
    Partitions {
        /// Its name.
        topic: String,
        /// The number that the broker reports.
        found: usize,
        /// The number in the configuration.
        configured: u32,
    },
    /// The cleanup policy of a topic would make it lose records.
    #[error(
        "the topic {topic} has cleanup.policy={policy}: many records share a key there, and compaction would keep one of each; set cleanup.policy=delete or use another topic"
    )]
    Compacted {
        /// Its name.
        topic: String,
        /// The policy found.
        policy: String,
    },
    /// Something could not be deleted.
    #[error("cannot delete {what}: {cause}; {way_out}")]
    Delete {
        /// The thing that was to be deleted.
        what: String,
        /// The broker's error message.
        cause: String,
        /// The remedy.
        way_out: &'static str,
    },
    /// A message could not be delivered.
    #[error(
        "cannot deliver to {topic}: {cause}; no record is lost, they are sent again after a restart{}",
        delivery::advice(cause)
    )]
    Delivery {
        /// The topic.
        topic: String,
        /// The client's error.
        cause: rdkafka::error::KafkaError,
    },
    /// A transaction failed.
    #[error(
        "cannot {what} transaction {id}: {cause}; it will be aborted and retried; if it keeps failing, check that the broker supports transactions, and the permissions for the transactional id"
    )]
    Transaction {
        /// The step that failed.
        what: &'static str,
        /// The transactional id.
        id: String,
        /// The client's error.
        cause: rdkafka::error::KafkaError,
    },
    /// The group does not assign partitions.
    #[error("no partition assignment from the consumer group {group} for {seconds} s; rejoining the group")]
    NotAssigned {
        /// The group.
        group: String,
        /// How long the assignment has been missing.
        seconds: u64,
    },
    /// The partition has records, and the consumer does not deliver them.
    #[error(
        "{topic}/{partition} has records up to offset {end}, but the consumer at offset {position} has received none for {seconds} s; restarting the consumer"
    )]
    Stalled {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The next offset to read.
        position: i64,
        /// The offset after the last record.
        end: i64,
        /// How long nothing was received.
        seconds: u64,
    },
    /// A topic was replaced by another of the same name while it was read.
    #[error(
        "the topic {topic} was deleted and created again while it was read; input.on_lost_offsets decides where reading resumes"
    )]
    Recreated {
        /// The topic.
        topic: String,
    },
    /// Reading failed permanently.
    #[error(
        "cannot read {topics}: {cause}; if records were removed before they were read, the next start reports which ones and what to do; otherwise check the topics and the permissions to read them"
    )]
    Read {
        /// The topics that were read.
        topics: String,
        /// The client's error.
        cause: rdkafka::error::KafkaError,
    },
    /// The broker does not return the positions that transactions have committed.
    #[error(
        "cannot read the positions that the group {group} has committed: {cause}; if the broker responds otherwise, a transaction that it has left open blocks them: docs/operations.md (\"A transaction that never ends\") shows how to end it"
    )]
    BlockedPositions {
        /// The group.
        group: String,
        /// The client's error.
        cause: rdkafka::error::KafkaError,
    },
    /// Another process holds an exclusive lock.
    #[error(
        "the consumer group {group} has another member: only one process may do this at a time; wait until the other has ended (a killed process counts until its session times out, after 15 s or the configured session.timeout.ms), and run the command again"
    )]
    Locked {
        /// The group.
        group: String,
    },
    /// A topic could not be read from its beginning to its end.
    #[error("cannot read {topic} to its end: {cause}; check the topic and the permission to read it, and run the command again")]
    Reading {
        /// The topic.
        topic: String,
        /// The cause.
        cause: String,
    },
    /// No partition has the records that were to be read.
    #[error("{what}; {way_out}")]
    LostEverywhere {
        /// A description of what happened.
        what: String,
        /// The remedy.
        way_out: &'static str,
    },
    /// Records were removed before they were read.
    #[error(
        "{topic}/{partition}: the next record to read has offset {position}, but the topic now begins at {low} and ends at {high}: {lost}; {way_out}"
    )]
    LostOffsets {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The next offset to read.
        position: i64,
        /// The first offset that exists.
        low: i64,
        /// The offset after the last record.
        high: i64,
        /// A description of what was lost.
        lost: String,
        /// The remedy.
        way_out: &'static str,
    },
}

impl Error {
    /// Returns the error that reading these topics failed permanently.
    pub fn read(topics: impl Into<String>, cause: rdkafka::error::KafkaError) -> Self {
        let topics = topics.into();
        Self::Read { topics, cause }
    }

    fn reading(topic: &str, cause: impl ToString) -> Self {
        Self::Reading {
            topic: topic.to_owned(),
            cause: cause.to_string(),
        }
    }
}
