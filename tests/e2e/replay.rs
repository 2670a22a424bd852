//! `alerttrail replay`: the recorded messages arrive when they should, with their times moved if requested.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use alerttrail::decode::parse_time;
use alerttrail::time::{EventTime, WallTime};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};
use serde_json::Value;

use crate::support::{TIMEOUT, World, activity, alert, program};

/// The number of partitions of the target topic.
const PARTITIONS: i32 = 4;

/// A message as it is in the topic.
struct Arrived {
    partition: i32,
    /// When the message was sent.
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Vec<u8>,
}

impl Arrived {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.value).unwrap()
    }

    fn time(&self) -> EventTime {
        let row = self.json();
        parse_time(row["RawEventData"]["CreationTime"].as_str().unwrap()).unwrap()
    }
}

/// Returns all messages in the order in which they were sent, as far as the clock shows it, then in the order of their
/// partition.
fn arrived(world: &World, topic: &str) -> Vec<Arrived> {
    let consumer: BaseConsumer = world.client().set("group.id", "reader").create().unwrap();
    let mut messages = Vec::new();
    for partition in 0..world.partitions(topic) as i32 {
        let (low, high) = world.range(topic, partition);
        assert_eq!(low, 0);
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
        consumer.assign(&list).unwrap();
        for _ in 0..high {
            let began = Instant::now();
            // A poll also ends without a message for other events.
            let message = loop {
                match consumer.poll(Duration::from_millis(100)) {
                    Some(message) => break message.unwrap(),
                    None => assert!(began.elapsed() < TIMEOUT, "{topic}/{partition} cannot be read"),
                }
            };
            messages.push(Arrived {
                partition,
                timestamp: message.timestamp().to_millis().unwrap(),
                key: message.key().map(<[u8]>::to_vec),
                value: message.payload().unwrap().to_vec(),
            });
        }
    }
    messages.sort_by_key(|message| message.timestamp);
    messages
}

fn values(messages: &[Arrived]) -> Vec<Vec<u8>> {
    let mut values: Vec<Vec<u8>> = messages.iter().map(|message| message.value.clone()).collect();
    values.sort();
    values
}

fn sorted(mut values: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    values.sort();
    values
}

