//! `[kafka]`: the addresses of the brokers and the properties of librdkafka.

use std::collections::BTreeMap;
use std::fmt;
use std::iter;
use std::mem;
use std::net::{IpAddr, Ipv4Addr};

use super::raw::is_secret_name;
use super::reader::Reader;
use super::units::Secret;
use super::{Kafka, Preset};

/// The port of Event Hubs' Kafka endpoint.
const EVENT_HUBS_PORT: u16 = 9093;

/// The value of one of librdkafka's properties.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Property {
    /// A value that may be printed.
    Plain(String),
    /// A value that must not be printed, because of its name or because it came from `${NAME}`.
    Secret(Secret),
}

impl Property {
    /// Returns the value itself, for librdkafka only.
    pub fn expose(&self) -> &str {
        match self {
            Self::Plain(value) => value,
            Self::Secret(secret) => secret.expose(),
        }
    }
}

/// Prints the value, or stars if it is secret.
impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(value) => f.write_str(value),
            Self::Secret(secret) => secret.fmt(f),
        }
    }
}

impl Kafka {
    /// Returns the security protocol, in capitals.
    pub fn security_protocol(&self) -> String {
        protocol_of(&self.properties)
    }

    /// Returns every value that must not be printed, so that it can be masked in other texts.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &str> {
        /// Minimum length of a masked value. A shorter value that is secret only because it came from `${NAME}` is a
        /// word such as `true`. Masking every such word would make texts unreadable and hide nothing.
        const MIN_SECRET_LENGTH: usize = 8;
        let string = self.connection_string.iter();
        let string = string.flat_map(|string| iter::once(string.expose()).chain(keys_in(string.expose())));
        let properties = self.properties.iter().filter_map(|(name, property)| match property {
            Property::Secret(secret) if is_secret_name(name) || secret.expose().len() >= MIN_SECRET_LENGTH => {
                Some(secret.expose())
            }
            _ => None,
        });
        // A connection string may also be set as a password.
        string.chain(properties.flat_map(|value| iter::once(value).chain(keys_in(value))))
    }
}

/// Returns the keys and signatures in a connection string, which are secret even without the rest of it.
fn keys_in(connection_string: &str) -> impl Iterator<Item = &str> {
    const NAMES: [&str; 2] = ["SharedAccessKey", "SharedAccessSignature"];
    let parts = connection_string.split(';').filter_map(|part| part.split_once('='));
    parts
        .filter(|(name, _)| NAMES.iter().any(|secret| secret.eq_ignore_ascii_case(name.trim())))
        .map(|(_, value)| value.trim())
}

/// Aliases of librdkafka: the second name is the one used here, so that two layers with different names override each
/// other.
const ALIASES: &[(&str, &str)] = &[
    ("metadata.broker.list", "bootstrap.servers"),
    ("auto.commit.enable", "enable.auto.commit"),
    ("sasl.mechanisms", "sasl.mechanism"),
    ("sasl.oauthbearer.client.credentials.client.id", "sasl.oauthbearer.client.id"),
    (
        "sasl.oauthbearer.client.credentials.client.secret",
        "sasl.oauthbearer.client.secret",
    ),
    ("max.in.flight", "max.in.flight.requests.per.connection"),
    ("max.partition.fetch.bytes", "fetch.message.max.bytes"),
    ("queue.buffering.max.ms", "linger.ms"),
    ("message.send.max.retries", "retries"),
    ("compression.codec", "compression.type"),
    ("request.required.acks", "acks"),
    ("delivery.timeout.ms", "message.timeout.ms"),
];

const POSITIONS: &str = "positions are committed with the state, or records would be lost in a crash";
const IDEMPOTENCE: &str = "the order and the completeness of records depend on the idempotent producer";

