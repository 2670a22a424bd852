//! The delays that `/metrics` reports, compared with the output.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use alerttrail::generate::Options;

use crate::support::{Instance, TIMEOUT, World};

fn metrics(port: u16) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}

fn value(metrics: &str, series: &str) -> f64 {
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))
        .unwrap_or_else(|| panic!("no {series}:\n{metrics}"));
    line.trim().parse().unwrap()
}

/// Runs over traffic from before the start and over traffic that arrives later, and compares the counts.
fn assert_every_row_is_measured_once(delivery: &str) {
    let Some(mut world) = World::new(&format!("latency-{delivery}")) else {
        return;
    };
    world.set("output", &format!("delivery = \"{delivery}\""));
    let traffic = |seed| Options {
        activities: 3_000,
        alerts: 100,
        seed,
        keyed_share: 0.4,
        alert_updates: 0.4,
        ..Options::default()
    };
    world.send_generated(&traffic(1));
    let age = Duration::from_secs(2);
    std::thread::sleep(age);
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config = world.config("a");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(
        &config,
        text.replace("listen = \"\"", &format!("listen = \"127.0.0.1:{port}\"")),
    )
    .unwrap();
    let began = Instant::now();
    let mut instance = Instance::start_with(&config, &world.folder.path().join("a.log"), &[]);
    world.wait_for_expected_rows(&mut [&mut instance]);
    let messages = value(&metrics(port), "alerttrail_messages_received_total");
    let input_sum = value(&metrics(port), "alerttrail_input_latency_seconds_sum");
    // More traffic with other activities: late activities, and alerts whose windows have closed.
    world.send_generated(&traffic(2));
    world.wait_for_expected_rows(&mut [&mut instance]);

    let mut written: BTreeMap<String, f64> = BTreeMap::new();
    for record in world.read("rows") {
        *written
            .entry(record.json()["reason"].as_str().unwrap().to_owned())
            .or_default() += 1.0;
    }
    assert!(written["window_closed"] > 100.0 && written.len() > 1, "{written:?}");
    let count = |metrics: &str, reason: &str| {
        let series = format!("alerttrail_row_latency_seconds_count{{reason=\"{reason}\"}}");
        value(metrics, &series)
    };
    let all_rows_are_counted = |metrics: &str| written.iter().all(|(reason, rows)| count(metrics, reason) == *rows);
    let waited = Instant::now();
    let mut published = metrics(port);
    while !all_rows_are_counted(&published) {
        assert!(waited.elapsed() < TIMEOUT, "{written:?}\n{published}");
        std::thread::sleep(Duration::from_millis(100));
        published = metrics(port);
    }
    let max_latency = began.elapsed().as_secs_f64();
    for (reason, rows) in &written {
        let series = |end: &str| format!("alerttrail_row_latency_seconds_{end}");
        let sum = value(&published, &format!("{}{{reason=\"{reason}\"}}", series("sum")));
        assert!(
            sum > 0.0 && sum < rows * max_latency,
            "{reason}: {rows} rows, {sum} s of {max_latency} s"
        );
        let infinite = format!("{}{{reason=\"{reason}\",le=\"+Inf\"}}", series("bucket"));
        assert_eq!(value(&published, &infinite), *rows, "{reason}");
    }
    // The traffic from before the start has its real age; every message of the second traffic is counted too.
    let aged = messages * age.as_secs_f64();
    assert!(
        messages > 0.0 && input_sum > aged && input_sum < messages * (age.as_secs_f64() + max_latency + 60.0),
        "{messages} messages, {input_sum} s"
    );
    assert_eq!(
        value(&published, "alerttrail_input_latency_seconds_count"),
        value(&published, "alerttrail_messages_received_total")
    );
    let (log, log_sum) = (
        value(&published, "alerttrail_log_latency_seconds_count"),
        value(&published, "alerttrail_log_latency_seconds_sum"),
    );
    assert!(
        log > 0.0 && log_sum < log * max_latency,
        "{log} repartition records, {log_sum} s"
    );
}

#[test]
fn every_row_is_measured_once_at_least_once() {
    assert_every_row_is_measured_once("at_least_once");
}

#[test]
fn every_row_is_measured_once_exactly_once() {
    assert_every_row_is_measured_once("exactly_once");
}