fn command(world: &World, inputs: &[&Path], options: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.arg("replay").arg("--input").args(inputs);
    command.args(["--topic", &world.topic("activities"), "--bootstrap-servers", &world.broker]);
    command
        .args(options)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn stderr(output: &Output) -> String {
    assert!(output.stdout.is_empty());
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Runs `replay` to its end, and asserts that it succeeds. Returns its messages.
fn replay(world: &World, inputs: &[&Path], options: &[&str]) -> String {
    let output = command(world, inputs, options).output().unwrap();
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    text
}

fn write(world: &World, name: &str, messages: &[Vec<u8>]) -> PathBuf {
    let path = world.folder.path().join(name);
    let mut lines = messages.join(&b'\n');
    lines.push(b'\n');
    std::fs::write(&path, lines).unwrap();
    path
}

/// Returns activities at these numbers of seconds after ten o'clock.
fn activities(seconds: impl Iterator<Item = u32>, note: &str) -> Vec<Vec<u8>> {
    let at = |second: u32| activity("p", &format!("2026-03-01T10:{:02}:{:02}.25", second / 60, second % 60), note);
    seconds.map(at).collect()
}

fn now() -> EventTime {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap();
    WallTime(i64::try_from(since.as_millis()).unwrap()).to_event()
}

#[test]
fn recorded_messages_arrive_byte_for_byte_and_round_robin() {
    let Some(world) = World::new("replay") else { return };
    let topic = world.topic("activities");
    let one = activities(0..40, "one");
    let mut two = activities(0..25, "two");
    two.extend([
        b"{ not JSON".to_vec(),
        b"{\"records\": [ {\"a\":1.50}, 7 ]}".to_vec(),
        b"\xff\xfe".to_vec(),
    ]);
    let three = activities(0..32, "three");
    let plain = write(&world, "one.jsonl", &one);
    let packed = world.folder.path().join("two");
    std::fs::write(&packed, zstd::encode_all(two.join(&b'\n').as_slice(), 1).unwrap()).unwrap();
    let document = world.folder.path().join("three.json.gz");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&three.join(&b'\n')).unwrap();
    std::fs::write(&document, gzip.finish().unwrap()).unwrap();

    let text = replay(&world, &[&plain, &packed, &document], &[]);
    let expected = sorted([one.clone(), two, three].concat());
    assert!(
        text.starts_with("100 messages, 101 records, ") && text.lines().count() == 1,
        "{text}"
    );
    let bytes: usize = expected.iter().map(Vec::len).sum();
    assert!(
        text.contains(&format!(", {},{:03} bytes in ", bytes / 1_000, bytes % 1_000)),
        "{text}"
    );
    let messages = arrived(&world, &topic);
    assert_eq!(values(&messages), expected);
    assert!(messages.iter().all(|message| message.key.is_none()), "the vendor sets no key");
    let mut counts: BTreeMap<i32, usize> = BTreeMap::new();
    for message in &messages {
        *counts.entry(message.partition).or_default() += 1;
    }
    assert_eq!(counts, (0..PARTITIONS).map(|partition| (partition, 25)).collect());
    let first: Vec<&Arrived> = messages.iter().filter(|message| message.partition == 0).collect();
    let in_turn = one.iter().step_by(4);
    assert!(
        in_turn.eq(first[..10].iter().map(|message| &message.value)),
        "each partition keeps the order"
    );
}

/// The export has not yet finished the last record of the hour.
#[test]
fn an_unfinished_record_is_not_sent() {
    let Some(world) = World::new("replay-unfinished") else {
        return;
    };
    let lines = activities(0..3, "whole");
    let mut file = write(&world, "PT1H.json", &lines);
    let cut = [lines.join(&b'\n'), lines[0][..40].to_vec()].join(&b'\n');
    std::fs::write(&file, &cut).unwrap();
    let text = replay(&world, &[&file], &[]);
    assert!(
        text.contains("1 file is unfinished: ") && text.contains("the record was not sent"),
        "{text}"
    );
    assert_eq!(values(&arrived(&world, &world.topic("activities"))), sorted(lines));
    // Only the file of an export is known to continue.
    file.set_file_name("cut.json");
    std::fs::write(&file, &cut).unwrap();
    let text = replay(&world, &[&file], &[]);
    assert!(text.starts_with("4 messages") && !text.contains("unfinished"), "{text}");
}

#[test]
fn standard_input_is_sent_to_the_requested_number_of_partitions() {
    let Some(world) = World::new("replay-stdin") else { return };
    let lines = activities(0..10, "piped");
    // This time the configuration names the broker, and the environment names the configuration.
    let config = world.folder.path().join("mine.toml");
    std::fs::write(&config, "[kafka]\nbootstrap_servers = \"127.0.0.1:1\"\n").unwrap();
    let mut command = Command::new(program());
    command.args([
        "replay",
        "--input",
        "-",
        "--partitions",
        "2",
        "--topic",
        &world.topic("activities"),
        "--config",
    ]);
    command.arg(&config).env("ALERTTRAIL_KAFKA__BOOTSTRAP_SERVERS", &world.broker);
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&lines.join(&b'\n')).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let messages = arrived(&world, &world.topic("activities"));
    assert_eq!(values(&messages), sorted(lines));
    for partition in 0..PARTITIONS {
        let count = messages.iter().filter(|message| message.partition == partition).count();
        assert_eq!(count, if partition < 2 { 5 } else { 0 });
    }
}

