//! The small tools of `benches/peers/run`: they load topics, read them without processing, and watch for the resulting
//! pairs.
//!
//! `cargo build --release --bench peers`. Each tool prints one line of JSON for the harness; `benches/peers/README.md`
//! explains their purpose.

#![expect(clippy::unwrap_used, reason = "a bench that cannot set itself up panics")]

mod floor;
mod load;
mod pairs;
mod topics;
mod watch;

use std::io::Write;

use clap::Parser;
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer};

#[derive(Parser)]
enum Tool {
    /// Creates topics, or deletes those with a common prefix
    Topics(topics::Args),
    /// Sends every line of a file as one message, to each partition in turn
    Load(load::Args),
    /// Reads topics to their ends and discards the records: no consumer can be faster
    Floor(floor::Args),
    /// Waits until every expected pair can be read from a topic, and reports when that was
    Watch(watch::Args),
    /// Writes the pairs of rows in a file, sorted: the reference for the other contenders
    Pairs(pairs::Args),
}

fn main() {
    match Tool::parse() {
        Tool::Topics(args) => topics::run(&args),
        Tool::Load(args) => load::run(&args),
        Tool::Floor(args) => floor::run(&args),
        Tool::Watch(args) => watch::run(&args),
        Tool::Pairs(args) => pairs::run(&args),
    }
}

/// Prints one line to standard output, and flushes it.
fn print_line(line: &serde_json::Value) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).unwrap();
}

fn client(bootstrap: &str) -> ClientConfig {
    let mut client = ClientConfig::new();
    client
        .set("bootstrap.servers", bootstrap)
        .set_log_level(RDKafkaLogLevel::Error);
    client
}

/// Returns a consumer that fetches as fast as this library can: with the settings of `alerttrail run`, and larger
/// queues.
fn consumer(bootstrap: &str) -> BaseConsumer {
    client(bootstrap)
        .set("group.id", "alerttrail-peers")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("fetch.queue.backoff.ms", "10")
        .set("fetch.wait.max.ms", "50")
        .set("fetch.message.max.bytes", "8388608")
        .set("queued.max.messages.kbytes", "131072")
        .create()
        .unwrap()
}

/// Returns the numbers of the partitions of a topic.
fn partitions(consumer: &BaseConsumer, topic: &str) -> Vec<i32> {
    let metadata = consumer
        .fetch_metadata(Some(topic), std::time::Duration::from_secs(10))
        .unwrap();
    let found: Vec<i32> = metadata.topics()[0]
        .partitions()
        .iter()
        .map(|partition| partition.id())
        .collect();
    assert!(!found.is_empty(), "there is no topic {topic}");
    found
}
