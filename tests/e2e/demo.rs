//! The demo needs no broker: it brings its own input.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use crate::support::program;

#[test]
fn the_demo_shows_every_kind_of_result_and_ends_by_itself() {
    let output = Command::new(program()).args(["demo", "--seconds", "24"]).output().unwrap();
    let (stdout, stderr) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{stderr}");
    for part in [
        "3 activities by users",
        "4 activities by file",
        "1 activity by query",
        "<- late activity",
        "<- the alert was updated",
        "revision 2: 4 activities by users",
        "2 activities by users",
        "no activity matches by query",
    ] {
        assert!(stdout.contains(part), "{part:?} is missing:\n{stdout}");
    }
    assert!(
        stderr.contains("alerts answered") && !stderr.contains("no activity"),
        "{stderr}"
    );
}

#[test]
fn the_demo_serves_the_page_and_prints_its_address() {
    let mut demo = Command::new(program())
        .args(["demo", "--seconds", "14"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = BufReader::new(demo.stderr.take().unwrap()).lines().map(Result::unwrap);
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines().map(Result::unwrap);
    let address = stderr
        .find_map(|line| Some(line.split_once("http://")?.1.to_owned()))
        .unwrap();
    let address = address.trim_end_matches('/').to_owned();
    let page = get(&address, "/");
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("<title>"), "{page}");
    // The first result has been printed, so the API has it too.
    assert!(lines.any(|line| line.contains("3 activities by users")));
    let alerts = get(&address, "/api/v1/alerts?status=closed");
    assert!(alerts.contains("\"status\":\"matched\""), "{alerts}");
    lines.for_each(drop);
    assert!(demo.wait().unwrap().success());
}

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}

#[test]
fn the_first_result_of_the_demo_appears_within_ten_seconds() {
    let output = Command::new(program()).args(["demo", "--seconds", "10"]).output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    for link in ["users", "file", "query"] {
        assert!(stdout.contains(&format!(" by {link}")), "{link} is missing:\n{stdout}");
    }
}

#[test]
fn the_demo_ends_when_nobody_reads_its_output() {
    let mut demo = Command::new(program())
        .args(["demo", "--no-browser"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().is_ok());
    // As `| head -1` does.
    drop(lines);
    let output = demo.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !stderr.contains("error"), "{stderr}");
}
