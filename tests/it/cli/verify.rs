use super::{CommandResult, Program};

/// Returns a program with traffic and the rows that `correlate` finds in it.
fn joined() -> (Program, Vec<String>) {
    let program = Program::with(&[("c.toml", "")]);
    let generated = [
        "generate",
        "--activities",
        "2000",
        "--alerts",
        "40",
        "--keyed-share",
        "0.5",
        "--in-window-share",
        "0.5",
        "--output",
        "in",
    ];
    program.run(&generated).expect(0);
    let files = ["in/cloudappevents.jsonl", "in/securityalert.jsonl"];
    program
        .run(&["correlate", "--input", files[0], files[1], "--output", "rows.jsonl"])
        .expect(0);
    let rows: Vec<String> = program.read("rows.jsonl").lines().map(str::to_owned).collect();
    assert!(rows.len() > 100, "{}", rows.len());
    (program, rows)
}

fn verify(program: &Program, rows: &[String], more: &[&str]) -> CommandResult {
    verify_with(program, rows, "in/securityalert.jsonl", more)
}

fn verify_with(program: &Program, rows: &[String], alerts: &str, more: &[&str]) -> CommandResult {
    program.write("rows.jsonl", (rows.join("\n") + "\n").as_bytes());
    let arguments = [
        "verify",
        "--config",
        "c.toml",
        "--output-file",
        "rows.jsonl",
        "--input",
        "in/cloudappevents.jsonl",
        alerts,
    ];
    program.run(&[&arguments, more].concat())
}

fn result(done: &CommandResult) -> serde_json::Value {
    serde_json::from_str(&done.stdout).unwrap_or_else(|error| panic!("{error}\n{}\n{}", done.stdout, done.stderr))
}

fn id(row: &str) -> String {
    let row: serde_json::Value = serde_json::from_str(row).unwrap();
    row["id"].as_str().unwrap().to_owned()
}

#[test]
fn cli_verify_calls_an_exact_output_exact() {
    let (program, mut rows) = joined();
    let done = verify(&program, &rows, &[]).expect(0);
    assert!(done.stdout.ends_with("The output is exact.\n"), "{}", done.stdout);
    rows.reverse();
    let json = result(&verify(&program, &rows, &["--json"]).expect(0));
    assert_eq!(json["exact"], true);
    assert_eq!(json["verdict"], "exact");
    assert_eq!((&json["faults"], &json["undecided"]), (&0.into(), &0.into()));
    assert_eq!(json["expected"], rows.len());
    assert_eq!(json["found"], rows.len());
    assert_eq!(json["findings"], serde_json::json!({}));
}

#[test]
fn cli_verify_finds_a_row_that_is_removed_changed_or_too_many() {
    let (program, rows) = joined();
    let mut modified = rows;
    let removed = modified.remove(5);
    modified[50] = modified[50].replacen("\"activity\":{", "\"activity\":{ ", 1);
    let other = modified[20].replacen(&id(&modified[20]), "0123456789abcdef0123456789abcdef", 1);
    modified.push(other);
    let done = verify(&program, &modified, &[]).expect(1);
    assert!(done.stdout.ends_with("The output is NOT exact.\n"), "{}", done.stdout);
    assert!(
        done.stderr
            .ends_with("error: the output differs from the recomputed result: 1 missing, 1 too many, 1 changed\n"),
        "{}",
        done.stderr
    );
    for id in [id(&removed), id(&modified[50]), "0123456789abcdef0123456789abcdef".to_owned()] {
        assert!(done.stdout.contains(&format!("row {id}, alert ")), "{id}\n{}", done.stdout);
    }
    let json = result(&verify(&program, &modified, &["--json"]).expect(1));
    assert_eq!(json["exact"], false);
    assert_eq!(json["verdict"], "not_exact");
    assert_eq!((&json["faults"], &json["undecided"]), (&3.into(), &0.into()));
    assert_eq!(json["findings"]["changed"], serde_json::json!({ "other_activity": 1 }));
    assert_eq!(json["findings"]["extra"], serde_json::json!({ "wrong_id": 1 }));
    assert_eq!(json["examples"].as_array().unwrap().len(), 3);
    let json = result(&verify(&program, &modified, &["--json", "--examples", "0"]).expect(1));
    assert_eq!(json["examples"], serde_json::json!([]));
}

#[test]
fn cli_verify_does_not_judge_rows_that_may_come_from_a_record_that_is_still_being_written() {
    let (program, rows) = joined();
    let row: serde_json::Value = serde_json::from_str(&rows[0]).unwrap();
    let alert_id = row["system_alert_id"].as_str().unwrap();
    let alerts = program.read("in/securityalert.jsonl");
    let (last, others): (Vec<&str>, Vec<&str>) = alerts.lines().partition(|alert| alert.contains(alert_id));
    let half = &last[0][..last[0].len() / 2];
    program.write("in/PT1H.json", (others.join("\n") + "\n" + half).as_bytes());
    let done = verify_with(&program, &rows, "in/PT1H.json", &[]).expect(3);
    assert!(
        done.stdout.lines().last().unwrap().starts_with("No fault was found; "),
        "{}",
        done.stdout
    );
    assert!(
        done.stderr.contains("warning: no fault was found; ") && !done.stderr.contains("error: "),
        "{}",
        done.stderr
    );
    let json = result(&verify_with(&program, &rows, "in/PT1H.json", &["--json"]).expect(3));
    assert_eq!((&json["verdict"], &json["exact"]), (&"undecided".into(), &false.into()));
    assert_eq!(json["findings"]["extra"].as_object().unwrap().len(), 1);
    assert_eq!(json["findings"]["extra"]["before_input"], json["undecided"]);
}

#[test]
fn cli_verify_compares_a_span_of_activity_times() {
    let (program, mut rows) = joined();
    let time = |row: &str| {
        let row: serde_json::Value = serde_json::from_str(row).unwrap();
        row["activity_time"].as_str().unwrap().to_owned()
    };
    rows.sort_by_key(|row| time(row));
    let (first, last) = (time(&rows[0]), time(&rows[rows.len() - 1]));
    rows.remove(0);
    assert_ne!(first, last);
    let second = time(&rows[0]);
    let json = result(&verify(&program, &rows, &["--json", "--from", &second]).expect(0));
    assert_eq!(json["expected"], rows.len());
    verify(&program, &rows, &["--to", &last]).expect(1);
    verify(&program, &rows, &["--from", &last, "--to", &first]).fails(2, "error: --from must be before --to\n");
    let done = verify(&program, &rows, &["--from", "yesterday"]).expect(2);
    assert!(
        done.stderr.contains("it is not a time; use 2026-03-01T10:00:00Z"),
        "{}",
        done.stderr
    );
}

#[test]
fn cli_verify_refuses_what_it_cannot_compare() {
    let (program, rows) = joined();
    program.write("c.toml", b"[output]\nformat = \"kql\"\n");
    let done = verify(&program, &rows, &[]).expect(2);
    assert!(
        done.stderr
            .contains("verify compares rows of output.format = \"native\" only"),
        "{}",
        done.stderr
    );
    program.write("c.toml", b"");
    let done = program.run(&[
        "verify",
        "--config",
        "c.toml",
        "--input",
        "none.jsonl",
        "--output-file",
        "rows.jsonl",
    ]);
    done.fails(1, "error: cannot read none.jsonl: No such file or directory (os error 2)\n");
}
