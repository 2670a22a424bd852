//! Why an alert was not answered, as far as only the topics know it.

use std::process::Command;

use crate::secure::config;
use crate::support::{Instance, World, activity, alert, program};

const WINDOW: (&str, &str) = ("2026-03-01T09:00:00Z", "2026-03-01T11:00:00Z");

#[test]
fn a_scan_finds_the_key_in_other_places_and_among_the_dead_letters() {
    let Some(mut world) = World::new("scan") else { return };
    world.set("output", "unmatched = \"emit\"");
    let elsewhere = r#"{"Type":"CloudAppEvents","RawEventData":{"CreationTime":"2026-03-01T10:00:00Z","PolicyId":"the-key","Data":"{\"cid\":\"another\"}"}}"#;
    let without_time = r#"{"Type":"CloudAppEvents","RawEventData":{"Data":"{\"cid\":\"the-key\"}"}}"#;
    let matching = activity("found", "2026-03-01T10:00:00Z", "one");
    world.send(
        "activities",
        4,
        [elsewhere.as_bytes(), elsewhere.as_bytes(), without_time.as_bytes(), &matching],
    );
    world.send(
        "alerts",
        1,
        [
            alert("UNMATCHED", "the-key", WINDOW.0, WINDOW.1, WINDOW.1).as_slice(),
            alert("MATCHED", "found", WINDOW.0, WINDOW.1, WINDOW.1).as_slice(),
        ],
    );
    let kafka = format!("bootstrap_servers = \"{}\"", world.broker);
    let config = config(&world, "a", &kafka, "listen = \"127.0.0.1:0\"");
    let mut instance = Instance::start_with(&config, &world.folder.path().join("a.log"), &[]);
    world.wait_for_answer(&mut [&mut instance]);
    world.wait_for_records("dead", 1, &mut instance);
    world.wait_for_records("summaries", 2, &mut instance);
    let log = instance.log();
    let server = format!(
        "http://{}",
        log.split("address=").nth(1).unwrap().split_whitespace().next().unwrap()
    );
    let explain = |more: &[&str]| {
        let mut command = Command::new(program());
        let output = command
            .args(["query", "explain", "--server", &server])
            .args(more)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(!explain(&["UNMATCHED"]).contains("PolicyId"));
    let said = explain(&["UNMATCHED", "--scan"]);
    for part in [
        "2 of the activities read at RawEventData.PolicyId",
        "1 of the dead letters read holds its id or its correlation id",
        "missing_field",
        "and 1 dead letters in",
    ] {
        assert!(said.contains(part), "{part:?} is missing:\n{said}");
    }
    let verdict = said.lines().nth(1).unwrap();
    assert!(verdict.contains("PolicyId"), "what the input knows is the cause: {said}");
    let json: serde_json::Value = serde_json::from_str(&explain(&["MATCHED", "--scan", "--json"])).unwrap();
    assert_eq!(json["status"], "matched");
    assert_eq!(json["scan"]["is_whole"], true);
}
