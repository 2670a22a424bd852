//! Finds out whether clients can be created from the settings, without a broker. Every kind of client is created once,
//! with its real settings but without servers, so that it connects to nothing. librdkafka checks combinations of
//! properties only when it creates a client.

use std::collections::BTreeSet;

use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, ProducerContext};

use super::clients;
use crate::config::{Config, Delivery, property_names};

/// The kind of client to create.
#[derive(Clone, Copy)]
enum ClientKind {
    Consumer,
    Producer,
}

/// Returns a sentence for every reason why a client cannot be created, each with the setting. Returns an empty list if
/// all clients can be created.
pub fn problems(config: &Config) -> Vec<String> {
    let kinds = [
        (
            "consumer",
            ClientKind::Consumer,
            clients::consumer_settings(config, "route", Some("trial")),
        ),
        ("reader", ClientKind::Consumer, clients::reader_settings(config, "check")),
        (
            "producer",
            ClientKind::Producer,
            clients::producer_settings(config, "route", "2", None),
        ),
        ("metadata client", ClientKind::Consumer, clients::admin_settings(config)),
        ("admin client", ClientKind::Producer, clients::admin_settings(config)),
    ];
    let transactional = (config.output.delivery == Delivery::ExactlyOnce).then(|| {
        let id = format!("{}-trial", config.application.id);
        let settings = clients::transactional_producer_settings(config, "join", &id, None);
        ("transactional producer", ClientKind::Producer, settings)
    });
    let mut seen = BTreeSet::new();
    let mut problems = Vec::new();
    for (name, kind, mut settings) in kinds.into_iter().chain(transactional) {
        remove_servers(&mut settings);
        while let Err(error) = attempt(kind, &settings) {
            let cause = cause(&error);
            let named = set_by_user(config, &cause);
            if seen.insert(cause.clone()) {
                problems.push(format_problem(name, &cause, &named));
            }
            // Other problems are reported only after this one is removed.
            let Some(named) = named.iter().find(|named| settings.get(named).is_some()) else {
                break;
            };
            settings.remove(named);
        }
    }
    problems
}

/// Returns the message that a client could not be created, with the reason.
pub(super) fn client_error_message(error: &KafkaError) -> String {
    format!(
        "cannot create a Kafka client: {}; check [kafka] and [kafka.properties]",
        cause(error)
    )
}

/// Removes the settings that would make a client connect to a server: brokers, and the server for OAuth tokens, which a
/// new client contacts at once.
fn remove_servers(settings: &mut ClientConfig) {
    settings.remove("bootstrap.servers");
    let is = |name: &str, value: &str| settings.get(name).is_some_and(|set| set.eq_ignore_ascii_case(value));
    if is("sasl.mechanism", "OAUTHBEARER") {
        let protocol = match is("security.protocol", "SASL_SSL") {
            true => "SSL",
            false => "PLAINTEXT",
        };
        settings.set("security.protocol", protocol);
    }
}

fn attempt(kind: ClientKind, settings: &ClientConfig) -> Result<(), KafkaError> {
    match kind {
        ClientKind::Consumer => settings.create_with_context::<_, BaseConsumer<Quiet>>(Quiet).map(drop),
        ClientKind::Producer => settings.create_with_context::<_, BaseProducer<Quiet>>(Quiet).map(drop),
    }
}

/// Returns librdkafka's message without the parts that are for people who compile librdkafka.
fn cause(error: &KafkaError) -> String {
    let message = match error {
        KafkaError::ClientCreation(message) | KafkaError::ClientConfig(_, message, ..) => message.trim().trim_end_matches('.'),
        error => return error.to_string(),
    };
    match message.split_once(": recompile librdkafka") {
        Some((problem, _)) => {
            let mechanism = problem.rsplit(' ').next().unwrap_or_default();
            format!(
                "sasl.mechanism {mechanism} is not compiled into this program; use PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER, with its credentials"
            )
        }
        None if message.contains("not supported in this build") || message.contains("not built with") => {
            let what = property_names()
                .filter(|name| message.contains(*name))
                .max_by_key(|name| name.len());
            format!(
                "{} needs a feature that is not compiled into this program",
                what.unwrap_or("a property")
            )
        }
        None => message.to_owned(),
    }
}

/// Returns the user's properties that librdkafka's message names, in its order.
fn set_by_user(config: &Config, cause: &str) -> Vec<String> {
    let is_name_char = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_');
    let words = cause.split(|c: char| !is_name_char(c));
    let words = words.map(|word| word.trim_end_matches('.'));
    let mut named: Vec<String> = Vec::new();
    for word in words.filter(|word| config.kafka.properties.contains_key(*word)) {
        if !named.iter().any(|known| known == word) {
            named.push(word.to_owned());
        }
    }
    named
}

