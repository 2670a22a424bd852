//! One version after the other over the same topics and states, under traffic: an upgrade of one instance at a time,
//! and the way back.
//!
//! `ALERTTRAIL_PREVIOUS` names the program of the other version; `scripts/upgrade` builds it from a tag and sets it.
//! Without it, both are the same program, so that CI tests the procedure of docs/operations.md.

use std::path::{Path, PathBuf};
use std::process::Command;

use alerttrail::generate::Options;

use crate::support::{Instance, World, program};

fn previous() -> PathBuf {
    std::env::var_os("ALERTTRAIL_PREVIOUS").map_or_else(|| program().into(), PathBuf::from)
}

fn traffic(seed: u64) -> Options {
    Options {
        activities: 3_000,
        alerts: 80,
        seed,
        keyed_share: 0.3,
        batch_max: 5,
        alert_updates: 0.4,
        ..Options::default()
    }
}

/// Stops an instance, and starts another program with its state.
fn replace(world: &World, instance: Instance, state: &str, program: &Path) -> Instance {
    let (status, _) = instance.terminate();
    assert_eq!(status.code(), Some(0));
    let mut instance = world.start_as(program, state);
    instance.wait_for_log("joining");
    instance
}

fn upgraded_and_back(delivery: &str) {
    let Some(mut world) = World::new(&format!("upgrade-{delivery}")) else {
        return;
    };
    world.set("output", &format!("delivery = \"{delivery}\""));
    let (old, new) = (previous(), PathBuf::from(program()));
    let version = |program: &PathBuf| Command::new(program).arg("--version").output().unwrap().stdout;
    println!("from {}", String::from_utf8_lossy(&version(&old)).trim());
    println!("to   {}", String::from_utf8_lossy(&version(&new)).trim());
    let [mut a, mut b] = ["a", "b"].map(|state| world.start_as(&old, state));
    world.send_generated(&traffic(31));
    a.wait_for_log("joining");
    b.wait_for_log("joining");
    // Forward, one instance after the other, with traffic before, between and after.
    a = replace(&world, a, "a", &new);
    world.send_generated(&traffic(32));
    b = replace(&world, b, "b", &new);
    world.send_generated(&traffic(33));
    world.wait_for_expected_rows(&mut [&mut a, &mut b]);
    // And back.
    b = replace(&world, b, "b", &old);
    world.send_generated(&traffic(34));
    a = replace(&world, a, "a", &old);
    world.send_generated(&traffic(35));
    let fold = world.wait_for_expected_rows(&mut [&mut a, &mut b]);
    let records = world.read("rows");
    if delivery == "exactly_once" {
        let sent: std::collections::BTreeSet<(String, i64)> = records
            .iter()
            .map(|record| {
                (
                    record.header("alerttrail.id").to_owned(),
                    record.json()["seq"].as_i64().unwrap(),
                )
            })
            .collect();
        assert_eq!(sent.len(), records.len(), "a record was sent twice");
    }
    assert!(fold.len() > 300, "the traffic has few pairs: {}", fold.len());
    for instance in [a, b] {
        assert_eq!(instance.terminate().0.code(), Some(0));
    }
}

#[test]
fn an_upgrade_of_one_instance_after_the_other_and_back_changes_nothing() {
    upgraded_and_back("at_least_once");
}

#[test]
fn an_upgrade_of_one_instance_after_the_other_and_back_changes_nothing_exactly_once() {
    upgraded_and_back("exactly_once");
}
