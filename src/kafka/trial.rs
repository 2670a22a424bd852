//! Finds out whether clients can be created from the settings, without a broker: every kind of client is created once,
//! with its real settings but without servers, so that it connects to nothing. librdkafka checks properties together
//! only when it creates a client.

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
enum Kind {
    Consumer,
    Producer,
}

/// Returns a sentence for every reason why a client cannot be created, each with the setting. Returns none if all
/// clients can be created.
pub fn refusals(config: &Config) -> Vec<String> {
    let kinds = [
        (
            "consumer",
            Kind::Consumer,
            clients::consumer_settings(config, "route", Some("trial")),
        ),
        ("reader", Kind::Consumer, clients::reader_settings(config, "check")),
        ("producer", Kind::Producer, clients::producer_settings(config, "route", "2")),
        ("metadata client", Kind::Consumer, clients::plain_settings(config)),
        ("admin client", Kind::Producer, clients::plain_settings(config)),
    ];
    let transactional = (config.output.delivery == Delivery::ExactlyOnce).then(|| {
        let id = format!("{}-trial", config.application.id);
        let settings = clients::transactional_producer_settings(config, "join", &id);
        ("transactional producer", Kind::Producer, settings)
    });
    let mut said = BTreeSet::new();
    let mut refusals = Vec::new();
    for (name, kind, mut settings) in kinds.into_iter().chain(transactional) {
        offline(&mut settings);
        while let Err(error) = attempt(kind, &settings) {
            let cause = cause(&error);
            let meant = set_by_user(config, &cause);
            if said.insert(cause.clone()) {
                refusals.push(sentence(name, &cause, &meant));
            }
            // Other problems show only when this one is removed.
            let Some(meant) = meant.iter().find(|meant| settings.get(meant).is_some()) else {
                break;
            };
            settings.remove(meant);
        }
    }
    refusals
}

/// Returns a sentence that says why a client could not be created.
pub(super) fn in_words(error: &KafkaError) -> String {
    format!(
        "cannot create a Kafka client: {}; check [kafka] and [kafka.properties]",
        cause(error)
    )
}