/// The properties that the program sets itself, each with the reason.
const OWNED: &[(&str, &str)] = &[
    ("bootstrap.servers", "it has a key of its own, kafka.bootstrap_servers"),
    ("enable.auto.commit", POSITIONS),
    ("auto.commit.interval.ms", POSITIONS),
    ("enable.auto.offset.store", POSITIONS),
    (
        "auto.offset.reset",
        "input.start and input.on_lost_offsets decide where reading begins",
    ),
    ("group.id", "consumer groups are named after application.id"),
    ("transactional.id", "transactional ids are named after application.id"),
    ("enable.idempotence", IDEMPOTENCE),
    ("acks", IDEMPOTENCE),
    ("enable.partition.eof", "the program detects the ends of partitions itself"),
    ("partition.assignment.strategy", "the program relies on eager rebalancing"),
    (
        "group.protocol",
        "the program relies on eager rebalancing of the classic protocol",
    ),
];

/// Reads `[kafka]`.
pub(super) fn read(reader: &mut Reader<'_>) -> Kafka {
    let preset = reader.choice("kafka.preset", &[("kafka", Preset::Kafka), ("event-hubs", Preset::EventHubs)]);
    let mut properties = properties(reader);
    let connection_string = reader.secret("kafka.connection_string");
    let host = connection_string
        .as_ref()
        .and_then(|secret| connect(reader, preset, secret, &mut properties));
    let bootstrap_servers = bootstrap_servers(reader, preset, host.as_deref());
    if connection_string.is_some() && !are_here(&bootstrap_servers) && protocol_of(&properties) != "SASL_SSL" {
        reader.wrong(
            "kafka.properties.security.protocol",
            "would send the connection string unencrypted, or not at all",
            "leave it out: the default is SASL_SSL",
        );
    }
    Kafka {
        bootstrap_servers,
        preset,
        connection_string,
        properties,
    }
}

/// Returns the properties under one name each, without those that the program sets itself.
fn properties(reader: &mut Reader<'_>) -> BTreeMap<String, Property> {
    let mut properties = BTreeMap::new();
    let mut entries = reader.entries("kafka.properties");
    // An alias in one layer must override the name in the layer below.
    entries.sort_by(|(_, one), (_, other)| one.origin.cmp(&other.origin));
    let mut layers = BTreeMap::new();
    for (spelled, setting) in entries {
        let key = format!("kafka.properties.{spelled}");
        let name = ALIASES
            .iter()
            .find(|(alias, _)| *alias == spelled)
            .map_or(spelled, |(_, name)| *name);
        if let Some((_, reason)) = OWNED.iter().find(|(owned, _)| *owned == name) {
            reader.wrong(&key, format!("is set by the program: {reason}"), "leave it out");
            continue;
        }
        let layer = mem::discriminant(&setting.origin);
        if layers.insert(name, layer) == Some(layer) {
            reader.wrong(&key, "is set under two names", "keep one of the two");
        }
        let value = setting.value.as_str().unwrap_or_default();
        if let Some(fault) = super::properties::fault(spelled, value, &reader.quote(&key, value)) {
            reader.wrong(&key, fault.problem, fault.remedy);
        }
        let property = if setting.hidden {
            Property::Secret(Secret::new(value))
        } else {
            Property::Plain(value.to_owned())
        };
        properties.insert(name.to_owned(), property);
    }
    properties
}

/// Returns the host that the connection string names, and adds its credentials to `properties`.
fn connect(
    reader: &mut Reader<'_>,
    preset: Preset,
    secret: &Secret,
    properties: &mut BTreeMap<String, Property>,
) -> Option<String> {
    let key = "kafka.connection_string";
    if reader.is_wrong(key) || reader.is_wrong("kafka.preset") {
        return None;
    }
    if preset == Preset::Kafka {
        reader.wrong(
            key,
            "is for Event Hubs only",
            "set kafka.preset = \"event-hubs\", or set the user name and password in [kafka.properties]",
        );
        return None;
    }
    for name in ["sasl.mechanism", "sasl.username", "sasl.password"] {
        if properties.contains_key(name) {
            let problem = "is set together with kafka.connection_string, which already contains it";
            reader.wrong(&format!("kafka.properties.{name}"), problem, "leave one of the two out");
        }
    }
    let host = part(secret, "Endpoint").map(host_of).unwrap_or_default();
    let complete = ["SharedAccessKeyName", "SharedAccessKey"]
        .iter()
        .all(|name| part(secret, name).is_some());
    if host.is_empty() || !complete {
        reader.wrong(
            key,
            "must have the form Endpoint=sb://HOST/;SharedAccessKeyName=NAME;SharedAccessKey=KEY",
            "copy it from the namespace's shared access policies",
        );
        return None;
    }
    let plain = |value: &str| Property::Plain(value.to_owned());
    properties.insert("sasl.mechanism".to_owned(), plain("PLAIN"));
    properties.insert("sasl.username".to_owned(), plain("$ConnectionString"));
    properties.insert("sasl.password".to_owned(), Property::Secret(secret.clone()));
    Some(host.to_owned())
}

