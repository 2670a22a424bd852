#!/usr/bin/env bash
#
# A rust-rdkafka producer without messages uses a hundredth of a core.
#
# `BaseProducer::poll` of rdkafka 0.39.0 waits until a deadline that has nanoseconds, but asks librdkafka to wait for
# whole milliseconds, rounded down. In the last millisecond it asks to wait for 0 ms again and again: a busy loop of up to
# a millisecond in each poll. `ThreadedProducer` polls every 100 ms in a thread of its own, so each idle producer takes
# about 1 % of a core for as long as it exists; a program with a transactional producer for each partition has many. With
# a timeout that is a little more than whole milliseconds, the last wait ends after the deadline, and nothing spins.
#
# Builds rdkafka 0.39.0 with the librdkafka that it contains, in a temporary folder, and uses librdkafka's mock cluster.
# Needs cargo, a C compiler and make. Exit status 0: as described; 1: it behaves otherwise now.

set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf -- "$folder"' EXIT
cd "$folder"
unset CARGO_TARGET_DIR
mkdir src
cat >Cargo.toml <<'TOML'
[package]
name = "polls"
version = "0.0.0"
edition = "2021"

[dependencies]
rdkafka = { version = "=0.39.0", default-features = false }
TOML
cat >src/main.rs <<'RUST'
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, DefaultProducerContext, ThreadedProducer};

const MEASURED: Duration = Duration::from_secs(10);

/// Returns the CPU time of this process in hundredths of a second.
fn cpu() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let after_name = stat.rsplit(')').next().unwrap();
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    fields[11..13].iter().map(|ticks| ticks.parse::<u64>().unwrap()).sum()
}

/// Returns the share of a core, in percent, that the process uses while `work` is repeated.
fn share(mut work: impl FnMut()) -> f64 {
    let (began, before) = (Instant::now(), cpu());
    while began.elapsed() < MEASURED {
        work();
    }
    (cpu() - before) as f64 / began.elapsed().as_secs_f64()
}

fn main() {
    let cluster = MockCluster::<DefaultProducerContext>::new(1).unwrap();
    cluster.create_topic("t", 1, 1).unwrap();
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", cluster.bootstrap_servers());
    let threaded = {
        let _producer: ThreadedProducer<DefaultProducerContext> = config.create().unwrap();
        share(|| std::thread::sleep(Duration::from_millis(100)))
    };
    let producer: BaseProducer = config.create().unwrap();
    let whole = share(|| producer.poll(Duration::from_millis(100)));
    let more = share(|| producer.poll(Duration::from_micros(100_100)));
    println!("a ThreadedProducer without messages: {threaded:.1} % of a core");
    println!("a BaseProducer polled for 100 ms: {whole:.1} %; for 100.1 ms: {more:.1} %");
    std::process::exit(i32::from(!(threaded > 0.4 && whole > 0.4 && more < whole / 2.0)));
}
RUST
cargo build --quiet --release
./target/release/polls
