//! The rows are the same as those of `correlate` over files, whatever happens in between.

use std::time::Duration;

use alerttrail::generate::Options;

use crate::support::{World, activity, alert};

fn traffic(seed: u64) -> Options {
    Options {
        activities: 6_000,
        alerts: 150,
        seed,
        keyed_share: 0.3,
        malformed: 0.01,
        batch_max: 5,
        alert_updates: 0.4,
        ..Options::default()
    }
}

#[test]
fn rows_are_the_same_as_over_files() {
    let Some(mut world) = World::new("same") else { return };
    world.send_generated(&traffic(1));
    let mut instance = world.start("a");
    let fold = world.wait_for_expected_rows(&mut [&mut instance]);
    let (expected, dead) = world.expected();
    assert!(expected.len() > 300, "the traffic has few pairs: {}", expected.len());
    for (id, row) in &fold {
        let row_over_files = &expected[id];
        assert_eq!(row["alert"], row_over_files["alert"]);
        assert_eq!(row["system_alert_id"], row_over_files["system_alert_id"]);
        assert_eq!(row["activity_time"], row_over_files["activity_time"]);
    }
    let records = world.read("rows");
    for record in &records {
        let row = record.json();
        assert_eq!(record.header("alerttrail.kind"), "activity");
        assert_eq!(record.header("alerttrail.op"), row["op"]);
        assert_eq!(record.header("alerttrail.id"), row["id"]);
        assert_eq!(record.header("alerttrail.seq"), row["seq"].to_string());
        assert_eq!(record.key, row["system_alert_id"].as_str().unwrap().as_bytes());
    }
    let dead_letters = world.wait_for_records("dead", dead.len(), &mut instance);
    let count = |reason: &str| {
        dead_letters
            .iter()
            .filter(|record| record.header("alerttrail.reason") == reason)
            .count()
    };
    for reason in ["invalid_json", "unknown_record", "missing_field", "invalid_time", "too_deep"] {
        let count_over_files = dead.iter().filter(|record| record["alerttrail.reason"] == reason).count();
        assert_eq!(count(reason), count_over_files, "{reason}");
    }
    assert_eq!(dead_letters.len(), dead.len());
}

#[test]
fn kills_and_a_restart_in_the_middle_change_nothing() {
    let Some(mut world) = World::new("restart") else { return };
    world.send_generated(&traffic(2));
    for wait in [1_200, 1_700, 2_500, 3_500] {
        let mut instance = world.start("a");
        std::thread::sleep(Duration::from_millis(wait));
        instance.assert_runs();
        instance.kill();
    }
    world.send_generated(&traffic(3));
    let mut instance = world.start("a");
    std::thread::sleep(Duration::from_secs(4));
    instance.assert_runs();
    let (status, took) = instance.terminate();
    assert_eq!(status.code(), Some(0));
    assert!(took < Duration::from_secs(10), "{took:?}");
    let mut instance = world.start("a");
    world.wait_for_expected_rows(&mut [&mut instance]);
}

#[test]
fn a_lost_store_is_rebuilt_from_the_repartition_topic() {
    let Some(mut world) = World::new("rebuild") else { return };
    world.send_generated(&traffic(4));
    let mut instance = world.start("a");
    let first = world.wait_for_expected_rows(&mut [&mut instance]);
    instance.kill();
    std::fs::remove_dir_all(world.folder.path().join("a")).unwrap();
    world.send_generated(&traffic(5));
    let mut instance = world.start("a");
    let fold = world.wait_for_expected_rows(&mut [&mut instance]);
    for (id, row) in &first {
        if let Some(again) = fold.get(id) {
            assert_eq!(
                row["seq"], again["seq"],
                "a rebuilt row is caused by the same repartition record"
            );
        }
    }
}

#[test]
fn two_instances_share_the_work() {
    let Some(mut world) = World::new("two") else { return };
    let mut one = world.start("a");
    let mut two = world.start("b");
    for instance in [&mut one, &mut two] {
        let began = std::time::Instant::now();
        while !instance.log().contains("joining") {
            instance.assert_runs();
            assert!(began.elapsed() < crate::support::TIMEOUT, "{}", instance.log());
            std::thread::sleep(Duration::from_millis(200));
        }
    }
    world.send_generated(&traffic(6));
    world.wait_for_expected_rows(&mut [&mut one, &mut two]);
    one.kill();
    world.send_generated(&traffic(7));
    world.wait_for_expected_rows(&mut [&mut two]);
    for state in ["a", "b"] {
        let log = std::fs::read_to_string(world.folder.path().join(format!("{state}.log"))).unwrap();
        assert!(log.contains("joining"), "instance {state} had no partition:\n{log}");
    }
}

#[test]
fn on_a_quiet_night_the_clock_closes_a_window() {
    let Some(mut world) = World::new("quiet") else { return };
    let mut instance = world.start("a");
    world.send("activities", 4, [activity("p", "2026-03-01T10:00:00Z", "in").as_slice()]);
    let window = ("2026-03-01T09:59:00Z", "2026-03-01T10:01:00Z");
    world.send(
        "alerts",
        1,
        [alert("A1", "p", window.0, window.1, "2026-03-01T10:05:00Z").as_slice()],
    );
    world.wait_for_expected_rows(&mut [&mut instance]);
    let summaries = world.wait_for_records("summaries", 1, &mut instance);
    let summary = summaries[0].json();
    assert_eq!(summary["closed_by"], "clock");
    assert_eq!(summary["complete"], false);
    assert_eq!(summary["activity_count"], 1);
    world.send("activities", 4, [activity("p", "2026-03-01T10:00:30Z", "late").as_slice()]);
    world.wait_for_expected_rows(&mut [&mut instance]);
    let late = world.wait_for_records("rows", 2, &mut instance);
    assert_eq!(late.iter().filter(|row| row.json()["reason"] == "late_activity").count(), 1);
    let summaries = world.wait_for_records("summaries", 2, &mut instance);
    assert_eq!(summaries[1].json()["revision"], 2);
    assert_eq!(summaries[1].json()["activity_count"], 2);
}
