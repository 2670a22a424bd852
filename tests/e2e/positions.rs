//! Records and positions that are gone when they are needed: the program reports exactly which, never skips them
//! silently, and every remedy that it names works.

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::support::world::Counted;
use crate::support::{World, activity, alert, program};

const WINDOW: (&str, &str) = ("2026-03-01T09:00:00Z", "2026-03-01T11:00:00Z");

/// Returns `count` different activities of the policy p.
fn activities(name: &str, count: usize) -> Vec<Vec<u8>> {
    let one = |number| activity("p", "2026-03-01T10:00:00Z", &format!("{name} {number}"));
    (0..count).map(one).collect()
}

/// Returns a world whose partition 0 holds 6 activities that have been joined with an alert and whose offsets are
/// committed.
fn joined(name: &str) -> Option<World> {
    let mut world = World::new(name)?;
    world.send_all_to("activities", 0, &activities("first", 6));
    let alert = alert("A1", "p", WINDOW.0, WINDOW.1, "2026-03-01T11:05:00Z");
    world.send("alerts", 1, [alert.as_slice()]);
    let mut instance = world.start("a");
    world.wait_for_expected_rows(&mut [&mut instance]);
    assert_eq!(instance.terminate().0.code(), Some(0));
    assert_eq!(world.committed(&world.topic("activities"), 0), Some(6));
    Some(world)
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Waits for a row of the activity with this note.
fn wait_for_row(world: &World, note: &str, instance: &mut crate::support::Instance) {
    let began = std::time::Instant::now();
    while !world.fold().values().any(|row| row["activity"]["Note"] == note) {
        instance.assert_runs();
        assert!(
            began.elapsed() < crate::support::TIMEOUT,
            "no row about {note}:\n{}",
            instance.log()
        );
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn records_removed_while_it_was_stopped_are_reported_exactly() {
    let Some(mut world) = joined("gap") else { return };
    let topic = world.topic("activities");
    world.send_all_to("activities", 0, &activities("lost", 5));
    world.remove_records(&topic, 0);
    assert_eq!(world.range(&topic, 0), (11, 11), "they are gone");

    let output = world.run_to_end("a");
    assert_eq!(output.status.code(), Some(1));
    let printed = stderr(&output);
    let gap = format!(
        "{topic}/0: the next record to read has offset 6, but the topic now begins at 11 and ends at 11: the 5 records from 6 to 10"
    );
    assert!(
        printed.contains(&gap) && printed.contains("input.on_lost_offsets"),
        "{printed}"
    );

    world.more.insert("input", "on_lost_offsets = \"continue\"".to_owned());
    let mut instance = world.start("a");
    world.send_all_to("activities", 0, &activities("after", 1));
    wait_for_row(&world, "after 0", &mut instance);
    assert!(instance.log().contains("continuing at offset 11"), "{}", instance.log());
    assert_eq!(instance.terminate().0.code(), Some(0));
    // The new position has been committed: the next start finds no error.
    world.more.remove("input");
    let mut instance = world.start("a");
    instance.wait_for_log("reading");
    world.send_all_to("activities", 0, &activities("later", 1));
    wait_for_row(&world, "later 0", &mut instance);
}

/// Freezes the instance while five records of partition 0, and two of partition 1, are sent and removed.
fn lose_records_while_frozen(world: &mut World, instance: &crate::support::Instance) {
    let topic = world.topic("activities");
    instance.signal("STOP");
    // A fetch that is already sent gets its response before the records are sent.
    std::thread::sleep(Duration::from_secs(1));
    world.send_all_to("activities", 0, &activities("lost", 5));
    world.send_all_to("activities", 1, &activities("lost too", 2));
    for (partition, end) in [(0, 11), (1, 2)] {
        world.remove_records(&topic, partition);
        assert_eq!(world.range(&topic, partition), (end, end), "they are gone");
    }
    instance.signal("CONT");
}

#[test]
fn records_removed_while_it_runs_stop_it() {
    let Some(mut world) = joined("overtaken") else { return };
    let mut instance = world.start("a");
    instance.wait_for_log("reading");
    std::thread::sleep(Duration::from_secs(2));
    lose_records_while_frozen(&mut world, &instance);
    let (status, log) = instance.wait_for_end();
    assert_eq!(status.code(), Some(1));
    assert!(log.contains("the 5 records from 6 to 10 were removed"), "{log}");
    assert!(log.contains("error: ") && !log.contains("continuing at"), "{log}");
}

#[test]
fn records_removed_while_it_runs_are_skipped_if_configured() {
    let Some(mut world) = joined("passed-over") else { return };
    world.more.insert("input", "on_lost_offsets = \"continue\"".to_owned());
    let mut instance = world.start("a");
    instance.wait_for_log("reading");
    std::thread::sleep(Duration::from_secs(2));
    lose_records_while_frozen(&mut world, &instance);
    instance.wait_for_log("continuing at offset 11");
    instance.wait_for_log("the 2 records from 0 to 1 were removed before they were read; continuing at offset 2,");
    assert!(
        instance.log().contains("the 5 records from 6 to 10 were removed"),
        "{}",
        instance.log()
    );
    world.send_all_to("activities", 0, &activities("after", 1));
    wait_for_row(&world, "after 0", &mut instance);
    world.send_all_to("activities", 1, &activities("after too", 1));
    wait_for_row(&world, "after too 0", &mut instance);
    assert!(!world.fold().values().any(|row| row["activity"]["Note"] == "lost 0"));
    assert_eq!(instance.terminate().0.code(), Some(0));
    assert_eq!(world.committed(&world.topic("activities"), 0), Some(12));
}

#[test]
fn a_recreated_input_topic_is_not_taken_for_the_old_one() {
    let Some(mut world) = joined("made-anew") else { return };
    let topic = world.topic("activities");
    world.delete_topic(&topic);
    world.create_topic(&topic, 4, &[]);
    assert_eq!(
        world.committed(&topic, 0),
        None,
        "the broker forgets positions with the topic"
    );
    assert_eq!(world.range(&topic, 0), (0, 0));

    let output = world.run_to_end("a");
    assert_eq!(output.status.code(), Some(1));
    let printed = stderr(&output);
    assert!(
        printed.contains("has offset 6, but the topic now begins at 0 and ends at 0"),
        "{printed}"
    );
    assert!(printed.contains("created again"), "{printed}");

    world.more.insert("input", "on_lost_offsets = \"continue\"".to_owned());
    let mut instance = world.start("a");
    world.send_all_to("activities", 0, &activities("anew", 1));
    wait_for_row(&world, "anew 0", &mut instance);
}

#[test]
fn positions_that_the_group_forgot_change_nothing() {
    let Some(mut world) = joined("forgotten") else { return };
    let before = world.read("rows").len();
    world.delete_group(&format!("{}-route", world.name));
    assert_eq!(world.committed(&world.topic("activities"), 0), None, "it is gone");

    let mut instance = world.start("a");
    let warning = "has no position for partitions that were read before";
    instance.wait_for_log(warning);
    assert_eq!(
        instance.log().matches(warning).count(),
        1,
        "it is reported once:\n{}",
        instance.log()
    );
    world.send_all_to("activities", 0, &activities("after", 1));
    wait_for_row(&world, "after 0", &mut instance);
    assert_eq!(
        world.read("rows").len(),
        before + 1,
        "records that are read again are recognised"
    );
}

#[test]
fn a_start_at_the_end_resumes_at_its_position_when_the_group_forgot_it() {
    let Some(mut world) = World::new("forgotten-end") else {
        return;
    };
    world.send_all_to("activities", 0, &activities("before", 3));
    world.more.insert("input", "start = \"latest\"".to_owned());
    let mut instance = world.start("a");
    instance.wait_for_log("reading");
    let alert = alert("A1", "p", WINDOW.0, WINDOW.1, "2026-03-01T11:05:00Z");
    world.send("alerts", 1, [alert.as_slice()]);
    world.send_all_to("activities", 0, &activities("first", 1));
    wait_for_row(&world, "first 0", &mut instance);
    assert_eq!(instance.terminate().0.code(), Some(0));
    world.delete_group(&format!("{}-route", world.name));
    world.send_all_to("activities", 0, &activities("meanwhile", 1));
    let mut instance = world.start("a");
    wait_for_row(&world, "meanwhile 0", &mut instance);
    let notes = world.fold();
    assert!(
        !notes.values().any(|row| row["activity"]["Note"] == "before 0"),
        "records from before the first start are not read"
    );
}

/// Runs ROUTE alone for a while: the repartition topic grows, and nothing in it is joined.
fn route_alone(world: &World) {
    let topic = world.repartition_topic();
    let ends = |world: &World| -> i64 { (0..3).map(|partition| world.range(&topic, partition).1).sum() };
    let before = ends(world);
    let mut route = Command::new(program())
        .args(["run", "--only", "route", "--config"])
        .arg(world.config("route"))
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let began = std::time::Instant::now();
    while ends(world) < before + 9 {
        assert!(
            began.elapsed() < crate::support::TIMEOUT,
            "the repartition topic does not grow"
        );
        std::thread::sleep(Duration::from_millis(200));
    }
    route.kill().unwrap();
    route.wait().unwrap();
}

#[test]
fn a_repartition_topic_that_lost_records_before_they_were_joined_is_refused() {
    let Some(world) = joined("log-gap") else { return };
    let topic = world.repartition_topic();
    route_alone(&world);
    for partition in 0..3 {
        world.remove_records(&topic, partition);
    }
    let output = world.run_to_end("a");
    assert_eq!(output.status.code(), Some(1));
    let printed = stderr(&output);
    assert!(
        printed.contains(&topic) && printed.contains("retention removed "),
        "{printed}"
    );
    assert!(printed.contains("remove the partition's folder under state.dir"), "{printed}");

    std::fs::remove_dir_all(world.folder.path().join("a").join(&world.name)).unwrap();
    let mut instance = world.start("a");
    instance.wait_for_log("joining");
    std::thread::sleep(Duration::from_secs(3));
    instance.assert_runs();
}

#[test]
fn a_recreated_repartition_topic_is_refused_and_reset_helps() {
    let Some(world) = joined("log-anew") else { return };
    let expected = world.fold();
    world.delete_topic(&world.repartition_topic());
    let output = world.run_to_end("a");
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("the repartition topic was deleted and created again"),
        "{}",
        stderr(&output)
    );

    let reset = || {
        let mut command = Command::new(program());
        command
            .args(["reset", "--yes", "--purge-output", "--config"])
            .arg(world.config("a"));
        command.output().unwrap()
    };
    let began = std::time::Instant::now();
    let mut done = reset();
    // The group may count the instance that has just failed as a member for a moment.
    while !done.status.success() && began.elapsed() < crate::support::TIMEOUT {
        std::thread::sleep(Duration::from_millis(500));
        done = reset();
    }
    assert!(done.status.success(), "{}", stderr(&done));
    let sent = world.read("rows").len();
    let mut instance = world.start("a");
    world.wait_for_records("rows", sent + expected.len(), &mut instance);
    assert_eq!(
        world.wait_for_expected_rows(&mut [&mut instance]).keys().collect::<Vec<_>>(),
        expected.keys().collect::<Vec<_>>()
    );
}

#[test]
fn a_recreated_repartition_topic_that_has_grown_past_the_state_is_refused() {
    let Some(world) = joined("log-grown") else { return };
    let topic = world.repartition_topic();
    let ends = [0, 1, 2].map(|partition| world.range(&topic, partition).1);
    world.delete_topic(&topic);
    world.create_topic(&topic, 3, &[]);
    for (partition, end) in (0..3).zip(ends) {
        let others = (0..end + 5).map(|_| b"another log".as_slice());
        world.send_to("correlation-repartition", partition, Counted::No, others);
        assert!(world.range(&topic, partition).1 > end);
    }
    let output = world.run_to_end("a");
    assert_eq!(output.status.code(), Some(1));
    let printed = stderr(&output);
    assert!(
        printed.contains("the repartition topic was deleted and created again"),
        "{printed}"
    );
}
