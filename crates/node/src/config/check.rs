//! Rules between keys, and warnings about settings that are allowed but probably not intended.

use std::time::Duration;

use super::reader::Reader;
use super::units::{print_duration, print_size};
use super::{Config, Delivery, Preset, Start, Unmatched, kafka};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);
/// The time by which the repartition topic must keep its records longer than the retention.
const SPARE: Duration = Duration::from_secs(2 * 86_400);
/// The retention of Event Hubs' Standard tier.
const STANDARD_LOG: Duration = Duration::from_secs(7 * 86_400);
const STANDARD_PARTITIONS: u32 = 32;
const LOW_MEMORY: u64 = 32_000_000;
const SHORT_TOKEN: usize = 16;

/// Reports keys whose values are valid on their own, but not together.
pub(super) fn rules(config: &Config, reader: &mut Reader<'_>) {
    topics(config, reader);
    login(config, reader);
    retention(config, reader);
}

/// Returns the configured topics, each with its key.
fn named(config: &Config) -> Vec<(&'static str, &String)> {
    let output = &config.output;
    let inputs = config.input.topics.iter().map(|topic| ("input.topics", topic));
    let others = [
        ("repartition.topic", &config.repartition.topic),
        ("output.topic", &output.topic),
        ("output.dead_letter_topic", &output.dead_letter_topic),
    ];
    let summary = output.summary_topic.iter().map(|topic| ("output.summary_topic", topic));
    inputs.chain(others).chain(summary).collect()
}

/// Refuses a topic that is used twice, because the program would read its own records.
fn topics(config: &Config, reader: &mut Reader<'_>) {
    let is_one = |one: &str, other: &str| match config.kafka.preset {
        // Event Hubs ignores case: names that differ only in case are one hub.
        Preset::EventHubs => one.eq_ignore_ascii_case(other),
        Preset::Kafka => one == other,
    };
    let all = named(config);
    for (index, (key, topic)) in all.iter().enumerate() {
        let earlier = all[..index].iter().find(|(_, other)| is_one(other, topic));
        let Some((other, first)) = earlier.filter(|(other, _)| !reader.is_wrong(key) && !reader.is_wrong(other)) else {
            continue;
        };
        let quoted = reader.quote(key, topic);
        if first != topic {
            let problem = format!(
                "{quoted} is the same hub as {} of {other}: Event Hubs ignores the case of names",
                reader.quote(other, first)
            );
            reader.wrong(key, problem, "use different hubs");
        } else if key == other {
            reader.wrong(key, format!("names {quoted} twice"), "name each topic once");
        } else {
            reader.wrong(key, format!("{quoted} is also in {other}"), "use different topics");
        }
    }
}

/// Requires a mechanism for SASL. A listener with SASL requires a login, and librdkafka defaults to Kerberos, which is
/// not compiled in.
fn login(config: &Config, reader: &mut Reader<'_>) {
    const KEY: &str = "kafka.properties.sasl.mechanism";
    const MECHANISMS: &str = "use PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER";
    let protocol = kafka::protocol_of(&config.kafka.properties);
    if !protocol.starts_with("SASL_") || reader.is_wrong("kafka") {
        return;
    }
    let mechanism = config
        .kafka
        .properties
        .get("sasl.mechanism")
        .map(|mechanism| mechanism.expose());
    match (mechanism, config.kafka.preset) {
        (Some(mechanism), _) if mechanism.eq_ignore_ascii_case("GSSAPI") => {
            reader.wrong(KEY, "is GSSAPI (Kerberos), which this program does not support", MECHANISMS);
        }
        (Some(_), _) => {}
        (None, Preset::EventHubs) => reader.wrong(
            "kafka.connection_string",
            "is missing, and Event Hubs requires a login",
            "set it, or \"sasl.mechanism\" with its credentials in [kafka.properties]",
        ),
        (None, Preset::Kafka) => {
            let problem = format!("is missing, and a {protocol} listener requires a login");
            reader.wrong(KEY, problem, format!("{MECHANISMS}, with its credentials"));
        }
    }
}

