//! The demo needs no broker: it brings its own.

use std::process::Command;

use crate::support::program;

#[test]
fn the_demo_shows_every_kind_of_answer_and_ends_by_itself() {
    let output = Command::new(program()).args(["demo", "--seconds", "24"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    for part in [
        "3 activities",
        "<- late activity",
        "<- the alert was updated",
        "revision 2",
        "no activity matches",
        "alerts answered",
    ] {
        assert!(said.contains(part), "{part:?} is missing:\n{said}");
    }
}

#[test]
fn the_first_answer_of_the_demo_comes_within_ten_seconds() {
    let output = Command::new(program()).args(["demo", "--seconds", "10"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("3 activities"), "{said}");
}
