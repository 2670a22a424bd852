//! Checks values: turns settings of the right type into a configuration that is valid.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use chrono::DateTime;
use toml::Value;

use super::errors::Errors;
use super::merge;
use super::reader::Reader;
use super::{
    AlertUpdates, Application, Config, Delivery, Format, Http, Input, LostOffsets, Output, Repartition, Start, State, Unmatched,
    Watermark,
};
use super::{check, correlation, kafka};
use crate::time::WallTime;

/// Maximum length that leaves room for the longest suffix in a topic's name, `-correlation-repartition`.
const MAX_ID_LENGTH: usize = 200;
/// Kafka's limit.
const MAX_TOPIC_LENGTH: usize = 249;
const MAX_PARTITIONS: u32 = 1000;
/// Minimum memory. It is greater than any size whose unit was forgotten, and no store can work with less.
const MIN_MEMORY: u64 = 1_000_000;
/// Minimum duration. Clocks and Kafka's timestamps have no finer resolution.
const MIN_DURATION: Duration = Duration::from_millis(1);

/// Builds the configuration from a file (its name and its text) and the environment.
pub(super) fn config(file: Option<(&str, &str)>, environment: &BTreeMap<String, String>) -> Result<Config, Errors> {
    let mut errors = Errors::default();
    let merged = merge::merge(file, environment, &mut errors);
    let mut reader = Reader::new(&merged.raw, errors);
    let application = application(&mut reader);
    let config = Config {
        kafka: kafka::read(&mut reader),
        input: input(&mut reader),
        decode: correlation::read(&mut reader),
        presets: reader.texts_or_none("correlation.presets"),
        repartition: repartition(&mut reader, &application.id),
        watermark: watermark(&mut reader),
        state: state(&mut reader),
        output: output(&mut reader),
        http: http(&mut reader),
        application,
        ignored_variables: merged.ignored,
    };
    check::rules(&config, &mut reader);
    let errors = reader.into_errors();
    match errors.is_empty() {
        true => Ok(config),
        false => Err(errors.with_warnings(check::capitals(&config).into_iter().collect())),
    }
}

/// Builds `[http]` from a file (its name and its text) and the environment, ignoring errors in other tables.
pub(super) fn only_http(file: Option<(&str, &str)>, environment: &BTreeMap<String, String>) -> Result<Http, Errors> {
    let mut errors = Errors::default();
    let merged = merge::merge(file, environment, &mut errors);
    let mut reader = Reader::new(&merged.raw, errors);
    let http = http(&mut reader);
    let errors = reader.into_errors().about("http");
    if errors.is_empty() { Ok(http) } else { Err(errors) }
}

fn application(reader: &mut Reader<'_>) -> Application {
    let id = reader.text("application.id");
    name(reader, "application.id", id, MAX_ID_LENGTH);
    Application { id: id.to_owned() }
}

fn input(reader: &mut Reader<'_>) -> Input {
    let topics = reader.texts("input.topics");
    for topic in &topics {
        name(reader, "input.topics", topic, MAX_TOPIC_LENGTH);
    }
    Input {
        topics,
        start: start(reader),
        on_lost_offsets: reader.choice(
            "input.on_lost_offsets",
            &[("fail", LostOffsets::Fail), ("continue", LostOffsets::Continue)],
        ),
    }
}

fn start(reader: &mut Reader<'_>) -> Start {
    let key = "input.start";
    let text = match reader.value(key) {
        Some(Value::Datetime(time)) => time.to_string(),
        _ => reader.text(key).to_owned(),
    };
    match text.as_str() {
        "earliest" => return Start::Earliest,
        "latest" => return Start::Latest,
        _ => {}
    }
    match DateTime::parse_from_rfc3339(&text).map(|time| time.timestamp_millis()) {
        // For times before 1970, Kafka's protocol has special values: -1 is the end, -2 the beginning.
        Ok(millis) if millis >= 0 => Start::At(WallTime(millis)),
        Ok(_) => {
            let problem = format!("{} is before 1970, earlier than any record", reader.quote(key, &text));
            reader.wrong(key, problem, "use \"earliest\"");
            Start::Earliest
        }
        Err(_) => {
            let problem = format!(
                "{} is neither a keyword nor an RFC 3339 time with a time zone",
                reader.quote(key, &text)
            );
            reader.wrong(
                key,
                problem,
                "use \"earliest\", \"latest\" or a time such as \"2026-03-01T10:00:00Z\"",
            );
            Start::Earliest
        }
    }
}

fn repartition(reader: &mut Reader<'_>, id: &str) -> Repartition {
    let topic = match reader.text("repartition.topic") {
        "" => format!("{id}-correlation-repartition"),
        topic => {
            name(reader, "repartition.topic", topic, MAX_TOPIC_LENGTH);
            topic.to_owned()
        }
    };
    Repartition {
        topic,
        partitions: reader.integer("repartition.partitions", 1, MAX_PARTITIONS),
    }
}