#[test]
fn a_rate_is_kept() {
    let Some(world) = World::new("replay-rate") else { return };
    let file = write(&world, "one.jsonl", &activities(0..301, "one"));
    let began = Instant::now();
    let text = replay(&world, &[&file], &["--rate", "9000/m"]);
    let took = began.elapsed();
    assert!(text.contains(" behind the schedule"), "{text}");
    let messages = arrived(&world, &world.topic("activities"));
    assert_eq!(messages.len(), 301);
    // 301 records at 150 a second take two seconds from the first to the last.
    let between = messages.last().unwrap().timestamp - messages[0].timestamp;
    assert!(between >= 1_995, "{between} ms: a message was sent too early");
    assert!(between < 4_000 && took < Duration::from_secs(15), "{between} ms, {took:?}");
    let third = messages[150].timestamp - messages[0].timestamp;
    assert!(
        (995..2_500).contains(&third),
        "half of them after {third} ms: steadily, not in one go"
    );
}

#[test]
fn a_speed_replays_files_together_in_the_order_of_their_times() {
    let Some(world) = World::new("replay-speed") else { return };
    let one = write(&world, "one.jsonl", &activities((0..40).step_by(4), "one"));
    let mut alerts: Vec<Vec<u8>> = Vec::new();
    for second in [6, 22, 38] {
        let generated = format!("2026-03-01T10:00:{second:02}.25Z");
        alerts.push(alert("A", "p", "2026-03-01T09:00:00Z", "2026-03-01T10:00:00Z", &generated));
        alerts.push(b"{\"RawEventData\":{\"note\":\"no time\"}}".to_vec());
    }
    let two = write(&world, "two.jsonl", &alerts);
    replay(&world, &[&two, &one], &["--speed", "20", "--partitions", "1"]);
    let messages = arrived(&world, &world.topic("activities"));
    assert_eq!(messages.len(), 16);
    let mut second = 0;
    for message in &messages {
        let row = message.json();
        let time = row["TimeGenerated"].as_str().or(row["RawEventData"]["CreationTime"].as_str());
        // A message without a time is sent with the previous message.
        second = time.map_or(second, |time| time[17..19].parse().unwrap());
        let sent = message.timestamp - messages[0].timestamp;
        let due = second * 1_000 / 20;
        assert!(sent >= due - 2, "{row} after {sent} ms, and due after {due}");
        assert!(sent < due + 1_500, "{row} after {sent} ms, and due after {due}");
    }
    assert_eq!(second, 38);
    let kinds: String = messages
        .iter()
        .map(|message| if message.json()["SystemAlertId"].is_null() { 'a' } else { 'A' })
        .collect();
    assert_eq!(kinds, "aaAaaaaaAaaaaaAa");
}

#[test]
fn times_are_moved_to_now_and_on_in_every_lap() {
    let Some(world) = World::new("replay-shift") else { return };
    let lines = activities((0..90).step_by(30), "one");
    let file = write(&world, "one.jsonl", &lines);
    let began = now();
    replay(&world, &[&file], &["--shift-to-now", "--loop", "2", "--partitions", "1"]);
    let ended = now();
    let messages = arrived(&world, &world.topic("activities"));
    assert_eq!(messages.len(), 6);
    let first = messages[0].time();
    let second = Duration::from_secs(1);
    assert!(first.plus(second) > began && first <= ended, "{first} is not now, {began}");
    for (message, after) in messages.iter().zip([0, 30, 60, 61, 91, 121]) {
        assert_eq!(message.time(), first.plus(second * after));
    }
    // Apart from digits, the recorded messages have arrived.
    let text = |value: &[u8]| -> Vec<u8> { value.iter().copied().filter(|byte| !byte.is_ascii_digit()).collect() };
    for (message, line) in messages.iter().zip(lines.iter().cycle()) {
        assert_eq!(text(&message.value), text(line));
        assert!(message.value.windows(4).any(|part| part == b".25\""), "the form stays");
    }
}

