//! `generate` writes the same traffic for the same seed, and `correlate` joins it.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Program;

const FILES: [&str; 2] = ["cloudappevents.jsonl", "securityalert.jsonl"];

/// Generates traffic that is small but varied.
const SMALL: [&str; 9] = [
    "generate",
    "--activities",
    "400",
    "--alerts",
    "20",
    "--output",
    "out",
    "--keyed-share",
    "0.5",
];

/// Generates [`SMALL`] traffic with more options. Returns the files.
fn generate(options: &[&str]) -> (Program, [Vec<u8>; 2]) {
    let program = Program::new();
    let done = program.run(&[&SMALL[..], options].concat()).expect(0);
    assert_eq!(done.stdout, "");
    let files = FILES.map(|file| std::fs::read(program.path(&format!("out/{file}"))).unwrap());
    (program, files)
}

#[test]
fn cli_generate_gives_the_same_bytes_for_the_same_seed() {
    let (_, one) = generate(&["--seed", "7"]);
    let (_, again) = generate(&["--seed", "7"]);
    let (_, other) = generate(&["--seed", "8"]);
    assert_eq!(one, again);
    assert_ne!(one[0], other[0]);
    assert_ne!(one[1], other[1]);
    let lines = |file: &[u8]| file.iter().filter(|byte| **byte == b'\n').count();
    assert!(lines(&one[0]) >= 400 && lines(&one[1]) >= 20);
}

#[test]
fn cli_generate_writes_traffic_that_correlate_joins() {
    let (program, _) = generate(&["--seed", "7", "--in-window-share", "0.5", "--malformed", "0.05"]);
    let paths = FILES.map(|file| format!("out/{file}"));
    let correlate = |first: &str, second: &str, dead: &str| {
        let arguments = ["correlate", "--dead-letters", dead, "--input", first, second];
        program.run(&arguments).expect(0)
    };
    let rows = correlate(&paths[0], &paths[1], "dead-1.jsonl").stdout;
    assert!(rows.lines().count() > 20, "{rows}");
    assert_ne!(program.read("dead-1.jsonl"), "");
    // The pairs are the same whether activities or alerts are read first.
    let pairs = |rows: &str| {
        let rows = rows
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let mut pairs: Vec<(String, String)> = rows.map(|row| (row["id"].to_string(), row["activity"].to_string())).collect();
        pairs.sort();
        pairs
    };
    let swapped = correlate(&paths[1], &paths[0], "dead-2.jsonl").stdout;
    assert_eq!(pairs(&rows), pairs(&swapped));
}

#[test]
fn cli_generate_writes_compressed_files() {
    let (plain, [activities, alerts]) = generate(&["--seed", "7"]);
    let rows = |program: &Program, suffix: &str| {
        let paths = FILES.map(|file| format!("out/{file}{suffix}"));
        program.run(&["correlate", "--input", &paths[0], &paths[1]]).expect(0).stdout
    };
    assert!(!activities.is_empty() && !alerts.is_empty());
    for compression in ["gz", "zst"] {
        let program = Program::new();
        let more = ["--seed", "7", "--compress", compression];
        program.run(&[&SMALL[..], &more].concat()).expect(0);
        assert_eq!(rows(&program, &format!(".{compression}")), rows(&plain, ""));
    }
}

#[test]
fn cli_generate_reports_what_is_wrong() {
    let program = Program::with(&[("file", "")]);
    program.run(&["generate", "--malformed", "7", "--output", "out"]).fails(
        2,
        "error: nothing was generated: --malformed is 7: give a share from 0 to 0.9\n",
    );
    let stderr = program.run(&["generate", "--output", "file"]).expect(1).stderr;
    assert!(stderr.starts_with("error: cannot write file: "), "{stderr}");
}

