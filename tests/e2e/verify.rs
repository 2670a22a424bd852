//! `alerttrail verify` over topics: what it finds, and what it does not count as a fault.

use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::support::world::Counted;
use crate::support::{World, activity, alert, program};
use crate::verdicts::generated;

/// Verifies the rows in the topic of this role.
pub(crate) fn verify(world: &World, role: &str) -> Output {
    verify_with(world, role, &[], &[])
}

/// Does the same with these arguments and environment variables.
pub(crate) fn verify_with(world: &World, role: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(program());
    command.args(["verify", "--json", "--config"]).arg(world.config("a"));
    command.args(arguments).envs(environment.iter().copied());
    command.env("ALERTTRAIL_OUTPUT__TOPIC", world.topic(role)).output().unwrap()
}

/// Returns the result and the exit status.
pub(crate) fn result(output: &Output) -> (Value, i32) {
    let text = String::from_utf8_lossy(&output.stdout);
    let result = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}\n{output:?}"));
    (result, output.status.code().unwrap())
}

#[test]
fn it_finds_each_missing_changed_or_extra_row_and_nothing_else() {
    let Some(mut world) = World::new("verify") else { return };
    generated(&mut world);
    let mut instance = world.start("a");
    let expected = world.wait_for_expected_rows(&mut [&mut instance]).len();
    assert_eq!(instance.terminate().0.code(), Some(0));
    let (found, status) = result(&verify(&world, "rows"));
    assert_eq!((&found["exact"], status), (&json!(true), 0), "{found}");
    assert_eq!(found["verdict"], json!("exact"));
    assert_eq!((&found["expected"], &found["found"]), (&json!(expected), &json!(expected)));
    assert_eq!(found["findings"], json!({}));

    let mut rows: Vec<String> = world
        .read("rows")
        .into_iter()
        .map(|record| String::from_utf8(record.value).unwrap())
        .collect();
    let id = |row: &str| serde_json::from_str::<Value>(row).unwrap()["id"].as_str().unwrap().to_owned();
    let removed = id(&rows.remove(7));
    rows[11] = rows[11].replacen("\"activity\":{\"", "\"activity\":{\"Added\":0,\"", 1);
    let changed = id(&rows[11]);
    let extra = "0123456789abcdef0123456789abcdef";
    rows.push(rows[20].replacen(&id(&rows[20]), extra, 1));
    world.create_topic(&world.topic("touched"), 2, &[]);
    world.send_to("touched", 1, Counted::No, rows.iter().map(String::as_bytes));
    let (found, status) = result(&verify(&world, "touched"));
    assert_eq!((&found["exact"], status), (&json!(false), 1), "{found}");
    assert_eq!(found["verdict"], json!("not_exact"));
    assert_eq!(found["findings"]["missing"].as_object().unwrap().len(), 1, "{found}");
    assert_eq!(found["findings"]["changed"], json!({ "other_activity": 1 }));
    assert_eq!(found["findings"]["extra"], json!({ "wrong_id": 1 }));
    let examples = found["examples"].as_array().unwrap();
    let mut ids: Vec<(&str, &str)> = examples
        .iter()
        .map(|example| (example["kind"].as_str().unwrap(), example["id"].as_str().unwrap()))
        .collect();
    ids.sort_unstable();
    assert_eq!(
        ids,
        [("changed", changed.as_str()), ("extra", extra), ("missing", removed.as_str())]
    );
}

#[test]
fn missing_rows_of_open_windows_are_not_a_fault() {
    let Some(mut world) = World::new("verify-open") else { return };
    world.send("activities", 4, [activity("p", "2026-03-01T10:00:00Z", "one").as_slice()]);
    let from = "2026-03-01T09:00:00Z";
    world.send(
        "alerts",
        1,
        [
            alert("A", "p", from, "2026-03-01T11:00:00Z", "2026-03-01T11:05:00Z").as_slice(),
            alert("B", "p", from, "2999-01-01T00:00:00Z", "2026-03-01T11:05:00Z").as_slice(),
        ],
    );
    let mut instance = world.start("a");
    world.wait_for_records("rows", 1, &mut instance);
    let (found, status) = result(&verify(&world, "rows"));
    assert_eq!((&found["exact"], status), (&json!(true), 0), "{found}");
    assert_eq!(found["findings"], json!({ "missing": { "window_open": 1 } }));
    instance.assert_runs();
}

#[test]
fn a_missing_topic_is_named() {
    let Some(world) = World::new("verify-none") else { return };
    let output = verify(&world, "nowhere");
    assert_eq!(output.status.code(), Some(1));
    let printed = String::from_utf8_lossy(&output.stderr);
    assert!(
        printed.contains(&format!("the topic {} (output) does not exist", world.topic("nowhere"))),
        "{printed}"
    );
}