#[test]
fn laps_without_moved_times_are_repeated_deliveries() {
    let Some(world) = World::new("replay-loop") else { return };
    let lines = activities(0..5, "one");
    let file = write(&world, "one.jsonl", &lines);
    let text = replay(&world, &[&file], &["--loop", "3", "--speed", "10"]);
    assert!(text.starts_with("15 messages, 15 records, "), "{text}");
    let messages = arrived(&world, &world.topic("activities"));
    assert_eq!(values(&messages), sorted([lines.clone(), lines.clone(), lines].concat()));
    // Each lap takes four seconds of the recording, plus one second until the next: twice that, and four seconds.
    let between = messages.last().unwrap().timestamp - messages[0].timestamp;
    assert!((1_395..4_000).contains(&between), "{between} ms");
}

#[test]
fn records_are_bundled_within_the_limit_of_the_topic() {
    let Some(world) = World::new("replay-batch") else { return };
    let small = world.topic("small");
    world.create_topic(&small, 1, &[("max.message.bytes", "2000")]);
    let file = write(&world, "one.jsonl", &activities(0..50, "one"));
    let options = ["--batch", "1000", "--topic", &small];
    let mut command = Command::new(program());
    command.arg("replay").arg("--input").arg(&file).args(options);
    let output = command.args(["--bootstrap-servers", &world.broker]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let mut rows = Vec::new();
    let messages = arrived(&world, &small);
    for message in &messages {
        assert!(message.value.len() <= 2_000);
        let batch = message.json();
        rows.extend(
            batch["records"]
                .as_array()
                .unwrap()
                .iter()
                .map(|row| row["RawEventData"]["CreationTime"].clone()),
        );
    }
    let expected: Vec<Value> = (0..50)
        .map(|second| Value::from(format!("2026-03-01T10:00:{second:02}.25")))
        .collect();
    assert_eq!(rows, expected);
    assert!(messages.len() > 3, "not in one message");

    let text = replay(&world, &[&file], &["--batch", "20"]);
    assert!(text.starts_with("3 messages, 50 records, "), "{text}");
    let mut counts: Vec<usize> = arrived(&world, &world.topic("activities"))
        .iter()
        .map(|message| message.json()["records"].as_array().unwrap().len())
        .collect();
    counts.sort_unstable();
    assert_eq!(counts, [10, 20, 20]);
}

/// Sends a signal, and waits for the end.
fn stop(mut child: Child, signal: &str) -> Output {
    let sent = Command::new("kill").args([signal, &child.id().to_string()]).status();
    assert!(sent.unwrap().success());
    let began = Instant::now();
    while child.try_wait().unwrap().is_none() {
        assert!(began.elapsed() < Duration::from_secs(15), "it does not stop");
        std::thread::sleep(Duration::from_millis(20));
    }
    child.wait_with_output().unwrap()
}

#[test]
fn it_stops_on_a_signal_with_all_messages_acknowledged() {
    let Some(world) = World::new("replay-stop") else { return };
    let topic = world.topic("activities");
    let file = write(&world, "one.jsonl", &activities(0..100, "one"));
    for (signal, options) in [("-TERM", &["--loop", "0"][..]), ("-INT", &["--loop", "0", "--rate", "50/s"])] {
        let before = arrived(&world, &topic).len();
        let child = command(&world, &[&file], options).spawn().unwrap();
        let began = Instant::now();
        while arrived_count(&world, &topic) < before + 20 {
            assert!(began.elapsed() < TIMEOUT, "nothing arrives");
            std::thread::sleep(Duration::from_millis(50));
        }
        let output = stop(child, signal);
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(0), "{text}");
        let count = text
            .strip_prefix("stopped before the end: ")
            .unwrap()
            .split_once(" messages")
            .unwrap()
            .0;
        let count: usize = count.replace(',', "").parse().unwrap();
        assert_eq!(arrived_count(&world, &topic), before + count, "{text}");
    }
}

