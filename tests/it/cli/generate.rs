//! `generate`: the same traffic for the same seed, and `correlate` makes something of it.

use super::Program;

const FILES: [&str; 2] = ["cloudappevents.jsonl", "securityalert.jsonl"];

/// What is written for these options, beside a few that make it small and lively.
fn generate(options: &[&str]) -> (Program, [Vec<u8>; 2]) {
    let program = Program::new();
    let mut arguments = vec![
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
    arguments.extend(options);
    let done = program.run(&arguments).expect(0);
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
fn cli_generate_makes_what_correlate_joins() {
    let (program, _) = generate(&["--seed", "7", "--in-window-share", "0.5", "--malformed", "0.05"]);
    let paths = FILES.map(|file| format!("out/{file}"));
    let correlate = |first: &str, second: &str, dead: &str| {
        let arguments = ["correlate", "--dead-letters", dead, "--input", first, second];
        program.run(&arguments).expect(0)
    };
    let rows = correlate(&paths[0], &paths[1], "dead-1.jsonl").stdout;
    assert!(rows.lines().count() > 20, "{rows}");
    assert_ne!(program.read("dead-1.jsonl"), "");
    // Activities first or alerts first: the same pairs.
    let pairs = |rows: &str| {
        let rows = rows
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let mut pairs: Vec<(String, String)> = rows.map(|row| (row["id"].to_string(), row["activity"].to_string())).collect();
        pairs.sort();
        pairs
    };
    let turned = correlate(&paths[1], &paths[0], "dead-2.jsonl").stdout;
    assert_eq!(pairs(&rows), pairs(&turned));
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
        let arguments = [
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
        let more = ["--seed", "7", "--compress", compression];
        program.run(&[&arguments[..], &more[..]].concat()).expect(0);
        assert_eq!(rows(&program, &format!(".{compression}")), rows(&plain, ""));
    }
}

#[test]
fn cli_generate_says_what_is_wrong() {
    let program = Program::with(&[("file", "")]);
    program.run(&["generate", "--malformed", "7", "--output", "out"]).fails(
        2,
        "error: nothing was generated: --malformed is 7: give a share from 0 to 0.9\n",
    );
    let said = program.run(&["generate", "--output", "file"]).expect(1).stderr;
    assert!(said.starts_with("error: cannot write file: "), "{said}");
}
