//! `alerttrail reset`: what it forgets, and when it refuses to.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use alerttrail::store::StateDir;

use crate::support::{World, activity, alert, program};

fn reset(config: &Path, option: &str) -> Output {
    let mut command = Command::new(program());
    command
        .args(["reset", "--config"])
        .arg(config)
        .arg(option)
        .stdin(Stdio::null());
    command.output().unwrap()
}

fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Which of groups, state and topic are there.
fn there(world: &World) -> [bool; 4] {
    [
        world.has_group(&format!("{}-route", world.name)),
        world.has_group(&format!("{}-join", world.name)),
        world.folder.path().join("a").join(&world.name).exists(),
        world.partitions(&world.log_topic()) > 0,
    ]
}

/// A world with one pair that was joined, and its instance.
fn joined(name: &str) -> Option<(World, crate::support::Instance)> {
    let mut world = World::new(name)?;
    world.send("activities", 4, [activity("p", "2026-03-01T10:00:00Z", "one").as_slice()]);
    let window = ("2026-03-01T09:00:00Z", "2026-03-01T11:00:00Z");
    let alert = alert("A1", "p", window.0, window.1, "2026-03-01T11:05:00Z");
    world.send("alerts", 1, [alert.as_slice()]);
    let mut instance = world.start("a");
    world.wait_for_answer(&mut [&mut instance]);
    Some((world, instance))
}

#[test]
fn it_forgets_all_of_an_application_and_nothing_else() {
    let Some((mut world, mut instance)) = joined("reset") else {
        return;
    };
    let config = world.config("a");
    let refused = reset(&config, "--yes");
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains("is in use by process"), "{}", said(&refused));
    // From another machine, or for another folder, only the group tells.
    let refused = reset(&world.config("b"), "--yes");
    assert_eq!(refused.status.code(), Some(1));
    let members = format!("{0}-route is in use by {0}-route at 127.0.0.1", world.name);
    assert!(said(&refused).contains(&members), "{}", said(&refused));
    instance.assert_runs();
    assert_eq!(there(&world), [true; 4], "nothing was changed");
    assert_eq!(instance.terminate().0.code(), Some(0));

    let asked = reset(&config, "--dry-run");
    assert!(asked.status.success(), "{}", said(&asked));
    assert!(
        said(&asked).contains("3 partitions") && said(&asked).contains("Nothing was changed."),
        "{}",
        said(&asked)
    );
    assert_eq!(there(&world), [true; 4]);

    let rows = world.read("rows").len();
    let done = reset(&config, "--yes");
    assert!(done.status.success(), "{}", said(&done));
    for sentence in [
        format!("Deleted the consumer group {}-route.", world.name),
        format!("Deleted the consumer group {}-join.", world.name),
        "Removed the state in ".to_owned(),
        format!("Deleted the topic {}.", world.log_topic()),
    ] {
        assert!(said(&done).contains(&sentence), "{}", said(&done));
    }
    assert_eq!(there(&world), [false; 4]);
    assert_eq!(world.read("rows").len(), rows);

    let again = reset(&config, "--yes");
    assert!(again.status.success(), "{}", said(&again));
    assert!(said(&again).contains("There is nothing to forget."), "{}", said(&again));

    // Settings that state depends on may be others now.
    world.more.insert("correlation", "bounds = \"inclusive\"".to_owned());
    let mut instance = world.start("a");
    world.wait_for_records("rows", rows + 1, &mut instance);
    world.wait_for_answer(&mut [&mut instance]);
}

#[test]
fn what_is_half_gone_is_forgotten_the_rest_of_the_way() {
    let Some((world, instance)) = joined("reset-half") else {
        return;
    };
    assert_eq!(instance.terminate().0.code(), Some(0));
    world.delete_group(&format!("{}-route", world.name));
    std::fs::remove_dir_all(world.folder.path().join("a").join(&world.name)).unwrap();
    assert_eq!(there(&world), [false, true, false, true]);
    let done = reset(&world.config("a"), "--yes");
    assert!(done.status.success(), "{}", said(&done));
    assert!(said(&done).contains("There was no state in "), "{}", said(&done));
    assert!(said(&done).contains(&format!("There was no consumer group {}-route.", world.name)));
    assert_eq!(there(&world), [false; 4]);
}

#[test]
fn state_that_a_process_has_open_is_left_alone() {
    let Some((world, instance)) = joined("reset-locked") else {
        return;
    };
    assert_eq!(instance.terminate().0.code(), Some(0));
    let dir = world.folder.path().join("a").join(&world.name);
    let open = StateDir::open(&dir).unwrap();
    let refused = reset(&world.config("a"), "--yes");
    assert_eq!(refused.status.code(), Some(1));
    let holder = format!("in use by process {}", std::process::id());
    assert!(said(&refused).contains(&holder), "{}", said(&refused));
    assert_eq!(there(&world), [true; 4], "nothing was changed");
    drop(open);
    assert!(reset(&world.config("a"), "--yes").status.success());
}

#[test]
fn an_instance_that_was_killed_is_waited_for_until_its_session_is_over() {
    let Some((world, instance)) = joined("reset-killed") else {
        return;
    };
    instance.kill();
    let done = reset(&world.config("a"), "--yes");
    assert!(done.status.success(), "{}", said(&done));
    assert!(said(&done).contains("Waiting for the sessions of"), "{}", said(&done));
    assert_eq!(there(&world), [false; 4]);
}
