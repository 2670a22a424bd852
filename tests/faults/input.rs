//! Input that was deleted, that is repeated, or that comes from new partitions.

use std::time::Duration;

use alerttrail::generate::{Generator, Messages, Options};
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;
use rdkafka::{Offset, TopicPartitionList};

use crate::kills::{WINDOW, configure};
use crate::oracle::{Expected, Output};
use crate::report::{Mode, Report, in_every_mode, seed};
use crate::rng::Rng;
use crate::support::world::Counted;
use crate::support::{Instance, World, activity, alert};

in_every_mode!(
    c13_records_deleted_before_they_were_read,
    c13_records_deleted_under_a_running_process,
    c13_continuing_under_a_running_process,
    c15_group_offsets_deleted,
    c16_partitions_added,
    c19_batches_repeated_and_reordered,
);

fn admin<T>(
    world: &World,
    request: impl AsyncFnOnce(&AdminClient<DefaultClientContext>, &AdminOptions) -> rdkafka::error::KafkaResult<T>,
) -> T {
    let admin: AdminClient<DefaultClientContext> = world.client().create().unwrap();
    let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(20)));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(request(&admin, &options)).unwrap()
}

/// Removes the records before `offset` in the first partition of activities.
fn delete_before(world: &World, offset: i64) {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&world.topic("activities"), 0, Offset::Offset(offset))
        .unwrap();
    let deleted = admin(world, async |admin, options| admin.delete_records(&list, options).await);
    assert!(deleted.elements().iter().all(|element| element.error().is_ok()));
}

fn inside(note: &str, count: usize) -> Vec<Vec<u8>> {
    (0..count)
        .map(|n| activity("p", "2026-03-01T10:00:00Z", &format!("{note} {n}")))
        .collect()
}

/// Sends ten activities to the first partition, and their alert, and waits for the rows. Returns a running instance.
fn join_ten_activities(world: &mut World, output: &mut Output) -> Instance {
    let first = inside("first", 10);
    world.send_to("activities", 0, Counted::Yes, first.iter().map(Vec::as_slice));
    let alert = alert("A", "p", WINDOW.0, WINDOW.1, "2026-03-01T11:05:00Z");
    world.send_to("alerts", 0, Counted::Yes, [alert.as_slice()]);
    let mut instance = world.start("a");
    output.wait("first rows", Duration::from_secs(60), &mut [&mut instance], |output| {
        output.pairs_of("A") == 10
    });
    instance
}

/// Sends seven activities that are deleted before they are read, followed by five more.
fn lose_seven(world: &World, position: i64) {
    let (lost, kept) = (inside("lost", 7), inside("kept", 5));
    world.send_to("activities", 0, Counted::No, lost.iter().map(Vec::as_slice));
    world.send_to("activities", 0, Counted::Yes, kept.iter().map(Vec::as_slice));
    delete_before(world, position + 7);
}

fn assert_range_is_reported(world: &World, log: &str, position: i64) {
    let partition = format!("{}/0", world.topic("activities"));
    for part in [
        &partition,
        &format!("offset {position}"),
        &format!("begins at {}", position + 7),
        "7 records",
        "input.on_lost_offsets",
    ] {
        assert!(log.contains(part), "{part:?} is not in the log:\n{log}");
    }
}

fn c13_records_deleted_before_they_were_read(mode: Mode) {
    let Some(mut world) = World::new("c13") else { return };
    let mut report = Report::new("C13", mode);
    configure(&mut world, mode);
    let mut output = Output::open(&world, mode);
    let instance = join_ten_activities(&mut world, &mut output);
    assert_eq!(instance.terminate().0.code(), Some(0));
    lose_seven(&world, 10);
    let mut instance = world.start("a");
    let status = instance.ended_within(Duration::from_secs(60));
    assert_eq!(
        status.and_then(|status| status.code()),
        Some(1),
        "it continues over a gap:\n{}",
        instance.log()
    );
    assert_range_is_reported(&world, &instance.log(), 10);
    output.catch_up(Duration::from_millis(500));
    assert_eq!(output.pairs_of("A"), 10, "nothing after the gap is read without the setting");
    world.set("input", "on_lost_offsets = \"continue\"");
    let mut instance = world.start("a");
    let expected = Expected::compute(&world);
    output.wait_for(&expected, Duration::from_secs(60), &mut [&mut instance]);
    report.assert_happened("a gap of seven", instance.log().contains("continuing at offset 17"));
    report.fact("lost", 7);
    report.fact("pairs", expected.len());
    report.ok();
}

/// Loses seven records while the process is frozen, so that it discovers the loss when it continues to read.
fn lose_while_frozen(world: &World, instance: &Instance) {
    instance.signal("STOP");
    // Its last fetch at the broker times out.
    std::thread::sleep(Duration::from_secs(1));
    lose_seven(world, 10);
    instance.signal("CONT");
}

fn c13_records_deleted_under_a_running_process(mode: Mode) {
    let Some(mut world) = World::new("c13running") else {
        return;
    };
    let report = Report::new("C13r", mode);
    world.set("output", &format!("delivery = \"{}\"", mode.name()));
    let mut output = Output::open(&world, mode);
    let mut instance = join_ten_activities(&mut world, &mut output);
    lose_while_frozen(&world, &instance);
    let status = instance.ended_within(Duration::from_secs(60));
    assert_eq!(
        status.and_then(|status| status.code()),
        Some(1),
        "it continues over a gap:\n{}",
        instance.log()
    );
    output.catch_up(Duration::from_millis(500));
    assert_eq!(output.pairs_of("A"), 10, "nothing after the gap is read without the setting");
    assert_range_is_reported(&world, &instance.log(), 10);
    report.ok();
}

