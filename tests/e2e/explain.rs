//! Why an alert was not closed, as far as only the topics show it.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::secure::config;
use crate::support::world::Counted;
use crate::support::{Instance, TIMEOUT, World, activity, alert, program};

const WINDOW: (&str, &str) = ("2026-03-01T09:00:00Z", "2026-03-01T11:00:00Z");

/// Starts an instance with an API.
fn start(world: &World) -> Instance {
    let kafka = format!("bootstrap_servers = \"{}\"", world.broker);
    let config = config(world, "a", &kafka, "listen = \"127.0.0.1:0\"");
    Instance::start_with(&config, &world.folder.path().join("a.log"), &[])
}

/// Returns the address of its API.
fn server(instance: &mut Instance) -> String {
    instance.wait_for_log("address=");
    let log = instance.log();
    let address = log.split("address=").nth(1).unwrap().split_whitespace().next();
    format!("http://{}", address.unwrap())
}

/// Returns the output of `alerttrail query`.
fn query(server: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(program());
    let output = command.args(["query", "--server", server]).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_scan_finds_the_key_in_other_fields_and_in_dead_letter_records() {
    let Some(mut world) = World::new("scan") else { return };
    world.set("output", "unmatched = \"emit\"");
    let in_another_field = r#"{"Type":"CloudAppEvents","RawEventData":{"CreationTime":"2026-03-01T10:00:00Z","PolicyId":"the-key","Data":"{\"cid\":\"another\"}"}}"#;
    let without_time = r#"{"Type":"CloudAppEvents","RawEventData":{"Data":"{\"cid\":\"the-key\"}"}}"#;
    let matching = activity("found", "2026-03-01T10:00:00Z", "one");
    world.send(
        "activities",
        4,
        [
            in_another_field.as_bytes(),
            in_another_field.as_bytes(),
            without_time.as_bytes(),
            &matching,
        ],
    );
    world.send(
        "alerts",
        1,
        [
            alert("UNMATCHED", "the-key", WINDOW.0, WINDOW.1, WINDOW.1).as_slice(),
            alert("MATCHED", "found", WINDOW.0, WINDOW.1, WINDOW.1).as_slice(),
        ],
    );
    let mut instance = start(&world);
    world.wait_for_expected_rows(&mut [&mut instance]);
    world.wait_for_records("dead", 1, &mut instance);
    world.wait_for_records("summaries", 2, &mut instance);
    let server = server(&mut instance);
    let explain = |more: &[&str]| query(&server, &[&["explain"], more].concat());
    assert!(!explain(&["UNMATCHED"]).contains("PolicyId"));
    let printed = explain(&["UNMATCHED", "--scan"]);
    for part in [
        "2 of the activities read have it at RawEventData.PolicyId",
        "1 of the dead letters read contains its id or its correlation id",
        "missing_field",
        "and 1 dead letter in",
    ] {
        assert!(printed.contains(part), "{part:?} is missing:\n{printed}");
    }
    let conclusion = printed.lines().nth(1).unwrap();
    assert!(
        conclusion.contains("PolicyId"),
        "the scan of the input gives the cause: {printed}"
    );
    let json: serde_json::Value = serde_json::from_str(&explain(&["MATCHED", "--scan", "--json"])).unwrap();
    assert_eq!(json["status"], "matched");
    assert_eq!(json["scan"]["is_whole"], true);
}

#[test]
fn a_scan_finds_an_alert_that_is_not_stored_in_the_input() {
    let Some(mut world) = World::new("scan-id") else { return };
    world.set("input", "start = \"latest\"");
    let passed = alert("PASSED", "a-key", WINDOW.0, WINDOW.1, WINDOW.1);
    world.send_to("alerts", 0, Counted::No, [passed.as_slice()]);
    let mut instance = start(&world);
    let server = server(&mut instance);
    let began = Instant::now();
    loop {
        let status: serde_json::Value = serde_json::from_str(&query(&server, &["status", "--json"])).unwrap();
        if status["sources"].as_array().unwrap().len() == 5 {
            break;
        }
        assert!(began.elapsed() < TIMEOUT, "{status}");
        instance.assert_runs();
        std::thread::sleep(Duration::from_millis(200));
    }
    let printed = query(&server, &["explain", "PASSED", "--scan"]);
    let conclusion = printed.lines().nth(1).unwrap();
    let place = format!("It came: it is in {}, partition 0, offset 0. ", world.topic("alerts"));
    assert!(
        conclusion.contains(&place) && conclusion.contains("has read past it"),
        "{printed}"
    );
    let printed = query(&server, &["explain", "NEVER", "--scan"]);
    assert!(
        printed.contains("1 message of the input topics was read, and no SecurityAlert of this id is in them."),
        "{printed}"
    );
    assert!(
        printed.lines().nth(1).unwrap().contains("No alert of this id is held"),
        "{printed}"
    );
}