fn watermark(reader: &mut Reader<'_>) -> Watermark {
    Watermark {
        interval: reader.duration("watermark.interval", MIN_DURATION),
        out_of_orderness: reader.duration("watermark.out_of_orderness", Duration::ZERO),
        idle_timeout: reader.duration("watermark.idle_timeout", MIN_DURATION),
        max_wait: reader.duration("watermark.max_wait", MIN_DURATION),
        max_future_skew: reader.duration("watermark.max_future_skew", MIN_DURATION),
        max_window_ahead: match reader.text("watermark.max_window_ahead") {
            "" => None,
            _ => Some(reader.duration("watermark.max_window_ahead", MIN_DURATION)),
        },
    }
}

fn state(reader: &mut Reader<'_>) -> State {
    let dir = reader.text("state.dir");
    if dir.trim().is_empty() {
        reader.wrong("state.dir", "is empty", "name the directory for the state");
    } else if dir.starts_with('~') {
        reader.wrong(
            "state.dir",
            "begins with ~, which only shells expand",
            "write the full path, or \"${HOME}/...\"",
        );
    }
    State {
        dir: PathBuf::from(dir),
        retention: reader.duration("state.retention", MIN_DURATION),
        memory: reader.size("state.memory", MIN_MEMORY),
    }
}

fn output(reader: &mut Reader<'_>) -> Output {
    Output {
        topic: topic(reader, "output.topic"),
        summary_topic: match reader.text("output.summary_topic") {
            "" => None,
            _ => Some(topic(reader, "output.summary_topic")),
        },
        unmatched: reader.choice("output.unmatched", &[("omit", Unmatched::Omit), ("emit", Unmatched::Emit)]),
        alert_updates: reader.choice(
            "output.alert_updates",
            &[("summary", AlertUpdates::Summary), ("rows", AlertUpdates::Rows)],
        ),
        format: reader.choice(
            "output.format",
            &[
                ("native", Format::Native),
                ("kql", Format::Kql),
                ("ocsf", Format::Ocsf),
                ("ecs", Format::Ecs),
            ],
        ),
        delivery: reader.choice(
            "output.delivery",
            &[
                ("at_least_once", Delivery::AtLeastOnce),
                ("exactly_once", Delivery::ExactlyOnce),
            ],
        ),
        dead_letter_topic: topic(reader, "output.dead_letter_topic"),
    }
}

fn http(reader: &mut Reader<'_>) -> Http {
    let listen: Option<SocketAddr> = match reader.text("http.listen") {
        "" => None,
        _ => reader.parsed(
            "http.listen",
            "IP address with a port",
            "write one such as \"127.0.0.1:8686\" or \"[::1]:8686\", or \"\" to disable it",
        ),
    };
    let token = reader.secret("http.token");
    if token
        .as_ref()
        .is_some_and(|token| !token.expose().bytes().all(|byte| byte.is_ascii_graphic()))
    {
        reader.wrong(
            "http.token",
            "contains characters that are not allowed in a request header",
            "use letters, digits and punctuation of ASCII, without spaces",
        );
    }
    if listen.is_some_and(|address| !address.ip().to_canonical().is_loopback())
        && token.is_none()
        && !reader.is_wrong("http.token")
    {
        reader.wrong(
            "http.token",
            "is missing, but http.listen accepts connections from other machines",
            "set a token, or listen on 127.0.0.1",
        );
    }
    let insecure = reader.boolean("http.insecure");
    if listen.is_some_and(|address| !address.ip().to_canonical().is_loopback()) && token.is_some() && !insecure {
        reader.wrong(
            "http.insecure",
            "is false, but http.listen accepts connections from other machines, and without TLS anyone on the network path can read the token and the records",
            "put a TLS proxy in front and listen on 127.0.0.1, or set it to true on a trusted network",
        );
    }
    Http {
        listen,
        token,
        insecure,
        allowed_hosts: reader.texts_or_none("http.allowed_hosts"),
        advertise: advertise(reader),
    }
}

fn advertise(reader: &mut Reader<'_>) -> Option<String> {
    let key = "http.advertise";
    let text = reader.text(key);
    let is_address = |text: &str| {
        let port = text
            .rsplit_once(':')
            .and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
        port.is_some_and(|(host, port)| port > 0 && !host.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()))
    };
    if !text.is_empty() && !is_address(text) {
        let problem = format!("{} is not a host with a port", reader.quote(key, text));
        reader.wrong(key, problem, "write one such as \"alerttrail-0.internal:8686\"");
    }
    (!text.is_empty()).then(|| text.to_owned())
}

fn topic(reader: &mut Reader<'_>, key: &str) -> String {
    let topic = reader.text(key);
    name(reader, key, topic, MAX_TOPIC_LENGTH);
    topic.to_owned()
}

/// Reports a name that is not a valid topic name, or is longer than `longest`.
fn name(reader: &mut Reader<'_>, key: &str, name: &str, longest: usize) {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let problem = if name.is_empty() {
        "a name is empty".to_owned()
    } else if name.len() > longest {
        format!("{} is longer than {longest} characters", reader.quote(key, name))
    } else if name == "." || name == ".." || !name.chars().all(legal) {
        format!("{} is not a valid topic name", reader.quote(key, name))
    } else {
        return;
    };
    reader.wrong(key, problem, "use letters, digits, \".\", \"_\" and \"-\"");
}
