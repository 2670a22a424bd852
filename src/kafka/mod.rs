//! Everything that speaks to a broker: how clients are set up ([`clients`]), what is asked of topics ([`topics`]) and of consumer groups
//! ([`groups`]), which topic stands behind a name ([`topic_ids`]), whether a group still answers ([`membership`]), being the only one in it
//! ([`alone`]), whether clients can be made at all ([`trial`]), why no broker answers (`asking`), how a log is known again ([`digest`]), how
//! a topic is read once from end to end ([`reading`]) or emptied ([`purge`]), whether it may be written to ([`rights`]), and how messages are
//! sent and waited for
//! ([`delivery`]), in transactions or not ([`transactions`]). Knows bytes and offsets;
//! nothing of records and what they mean.

use crate::check::topics::Role;

pub mod alone;
mod asking;
pub mod clients;
pub mod delivery;
pub mod digest;
pub mod groups;
pub mod membership;
pub mod purge;
pub mod reading;
pub mod rights;
pub mod roster;
pub mod topic_ids;
pub mod topics;
pub mod transactions;
pub mod trial;

/// Waits for an answer of librdkafka's admin client.
fn block_on<T>(answer: impl Future<Output = T>) -> Result<T, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Error::Client(rdkafka::error::KafkaError::AdminOpCreation(error.to_string())))?;
    Ok(runtime.block_on(answer))
}

/// Says that these topics do not exist, each with the setting that names it.
fn absent(topics: &[(Role, String)]) -> String {
    let named = topics.iter().map(|(role, topic)| format!("{topic} ({})", role.key()));
    let subject = if topics.len() == 1 {
        "this topic does"
    } else {
        "these topics do"
    };
    format!("{subject} not exist: {}", named.collect::<Vec<_>>().join(", "))
}

