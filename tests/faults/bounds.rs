//! Unusual sizes: memory must stay within its limits, and the instance must stay a member of its group.

use std::time::{Duration, Instant};

use crate::kills::{WINDOW, configure, send_large_alert};
use crate::oracle::{Expected, Output};
use crate::report::{Mode, Report, in_every_mode, size};
use crate::support::world::Counted;
use crate::support::{World, activity, alert};

in_every_mode!(
    d04_a_rebuild_longer_than_the_poll_interval,
    f01_a_hot_key,
    f06_empty_keys_never_meet
);

/// `state.memory` of the test, in MiB, and what docs/guarantees.md allows in addition: queues, current records, code.
const STATE_MIB: u64 = 64;
const OVERHEAD_MIB: u64 = 400;

fn d04_a_rebuild_longer_than_the_poll_interval(mode: Mode) {
    let Some(mut world) = World::new("d04") else { return };
    let mut report = Report::new("D4", mode);
    let rows = size("REBUILD", 150_000);
    // As short as the broker and the client allow.
    configure(&mut world, mode);
    world.set("kafka.properties", "\"max.poll.interval.ms\" = \"6000\"");
    // So slow that a rebuild takes longer than the poll interval.
    world.set(
        "kafka.properties",
        "\"queued.max.messages.kbytes\" = \"64\"\n\"fetch.wait.max.ms\" = \"5\"\n\"fetch.message.max.bytes\" = \"10000\"",
    );
    send_large_alert(&mut world, "p", rows);
    let mut output = Output::open(&world, mode);
    let expected = Expected::compute(&world);
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
    report.fact("records", rows);
    report.fact("rebuild_ms", took.as_millis());
    report.fact("records_per_second", (rows as f64 / took.as_secs_f64()).round());
    report.assert_happened("a rebuild longer than the poll interval", took > Duration::from_secs(6));
    let log = instance.log();
    let since = log.rsplit(" starting ").next().unwrap_or_default();
    assert!(!since.contains("MAXPOLL"), "the membership was lost:\n{log}");
    assert_eq!(
        since.matches(" joining ").count(),
        3,
        "the partitions were taken over again:\n{log}"
    );
    // The instance works as before, and output that was already sent is not sent again.
    let message = activity("p", "2026-03-01T10:30:00Z", "behind the rebuild");
    world.send_to("activities", 0, Counted::Yes, [message.as_slice()]);
    output.wait_for(&Expected::compute(&world), Duration::from_secs(60), &mut [&mut instance]);
    report.fact("repeats", output.repeats());
    assert_eq!(output.repeats(), 0, "the group has committed the position of the sent output");
    report.ok();
}

fn f01_a_hot_key(mode: Mode) {
    let Some(mut world) = World::new("f01") else { return };
    let mut report = Report::new("F1", mode);
    let rows = size("HOT", 100_000);
    configure(&mut world, mode);
    send_large_alert(&mut world, "hot", rows);
    let mut output = Output::open(&world, mode);
    let mut instance = world.start("a");
    // The alert of another key closes while the rows of the large one are being sent, or earlier.
    let other = activity("cold", "2026-03-01T10:00:00Z", "another");
    world.send_to("activities", 1, Counted::Yes, [other.as_slice()]);
    let message = alert("cold", "cold", WINDOW.0, WINDOW.1, "2026-03-01T11:05:00Z");
    world.send_to("alerts", 0, Counted::Yes, [message.as_slice()]);
    let timeout = Duration::from_secs(60 + rows as u64 / 1_000);
    let began = Instant::now();
    output.wait("rows of another key", timeout, &mut [&mut instance], |output| {
        output.pairs_of("cold") == 1
    });
    report.fact("other_key_ms", began.elapsed().as_millis());
    output.wait("rows", timeout, &mut [&mut instance], |output| output.len() == rows + 1);
    let peak = instance.peak_memory();
    report.fact("rows", rows);
    report.fact("seconds_to_rows", began.elapsed().as_secs());
    report.fact("peak_mib", peak);
    report.fact("allowed_mib", STATE_MIB + OVERHEAD_MIB);
    assert!(peak <= STATE_MIB + OVERHEAD_MIB, "{peak} MiB");
    assert_eq!(output.repeats(), 0);
    report.ok();
}

fn f06_empty_keys_never_meet(mode: Mode) {
    let Some(mut world) = World::new("f06") else { return };
    let mut report = Report::new("F6", mode);
    configure(&mut world, mode);
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
    let mut output = Output::open(&world, mode);
    let mut instance = world.start("a");
    output.wait_for(&Expected::compute(&world), Duration::from_secs(60), &mut [&mut instance]);
    output.catch_up(Duration::from_secs(2));
    let pairs = ["empty", "null", "missing", "white", "key"].map(|alert| output.pairs_of(alert));
    report.fact("pairs", output.len());
    assert_eq!(pairs, [0, 0, 0, 1, 1]);
    report.ok();
}