fn arrived_count(world: &World, topic: &str) -> usize {
    let ends = (0..PARTITIONS).map(|partition| world.range(topic, partition).1);
    usize::try_from(ends.sum::<i64>()).unwrap()
}

#[test]
fn it_reports_that_it_could_not_keep_up() {
    let Some(world) = World::new("replay-late") else { return };
    let lines: Vec<Vec<u8>> = (0..300_000)
        .map(|number| format!("{{\"n\":{number}}}").into_bytes())
        .collect();
    let file = write(&world, "one.jsonl", &lines);
    let text = replay(&world, &[&file], &["--rate", "100000000/s"]);
    assert!(text.starts_with("300,000 messages, 300,000 records, "), "{text}");
    assert!(
        text.contains("\nwarning: the replay did not keep its schedule: messages were sent up to "),
        "{text}"
    );
    assert!(text.contains(" records/s were requested, "), "{text}");
    assert_eq!(
        arrived_count(&world, &world.topic("activities")),
        300_000,
        "nothing was left out"
    );
}

#[test]
fn a_message_that_cannot_be_sent_is_reported() {
    let Some(world) = World::new("replay-refused") else { return };
    let small = world.topic("small");
    world.create_topic(&small, 1, &[("max.message.bytes", "5000")]);
    let file = write(
        &world,
        "one.jsonl",
        &[b"1".to_vec(), [b"\"", "x".repeat(6_000).as_bytes(), b"\""].concat()],
    );
    let fails = |status, topic: &str, options: &[&str]| {
        let mut command = Command::new(program());
        command.arg("replay").arg("--input").arg(&file);
        command
            .args(["--bootstrap-servers", &world.broker, "--topic", topic])
            .args(options);
        let output = command.output().unwrap();
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(status), "{text}");
        text
    };
    let text = fails(1, &small, &[]);
    assert!(text.starts_with("failed before the end: 1 message, 1 record, "), "{text}");
    let error = format!(
        "\nerror: message 2 of {} has 6002 bytes, more than the limit of 5000 for a message to {small}; ",
        file.display()
    );
    assert!(text.contains(&error), "{text}");
    assert_eq!(world.range(&small, 0), (0, 1), "the messages before it were delivered");
    let text = fails(1, "no-such-topic", &[]);
    let expected = "error: the topic no-such-topic (to replay to) does not exist; create it, or correct --topic\n";
    assert_eq!(text, expected);
    let text = fails(2, &small, &["--partitions", "2"]);
    assert!(text.starts_with("error: --partitions is 2, but the topic "), "{text}");
}

#[test]
fn a_deleted_topic_ends_it() {
    let Some(world) = World::new("replay-gone") else { return };
    let topic = world.topic("activities");
    let file = write(&world, "one.jsonl", &activities(0..100, "one"));
    let config = world.folder.path().join("mine.toml");
    let text = "[kafka.properties]\n\"topic.metadata.propagation.max.ms\" = \"1000\"\n\"topic.metadata.refresh.interval.ms\" = \"1000\"\n";
    std::fs::write(&config, text).unwrap();
    let options = ["--loop", "0", "--rate", "100/s", "--config", config.to_str().unwrap()];
    let mut child = command(&world, &[&file], &options).spawn().unwrap();
    let began = Instant::now();
    while arrived_count(&world, &topic) < 20 {
        assert!(began.elapsed() < TIMEOUT, "nothing arrives");
        std::thread::sleep(Duration::from_millis(50));
    }
    world.delete_topic(&topic);
    while child.try_wait().unwrap().is_none() {
        if began.elapsed() > TIMEOUT {
            child.kill().unwrap();
            panic!("it does not end: {}", stderr(&child.wait_with_output().unwrap()));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let output = child.wait_with_output().unwrap();
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains(&format!("error: cannot deliver to {topic}: ")), "{text}");
}