/// Refuses a retention that is too short. The retention cut-off is the watermark minus the retention, so older records
/// would expire before they are read.
fn retention(config: &Config, reader: &mut Reader<'_>) {
    let widening = config.decode.widening;
    let reaching = [
        ("watermark.out_of_orderness", config.watermark.out_of_orderness),
        ("correlation.before", widening.before),
        ("correlation.after", widening.after),
    ];
    let retention = config.state.retention;
    let held = |key: &str, kept: Duration, reaching: &[(&str, Duration)], reader: &mut Reader<'_>| {
        for (reach_key, reach) in reaching {
            if kept <= *reach && !reader.is_wrong(key) && !reader.is_wrong(reach_key) {
                let problem = format!(
                    "{} is not longer than {reach_key}, {}",
                    print_duration(kept),
                    print_duration(*reach)
                );
                reader.wrong(key, problem, format!("make it longer, or {reach_key} shorter"));
            }
        }
    };
    held("state.retention", retention, &reaching, reader);
    for link in &config.decode.links {
        let own = format!("link.{}.retention", link.name);
        let (key, kept) = link
            .retention
            .map_or(("state.retention", retention), |kept| (own.as_str(), kept));
        if kept > retention && !reader.is_wrong("state.retention") {
            let problem = format!(
                "{} is longer than state.retention, {}",
                print_duration(kept),
                print_duration(retention)
            );
            reader.wrong(key, problem, "make it shorter, or state.retention longer");
        }
        let [before, after] = ["before", "after"].map(|name| format!("link.{}.{name}", link.name));
        let reaching = [
            ("watermark.out_of_orderness", config.watermark.out_of_orderness),
            (&before, link.widening.before),
            (&after, link.widening.after),
        ];
        held(key, kept, &reaching, reader);
    }
}

/// Returns warnings about settings that are allowed but probably not intended, a sentence each.
pub(super) fn warnings(config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    watermark(config, &mut warnings);
    event_hubs(config, &mut warnings);
    security(config, &mut warnings);
    let state = &config.state;
    if state.retention < DAY {
        warnings.push(format!(
            "state.retention is {}: alerts often arrive more than a day after their activities, and would match none",
            print_duration(state.retention)
        ));
    }
    if state.memory < LOW_MEMORY {
        warnings.push(format!(
            "state.memory is {}: below {} the store reads from disk most of the time",
            print_size(state.memory),
            print_size(LOW_MEMORY)
        ));
    }
    if config.output.unmatched == Unmatched::Emit && config.output.summary_topic.is_none() {
        warnings.push("output.unmatched = \"emit\" does nothing without output.summary_topic".to_owned());
    }
    if config.input.start == Start::Latest {
        warnings.push(
            "input.start = \"latest\": alerts whose activities were sent before the first start are emitted without them"
                .to_owned(),
        );
    }
    for (found, meant) in &config.ignored_variables {
        warnings.push(format!(
            "the environment variable {found} is ignored; if it is meant as a setting, rename it to {meant}"
        ));
    }
    warnings
}

fn watermark(config: &Config, warnings: &mut Vec<String>) {
    let watermark = &config.watermark;
    let mut shorter = |key, value: Duration, than, other: Duration, effect| {
        if value < other {
            let (value, other) = (print_duration(value), print_duration(other));
            warnings.push(format!("{key} ({value}) is shorter than {than} ({other}): {effect}"));
        }
    };
    shorter(
        "watermark.max_wait",
        watermark.max_wait,
        "watermark.out_of_orderness",
        watermark.out_of_orderness,
        "alerts close before the watermark can reach them, and their activities are emitted late",
    );
    shorter(
        "watermark.max_wait",
        watermark.max_wait,
        "watermark.idle_timeout",
        watermark.idle_timeout,
        "alerts close before an idle partition can be distinguished from a slow one",
    );
    shorter(
        "watermark.idle_timeout",
        watermark.idle_timeout,
        "watermark.interval",
        watermark.interval,
        "partitions become idle between two watermark updates",
    );
    if watermark.interval > SECOND {
        warnings.push(format!(
            "watermark.interval is {}, but watermark updates are sent at least once a second",
            print_duration(watermark.interval)
        ));
    }
}