/// Returns the sentence about one problem, with the properties that it names and a remedy.
fn format_problem(name: &str, cause: &str, named: &[String]) -> String {
    let keys: Vec<String> = named.iter().map(|named| format!("kafka.properties.{named}")).collect();
    let (key, remedy) = match keys.len() {
        0 => ("kafka.properties".to_owned(), "correct the named property there"),
        1 => (keys.concat(), "correct it, or leave it out"),
        _ => (keys.join(" and "), "correct one of them, or leave it out"),
    };
    format!("{key}: cannot create the {name}: {}; {remedy}", cause.replace('`', ""))
}

/// A context that logs nothing, because only the creation of the client matters.
struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, _: RDKafkaLogLevel, _: &str, _: &str) {}

    fn error(&self, _: KafkaError, _: &str) {}
}

impl ConsumerContext for Quiet {}

impl ProducerContext for Quiet {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &rdkafka::message::DeliveryResult<'_>, (): ()) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems_of(text: &str) -> Vec<String> {
        let config = Config::from_text("test", text, std::iter::empty()).unwrap_or_else(|errors| panic!("{errors}"));
        problems(&config)
    }

    #[test]
    fn all_clients_can_be_created_with_the_defaults_and_with_large_messages() {
        assert_eq!(problems_of(""), [""; 0]);
        assert_eq!(problems_of("output.delivery = \"exactly_once\""), [""; 0]);
        for size in [17_000_000, 30_000_000, 1_000_000_000] {
            assert_eq!(
                problems_of(&format!("kafka.properties.message.max.bytes = {size}")),
                [""; 0],
                "{size}"
            );
        }
    }

    #[test]
    fn all_inconsistent_properties_are_reported_at_once() {
        let message = problems_of(
            "[kafka.properties]\nfetch.max.bytes = 1000\nmax.poll.interval.ms = 10000\nretries = 0\nreconnect.backoff.ms = 20000",
        );
        for begin in [
            "kafka.properties.fetch.max.bytes: cannot create the consumer: fetch.max.bytes must be >= message.max.bytes; correct it",
            "kafka.properties.max.poll.interval.ms: cannot create the consumer: max.poll.interval.ms",
            "kafka.properties.retries: cannot create the producer: retries must be set >= 1",
            "kafka.properties.reconnect.backoff.ms: cannot create the consumer: reconnect.backoff.max.ms must be >= reconnect.backoff.ms",
        ] {
            assert!(
                message.iter().any(|message| message.starts_with(begin)),
                "{begin}: {message:#?}"
            );
        }
        assert_eq!(message.len(), 4, "{message:#?}");
    }

    #[test]
    fn a_transactional_producer_is_checked_only_in_exactly_once_mode() {
        let slow = "kafka.properties = { transaction.timeout.ms = 5000, socket.timeout.ms = 60000 }";
        assert_eq!(problems_of(slow), [""; 0]);
        let message = problems_of(&format!("{slow}\noutput.delivery = \"exactly_once\""));
        assert!(
            message.len() == 1 && message[0].starts_with("kafka.properties.socket.timeout.ms and kafka.properties.transaction.timeout.ms: cannot create the transactional producer"),
            "{message:#?}"
        );
    }

    #[test]
    fn missing_credentials_and_files_are_reported_with_the_property() {
        let message = problems_of(
            "kafka.properties = { security.protocol = \"SASL_SSL\", sasl.mechanism = \"PLAIN\", sasl.username = \"u\" }",
        );
        assert!(
            message.len() == 1 && message[0].contains("sasl.username and sasl.password must be set"),
            "{message:#?}"
        );
        let message = problems_of("kafka.properties = { security.protocol = \"SSL\", ssl.ca.location = \"/no/such/file\" }");
        assert!(
            message.len() == 1 && message[0].starts_with("kafka.properties.ssl.ca.location: cannot create the consumer: "),
            "{message:#?}"
        );
        let oauth = "security.protocol = \"SASL_SSL\"\nsasl.mechanism = \"OAUTHBEARER\"\nsasl.oauthbearer.method = \"oidc\"";
        let message = problems_of(&format!("[kafka.properties]\n{oauth}"));
        assert!(
            message.len() == 1 && message[0].contains("sasl.oauthbearer.token.endpoint.url"),
            "{message:#?}"
        );
    }

    #[test]
    fn errors_do_not_mention_compilation() {
        let error = KafkaError::ClientCreation(
            "No provider for SASL mechanism GSSAPI: recompile librdkafka with libsasl2 or openssl support. Current build options: PLAIN"
                .to_owned(),
        );
        let message = client_error_message(&error);
        assert!(
            message.contains("sasl.mechanism GSSAPI is not compiled into this program; use PLAIN"),
            "{message}"
        );
        assert!(!message.contains("recompile") && !message.contains("libsasl2"), "{message}");
    }
}
