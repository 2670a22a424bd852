//! Unusual sizes: memory must stay within its limits, and the instance must stay a member of its group.

use std::time::{Duration, Instant};

use crate::kills::{WINDOW, members, one_large_answer};
use crate::oracle::{Expected, Output};
use crate::support::world::Counted;
use crate::support::{World, activity, alert};
use crate::trial::{Mode, Trial, in_every_mode, size};

in_every_mode!(
    d04_a_rebuild_longer_than_the_poll_interval,
    f01_a_hot_key,
    f06_empty_keys_never_meet
);

/// `state.memory` of the test, in MiB, and what docs/guarantees.md allows in addition: queues, records in hand, code.
const STATE_MIB: u64 = 64;
const BESIDE_MIB: u64 = 400;

fn d04_a_rebuild_longer_than_the_poll_interval(mode: Mode) {
    let Some(mut world) = World::new("d04") else { return };
    let mut trial = Trial::new("D4", mode);
    let rows = size("REBUILD", 150_000);
    // As short as the broker and the client allow.
    members(&mut world, mode);
    world.set("kafka.properties", "\"max.poll.interval.ms\" = \"6000\"");
    // So slow that a rebuild takes longer than the poll interval.
    world.set(
        "kafka.properties",
        "\"queued.max.messages.kbytes\" = \"64\"\n\"fetch.wait.max.ms\" = \"5\"\n\"fetch.message.max.bytes\" = \"10000\"",
    );
    one_large_answer(&mut world, "p", rows);
    let mut output = Output::of(&world, mode);
    let expected = Expected::of(&world);
    let mut instance = world.start("a");
    output.wait_for(&expected, Duration::from_secs(240), &mut [&mut instance]);
    assert_eq!(instance.terminate().0.code(), Some(0));
    std::fs::remove_dir_all(world.states.join("a")).unwrap();

    let mut instance = world.start("a");
    let began = Instant::now();
    instance.wait_for_log("replaying the log");
    let caught_up = |log: &str| {
        log.rsplit(" starting ")
            .next()
            .unwrap_or_default()
            .matches("caught up with the log")
            .count()
    };
    while caught_up(&instance.log()) < 3 {
        instance.assert_runs();
        assert!(began.elapsed() < Duration::from_secs(240), "{}", instance.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    let took = began.elapsed();
    trial.fact("records", rows);
    trial.fact("rebuild_ms", took.as_millis());
    trial.fact("records_per_second", (rows as f64 / took.as_secs_f64()).round());
    trial.proves("a rebuild longer than the poll interval", took > Duration::from_secs(6));
    let log = instance.log();
    let since = log.rsplit(" starting ").next().unwrap_or_default();
    assert!(!since.contains("MAXPOLL"), "the membership was lost:\n{log}");
    assert_eq!(
        since.matches(" joining ").count(),
        3,
        "the partitions were taken over again:\n{log}"
    );
    // The instance works as before, and the output that was already sent does not come again.
    let message = activity("p", "2026-03-01T10:30:00Z", "behind the rebuild");
    world.send_to("activities", 0, Counted::Yes, [message.as_slice()]);
    output.wait_for(&Expected::of(&world), Duration::from_secs(60), &mut [&mut instance]);
    trial.fact("repeats", output.repeats());
    assert_eq!(output.repeats(), 0, "the group has on record what had gone out");
    trial.ok();
}

fn f01_a_hot_key(mode: Mode) {
    let Some(mut world) = World::new("f01") else { return };
    let mut trial = Trial::new("F1", mode);
    let rows = size("HOT", 100_000);
    members(&mut world, mode);
    one_large_answer(&mut world, "hot", rows);
    let mut output = Output::of(&world, mode);
    let mut instance = world.start("a");
    // The alert of another key closes while the rows of the large one are being sent, or earlier.
    let other = activity("cold", "2026-03-01T10:00:00Z", "another");
    world.send_to("activities", 1, Counted::Yes, [other.as_slice()]);
    let message = alert("cold", "cold", WINDOW.0, WINDOW.1, "2026-03-01T11:05:00Z");
    world.send_to("alerts", 0, Counted::Yes, [message.as_slice()]);
    let patience = Duration::from_secs(60 + rows as u64 / 1_000);
    let began = Instant::now();
    output.wait("answer of another key", patience, &mut [&mut instance], |output| {
        output.pairs_of("cold") == 1
    });
    trial.fact("other_key_ms", began.elapsed().as_millis());
    output.wait("answer", patience, &mut [&mut instance], |output| output.len() == rows + 1);
    let peak = instance.peak_memory();
    trial.fact("rows", rows);
    trial.fact("seconds_to_answer", began.elapsed().as_secs());
    trial.fact("peak_mib", peak);
    trial.fact("allowed_mib", STATE_MIB + BESIDE_MIB);
    assert!(peak <= STATE_MIB + BESIDE_MIB, "{peak} MiB");
    assert_eq!(output.repeats(), 0);
    trial.ok();
}

fn f06_empty_keys_never_meet(mode: Mode) {
    let Some(mut world) = World::new("f06") else { return };
    let mut trial = Trial::new("F6", mode);
    members(&mut world, mode);
    let time = "2026-03-01T10:00:00Z";
    let raw = |data: &str| {
        format!(r#"{{"Type":"CloudAppEvents","RawEventData":{{"CreationTime":"{time}","Data":{data}}}}}"#).into_bytes()
    };
    let activities = [
        activity("", time, "empty"),
        activity(" ", time, "white space is a key like any other"),
        raw("null"),
        raw(r#""{\"cid\":null}""#),
        raw(r#""{}""#),
        raw(r#""no JSON""#),
        activity("p", time, "a key"),
    ];
    world.send("activities", 4, activities.iter().map(Vec::as_slice));
    let bare = |id: &str, key: &str| {
        format!(
            r#"{{"Type":"SecurityAlert","SystemAlertId":"{id}",{key}"StartTime":"{}","EndTime":"{}","TimeGenerated":"2026-03-01T11:05:00Z"}}"#,
            WINDOW.0, WINDOW.1
        )
        .into_bytes()
    };
    let alerts = [
        bare("empty", r#""AlertType":"","#),
        bare("null", r#""AlertType":null,"#),
        bare("missing", ""),
        bare("white", r#""AlertType":" ","#),
        bare("key", r#""AlertType":"p","#),
    ];
    world.send("alerts", 1, alerts.iter().map(Vec::as_slice));
    let mut output = Output::of(&world, mode);
    let mut instance = world.start("a");
    output.wait_for(&Expected::of(&world), Duration::from_secs(60), &mut [&mut instance]);
    output.catch_up(Duration::from_secs(2));
    let pairs = ["empty", "null", "missing", "white", "key"].map(|alert| output.pairs_of(alert));
    trial.fact("pairs", output.len());
    assert_eq!(pairs, [0, 0, 0, 1, 1]);
    trial.ok();
}
