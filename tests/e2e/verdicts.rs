//! `alerttrail verify` if retention has removed records, if an input was removed from the settings, or if offsets hold
//! no records: it calls output that it cannot judge neither exact nor a fault.

use std::process::Output;
use std::time::Duration;

use alerttrail::generate::Options;
use alerttrail::repartition::RepartitionRecord;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use serde_json::{Value, json};

use crate::support::world::{Counted, Record};
use crate::support::{Instance, TIMEOUT, World, activity, alert};
use crate::verify::{result, verify, verify_with};

const WINDOW: (&str, &str) = ("2026-03-01T09:00:00Z", "2026-03-01T11:00:00Z");

fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Asserts that `verify` finds this verdict. Returns its result.
#[track_caller]
fn found(output: &Output, verdict: &str, status: i32) -> Value {
    let (found, code) = result(output);
    assert_eq!(
        (&found["verdict"], code),
        (&json!(verdict), status),
        "{found}\n{}",
        printed(output)
    );
    assert_eq!(found["exact"], json!(verdict == "exact"));
    found
}

pub(crate) fn generated(world: &mut World) {
    world.send_generated(&Options {
        activities: 2_000,
        alerts: 40,
        keyed_share: 0.5,
        in_window_share: 0.5,
        ..Options::default()
    });
}

/// Sends an alert with two activities, and waits for their rows.
fn join_one_alert(world: &mut World) {
    let rows = [
        activity("p", "2026-03-01T10:00:00Z", "one"),
        activity("p", "2026-03-01T10:30:00Z", "two"),
    ];
    world.send("activities", 4, rows.iter().map(Vec::as_slice));
    let row = alert("A", "p", WINDOW.0, WINDOW.1, "2026-03-01T11:05:00Z");
    world.send("alerts", 1, [row.as_slice()]);
    let mut instance = world.start("a");
    world.wait_for_expected_rows(&mut [&mut instance]);
    assert_eq!(instance.terminate().0.code(), Some(0));
}

