//! Wrong times, and partitions without traffic.

use std::time::{Duration, Instant};

use crate::kills::{WINDOW, configure};
use crate::oracle::{Expected, Output};
use crate::report::{Mode, Report, in_every_mode};
use crate::support::world::Counted;
use crate::support::{World, activity, alert};

in_every_mode!(e01_years_ahead, e03_a_partition_sleeps_and_bursts);

/// Returns all input partitions: four of activities and one of alerts, either of which may hold both tables.
fn all_partitions() -> impl Iterator<Item = (&'static str, i32)> {
    (0..4).map(|partition| ("activities", partition)).chain([("alerts", 0)])
}

fn e01_years_ahead(mode: Mode) {
    let Some(mut world) = World::new("e01") else { return };
    let mut report = Report::new("E1", mode);
    configure(&mut world, mode);
    world.idle_timeout = "1m";
    let mut output = Output::open(&world, mode);
    let mut instance = world.start("a");
    instance.wait_for_log(" joining ");
    let began = Instant::now();
    // One activity in every partition, because otherwise the minimum of the partitions would hide the effect of the
    // others.
    for (role, partition) in all_partitions() {
        let times = [
            "2026-03-01T10:00:00Z",
            "2099-01-01T00:00:00Z",
            "9999-12-31T23:59:59Z",
            "2026-03-01T10:01:00Z",
        ];
        for time in times {
            let message = activity("p", time, &format!("{role} {partition}"));
            world.send_to(role, partition, Counted::Yes, [message.as_slice()]);
        }
    }
    let message = alert("A", "p", WINDOW.0, WINDOW.1, "2026-03-01T11:05:00Z");
    world.send_to("alerts", 0, Counted::Yes, [message.as_slice()]);
    while began.elapsed() < Duration::from_secs(8) {
        output.catch_up(Duration::from_millis(100));
        instance.assert_runs();
        assert_eq!(output.len(), 0, "a time far ahead has closed a window");
    }
    for (role, partition) in all_partitions() {
        let message = activity("q", "2026-03-01T11:10:00Z", "moves on");
        world.send_to(role, partition, Counted::Yes, [message.as_slice()]);
    }
    let took = output.wait("rows", Duration::from_secs(30), &mut [&mut instance], |output| {
        output.pairs_of("A") == 10
    });
    report.fact("closed_after_ms", took.as_millis());
    report.assert_happened(
        "a close by activities, not by idleness",
        began.elapsed() < Duration::from_secs(55),
    );
    assert_eq!(output.reason("window_closed"), 10);
    let summary = &world.wait_for_records("summaries", 1, &mut instance)[0].json();
    assert_eq!(summary["closed_by"], "watermark", "{summary}");
    assert_eq!(summary["complete"], true, "{summary}");
    // Nothing was discarded: late activities are still joined.
    let message = activity("p", "2026-03-01T09:30:00Z", "late");
    world.send_to("activities", 2, Counted::Yes, [message.as_slice()]);
    output.wait_for(&Expected::compute(&world), Duration::from_secs(30), &mut [&mut instance]);
    assert_eq!(output.reason("late_activity"), 1);
    assert_eq!(output.repeats(), 0);
    report.ok();
}

fn e03_a_partition_sleeps_and_bursts(mode: Mode) {
    const BURST: usize = 500;
    let Some(mut world) = World::new("e03") else { return };
    let mut report = Report::new("E3", mode);
    configure(&mut world, mode);
    world.idle_timeout = "2s";
    let mut output = Output::open(&world, mode);
    let mut instance = world.start("a");
    instance.wait_for_log(" joining ");
    let old = activity("p", "2026-03-01T08:00:00Z", "before the sleep");
    world.send_to("activities", 3, Counted::Yes, [old.as_slice()]);
    let message = alert("A", "p", WINDOW.0, WINDOW.1, "2026-03-01T11:05:00Z");
    world.send_to("alerts", 0, Counted::Yes, [message.as_slice()]);
    let mut second = 0;
    // The other partitions stay active: their watermark closes the window, not the clock.
    let mut busy = |world: &World| {
        second += 1;
        let time = format!("2026-03-01T11:10:{:02}.{:03}Z", second / 1_000, second % 1_000);
        for (role, partition) in all_partitions().filter(|partition| *partition != ("activities", 3)) {
            let message = activity("q", &time, "awake");
            world.send_to(role, partition, Counted::Yes, [message.as_slice()]);
        }
    };
    let inside = activity("p", "2026-03-01T10:00:00Z", "awake");
    world.send_to("activities", 0, Counted::Yes, [inside.as_slice()]);
    let began = Instant::now();
    while output.len() < 1 {
        busy(&world);
        output.catch_up(Duration::from_millis(200));
        instance.assert_runs();
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "the others wait for the partition that sleeps"
        );
    }
    report.fact("closed_after_ms", began.elapsed().as_millis());
    let summary = &world.wait_for_records("summaries", 1, &mut instance)[0].json();
    assert_eq!(summary["closed_by"], "watermark", "{summary}");
    report.assert_happened("a close before the burst", output.reason("window_closed") == 1);
    let burst: Vec<Vec<u8>> = (0..BURST)
        .map(|n| activity("p", "2026-03-01T10:30:00Z", &format!("burst {n}")))
        .collect();
    world.send_to("activities", 3, Counted::Yes, burst.iter().map(Vec::as_slice));
    output.wait_for(&Expected::compute(&world), Duration::from_secs(30), &mut [&mut instance]);
    report.fact("late", output.reason("late_activity"));
    assert_eq!(output.reason("late_activity"), BURST);
    assert_eq!(output.repeats(), 0);
    report.ok();
}