/// Returns a warning about hubs with capitals in their names.
pub(super) fn capitals(config: &Config) -> Option<String> {
    let capitals = named(config).into_iter();
    let capitals = capitals.filter(|(_, topic)| topic.bytes().any(|byte| byte.is_ascii_uppercase()));
    let capitals: Vec<String> = capitals.map(|(key, topic)| format!("{topic} ({key})")).collect();
    let is_hub = config.kafka.preset == Preset::EventHubs && !capitals.is_empty();
    is_hub.then(|| {
        format!(
            "{}: Event Hubs may store the name of a hub in lower case, and Kafka clients that use capitals get an unknown topic error; write the name as `az eventhubs eventhub list` and `alerttrail check` show it, or in lower case",
            capitals.join(", ")
        )
    })
}

fn event_hubs(config: &Config, warnings: &mut Vec<String>) {
    if config.kafka.preset != Preset::EventHubs {
        return;
    }
    let secret = config.kafka.connection_string.as_ref();
    if secret.is_some_and(|secret| kafka::part(secret, "EntityPath").is_some()) {
        warnings.push(
            "kafka.connection_string has an EntityPath, so it gives access to that event hub only; use a policy of the namespace"
                .to_owned(),
        );
    }
    let needed = config.state.retention.saturating_add(SPARE);
    if needed > STANDARD_LOG {
        warnings.push(format!(
            "state.retention is {}, so {} must keep its records for {}; the Standard tier keeps {}",
            print_duration(config.state.retention),
            config.repartition.topic,
            print_duration(needed),
            print_duration(STANDARD_LOG)
        ));
    }
    if config.repartition.partitions > STANDARD_PARTITIONS {
        warnings.push(format!(
            "repartition.partitions is {}; an event hub of the Standard tier has at most {STANDARD_PARTITIONS}",
            config.repartition.partitions
        ));
    }
    warnings.extend(capitals(config));
    if config.output.delivery == Delivery::ExactlyOnce {
        warnings
            .push("output.delivery = \"exactly_once\" needs transactions, which not every tier of Event Hubs offers".to_owned());
    }
}

fn security(config: &Config, warnings: &mut Vec<String>) {
    let is = |name: &str, value: &str| {
        let property = config.kafka.properties.get(name);
        property.is_some_and(|property| property.expose().eq_ignore_ascii_case(value))
    };
    let servers = &config.kafka.bootstrap_servers;
    let protocol = kafka::protocol_of(&config.kafka.properties);
    if !protocol.ends_with("SSL") && !kafka::are_here(servers) {
        warnings.push(format!(
            "kafka.properties.security.protocol is {protocol}: records and credentials are sent to {servers} unencrypted; if the broker has a TLS listener, use SSL or SASL_SSL"
        ));
    }
    if is("enable.ssl.certificate.verification", "false") {
        warnings.push(
            "kafka.properties.enable.ssl.certificate.verification is false: anyone on the network path can read and change records"
                .to_owned(),
        );
    }
    if is("ssl.endpoint.identification.algorithm", "none") {
        warnings.push(
            "kafka.properties.ssl.endpoint.identification.algorithm is none: any server with a valid certificate is accepted as the broker".to_owned(),
        );
    }
    if is("enable.sasl.oauthbearer.unsecure.jwt", "true") {
        warnings.push(
            "kafka.properties.enable.sasl.oauthbearer.unsecure.jwt is true: anyone can create such a token, so it proves nothing"
                .to_owned(),
        );
    }
    if config
        .http
        .token
        .as_ref()
        .is_some_and(|token| token.expose().len() < SHORT_TOKEN)
    {
        warnings.push(format!(
            "http.token has fewer than {SHORT_TOKEN} characters and can be guessed"
        ));
    }
}
