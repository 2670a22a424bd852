//! Input topics that are deleted and created again while they are read: the old position has no meaning in the new
//! topic, however many records it holds and however soon it was created.

use std::time::{Duration, Instant};

use alerttrail::repartition::RepartitionRecord;

use crate::support::world::Record;
use crate::support::{Instance, TIMEOUT, World, activity, alert};

const WINDOW: (&str, &str) = ("2026-03-01T09:00:00Z", "2026-03-01T11:00:00Z");

/// Returns `count` different activities of the policy p.
fn activities(name: &str, count: usize) -> Vec<Vec<u8>> {
    let one = |number| activity("p", "2026-03-01T10:00:00Z", &format!("{name} {number}"));
    (0..count).map(one).collect()
}

/// Whether the position after the old records has been committed when the topic is deleted.
enum Position {
    Committed,
    Uncommitted,
}

/// Starts an instance and waits until it has read 10 activities of partition 0.
fn reading(world: &mut World, position: &Position) -> Instance {
    world.send_all_to("activities", 0, &activities("old", 10));
    let mut instance = world.start("a");
    instance.wait_for_log("reading topic");
    let topic = world.topic("activities");
    let count = |record: &Record| match RepartitionRecord::decode(&record.value) {
        Ok(RepartitionRecord::Activities(activities)) => activities.len(),
        _ => 0,
    };
    let is_read = |world: &World| match position {
        Position::Committed => world.committed(&topic, 0) == Some(10),
        // An activity that is in the repartition topic has been read.
        Position::Uncommitted => world.read("correlation-repartition").iter().map(count).sum::<usize>() == 10,
    };
    let began = Instant::now();
    while !is_read(world) {
        instance.assert_runs();
        assert!(began.elapsed() < TIMEOUT, "the activities are not read:\n{}", instance.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    instance
}

/// Deletes the topic of the activities, creates it again after `gap`, and sends `count` activities and an alert that
/// matches all of them.
fn recreate(world: &mut World, gap: Duration, count: usize) {
    let topic = world.topic("activities");
    world.delete_topic(&topic);
    std::thread::sleep(gap);
    create_again(world, count);
}

fn create_again(world: &mut World, count: usize) {
    world.create_topic(&world.topic("activities"), 4, &[]);
    world.send_all_to("activities", 0, &activities("new", count));
    let alert = alert("A1", "p", WINDOW.0, WINDOW.1, "2026-03-01T11:05:00Z");
    world.send("alerts", 1, [alert.as_slice()]);
}

/// Asserts that the instance has stopped, stops again at every start, and emits every row once the settings allow it
/// it to continue.
fn assert_stops_until_continue_is_set(mut world: World, instance: Instance) {
    let (status, log) = instance.wait_for_end();
    assert_eq!(status.code(), Some(1));
    let topic = world.topic("activities");
    let message = format!("{topic}/0: the next record to read has offset 10, but the topic now begins at 0 and ends at 25");
    assert!(
        log.contains(&message) && log.contains("the topic was deleted and created again"),
        "{log}"
    );
    assert!(log.contains("input.on_lost_offsets"), "{log}");

    let output = world.run_to_end("a");
    assert_eq!(output.status.code(), Some(1));
    let printed = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(printed.contains(&message), "{printed}");

    world.more.insert("input", "on_lost_offsets = \"continue\"".to_owned());
    let mut instance = world.start("a");
    assert_eq!(world.wait_for_expected_rows(&mut [&mut instance]).len(), 35);
    assert_eq!(instance.terminate().0.code(), Some(0));
    assert_eq!(world.committed(&topic, 0), Some(25));
    // The new position belongs to the new topic: the next start finds no error.
    world.more.remove("input");
    let mut instance = Instance::start_with(&world.config("a"), &world.folder.path().join("last.log"), &[]);
    instance.wait_for_log(&format!("reading topic=\"{topic}\" partition=0 position=25"));
}

#[test]
fn a_topic_that_grew_past_the_committed_position_stops_it() {
    let Some(mut world) = World::new("grown") else { return };
    let instance = reading(&mut world, &Position::Committed);
    recreate(&mut world, Duration::ZERO, 25);
    assert_stops_until_continue_is_set(world, instance);
}

#[test]
fn a_topic_that_grew_past_a_position_not_yet_committed_stops_it() {
    let Some(mut world) = World::new("grown-soon") else { return };
    let instance = reading(&mut world, &Position::Uncommitted);
    recreate(&mut world, Duration::ZERO, 25);
    assert_stops_until_continue_is_set(world, instance);
}

#[test]
fn a_topic_that_came_back_after_a_while_stops_it() {
    let Some(mut world) = World::new("grown-late") else { return };
    let instance = reading(&mut world, &Position::Committed);
    recreate(&mut world, Duration::from_secs(10), 25);
    assert_stops_until_continue_is_set(world, instance);
}

#[test]
fn a_topic_that_was_missing_until_the_group_dropped_it_stops_it() {
    for policy in ["fail", "continue"] {
        let Some(mut world) = World::new("gone") else { return };
        world.more.insert("input", format!("on_lost_offsets = \"{policy}\""));
        // By default, the client drops a topic half a minute after its deletion, and rarely looks for new ones.
        world.set("kafka.properties", "\"topic.metadata.propagation.max.ms\" = \"1000\"");
        world.set("kafka.properties", "\"topic.metadata.refresh.interval.ms\" = \"2000\"");
        let mut instance = reading(&mut world, &Position::Committed);
        world.delete_topic(&world.topic("activities"));
        instance.wait_for_log("no longer reading topic");
        create_again(&mut world, 25);
        if policy == "fail" {
            let (status, log) = instance.wait_for_end();
            assert_eq!(status.code(), Some(1));
            let expected = ["the next record to read has offset 10", "deleted and created again"];
            assert!(expected.iter().all(|part| log.contains(part)), "{log}");
            instance = world.start("a");
        }
        assert_eq!(world.wait_for_expected_rows(&mut [&mut instance]).len(), 35, "{policy}");
        assert_eq!(instance.log().contains("continuing at offset 0"), policy == "continue");
    }
}

#[test]
fn a_new_topic_is_read_from_its_first_record_if_configured() {
    for (gap, count) in [(0, 25), (0, 10), (5, 3)] {
        let Some(mut world) = World::new("again") else { return };
        world.more.insert("input", "on_lost_offsets = \"continue\"".to_owned());
        let mut instance = reading(&mut world, &Position::Committed);
        recreate(&mut world, Duration::from_secs(gap), count);
        let rows = world.wait_for_expected_rows(&mut [&mut instance]);
        assert_eq!(rows.len(), 10 + count, "{count} records after {gap} s");
        assert!(instance.log().contains("continuing at offset 0"), "{}", instance.log());
        assert_eq!(instance.terminate().0.code(), Some(0));
    }
}

#[test]
fn a_topic_that_came_back_while_it_was_stopped_is_known_by_its_id() {
    let Some(mut world) = World::new("kept") else { return };
    let instance = reading(&mut world, &Position::Committed);
    assert_eq!(instance.terminate().0.code(), Some(0));
    let topic = world.topic("activities");
    let committed = world.committed_with_metadata(&topic, 0).unwrap();
    assert!(!committed.1.is_empty(), "the id of the topic is committed with the position");
    recreate(&mut world, Duration::ZERO, 25);
    world.delete_group(&format!("{}-route", world.name));
    // Acts like a broker that keeps the positions of a deleted topic.
    world.commit_with_metadata(&topic, 0, &committed);
    let output = world.run_to_end("a");
    assert_eq!(output.status.code(), Some(1));
    let printed = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        printed.contains("offset 10, but the topic now begins at 0 and ends at 25"),
        "{printed}"
    );
}