/// Returns the value of one part of a connection string, if it has one. Keys may themselves end in `=`.
pub(super) fn part<'a>(connection_string: &'a Secret, name: &str) -> Option<&'a str> {
    let mut parts = connection_string.expose().split(';').filter_map(|part| part.split_once('='));
    let value = parts.find(|(found, _)| found.trim().eq_ignore_ascii_case(name))?.1.trim();
    (!value.is_empty()).then_some(value)
}

/// Returns `HOST` of `sb://HOST:PORT/`; the port is AMQP's.
fn host_of(endpoint: &str) -> &str {
    let authority = endpoint.split_once("://").map_or(endpoint, |(_, authority)| authority);
    authority.split(['/', ':']).next().unwrap_or_default()
}

/// Returns the security protocol, in capitals.
pub(super) fn protocol_of(properties: &BTreeMap<String, Property>) -> String {
    let protocol = properties.get("security.protocol").map_or("PLAINTEXT", Property::expose);
    protocol.to_ascii_uppercase()
}

/// Returns whether all servers are on this machine, so that no data is sent over a network.
pub(super) fn are_here(servers: &str) -> bool {
    servers.split(',').all(|server| {
        let authority = server.split_once("://").map_or(server, |(_, authority)| authority);
        let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        host.eq_ignore_ascii_case("localhost") || address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)).is_loopback()
    })
}

fn bootstrap_servers(reader: &mut Reader<'_>, preset: Preset, host: Option<&str>) -> String {
    let key = "kafka.bootstrap_servers";
    if !reader.is_set(key) && preset == Preset::EventHubs {
        if let Some(host) = host {
            return format!("{host}:{EVENT_HUBS_PORT}");
        }
        if !reader.is_wrong(key) && !reader.is_wrong("kafka.connection_string") {
            reader.wrong(
                key,
                "is missing, and Event Hubs has no default",
                "set kafka.connection_string, or kafka.bootstrap_servers = \"<namespace>.servicebus.windows.net:9093\"",
            );
        }
    }
    let text = reader.text(key);
    let servers: Option<Vec<String>> = text.split(',').map(|server| server_of(server.trim(), preset)).collect();
    servers.map_or_else(
        || {
            let problem = format!("{} is not a list of servers", reader.quote(key, text));
            reader.wrong(
                key,
                problem,
                "write host:port, separated by commas, such as \"one:9092,two:9092\"",
            );
            String::new()
        },
        |servers| servers.join(","),
    )
}

/// Returns the server with its port, adding the preset's default port, or `None` if it is invalid.
fn server_of(server: &str, preset: Preset) -> Option<String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']' | '/');
    if server.is_empty() || !server.chars().all(legal) {
        return None;
    }
    let authority = server.split_once("://").map_or(server, |(_, authority)| authority);
    // The colons of an IPv6 address are within brackets.
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let bracketed = host.starts_with('[') && host.ends_with(']');
    if host.is_empty() || host.contains('/') || host.contains(':') && !bracketed {
        return None;
    }
    match port {
        Some(port) => port.parse::<u16>().ok().filter(|port| *port > 0).map(|_| server.to_owned()),
        None if preset == Preset::EventHubs => Some(format!("{server}:{EVENT_HUBS_PORT}")),
        None => Some(server.to_owned()),
    }
}
