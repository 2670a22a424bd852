//! `alerttrail redrive`: sends each dead-letter record back once, whatever happens in between.

use std::collections::BTreeMap;
use std::process::{Command, Output};

use alerttrail::redrive::{Note, Run};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use crate::support::world::{Counted, Record};
use crate::support::{Instance, TIMEOUT, World, activity, alert, program};

fn redrive(world: &World, options: &[&str]) -> Output {
    let mut command = Command::new(program());
    command.args(["redrive", "--config"]).arg(world.config("a"));
    command.args(options).output().unwrap()
}

/// Asserts that the command ended with this status. Returns its output and messages.
fn checked_output(output: &Output, status: i32) -> String {
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(output.status.code(), Some(status), "{text}");
    text
}

/// Writes one record.
fn write(world: &World, role: &str, headers: &[(&'static str, String)], value: &[u8]) {
    let producer: BaseProducer = world.client().create().unwrap();
    let insert = |all: OwnedHeaders, (key, value): &(&'static str, String)| {
        all.insert(Header {
            key,
            value: Some(value.as_bytes()),
        })
    };
    let headers = headers.iter().fold(OwnedHeaders::new(), insert);
    let topic = world.topic(role);
    let record = BaseRecord::<(), [u8]>::to(&topic).payload(value).headers(headers);
    assert!(producer.send(record).is_ok());
    producer.flush(TIMEOUT).unwrap();
}

/// Returns the headers of a dead-letter record.
fn headers(world: &World, partition: i32, offset: i64) -> Vec<(&'static str, String)> {
    vec![
        ("alerttrail.reason", "missing_field".into()),
        ("alerttrail.error", "a sentence".into()),
        ("alerttrail.topic", world.topic("activities")),
        ("alerttrail.partition", partition.to_string()),
        ("alerttrail.offset", offset.to_string()),
        ("alerttrail.index", "0".into()),
    ]
}

/// Returns the dead-letter records, without the records in which runs note what they sent.
fn dead_letters(world: &World) -> Vec<Record> {
    let records = world.read("dead").into_iter();
    records
        .filter(|record| !record.header("alerttrail.reason").is_empty())
        .collect()
}

fn wait_for_dead_letters(world: &World, count: usize, instance: &mut Instance) -> Vec<Record> {
    let began = std::time::Instant::now();
    loop {
        let found = dead_letters(world);
        if found.len() >= count {
            return found;
        }
        instance.assert_runs();
        assert!(began.elapsed() < TIMEOUT, "{} dead letters, not {count}", found.len());
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
}

#[test]
fn each_is_sent_back_once_and_one_that_fails_again_is_not_sent_again() {
    let Some(mut world) = World::new("redrive") else { return };
    let mut instance = world.start("a");
    let broken: [&[u8]; 3] = [b"{broken", b"{\"SystemAlertId\":\"x\"}", b"[null]"];
    world.send("activities", 4, broken);
    wait_for_dead_letters(&world, 3, &mut instance);
    let listed = checked_output(&redrive(&world, &["--dry-run"]), 0);
    assert!(listed.contains("3 dead letters would be sent"), "{listed}");
    assert!(listed.contains("invalid_json, 7 bytes: the message is not JSON"), "{listed}");
    assert_eq!(world.read("activities").len(), 3, "nothing was sent");
    assert_eq!(world.read("dead").len(), 3, "nothing was noted");

    let sent = checked_output(&redrive(&world, &["--reason", "invalid_json"]), 0);
    assert!(sent.contains("1 dead letter sent (invalid_json 1)"), "{sent}");
    assert!(sent.contains("2 dead letters did not match"), "{sent}");
    let found = wait_for_dead_letters(&world, 4, &mut instance);
    let again = found
        .iter()
        .find(|record| !record.header("alerttrail.redriven").is_empty())
        .unwrap();
    assert_eq!(again.value, b"{broken");
    let origin = found
        .iter()
        .find(|record| record.value == b"{broken" && record.header("alerttrail.redriven").is_empty());
    let origin = origin.unwrap();
    let header = |name: &str| origin.header(&format!("alerttrail.{name}")).to_owned();
    assert_eq!(
        again.header("alerttrail.redriven"),
        format!(
            "{}/{}/{}/{}",
            header("topic"),
            header("partition"),
            header("offset"),
            header("index")
        )
    );

    let sent = checked_output(&redrive(&world, &[]), 0);
    assert!(
        sent.contains("2 dead letters sent (missing_field 1, unknown_record 1)"),
        "{sent}"
    );
    assert!(sent.contains("1 dead letter had been sent before;"), "{sent}");
    assert!(
        sent.contains("1 dead letter had been sent before and failed again;"),
        "{sent}"
    );
    wait_for_dead_letters(&world, 6, &mut instance);
    for _ in 0..2 {
        let sent = checked_output(&redrive(&world, &[]), 0);
        assert!(sent.contains("0 dead letters sent\n"), "{sent}");
    }
    assert_eq!(world.read("activities").len(), 6);
    let sent = checked_output(&redrive(&world, &["--again", "--limit", "2"]), 0);
    assert!(sent.contains("2 dead letters sent"), "{sent}");
    assert_eq!(world.read("activities").len(), 8);
    instance.assert_runs();
}

#[test]
fn a_record_that_is_valid_by_now_is_joined() {
    let Some(mut world) = World::new("redrive-good") else { return };
    let window = ("2026-03-01T09:00:00Z", "2026-03-01T11:00:00Z");
    world.send(
        "alerts",
        1,
        [alert("A", "p", window.0, window.1, "2026-03-01T11:05:00Z").as_slice()],
    );
    let one = activity("p", "2026-03-01T10:00:00Z", "one");
    let two = activity("p", "2026-03-01T10:01:00Z", "two");
    world.send("activities", 4, [one.as_slice()]);
    // Twice, because dead-letter records may be repeated.
    write(&world, "dead", &headers(&world, 0, 77), &two);
    write(&world, "dead", &headers(&world, 0, 77), &two);
    let mut instance = world.start("a");
    world.wait_for_records("rows", 1, &mut instance);
    let sent = checked_output(&redrive(&world, &["--topic", &world.topic("activities"), "--since", "1h"]), 0);
    assert!(sent.contains("1 dead letter sent (missing_field 1)"), "{sent}");
    let rows = world.wait_for_records("rows", 2, &mut instance);
    assert!(rows.iter().any(|row| row.value.windows(5).any(|part| part == b"\"two\"")));
    assert_eq!(world.read("activities").len(), 2);
}

#[test]
fn a_run_that_was_killed_before_it_noted_what_it_sent_does_not_send_it_twice() {
    let Some(world) = World::new("redrive-killed") else { return };
    let good = |note: &str| activity("p", "2026-03-01T10:00:00Z", note);
    for offset in [50, 51] {
        write(&world, "dead", &headers(&world, 0, offset), &good("x"));
    }
    // A record from before, which is not checked.
    let topic = world.topic("activities");
    let redriven = |offset: i64| [("alerttrail.redriven", format!("{topic}/0/{offset}/0"))];
    world.send_to("activities", 1, Counted::No, [good("before").as_slice()]);
    let ends = BTreeMap::from([(topic.clone(), BTreeMap::from([(0, 0), (1, 1), (2, 0), (3, 0)]))]);
    let (begun, value) = Note::Begun(Run { run: "r".into(), ends }).to_record();
    write(&world, "dead", &begun, &value);
    write(&world, "activities", &redriven(50), &good("x"));
    let sent = checked_output(&redrive(&world, &["--dry-run"]), 0);
    assert!(sent.contains("1 dead letter would be sent"), "{sent}");
    for (count, sent_now, before) in [(1, "1 dead letter", "1 dead letter"), (0, "0 dead letters", "2 dead letters")] {
        let sent = checked_output(&redrive(&world, &[]), 0);
        assert!(sent.contains(&format!("{sent_now} sent")), "{sent}");
        assert!(sent.contains(&format!("{before} had been sent before;")), "{sent}");
        assert_eq!(sent.contains("An earlier run did not finish"), count == 1, "{sent}");
    }
    let origins: Vec<String> = world
        .read("activities")
        .iter()
        .map(|record| record.header("alerttrail.redriven").to_owned())
        .filter(|origin| !origin.is_empty())
        .collect();
    assert_eq!(origins.len(), 2, "{origins:?}");
}

#[test]
fn a_truncated_message_is_fetched_whole_or_reported_as_gone() {
    let Some(world) = World::new("redrive-cut") else { return };
    let whole = [b"{broken ".as_slice(), &[b'x'; 5_000]].concat();
    world.send_to("activities", 2, Counted::No, [b"0".as_slice(), &whole]);
    for offset in [1, 9] {
        let mut headers = headers(&world, 2, offset);
        headers.push(("alerttrail.truncated", whole.len().to_string()));
        write(&world, "dead", &headers, &whole[..100]);
    }
    // The dead-letter record of a row that was too large for the output topic.
    let mut headers_of_too_large_row = headers(&world, 0, 3);
    headers_of_too_large_row[2].1 = world.repartition_topic();
    write(&world, "dead", &headers_of_too_large_row, b"{}");
    let sent = checked_output(&redrive(&world, &[]), 1);
    assert!(sent.contains("1 dead letter sent (missing_field 1)"), "{sent}");
    assert!(
        sent.contains(&format!(
            "{}/2/9/0: the original is gone from the topic",
            world.topic("activities")
        )),
        "{sent}"
    );
    assert!(
        sent.contains("1 dead letter did not come from a topic in input.topics"),
        "{sent}"
    );
    let copies = world.read("activities").into_iter().filter(|record| record.value == whole);
    assert_eq!(copies.count(), 2);
}

#[test]
fn only_one_runs_at_a_time() {
    use rdkafka::consumer::{BaseConsumer, Consumer as _};
    let Some(world) = World::new("redrive-two") else { return };
    write(&world, "dead", &headers(&world, 0, 50), b"{}");
    let group = format!("{}-redrive", world.name);
    let other: BaseConsumer = world.client().set("group.id", &group).create().unwrap();
    other.subscribe(&[world.topic("dead").as_str()]).unwrap();
    let began = std::time::Instant::now();
    while other.assignment().unwrap().count() == 0 {
        assert!(began.elapsed() < TIMEOUT);
        drop(other.poll(std::time::Duration::from_millis(100)));
    }
    let refused = checked_output(&redrive(&world, &[]), 1);
    assert!(
        refused.contains(&format!("the consumer group {group} has another member")),
        "{refused}"
    );
    assert_eq!(world.read("activities").len(), 0);
    assert!(checked_output(&redrive(&world, &["--dry-run"]), 0).contains("1 dead letter would be sent"));
    drop(other);
    assert!(checked_output(&redrive(&world, &[]), 0).contains("1 dead letter sent"));
}

#[test]
fn a_topic_that_is_not_an_input_is_refused() {
    let Some(world) = World::new("redrive-topic") else { return };
    let sent = checked_output(&redrive(&world, &["--topic", "elsewhere"]), 2);
    assert!(sent.contains("--topic elsewhere is not in input.topics"), "{sent}");
}
