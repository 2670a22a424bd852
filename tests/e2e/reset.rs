//! `alerttrail reset`: what it deletes, and when it refuses to.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use alerttrail::store::StateDir;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use crate::support::{Instance, TIMEOUT, World, activity, alert, program};

fn command(config: &Path, options: &[&str]) -> Command {
    let mut command = Command::new(program());
    command
        .args(["reset", "--config"])
        .arg(config)
        .args(options)
        .stdin(Stdio::null());
    command
}

fn reset(config: &Path, options: &[&str]) -> Output {
    command(config, options).output().unwrap()
}

fn printed(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Returns which of the two groups, the state and the repartition topic exist.
fn existing(world: &World) -> [bool; 4] {
    [
        world.has_group(&format!("{}-route", world.name)),
        world.has_group(&format!("{}-join", world.name)),
        world.folder.path().join("a").join(&world.name).exists(),
        world.partitions(&world.repartition_topic()) > 0,
    ]
}

/// Returns a world with one joined pair, and its instance.
fn joined(name: &str) -> Option<(World, Instance)> {
    let mut world = World::new(name)?;
    world.send("activities", 4, [activity("p", "2026-03-01T10:00:00Z", "one").as_slice()]);
    let window = ("2026-03-01T09:00:00Z", "2026-03-01T11:00:00Z");
    let alert = alert("A1", "p", window.0, window.1, "2026-03-01T11:05:00Z");
    world.send("alerts", 1, [alert.as_slice()]);
    let mut instance = world.start("a");
    world.wait_for_expected_rows(&mut [&mut instance]);
    Some((world, instance))
}

#[test]
fn it_deletes_all_of_an_application_and_nothing_else() {
    let Some((mut world, mut instance)) = joined("reset") else {
        return;
    };
    let config = world.config("a");
    let refused = reset(&config, &["--yes"]);
    assert_eq!(refused.status.code(), Some(1));
    let advice = format!(
        "is in use by process {}, which runs this application; stop it first",
        instance.pid()
    );
    assert!(printed(&refused).contains(&advice), "{}", printed(&refused));
    // From another machine, or for another folder, only the group shows that an instance runs.
    let refused = reset(&world.config("b"), &["--yes"]);
    assert_eq!(refused.status.code(), Some(1));
    let members = format!("{0}-route is in use by {0}-route at 127.0.0.1", world.name);
    assert!(printed(&refused).contains(&members), "{}", printed(&refused));
    instance.assert_runs();
    assert_eq!(existing(&world), [true; 4], "nothing was changed");
    assert_eq!(instance.terminate().0.code(), Some(0));

    let dry_run = reset(&config, &["--dry-run"]);
    assert!(dry_run.status.success(), "{}", printed(&dry_run));
    assert!(
        printed(&dry_run).contains("3 partitions") && printed(&dry_run).contains("Nothing was changed."),
        "{}",
        printed(&dry_run)
    );
    assert_eq!(existing(&world), [true; 4]);

    let rows = world.read("rows").len();
    let done = reset(&config, &["--yes", "--keep-output"]);
    assert!(done.status.success(), "{}", printed(&done));
    assert!(printed(&done).contains("keeps the old ones"), "{}", printed(&done));
    for sentence in [
        format!("Deleted the consumer group {}-route.", world.name),
        format!("Deleted the consumer group {}-join.", world.name),
        "Removed the state in ".to_owned(),
        format!("Deleted the topic {}.", world.repartition_topic()),
    ] {
        assert!(printed(&done).contains(&sentence), "{}", printed(&done));
    }
    assert_eq!(existing(&world), [false; 4]);
    assert_eq!(world.read("rows").len(), rows);

    let again = reset(&config, &["--yes", "--keep-output"]);
    assert!(again.status.success(), "{}", printed(&again));
    assert!(printed(&again).contains("There is nothing to delete."), "{}", printed(&again));

    // Settings that the state depends on may change now.
    world.more.insert("correlation", "bounds = \"inclusive\"".to_owned());
    let mut instance = world.start("a");
    world.wait_for_records("rows", rows + 1, &mut instance);
    world.wait_for_expected_rows(&mut [&mut instance]);
}

#[test]
fn a_partial_reset_is_completed() {
    let Some((world, instance)) = joined("reset-half") else {
        return;
    };
    assert_eq!(instance.terminate().0.code(), Some(0));
    world.delete_group(&format!("{}-route", world.name));
    std::fs::remove_dir_all(world.folder.path().join("a").join(&world.name)).unwrap();
    assert_eq!(existing(&world), [false, true, false, true]);
    let done = reset(&world.config("a"), &["--yes", "--keep-output"]);
    assert!(done.status.success(), "{}", printed(&done));
    assert!(printed(&done).contains("There was no state in "), "{}", printed(&done));
    assert!(printed(&done).contains(&format!("There was no consumer group {}-route.", world.name)));
    assert_eq!(existing(&world), [false; 4]);
}

#[test]
fn state_that_a_process_has_open_is_not_deleted() {
    let Some((world, instance)) = joined("reset-locked") else {
        return;
    };
    assert_eq!(instance.terminate().0.code(), Some(0));
    let dir = world.folder.path().join("a").join(&world.name);
    let open = StateDir::open(&dir).unwrap();
    let refused = reset(&world.config("a"), &["--yes", "--keep-output"]);
    assert_eq!(refused.status.code(), Some(1));
    let holder = format!("in use by process {}", std::process::id());
    assert!(printed(&refused).contains(&holder), "{}", printed(&refused));
    assert_eq!(existing(&world), [true; 4], "nothing was changed");
    drop(open);
    assert!(reset(&world.config("a"), &["--yes", "--keep-output"]).status.success());
}

#[test]
fn it_waits_until_the_session_of_a_killed_instance_is_over() {
    let Some((world, instance)) = joined("reset-killed") else {
        return;
    };
    instance.kill();
    let done = reset(&world.config("a"), &["--yes", "--keep-output"]);
    assert!(done.status.success(), "{}", printed(&done));
    assert!(
        printed(&done).contains("Waiting for at most 20s: the broker counts"),
        "{}",
        printed(&done)
    );
    assert_eq!(existing(&world), [false; 4]);
}

/// Sends a version of the alert whose window no longer contains the activity.
fn send_moved(world: &mut World) {
    let moved = alert(
        "A1",
        "p",
        "2026-03-01T12:00:00Z",
        "2026-03-01T13:00:00Z",
        "2026-03-01T13:05:00Z",
    );
    world.send("alerts", 1, [moved.as_slice()]);
}

#[test]
fn an_output_topic_with_records_needs_a_decision() {
    let Some((world, instance)) = joined("reset-decide") else {
        return;
    };
    assert_eq!(instance.terminate().0.code(), Some(0));
    let config = world.config("a");
    let (rows, summaries) = (world.read("rows").len(), world.read("summaries").len());
    assert!(rows > 0 && summaries > 0);
    let dry_run = reset(&config, &["--dry-run"]);
    assert!(dry_run.status.success(), "{}", printed(&dry_run));
    assert!(printed(&dry_run).contains("A decision is needed: "), "{}", printed(&dry_run));
    let refused = reset(&config, &["--yes"]);
    assert_eq!(refused.status.code(), Some(2), "{}", printed(&refused));
    for part in [
        format!("{} ({rows} record", world.topic("rows")).as_str(),
        format!("{} ({summaries} record", world.topic("summaries")).as_str(),
        "--purge-output",
        "--keep-output",
        "output.topic",
        "nothing was changed",
    ] {
        assert!(printed(&refused).contains(part), "{part} is missing in {}", printed(&refused));
    }
    assert_eq!(existing(&world), [true; 4]);

    // With new topics, the operator has nothing to decide.
    let text = std::fs::read_to_string(&config).unwrap();
    for role in ["rows", "summaries"] {
        world.create_topic(&world.topic(&format!("new-{role}")), 1, &[]);
    }
    let text = text
        .replace(&world.topic("rows"), &world.topic("new-rows"))
        .replace(&world.topic("summaries"), &world.topic("new-summaries"));
    std::fs::write(&config, text).unwrap();
    let done = reset(&config, &["--yes"]);
    assert!(done.status.success(), "{}", printed(&done));
    assert_eq!(existing(&world), [false; 4]);
    assert_eq!(world.read("rows").len(), rows);
}

#[test]
fn the_fold_is_right_when_an_alert_changes_after_a_reset() {
    for (name, is_down) in [("reset-after", false), ("reset-while", true)] {
        let Some((mut world, mut instance)) = joined(name) else {
            return;
        };
        // Enough activities that the row from before the reset has a greater seq than any row after it.
        let others: Vec<Vec<u8>> = (0..40)
            .map(|n| activity("p", "2026-03-01T10:30:00Z", &format!("{n}")))
            .collect();
        world.send("activities", 4, others.iter().map(Vec::as_slice));
        world.wait_for_expected_rows(&mut [&mut instance]);
        assert_eq!(instance.terminate().0.code(), Some(0));
        let done = reset(&world.config("a"), &["--yes", "--purge-output"]);
        assert!(done.status.success(), "{}", printed(&done));
        for role in ["rows", "summaries"] {
            let sentence = format!("Deleted the records of {}.", world.topic(role));
            assert!(printed(&done).contains(&sentence), "{}", printed(&done));
            assert_eq!(world.read(role).len(), 0);
        }
        if is_down {
            send_moved(&mut world);
        }
        let mut instance = world.start("a");
        if !is_down {
            world.wait_for_expected_rows(&mut [&mut instance]);
            send_moved(&mut world);
        }
        instance.wait_for_log("joining");
        let fold = world.wait_for_expected_rows(&mut [&mut instance]);
        assert!(fold.is_empty(), "{fold:?}");
        instance.assert_runs();
    }
}

#[test]
fn records_that_the_broker_cannot_delete_are_refused_before_anything_is_deleted() {
    let Some((world, instance)) = joined("reset-refused") else {
        return;
    };
    assert_eq!(instance.terminate().0.code(), Some(0));
    let config = world.config("a");
    let compact = world.topic("compact");
    world.create_topic(&compact, 1, &[("cleanup.policy", "compact")]);
    let producer: BaseProducer = world.client().create().unwrap();
    let record = BaseRecord::to(&compact).key("k").payload("{}");
    assert!(producer.send(record).is_ok());
    producer.flush(TIMEOUT).unwrap();
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace(&world.topic("summaries"), &compact)).unwrap();
    let refused = reset(&config, &["--yes", "--purge-output"]);
    assert_eq!(refused.status.code(), Some(1), "{}", printed(&refused));
    let sentence = format!("cannot delete the records of {compact}: ");
    assert!(
        printed(&refused).contains(&sentence) && printed(&refused).contains("nothing was changed"),
        "{}",
        printed(&refused)
    );
    assert_eq!(existing(&world), [true; 4]);
    assert!(!world.read("rows").is_empty());
}

#[test]
fn it_deletes_everything_even_if_nobody_reads_its_output() {
    for name in ["reset-closed", "reset-full"] {
        let Some((world, instance)) = joined(name) else {
            return;
        };
        assert_eq!(instance.terminate().0.code(), Some(0));
        let mut command = command(&world.config("a"), &["--yes", "--purge-output"]);
        let (status, stdout): (i32, Stdio) = match name {
            "reset-closed" => (0, std::io::pipe().unwrap().1.into()),
            _ => (1, std::fs::File::options().write(true).open("/dev/full").unwrap().into()),
        };
        let done = command.stdout(stdout).output().unwrap();
        assert_eq!(done.status.code(), Some(status), "{}", printed(&done));
        assert_eq!(
            printed(&done).contains("No space left on device"),
            status == 1,
            "{}",
            printed(&done)
        );
        assert_eq!(existing(&world), [false; 4]);
        assert_eq!(world.read("rows").len(), 0);
    }
}