/// Removes the settings that would make a client connect to anything: brokers, and the server for OAuth tokens, which a
/// new client contacts at once.
fn offline(settings: &mut ClientConfig) {
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

fn attempt(kind: Kind, settings: &ClientConfig) -> Result<(), KafkaError> {
    match kind {
        Kind::Consumer => settings.create_with_context::<_, BaseConsumer<Quiet>>(Quiet).map(drop),
        Kind::Producer => settings.create_with_context::<_, BaseProducer<Quiet>>(Quiet).map(drop),
    }
}

/// Returns librdkafka's message without the parts for people who compile it.
fn cause(error: &KafkaError) -> String {
    let said = match error {
        KafkaError::ClientCreation(said) | KafkaError::ClientConfig(_, said, ..) => said.trim().trim_end_matches('.'),
        error => return error.to_string(),
    };
    match said.split_once(": recompile librdkafka") {
        Some((problem, _)) => {
            let mechanism = problem.rsplit(' ').next().unwrap_or_default();
            format!(
                "sasl.mechanism {mechanism} is not compiled into this program; use PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER, with its credentials"
            )
        }
        None if said.contains("not supported in this build") || said.contains("not built with") => {
            let what = property_names()
                .filter(|name| said.contains(*name))
                .max_by_key(|name| name.len());
            format!(
                "{} needs a feature that is not compiled into this program",
                what.unwrap_or("a property")
            )
        }
        None => said.to_owned(),
    }
}

/// Returns the user's properties that librdkafka's message names, in its order.
fn set_by_user(config: &Config, cause: &str) -> Vec<String> {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_');
    let words = cause.split(|c: char| !is_of_name(c));
    let words = words.map(|word| word.trim_end_matches('.'));
    let mut meant: Vec<String> = Vec::new();
    for word in words.filter(|word| config.kafka.properties.contains_key(*word)) {
        if !meant.iter().any(|known| known == word) {
            meant.push(word.to_owned());
        }
    }
    meant
}

fn sentence(name: &str, cause: &str, meant: &[String]) -> String {
    let keys: Vec<String> = meant.iter().map(|meant| format!("kafka.properties.{meant}")).collect();
    let (key, remedy) = match keys.len() {
        0 => ("kafka.properties".to_owned(), "correct the named property there"),
        1 => (keys.concat(), "correct it, or leave it out"),
        _ => (keys.join(" and "), "correct one of them, or leave it out"),
    };
    format!("{key}: cannot create the {name}: {}; {remedy}", cause.replace('`', ""))
}

/// A context that logs nothing: all that matters is whether the client can be created.
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

    fn refused(text: &str) -> Vec<String> {
        let config = Config::of_text("test", text, std::iter::empty()).unwrap_or_else(|errors| panic!("{errors}"));
        refusals(&config)
    }

    #[test]
    fn the_defaults_and_large_messages_make_all_clients() {
        assert_eq!(refused(""), [""; 0]);
        assert_eq!(refused("output.delivery = \"exactly_once\""), [""; 0]);
        for size in [17_000_000, 30_000_000, 1_000_000_000] {
            assert_eq!(
                refused(&format!("kafka.properties.message.max.bytes = {size}")),
                [""; 0],
                "{size}"
            );
        }
    }

    #[test]
    fn properties_that_do_not_go_together_are_all_said_at_once() {
        let said = refused(
            "[kafka.properties]\nfetch.max.bytes = 1000\nmax.poll.interval.ms = 10000\nretries = 0\nreconnect.backoff.ms = 20000",
        );
        for begin in [
            "kafka.properties.fetch.max.bytes: cannot create the consumer: fetch.max.bytes must be >= message.max.bytes; correct it",
            "kafka.properties.max.poll.interval.ms: cannot create the consumer: max.poll.interval.ms",
            "kafka.properties.retries: cannot create the producer: retries must be set >= 1",
            "kafka.properties.reconnect.backoff.ms: cannot create the consumer: reconnect.backoff.max.ms must be >= reconnect.backoff.ms",
        ] {
            assert!(said.iter().any(|said| said.starts_with(begin)), "{begin}: {said:#?}");
        }
        assert_eq!(said.len(), 4, "{said:#?}");
    }

    #[test]
    fn a_transactional_producer_is_made_only_where_there_will_be_one() {
        let slow = "kafka.properties = { transaction.timeout.ms = 5000, socket.timeout.ms = 60000 }";
        assert_eq!(refused(slow), [""; 0]);
        let said = refused(&format!("{slow}\noutput.delivery = \"exactly_once\""));
        assert!(
            said.len() == 1 && said[0].starts_with("kafka.properties.socket.timeout.ms and kafka.properties.transaction.timeout.ms: a transactional producer cannot"),
            "{said:#?}"
        );
    }

    #[test]
    fn credentials_and_files_that_are_missing_are_said_with_the_property() {
        let said =
            refused("kafka.properties = { security.protocol = \"SASL_SSL\", sasl.mechanism = \"PLAIN\", sasl.username = \"u\" }");
        assert!(
            said.len() == 1 && said[0].contains("sasl.username and sasl.password must be set"),
            "{said:#?}"
        );
        let said = refused("kafka.properties = { security.protocol = \"SSL\", ssl.ca.location = \"/no/such/file\" }");
        assert!(
            said.len() == 1 && said[0].starts_with("kafka.properties.ssl.ca.location: cannot create the consumer: "),
            "{said:#?}"
        );
        let oauth = "security.protocol = \"SASL_SSL\"\nsasl.mechanism = \"OAUTHBEARER\"\nsasl.oauthbearer.method = \"oidc\"";
        let said = refused(&format!("[kafka.properties]\n{oauth}"));
        assert!(
            said.len() == 1 && said[0].contains("sasl.oauthbearer.token.endpoint.url"),
            "{said:#?}"
        );
    }

    #[test]
    fn nobody_is_told_to_compile_anything() {
        let error = KafkaError::ClientCreation(
            "No provider for SASL mechanism GSSAPI: recompile librdkafka with libsasl2 or openssl support. Current build options: PLAIN"
                .to_owned(),
        );
        let said = in_words(&error);
        assert!(
            said.contains("sasl.mechanism GSSAPI is not compiled into this program; use PLAIN"),
            "{said}"
        );
        assert!(!said.contains("recompile") && !said.contains("libsasl2"), "{said}");
    }
}