/// Why the broker side stops.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A client cannot be made from these settings.
    #[error("{}", trial::in_words(.0))]
    Client(rdkafka::error::KafkaError),
    /// The broker cannot be asked.
    #[error(
        "cannot ask {servers} about {what}: {cause}; check kafka.bootstrap_servers, and that the broker runs and can be reached"
    )]
    Unreachable {
        /// The configured addresses.
        servers: String,
        /// What was asked.
        what: String,
        /// The client's word.
        cause: String,
    },
    /// The broker does not let this program in.
    #[error(
        "{servers} refuses the login: {reason}; check kafka.connection_string, or sasl.mechanism and the credentials in [kafka.properties]"
    )]
    Login {
        /// The configured addresses.
        servers: String,
        /// The client's word.
        reason: String,
    },
    /// The broker is not who it should be, or does not speak TLS.
    #[error(
        "no secure connection to {servers}: {reason}; check that ssl.ca.location names the authority of the broker's certificate, that kafka.bootstrap_servers names the broker as the certificate does, and that its port is the one for TLS; nothing was sent"
    )]
    Insecure {
        /// The configured addresses.
        servers: String,
        /// The client's word.
        reason: String,
    },
    /// The broker closes connections that do not begin with TLS.
    #[error(
        "{servers} closes the connection at the first request: its port probably expects TLS, and security.protocol is {protocol}; set \"security.protocol\" = \"SSL\" in [kafka.properties], or \"SASL_SSL\" with a login, or name the port for plaintext in kafka.bootstrap_servers"
    )]
    TlsExpected {
        /// The configured addresses.
        servers: String,
        /// How the client speaks.
        protocol: String,
    },
    /// The broker closes connections that do not begin with a login.
    #[error(
        "{servers} closes the connection as soon as it stands: its port probably expects a login, and security.protocol is {protocol}; set \"security.protocol\" to \"SASL_SSL\" or \"SASL_PLAINTEXT\", \"sasl.mechanism\" and the credentials in [kafka.properties]"
    )]
    LoginExpected {
        /// The configured addresses.
        servers: String,
        /// How the client speaks.
        protocol: String,
    },
    /// The broker takes the login and closes the connection.
    #[error(
        "{servers} takes the login and then closes the connection ({reason}): Event Hubs does so when the roles are assigned on single hubs, as every client asks about the namespace first; assign them on the namespace (docs/guides/azure.md), or use a connection string of the namespace"
    )]
    ClosedBehindLogin {
        /// The configured addresses.
        servers: String,
        /// The client's word.
        reason: String,
    },
    /// Somebody asked the program to stop while it waited for the broker.
    #[error("stopped while waiting for the broker")]
    Stopped,
    /// The broker does not even say whether there is such a topic.
    #[error(
        "the broker does not let us see the topic {topic}: {cause}; give this principal the rights listed in docs/operations.md (Describe is part of Read and of Write), or correct the topic's name"
    )]
    Hidden {
        /// Its name.
        topic: String,
        /// The broker's word.
        cause: String,
    },
    /// A topic that must be there is not.
    #[error("the topic {topic} ({role}) does not exist; create it, or correct {key}")]
    NoTopic {
        /// Its name.
        topic: String,
        /// What it is for.
        role: &'static str,
        /// The setting that names it.
        key: &'static str,
    },
    /// Topics that must be there are not.
    #[error("{}", absent(.missing))]
    NoTopics {
        /// What each is for, and its name.
        missing: Vec<(Role, String)>,
    },
    /// The internal topic cannot be made.
    #[error(
        "cannot create the repartition topic {topic}: {cause}; create it with {partitions} partitions and cleanup.policy=delete, or set repartition.topic to one that exists"
    )]
    Create {
        /// Its name.
        topic: String,
        /// The number of partitions it must have.
        partitions: u32,
        /// The broker's word.
        cause: String,
    },
    /// The internal topic has another number of partitions than the configuration says.
    #[error(
        "the repartition topic {topic} has {found} partitions and repartition.partitions says {configured}: the number decides which partition a key belongs to, so what was joined before cannot go on with another; set repartition.partitions to {found} if the topic was made with that number and nothing has been joined yet, else begin anew with alerttrail reset or another application.id"
    )]
    Partitions {
        /// Its name.
        topic: String,
        /// What the broker says.
        found: usize,
        /// What the configuration says.
        configured: u32,
    },
    /// A topic that would lose records.
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
        /// What was to go.
        what: String,
        /// The broker's word.
        cause: String,
        /// What to do.
        way_out: &'static str,
    },
    /// A message could not be delivered.
    #[error(
        "cannot deliver to {topic}: {cause}; nothing is lost, the records are sent again after a restart{}",
        delivery::advice(cause)
    )]
    Delivery {
        /// Where to.
        topic: String,
        /// The client's word.
        cause: rdkafka::error::KafkaError,
    },
    /// A transaction could not be carried through.
    #[error(
        "cannot {what} the transaction of {id}: {cause}; it counts as a whole or not at all, and is done again; should that fail the same way, check that the broker supports transactions and the rights to the transactional id"
    )]
    Transaction {
        /// What was tried.
        what: &'static str,
        /// The transactional id.
        id: String,
        /// The client's word.
        cause: rdkafka::error::KafkaError,
    },
    /// The group does not say which partitions are ours.
    #[error("the consumer group {group} has not said for {seconds} s which partitions are this instance's: it is joined anew")]
    NotAssigned {
        /// The group.
        group: String,
        /// How long it said nothing.
        seconds: u64,
    },
    /// Records are there, and the consumer does not bring them.
    #[error(
        "{topic}/{partition} holds records up to offset {end}, the next to read is {position}, and for {seconds} s none came: reading begins anew"
    )]
    Stalled {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The next offset to read.
        position: i64,
        /// The offset behind the last.
        end: i64,
        /// How long nothing came.
        seconds: u64,
    },
    /// A topic that is read is no longer the one that it was.
    #[error(
        "the topic {topic} was deleted and created again while it was read; input.on_lost_offsets decides how reading goes on"
    )]
    Recreated {
        /// The topic.
        topic: String,
    },
    /// Reading failed for good.
    #[error(
        "cannot read {topics}: {cause}; when records were removed before they were read, the next start says which and what to do, else check the topics and the rights to them"
    )]
    Read {
        /// What was read.
        topics: String,
        /// The client's word.
        cause: rdkafka::error::KafkaError,
    },
    /// Another process does what only one may do at a time.
    #[error(
        "the consumer group {group} has another member: only one may do this at a time; wait until it has ended (one that was killed counts until its session has timed out, 15 s unless session.timeout.ms says otherwise), and run it again"
    )]
    NotAlone {
        /// The group.
        group: String,
    },
    /// A topic could not be read from its beginning to its end.
    #[error("cannot read {topic} to its end: {cause}; check the topic and the right to read it, and run it again")]
    Reading {
        /// The topic.
        topic: String,
        /// What happened.
        cause: String,
    },
    /// No partition holds what was to be read.
    #[error("{what}; {way_out}")]
    LostEverywhere {
        /// What happened, in words.
        what: String,
        /// What to do.
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
        /// The first offset there is.
        low: i64,
        /// The offset behind the last.
        high: i64,
        /// What is gone, in words.
        lost: String,
        /// What to do.
        way_out: &'static str,
    },
}

impl Error {
    fn reading(topic: &str, cause: impl ToString) -> Self {
        Self::Reading {
            topic: topic.to_owned(),
            cause: cause.to_string(),
        }
    }
}