/// Sends values with this timestamp to partition 0 of a new topic with one partition.
fn send_at(world: &World, role: &str, timestamp: i64, values: &[String]) {
    let topic = world.topic(role);
    world.create_topic(&topic, 1, &[("retention.ms", "-1")]);
    let producer: BaseProducer = world.client().create().unwrap();
    for value in values {
        let record = BaseRecord::<(), str>::to(&topic)
            .partition(0)
            .payload(value)
            .timestamp(timestamp);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(TIMEOUT).unwrap();
}

#[test]
fn rows_that_may_precede_the_first_record_of_the_output_are_not_judged() {
    let Some(mut world) = World::new("verdict-output") else {
        return;
    };
    generated(&mut world);
    let mut instance = world.start("a");
    world.wait_for_expected_rows(&mut [&mut instance]);
    assert_eq!(instance.terminate().0.code(), Some(0));
    found(&verify(&world, "rows"), "exact", 0);
    let topic = world.topic("rows");
    let (_, high) = world.range(&topic, 1);
    world.remove_records_before(&topic, 1, high / 2);
    let output = verify(&world, "rows");
    let findings = found(&output, "undecided", 3);
    let missing = findings["findings"]["missing"].as_object().unwrap();
    assert_eq!(missing.keys().collect::<Vec<_>>(), ["before_output"], "{findings}");
    assert_eq!(findings["undecided"], missing["before_output"]);
    for part in [
        format!(
            "{topic} no longer has its first records (partition 1 begins at offset {})",
            high / 2
        ),
        "warning: no fault was found; ".to_owned(),
    ] {
        assert!(printed(&output).contains(&part), "{}", printed(&output));
    }
    // All of the alerts are gone.
    world.remove_records(&topic, 1);
    found(&verify(&world, "rows"), "undecided", 3);
    // The rows that remain are judged as usual.
    world.send_to("rows", 0, Counted::No, [b"no record".as_slice()]);
    let findings = found(&verify(&world, "rows"), "not_exact", 1);
    assert!(findings["undecided"].as_u64() > Some(0), "{findings}");
}

#[test]
fn a_row_that_cannot_be_among_the_removed_records_is_missing() {
    let Some(mut world) = World::new("verdict-recent") else {
        return;
    };
    join_one_alert(&mut world);
    let rows: Vec<String> = world
        .read("rows")
        .into_iter()
        .map(|record| String::from_utf8(record.value).unwrap())
        .collect();
    // The remaining record was sent at 10:15, and clocks may be wrong by 10 minutes.
    let sent = 1_772_359_200_000 + 15 * 60_000;
    for (kept, verdict, status, cause) in [
        ("10:00:00.0", "not_exact", 1, "lost"),
        ("10:30:00.0", "undecided", 3, "before_output"),
    ] {
        let kept: Vec<String> = rows.iter().filter(|row| row.contains(kept)).cloned().collect();
        assert_eq!(kept.len(), 1, "{rows:?}");
        send_at(&world, cause, sent, &[kept[0].clone(), kept[0].clone()]);
        world.remove_records_before(&world.topic(cause), 0, 1);
        let found = found(&verify(&world, cause), verdict, status);
        assert_eq!(found["findings"], json!({ "missing": { cause: 1 } }));
    }
}

#[test]
fn rows_that_may_come_from_removed_input_are_not_judged() {
    let Some(mut world) = World::new("verdict-input") else {
        return;
    };
    join_one_alert(&mut world);
    let topic = world.topic("alerts");
    world.remove_records(&topic, 0);
    let output = verify(&world, "rows");
    let findings = found(&output, "undecided", 3);
    assert_eq!(findings["findings"], json!({ "extra": { "before_input": 2 } }));
    let part = format!("{topic} no longer has its first records (partition 0 begins at offset 1)");
    assert!(printed(&output).contains(&part), "{}", printed(&output));
}

/// Waits until every partition of the repartition topic has a watermark update in which all source partitions except
/// `active` of them are idle, and those have a time.
fn wait_for_update(world: &World, active: usize, instance: &mut Instance) {
    let is_expected = |record: &Record| match RepartitionRecord::decode(&record.value) {
        Ok(RepartitionRecord::WatermarkUpdate(update)) => {
            let partitions: u32 = update.topics.iter().map(|(_, count)| count).sum();
            let not_idle: Vec<_> = update.sources.iter().filter(|source| !source.idle).collect();
            update.sources.len() == partitions as usize
                && not_idle.len() == active
                && not_idle.iter().all(|source| source.time.is_some())
        }
        _ => false,
    };
    let began = std::time::Instant::now();
    // The repartition topic has three partitions, and an update goes to all of them.
    while world
        .read("correlation-repartition")
        .iter()
        .filter(|record| is_expected(record))
        .count()
        < 3
    {
        assert!(began.elapsed() < TIMEOUT, "there is no such watermark update");
        instance.assert_runs();
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn rows_before_the_retention_cutoff_are_not_called_exact() {
    let Some(mut world) = World::new("verdict-cutoff") else {
        return;
    };
    let hour = [("ALERTTRAIL_STATE__RETENTION", "1h")];
    let log = world.folder.path().join("a.log");
    let mut instance = Instance::start_with(&world.config("a"), &log, &hour);
    instance.wait_for_log("joining");
    // If all partitions became idle at once, the clock would move the watermark, and retention would not follow it.
    wait_for_update(&world, 0, &mut instance);
    world.send("activities", 4, [activity("p", "2026-03-01T20:00:00Z", "new").as_slice()]);
    wait_for_update(&world, 1, &mut instance);
    // JOIN applies that update before anything that is sent now: the retention cut-off is at 18:55.
    let row = activity("p", "2026-03-01T10:00:00Z", "old");
    world.send_all_to("activities", 0, &[row]);
    let alerts = [
        alert("A", "p", WINDOW.0, WINDOW.1, "2026-03-01T11:05:00Z"),
        alert(
            "B",
            "p",
            "2026-03-01T19:00:00Z",
            "2026-03-01T20:30:00Z",
            "2026-03-01T20:35:00Z",
        ),
    ];
    world.send_all_to("alerts", 0, &alerts);
    world.wait_for_records("rows", 1, &mut instance);
    assert_eq!(instance.terminate().0.code(), Some(0));
    let output = verify_with(&world, "rows", &[], &hour);
    let findings = found(&output, "undecided", 3);
    assert_eq!(findings["findings"], json!({ "missing": { "expired": 1 } }));
    assert!(
        printed(&output).contains("warning: no fault was found; 1 row could not be judged: 1 may lie behind state.retention"),
        "{}",
        printed(&output)
    );
}

#[test]
fn an_input_removed_from_the_settings_is_read_as_well() {
    let Some(mut world) = World::new("verdict-former") else {
        return;
    };
    let history = world.topic("history");
    world.create_topic(&history, 2, &[]);
    let topics = [world.topic("activities"), world.topic("alerts"), history.clone()];
    let with_history = json!(topics).to_string();
    let row = activity("p", "2026-03-01T10:00:00Z", "old");
    world.send_all_to("history", 1, &[row]);
    let row = alert("Old", "p", WINDOW.0, WINDOW.1, "2026-03-01T11:05:00Z");
    world.send_all_to("history", 0, &[row]);
    let log = world.folder.path().join("a.log");
    let environment = [("ALERTTRAIL_INPUT__TOPICS", with_history.as_str())];
    let mut instance = Instance::start_with(&world.config("a"), &log, &environment);
    world.wait_for_expected_rows(&mut [&mut instance]);
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(instance.terminate().0.code(), Some(0));
    found(&verify_with(&world, "rows", &[], &environment), "exact", 0);
    // The history is removed from the settings.
    join_one_alert(&mut world);
    found(&verify(&world, "rows"), "exact", 0);
    // A row of an alert that never existed is a fault, because no input is missing.
    let rows = world.read("rows");
    let mut values: Vec<String> = rows
        .into_iter()
        .map(|record| String::from_utf8(record.value).unwrap())
        .collect();
    let id = values[0].split("\"id\":\"").nth(1).unwrap()[..32].to_owned();
    let fabricated = values[0]
        .replace(&id, "0123456789abcdef0123456789abcdef")
        .replace("\"system_alert_id\":\"Old\"", "\"system_alert_id\":\"Nobody\"")
        .replace("\"system_alert_id\":\"A\"", "\"system_alert_id\":\"Nobody\"");
    values.push(fabricated);
    send_at(&world, "touched", 1_772_359_200_000, &values);
    let findings = found(&verify(&world, "touched"), "not_exact", 1);
    assert_eq!(findings["findings"], json!({ "extra": { "unknown_alert": 1 } }));
    // The topic is deleted, too: its rows can no longer be judged.
    world.delete_topic(&history);
    let output = verify(&world, "rows");
    let findings = found(&output, "undecided", 3);
    // The old alert with three activities, and the new alert with the old activity.
    assert_eq!(findings["findings"], json!({ "extra": { "before_input": 4 } }));
    assert!(
        printed(&output).contains(&format!("{history} was in input.topics until 20")),
        "{}",
        printed(&output)
    );
}

#[test]
fn a_former_input_that_is_no_longer_recorded_can_be_passed_as_an_option() {
    let Some(mut world) = World::new("verdict-named") else {
        return;
    };
    join_one_alert(&mut world);
    // As if the alerts had come through a topic that is no longer an input, and the repartition topic had lost its
    // record of it.
    let others = json!([world.topic("activities")]).to_string();
    let environment = [("ALERTTRAIL_INPUT__TOPICS", others.as_str())];
    found(&verify_with(&world, "rows", &[], &environment), "exact", 0);
    for partition in 0..3 {
        world.remove_records(&world.repartition_topic(), partition);
    }
    let output = verify_with(&world, "rows", &[], &environment);
    let findings = found(&output, "undecided", 3);
    assert_eq!(findings["findings"], json!({ "extra": { "before_input": 2 } }));
    assert!(
        printed(&output).contains("pass them with --input-topic"),
        "{}",
        printed(&output)
    );
    let alerts = world.topic("alerts");
    let named = ["--input-topic", alerts.as_str()];
    found(&verify_with(&world, "rows", &named, &environment), "exact", 0);
    let nowhere = world.topic("nowhere");
    let output = verify_with(&world, "rows", &["--input-topic", &nowhere], &environment);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        printed(&output).contains(&format!(
            "the topic {nowhere} (input) does not exist; create it, or correct --input-topic"
        )),
        "{}",
        printed(&output)
    );
}

#[test]
fn the_markers_of_transactions_cause_no_message() {
    let Some(mut world) = World::new("verdict-markers") else {
        return;
    };
    world.set("output", "delivery = \"exactly_once\"");
    join_one_alert(&mut world);
    let topic = world.topic("activities");
    let producer: BaseProducer = world.client().set("transactional.id", &world.name).create().unwrap();
    producer.init_transactions(TIMEOUT).unwrap();
    let send = |partition, row: &[u8]| {
        let record = BaseRecord::<(), [u8]>::to(&topic).partition(partition).payload(row);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    };
    // Partition 0 ends in the marker of a committed transaction, partition 1 in that of an aborted one, partition 2
    // holds nothing but such a marker, and partition 3 ends in an open transaction.
    let row = activity("q", "2026-03-01T10:10:00Z", "committed");
    producer.begin_transaction().unwrap();
    send(0, &row);
    producer.commit_transaction(TIMEOUT).unwrap();
    producer.begin_transaction().unwrap();
    send(1, &activity("p", "2026-03-01T10:20:00Z", "given up"));
    send(2, &activity("p", "2026-03-01T10:21:00Z", "given up"));
    producer.flush(TIMEOUT).unwrap();
    producer.abort_transaction(TIMEOUT).unwrap();
    producer.begin_transaction().unwrap();
    send(3, &activity("p", "2026-03-01T10:22:00Z", "open"));
    producer.flush(TIMEOUT).unwrap();
    let began = std::time::Instant::now();
    let output = verify(&world, "rows");
    assert!(
        began.elapsed() < Duration::from_secs(30),
        "it waited for records that do not exist"
    );
    let findings = found(&output, "exact", 0);
    assert_eq!((&findings["expected"], &findings["found"]), (&json!(2), &json!(2)));
    let printed = printed(&output);
    let lines: Vec<&str> = printed.lines().collect();
    assert!(
        matches!(lines.as_slice(), [line] if line.starts_with("It took ")),
        "nothing is wrong, so nothing else is printed: {printed}"
    );
    producer.abort_transaction(TIMEOUT).unwrap();
}
