//! What happens to the partitions of an instance that is killed.

use std::time::{Duration, Instant};

use alerttrail::clock;
use alerttrail::time::{EventTime, WallTime};

use crate::support::{Instance, TIMEOUT, World, activity, alert};

/// How long a partition without activities, such as that of alerts, holds the watermark back if nothing is known about
/// it.
const IDLE_TIMEOUT: &str = "12s";
/// A session of 6 s plus the time that a takeover may need on a busy machine: less than the timeout of an idle
/// partition.
const TAKEOVER_TIMEOUT: Duration = Duration::from_secs(12);
const MINUTE: Duration = Duration::from_secs(60);

/// Sends a window that closes at once, the activity in it, and activities in every partition that close it.
fn send_window(world: &mut World, id: &str) {
    let now: WallTime = clock::now();
    let at = |before: u32| -> EventTime { now.minus(MINUTE * before).to_event() };
    let time = |before: u32| at(before).to_string();
    world.send("alerts", 1, [alert(id, id, &time(10), &time(6), &time(0)).as_slice()]);
    let inside = activity(id, &time(7), "inside");
    let now = time(0);
    let after: Vec<Vec<u8>> = (0..4).map(|n| activity("other", &now, &format!("{id} {n}"))).collect();
    world.send("activities", 4, after.iter().chain([&inside]).map(Vec::as_slice));
}

fn count_rows(world: &World, begin: &str) -> usize {
    let rows = world.read("rows");
    let ids: std::collections::BTreeSet<&[u8]> = rows.iter().map(|row| row.key.as_slice()).collect();
    ids.iter().filter(|id| id.starts_with(begin.as_bytes())).count()
}

/// Returns whether an instance currently reads the partition of alerts.
fn reads_alerts(instance: &Instance, world: &World) -> bool {
    let topic = world.topic("alerts");
    let log = instance.log();
    let last = log.lines().rfind(|line| line.contains("reading") && line.contains(&topic));
    last.is_some_and(|line| !line.contains("no longer"))
}

fn assert_rows_resume_soon(delivery: &str) {
    let Some(mut world) = World::new(&format!("takeover-{delivery}")) else {
        return;
    };
    world.idle_timeout = IDLE_TIMEOUT;
    world.set("output", &format!("delivery = \"{delivery}\""));
    world.set("kafka.properties", "\"session.timeout.ms\" = \"6000\"");
    let mut instances = vec![world.start("a"), world.start("b")];
    let began = Instant::now();
    for number in 0.. {
        send_window(&mut world, &format!("before-{number}"));
        if count_rows(&world, "before") > 10 {
            break;
        }
        assert!(began.elapsed() < TIMEOUT, "no rows: {}", instances[0].log());
    }
    let reader = instances.iter().position(|instance| reads_alerts(instance, &world));
    instances.remove(reader.unwrap()).kill();
    let killed = Instant::now();
    for number in 0.. {
        send_window(&mut world, &format!("behind-{number}"));
        if count_rows(&world, "behind") > 10 {
            break;
        }
        instances[0].assert_runs();
        assert!(
            killed.elapsed() < TAKEOVER_TIMEOUT,
            "{delivery}: no new rows: {}",
            instances[0].log()
        );
    }
}

#[test]
fn rows_resume_soon_at_least_once() {
    assert_rows_resume_soon("at_least_once");
}

#[test]
fn rows_resume_soon_exactly_once() {
    assert_rows_resume_soon("exactly_once");
}