fn c13_continuing_under_a_running_process(mode: Mode) {
    let Some(mut world) = World::new("c13continue") else {
        return;
    };
    let mut report = Report::new("C13c", mode);
    world.set("output", &format!("delivery = \"{}\"", mode.name()));
    world.set("input", "on_lost_offsets = \"continue\"");
    let mut output = Output::open(&world, mode);
    let mut instance = join_ten_activities(&mut world, &mut output);
    lose_while_frozen(&world, &instance);
    output.wait_for(&Expected::compute(&world), Duration::from_secs(60), &mut [&mut instance]);
    report.assert_happened("a gap of seven", instance.log().contains("continuing at offset 17"));
    report.ok();
}

fn c15_group_offsets_deleted(mode: Mode) {
    let Some(mut world) = World::new("c15") else { return };
    let mut report = Report::new("C15", mode);
    configure(&mut world, mode);
    let mut output = Output::open(&world, mode);
    let instance = join_ten_activities(&mut world, &mut output);
    assert_eq!(instance.terminate().0.code(), Some(0));
    let groups = [format!("{}-route", world.name), format!("{}-join", world.name)];
    let names: Vec<&str> = groups.iter().map(String::as_str).collect();
    // A static member stays in the group until its session ends, and a group with members cannot be deleted.
    std::thread::sleep(Duration::from_secs(8));
    let deleted = admin(&world, async |admin, options| admin.delete_groups(&names, options).await);
    let deleted = deleted.iter().filter(|group| group.is_ok()).count();
    report.fact("groups", deleted);
    report.assert_happened("deletion of both groups", deleted == 2);
    let more = inside("more", 10);
    world.send("activities", 4, more.iter().map(Vec::as_slice));
    let mut instance = world.start("a");
    let expected = Expected::compute(&world);
    output.wait_for(&expected, Duration::from_secs(60), &mut [&mut instance]);
    report.fact("pairs", expected.len());
    assert_eq!(output.repeats(), 0, "rows that were sent are not sent again");
    report.ok();
}

fn c16_partitions_added(mode: Mode) {
    let Some(mut world) = World::new("c16") else { return };
    let mut report = Report::new("C16", mode);
    configure(&mut world, mode);
    world.set("kafka.properties", "\"topic.metadata.refresh.interval.ms\" = \"1000\"");
    let mut output = Output::open(&world, mode);
    let mut instance = join_ten_activities(&mut world, &mut output);
    let topic = world.topic("activities");
    let new = NewPartitions::new(&topic, 6);
    let results = admin(&world, async |admin, options| admin.create_partitions([&new], options).await);
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    // Sent before any member reads the new partitions.
    for partition in [4, 5] {
        let more = inside(&format!("in partition {partition}"), 20);
        world.send_to("activities", partition, Counted::Yes, more.iter().map(Vec::as_slice));
    }
    let expected = Expected::compute(&world);
    output.wait_for(&expected, Duration::from_secs(60), &mut [&mut instance]);
    let log = instance.log();
    report.assert_happened(
        "reading of the new partitions",
        log.contains("partition=4") && log.contains("partition=5"),
    );
    report.fact("pairs", expected.len());
    assert_eq!(output.repeats(), 0);
    report.ok();
}

fn messages(mut from: impl Messages) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    let mut buffer = Vec::new();
    while from.next_message(&mut buffer).is_some() {
        all.push(std::mem::take(&mut buffer));
    }
    all
}

fn c19_batches_repeated_and_reordered(mode: Mode) {
    let Some(mut world) = World::new("c19") else { return };
    let mut report = Report::new("C19", mode);
    let seed = seed();
    report.fact("seed", seed);
    configure(&mut world, mode);
    let mut rng = Rng::new(seed, 19);
    let generator = Generator::new(&Options {
        activities: 3_000,
        alerts: 100,
        seed,
        keyed_share: 0.4,
        in_window_share: 0.5,
        batch_max: 10,
        // A version that moves a window correctly sends rows of one pair more than once.
        alert_updates: 0.0,
        ..Options::default()
    })
    .unwrap();
    let (mut activities, alerts) = (messages(generator.activities()), messages(generator.alerts()));
    rng.shuffle(&mut activities);
    let mut output = Output::open(&world, mode);
    let mut instance = world.start("a");
    let mut repeated = 0;
    for batch in activities.chunks(100) {
        world.send("activities", 4, batch.iter().map(Vec::as_slice));
        // Repeats go to all partitions, twice each, of activities that were sent before or are sent later.
        for partition in 0..4 {
            let again: Vec<&[u8]> = (0..batch.len() / 2)
                .flat_map(|_| [rng.pick(&activities).as_slice(); 2])
                .collect();
            repeated += again.len();
            world.send_to("activities", partition, Counted::No, again);
        }
    }
    for _ in 0..2 {
        world.send_to("alerts", 0, Counted::Yes, alerts.iter().map(Vec::as_slice));
    }
    for partition in 0..4 {
        world.send_to("activities", partition, Counted::No, activities.iter().map(Vec::as_slice));
        repeated += activities.len();
    }
    let expected = Expected::compute(&world);
    output.wait_for(&expected, Duration::from_secs(90), &mut [&mut instance]);
    report.fact("messages", activities.len());
    report.fact("repeated", repeated);
    report.fact("pairs", expected.len());
    report.assert_happened(
        "repetition, with pairs to repeat",
        repeated > activities.len() && expected.len() > 100,
    );
    assert_eq!(output.len(), expected.len(), "each pair is emitted once");
    assert_eq!(output.repeats(), 0);
    report.ok();
}
