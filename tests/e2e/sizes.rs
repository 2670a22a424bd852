//! Messages that are small on the wire and large in memory.

use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use crate::support::{TIMEOUT, World, activity, alert};

/// More memory than the process uses with ordinary traffic, in MiB: code, store, queues.
const ORDINARY_MIB: u64 = 300;

/// Sends one compressed message that exceeds the limits of an ordinary producer.
fn send_compressed(world: &World, message: &[u8]) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &world.broker)
        .set("compression.type", "gzip")
        .set("message.max.bytes", "1000000000")
        .set("queue.buffering.max.kbytes", "2000000")
        .create()
        .unwrap();
    let topic = world.topic("activities");
    let record = BaseRecord::<(), [u8]>::to(&topic).partition(0).payload(message);
    assert!(producer.send(record).is_ok());
    producer.flush(TIMEOUT).unwrap();
    assert_eq!(producer.in_flight_count(), 0);
}

fn send_a_match(world: &mut World) {
    let rows: Vec<Vec<u8>> = (0..8)
        .map(|second| activity("p", &format!("2026-03-01T10:00:0{second}Z"), "good"))
        .collect();
    world.send("activities", 4, rows.iter().map(Vec::as_slice));
    let window = ("2026-03-01T09:00:00Z", "2026-03-01T11:00:00Z");
    let alert = alert("A1", "p", window.0, window.1, "2026-03-01T11:05:00Z");
    world.send("alerts", 1, [alert.as_slice()]);
}

#[test]
fn f12_a_message_with_very_many_records_takes_no_more_memory() {
    let Some(mut world) = World::new("f12") else { return };
    const OTHERS: usize = 500_000;
    const UNKNOWN: usize = 50_000;
    let others = r#"{"Type":"X"},"#.repeat(OTHERS);
    let message = format!("{{\"records\":[{others}{}{{}}]}}", "7,".repeat(UNKNOWN - 1));
    assert!(message.len() > 6_000_000);
    send_compressed(&world, message.as_bytes());
    send_a_match(&mut world);
    let mut instance = world.start("a");
    assert_eq!(world.wait_for_expected_rows(&mut [&mut instance]).len(), 8);
    let dead_letters = world.wait_for_records("dead", UNKNOWN, &mut instance);
    assert_eq!(dead_letters.len(), UNKNOWN);
    let last = dead_letters.iter().find(|record| record.value == b"{}").unwrap();
    assert_eq!(last.header("alerttrail.index"), (OTHERS + UNKNOWN - 1).to_string());
    let peak = instance.peak_memory();
    assert!(peak < ORDINARY_MIB, "{peak} MiB");
    println!("F12 ok bytes={} records={} peak_mib={peak}", message.len(), OTHERS + UNKNOWN);
}

/// librdkafka decompresses gzip without its own limit, so the message arrives; a truncated dead-letter record reports
/// it. Who may write to the topic decides whether a message can be too large for the machine: docs/security.md.
#[test]
fn f14_a_batch_that_inflates_to_64_mib_is_survived() {
    inflate(64);
}

#[test]
#[ignore = "takes 3 GiB of memory: it measures the largest message that the broker accepts"]
fn f14_a_batch_that_inflates_to_900_mib_is_survived_where_there_is_memory() {
    inflate(900);
}

fn inflate(mib: usize) {
    let Some(mut world) = World::new("f14") else { return };
    let bytes = mib << 20;
    send_compressed(&world, &vec![b' '; bytes]);
    send_a_match(&mut world);
    let mut instance = world.start("a");
    assert_eq!(world.wait_for_expected_rows(&mut [&mut instance]).len(), 8);
    let dead_letters = world.wait_for_records("dead", 1, &mut instance);
    assert_eq!(dead_letters[0].header("alerttrail.reason"), "invalid_json");
    assert_eq!(dead_letters[0].header("alerttrail.truncated"), bytes.to_string());
    let peak = instance.peak_memory();
    // Otherwise nothing was decompressed.
    assert!(peak > mib as u64 && peak < ORDINARY_MIB + 3 * mib as u64, "{peak} MiB");
    let (status, took) = instance.terminate();
    assert_eq!(status.code(), Some(0));
    assert!(took < Duration::from_secs(10), "{took:?}");
    println!("F14 ok inflated_mib={mib} peak_mib={peak}");
}