/// Returns alert, link, key, `ReportId` and time of each row, sorted. `places` are the JSON pointers to these values.
fn rows(lines: &str, places: [&str; 5]) -> Vec<[String; 5]> {
    let row = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        places.map(|place| {
            line.pointer(place)
                .and_then(Value::as_str)
                .unwrap_or_else(|| panic!("{place}: {line}"))
                .to_owned()
        })
    };
    let mut rows: Vec<_> = lines.lines().map(row).collect();
    rows.sort();
    rows
}

/// Generates tenant traffic with these options in `out`. Returns the program and the lines of the truth file after the
/// header.
fn tenant(options: &[&str]) -> (Program, Vec<[String; 5]>) {
    let program = Program::new();
    let mut arguments = vec!["generate", "--traffic", "tenant", "--output", "out", "--truth", "truth.jsonl"];
    arguments.extend(options);
    let stderr = program.run(&arguments).expect(0).stderr;
    let truth = program.read("truth.jsonl");
    let (header, lines) = truth.split_once('\n').unwrap();
    let header: Value = serde_json::from_str(header).unwrap();
    assert_eq!(header["schema"], "alerttrail-truth/1");
    let stated = rows(lines, ["/alert", "/link", "/key", "/report_id", "/activity_time"]);
    assert!(
        stderr.starts_with("3 files in out: ") && stderr.contains(" rows in truth.jsonl"),
        "{stderr}"
    );
    (program, stated)
}

fn found(program: &Program, more: &[&str]) -> Vec<[String; 5]> {
    let arguments = [&["correlate", "--dead-letters", "dead.jsonl", "--input", "out"], more].concat();
    let output = program.run(&arguments).expect(0).stdout;
    let places = [
        "/system_alert_id",
        "/link",
        "/correlation_id",
        "/activity/ReportId",
        "/activity_time",
    ];
    rows(&output, places)
}

#[test]
fn cli_generate_states_what_the_links_find() {
    let worlds: [&[&str]; 3] = [
        &[
            "--activities",
            "3000",
            "--alerts",
            "80",
            "--alert-updates",
            "0.5",
            "--seed",
            "11",
        ],
        &[
            "--activities",
            "2000",
            "--alerts",
            "300",
            "--seed",
            "12",
            "--span",
            "3days",
            "--policies",
            "3",
        ],
        &[
            "--activities",
            "2000",
            "--alerts",
            "60",
            "--seed",
            "13",
            "--malformed",
            "0.1",
            "--batch-max",
            "20",
            "--duplicates",
            "0.3",
        ],
    ];
    for options in worlds {
        let (program, stated) = tenant(options);
        let links: BTreeSet<&str> = stated.iter().map(|row| row[1].as_str()).collect();
        assert_eq!(links.len(), 4, "{links:?}");
        let found = found(&program, &["--config", "out/links.toml"]);
        let (stated, found): (BTreeSet<_>, BTreeSet<_>) = (stated.iter().collect(), found.iter().collect());
        let missing: Vec<_> = stated.difference(&found).take(3).collect();
        let wrong: Vec<_> = found.difference(&stated).take(3).collect();
        assert!(
            missing.is_empty() && wrong.is_empty(),
            "{options:?}: missing {missing:?}, unexpected {wrong:?}"
        );
    }
}

#[test]
fn cli_generate_states_what_the_query_finds() {
    let (program, mut stated) = tenant(&["--activities", "3000", "--alerts", "80", "--seed", "11"]);
    stated.retain(|row| row[1] == "query");
    assert!(stated.len() > 4, "{stated:?}");
    assert_eq!(found(&program, &[]), stated);
}

#[test]
fn cli_generate_refuses_options_without_a_meaning() {
    let program = Program::new();
    let generate = |more: &[&str]| program.run(&[&["generate", "--output", "out"], more].concat());
    generate(&["--traffic", "tenant", "--keyed-share", "0.5"]).fails(
        2,
        "error: nothing was generated: --keyed-share has no meaning with --traffic tenant: leave it out\n",
    );
    generate(&["--truth", "truth.jsonl"]).fails(
        2,
        "error: nothing was generated: --truth has no meaning with --traffic correlated: add --traffic tenant\n",
    );
    assert!(!program.path("out").exists());
}
