//! `correlate`: reads files and writes joined rows.

use std::io::{Read as _, Write as _};

use super::{CommandResult, Program, finish};

/// Returns an activity of the policy with this name and this time of day.
pub(super) fn activity(name: &str, time: &str) -> String {
    format!(
        "{{\"ReportId\":\"{name}\",\"RawEventData\":{{\"CreationTime\":\"2026-03-01T{time}\",\"Data\":{{\"cid\":\"policy\"}}}}}}\n"
    )
}

/// Returns an alert of the policy, from 10:00 to 11:00.
pub(super) fn alert(name: &str) -> String {
    format!(
        "{{\"SystemAlertId\":\"{name}\",\"AlertType\":\"policy\",\"TimeGenerated\":\"2026-03-01T12:00:00Z\",\
         \"StartTime\":\"2026-03-01T10:00:00Z\",\"EndTime\":\"2026-03-01T11:00:00Z\"}}\n"
    )
}

/// Returns the names of the activities in the output.
pub(super) fn names(output: &str) -> Vec<String> {
    let rows = output
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    rows.map(|row| row["activity"]["ReportId"].as_str().unwrap().to_owned())
        .collect()
}

pub(super) fn correlate(program: &Program, input: &[&str]) -> CommandResult {
    let arguments: Vec<&str> = ["correlate", "--input"].into_iter().chain(input.iter().copied()).collect();
    program.run(&arguments)
}

/// The output is fixed forever, because readers fold by the id and read the fields. The id was computed by hand from
/// its definition.
#[test]
fn cli_correlate_writes_the_requested_format() {
    let program = Program::with(&[
        ("in.jsonl", &(activity("a", "10:30:00") + &alert("A"))),
        ("ocsf.toml", "output.format = \"ocsf\""),
    ]);
    let flat = concat!(
        r#"{"ReportId":"a","RawEventData":{"CreationTime":"2026-03-01T10:30:00","Data":{"cid":"policy"}},"#,
        r#""correlationId1":"policy","correlationId":"policy","SystemAlertId":"A","AlertType":"policy","#,
        r#""TimeGenerated":"2026-03-01T12:00:00Z","StartTime":"2026-03-01T10:00:00Z","EndTime":"2026-03-01T11:00:00Z","#,
        r#""alerttrail":{"schema":"alerttrail/1","kind":"activity","op":"upsert","id":"b75fb7e6024b196767c12ff2050b5605","#,
        r#""seq":0,"system_alert_id":"A","correlation_id":"policy","link":"query","#,
        r#""activity_id":"039b31e4a8233833acddfc2b7bd352976506071a4f02ea982f61f818808a11f7","#,
        r#""activity_time":"2026-03-01T10:30:00.0000000Z","#,
        r#""reason":"window_closed"}}"#,
        "\n"
    );
    let args = ["correlate", "--input", "in.jsonl", "--format", "kql"];
    program.run(&args).prints(flat);
    // The option takes precedence over the file.
    program.run(&[&args[..], &["--config", "ocsf.toml"]].concat()).prints(flat);
    let rows = |more: &[&str]| {
        let done = program.run(&[&args[..3], more].concat()).expect(0);
        serde_json::from_str::<serde_json::Value>(&done.stdout).unwrap()
    };
    assert_eq!(rows(&["--config", "ocsf.toml"])["class_uid"], 6003);
    assert_eq!(rows(&["--format", "ecs"])["event"]["kind"], "event");
}

/// A finding names the kind of each of its events, and its times cover them. The window of the alert is in the native
/// record.
#[test]
fn cli_correlate_writes_findings_that_list_their_events() {
    let named = activity("b", "10:40:00").replacen('{', "{\"ActionType\":\"FileDownloaded\",", 1);
    let program = Program::with(&[("in.jsonl", &(activity("a", "10:30:00") + &named + &alert("A")))]);
    program.write("in.zst", &zstd::encode_all(program.read("in.jsonl").as_bytes(), 0).unwrap());
    for input in ["in.jsonl", "in.zst"] {
        correlate(&program, &[input, "--format", "ocsf", "--summaries", "findings.jsonl"]).expect(0);
        let finding: serde_json::Value = serde_json::from_str(&program.read("findings.jsonl")).unwrap();
        let events = finding["finding_info"]["related_events"].as_array().unwrap();
        let kinds: Vec<_> = events
            .iter()
            .map(|event| (event["type_uid"].as_u64().unwrap(), event["type_name"].as_str().unwrap()))
            .collect();
        assert_eq!(kinds, [(600_300, "API Activity: Unknown"), (600_399, "API Activity: Other")]);
        assert!(events.iter().all(|event| event.get("type").is_none()));
        let times = ["start_time", "end_time"].map(|name| finding[name].as_i64().unwrap());
        assert_eq!(times, [1_772_361_000_000, 1_772_361_600_000]);
        assert_eq!(
            finding["unmapped"]["alerttrail"]["window"]["start"],
            "2026-03-01T10:00:00.0000000Z"
        );
    }
}

#[test]
fn cli_correlate_gives_exactly_these_bytes() {
    let program = Program::with(&[("in.jsonl", &(activity("a", "10:30:00") + &alert("A")))]);
    let args = ["correlate", "--input", "in.jsonl", "--summaries", "summaries.jsonl"];
    program.run(&args).prints(concat!(
        r#"{"schema":"alerttrail/1","kind":"activity","op":"upsert","id":"b75fb7e6024b196767c12ff2050b5605","seq":0,"#,
        r#""system_alert_id":"A","correlation_id":"policy","link":"query","#,
        r#""activity_id":"039b31e4a8233833acddfc2b7bd352976506071a4f02ea982f61f818808a11f7","#,
        r#""activity_time":"2026-03-01T10:30:00.0000000Z","reason":"window_closed","#,
        r#""alert":{"SystemAlertId":"A","AlertType":"policy","TimeGenerated":"2026-03-01T12:00:00Z","#,
        r#""StartTime":"2026-03-01T10:00:00Z","EndTime":"2026-03-01T11:00:00Z"},"#,
        r#""activity":{"ReportId":"a","RawEventData":{"CreationTime":"2026-03-01T10:30:00","Data":{"cid":"policy"}}}}"#,
        "\n"
    ));
    assert_eq!(
        program.read("summaries.jsonl"),
        concat!(
            r#"{"schema":"alerttrail/1","kind":"alert","op":"upsert","id":"97c0547526bead8b32b89b6bd280f537","seq":1,"#,
            r#""system_alert_id":"A","correlation_id":"policy","link":"query","revision":1,"closed_by":"end_of_input","complete":true,"#,
            r#""complete_because":"end_of_input","#,
            r#""status":"matched","window":{"start":"2026-03-01T10:00:00.0000000Z","end":"2026-03-01T11:00:00.0000000Z"},"#,
            r#""activity_count":1,"first_activity_time":"2026-03-01T10:30:00.0000000Z","#,
            r#""last_activity_time":"2026-03-01T10:30:00.0000000Z","watermark":null,"closed_at":null,"#,
            r#""watermark_at_close":null,"retained_from":null,"late_count":0,"sources":[],"#,
            r#""alert":{"SystemAlertId":"A","AlertType":"policy","TimeGenerated":"2026-03-01T12:00:00Z","#,
            r#""StartTime":"2026-03-01T10:00:00Z","EndTime":"2026-03-01T11:00:00Z"}}"#,
            "\n"
        )
    );
}

#[test]
fn cli_correlate_reads_every_kind_of_file() {
    let lines = activity("a", "10:10:00") + &activity("b", "10:20:00") + &alert("A");
    let program = Program::with(&[("plain.jsonl", &lines)]);
    let expected = correlate(&program, &["plain.jsonl"]).expect(0).stdout;
    assert_eq!(names(&expected), ["a", "b"]);

    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(lines.as_bytes()).unwrap();
    program.write("lines.gz", &gzip.finish().unwrap());
    program.write("lines.zst", &zstd::encode_all(lines.as_bytes(), 0).unwrap());
    // The content of a file counts, not its name.
    program.write("lines.txt", &zstd::encode_all(lines.as_bytes(), 0).unwrap());
    program.write("crlf.jsonl", lines.replace('\n', "\r\n").as_bytes());
    program.write("no-end.jsonl", lines.trim_end().as_bytes());
    program.write("mark.jsonl", format!("\u{feff}{lines}").as_bytes());
    program.write("gaps.jsonl", format!("\n\n{}\n", lines.replace('\n', "\n \n")).as_bytes());
    let list = lines.trim_end().replace('\n', ",");
    program.write("array.json", format!("[{list}]").as_bytes());
    program.write("batch.json", format!("{{\"records\":[{list}]}}\n").as_bytes());
    let pretty: serde_json::Value = serde_json::from_str(&format!("[{list}]")).unwrap();
    program.write("pretty.json", serde_json::to_string_pretty(&pretty).unwrap().as_bytes());
    for file in [
        "lines.gz",
        "lines.zst",
        "lines.txt",
        "crlf.jsonl",
        "no-end.jsonl",
        "mark.jsonl",
        "gaps.jsonl",
        "array.json",
        "batch.json",
    ] {
        let found = correlate(&program, &[file]).expect(0);
        assert_eq!(found.stdout, expected, "{file}: {}", found.stderr);
    }
    // The keys of this record come in another order.
    let from_pretty = correlate(&program, &["pretty.json"]).expect(0).stdout;
    assert_eq!(names(&from_pretty), ["a", "b"]);
    assert_eq!(from_pretty.lines().count(), 2, "a row is one line: {from_pretty}");
}

#[test]
fn cli_correlate_reads_several_files_and_standard_input() {
    let program = Program::with(&[
        ("one.jsonl", &activity("a", "10:10:00")),
        ("two.jsonl", &activity("b", "10:20:00")),
        ("alerts.jsonl", &alert("A")),
    ]);
    let expected = ["a", "b"];
    let found = correlate(&program, &["one.jsonl", "two.jsonl", "alerts.jsonl"]).expect(0);
    assert_eq!(names(&found.stdout), expected);
    let found = program.run_with(
        &activity("b", "10:20:00"),
        &["correlate", "--input", "one.jsonl", "--input", "-", "--input", "alerts.jsonl"],
    );
    assert_eq!(names(&found.expect(0).stdout), expected);
    let everything = activity("b", "10:20:00") + &activity("a", "10:10:00") + &alert("A");
    let found = program.run_with(&everything, &["correlate", "--input", "-", "--output", "-"]);
    assert_eq!(names(&found.expect(0).stdout), expected);
    correlate(&program, &["alerts.jsonl", "--output", "out.jsonl"]).prints("");
    assert_eq!(program.read("out.jsonl"), "");
}

#[test]
fn cli_correlate_does_not_care_for_order_or_repetition() {
    let mut lines = Vec::new();
    for number in 10..60 {
        lines.push(activity(&format!("a{number}"), &format!("10:{number}:00")));
        lines.push(activity(&format!("b{number}"), &format!("10:{number}:00")));
        lines.push(alert(&format!("A{number}")));
        // An older version of the alert.
        lines.push(
            alert(&format!("A{number}"))
                .replace("12:00:00Z", "11:30:00Z")
                .replace("10:00:00Z", "10:30:00Z"),
        );
    }
    let run = |lines: &[String]| {
        let program = Program::with(&[("in.jsonl", &lines.concat())]);
        let rows = correlate(&program, &["in.jsonl"]).expect(0).stdout;
        // The result does not include the number of corrections on the way to it.
        let rows = rows
            .lines()
            .map(|row| serde_json::from_str::<serde_json::Value>(row).unwrap());
        rows.map(|mut row| (row["seq"].take(), row).1.to_string()).collect::<Vec<_>>()
    };
    let expected = run(&lines);
    assert_eq!(expected.len(), 50 * 100);
    let reversed: Vec<String> = lines.iter().rev().cloned().collect();
    assert_eq!(run(&reversed), expected);
    // Every seventh line, round and round, until each line has occurred twice.
    let strided: Vec<String> = (0..2 * lines.len()).map(|at| lines[at * 7 % lines.len()].clone()).collect();
    assert_eq!(run(&strided), expected);
}

/// The output does not depend on what goes to disk, or on where it is read from again.
#[test]
fn cli_correlate_gives_the_same_bytes_from_memory_and_from_disk() {
    let mut lines = String::new();
    for number in 0..20_000 {
        let time = format!("{:02}:{:02}:{:02}", 9 + number % 3, number % 60, number / 7 % 60);
        let line = activity(&format!("a{number}"), &time);
        lines += &line;
        match number % 1_000 {
            3 => lines += "no JSON\n",
            5 if number < 5_000 => lines += &alert(&format!("A{number}")),
            // The activity, delivered again in another envelope, and an older version of an alert.
            7 => lines += &line.replacen('{', "{\"TenantId\":\"t\", ", 1),
            8 if number < 5_000 => {
                lines += &alert(&format!("A{}", number - 3))
                    .replace("12:00:00Z", "11:30:00Z")
                    .replace("11:00:00Z", "09:00:01Z")
            }
            _ => {}
        }
    }
    let program = Program::with(&[
        ("in.jsonl", &lines),
        ("little.toml", "[state]\nmemory = \"1MB\"\n"),
        ("much.toml", "[state]\nmemory = \"1GB\"\n"),
    ]);
    program.write("in.zst", &zstd::encode_all(lines.as_bytes(), 0).unwrap());
    let run = |input: &str, config: &str| {
        let arguments = [
            input,
            "--config",
            config,
            "--summaries",
            "summaries.jsonl",
            "--dead-letters",
            "dead.jsonl",
        ];
        let found = correlate(&program, &arguments).expect(0);
        assert!(found.stderr.contains("20 of those duplicates"), "{}", found.stderr);
        let dead = program.read("dead.jsonl").replace(input, "INPUT");
        (found.stdout, program.read("summaries.jsonl"), dead)
    };
    let expected = run("in.jsonl", "much.toml");
    assert_eq!(expected.1.lines().count(), 5);
    assert_eq!(expected.2.lines().count(), 20);
    assert!(expected.0.lines().count() > 30_000, "hardly anything joins");
    for (input, config) in [
        ("in.jsonl", "little.toml"),
        ("in.zst", "much.toml"),
        ("in.zst", "little.toml"),
    ] {
        assert!(run(input, config) == expected, "{input} with {config} gives something else");
    }
}

#[test]
fn cli_correlate_keeps_dead_letters() {
    let input = format!(
        "{}no JSON\n[null,{{\"SystemAlertId\":\"B\"}}]\n{}",
        activity("a", "10:30:00"),
        alert("A")
    );
    let program = Program::with(&[("in.jsonl", &input)]);
    let found = correlate(&program, &["in.jsonl", "--dead-letters", "dead.jsonl"]).expect(0);
    assert_eq!(names(&found.stdout), ["a"]);
    assert!(
        found
            .stderr
            .contains("3 dead letters (invalid_json 1, missing_field 1, unknown_record 1)"),
        "{}",
        found.stderr
    );
    let dead_letters = program.read("dead.jsonl");
    let dead_letters: Vec<serde_json::Value> = dead_letters.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let summaries: Vec<(&str, i64, i64, &str)> = dead_letters
        .iter()
        .map(|record| {
            assert_eq!(record["alerttrail.topic"], "in.jsonl");
            assert_eq!(record["alerttrail.partition"], 0);
            assert!(record["alerttrail.error"].as_str().unwrap().len() > 10);
            (
                record["alerttrail.reason"].as_str().unwrap(),
                record["alerttrail.offset"].as_i64().unwrap(),
                record["alerttrail.index"].as_i64().unwrap(),
                record["value"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        summaries,
        [
            ("invalid_json", 1, 0, "no JSON"),
            ("unknown_record", 2, 0, "null"),
            ("missing_field", 2, 1, "{\"SystemAlertId\":\"B\"}"),
        ]
    );
    // Without the option, dead-letter records are counted, and a message explains how to keep them.
    let found = correlate(&program, &["in.jsonl"]).expect(0);
    assert!(found.stderr.contains("--dead-letters FILE"), "{}", found.stderr);
}

#[test]
fn cli_correlate_takes_its_rules_from_a_configuration() {
    let program = Program::with(&[
        (
            "in.jsonl",
            &(activity("at start", "10:00:00") + &activity("at end", "11:00:00") + &alert("A")),
        ),
        ("inclusive.toml", "[correlation]\nbounds = \"inclusive\"\n"),
        ("wrong.toml", "[correlation]\nbounds = \"open\"\n"),
    ]);
    correlate(&program, &["in.jsonl"]).prints("");
    let found = correlate(&program, &["in.jsonl", "--config", "inclusive.toml"]).expect(0);
    assert_eq!(names(&found.stdout), ["at start", "at end"]);
    let stderr = correlate(&program, &["in.jsonl", "--config", "wrong.toml"]).expect(2).stderr;
    assert!(stderr.starts_with("error: correlation.bounds: "), "{stderr}");
}

#[test]
fn cli_correlate_reports_what_it_cannot_read_or_write() {
    let program = Program::with(&[("in.jsonl", &alert("A"))]);
    correlate(&program, &["none.jsonl"]).fails(1, "error: cannot read none.jsonl: No such file or directory (os error 2)\n");
    std::fs::create_dir(program.path("empty")).unwrap();
    let stderr = correlate(&program, &["empty"]).expect(1).stderr;
    assert!(
        stderr.starts_with("error: cannot read empty: it is a folder without a file whose name ends in .json"),
        "{stderr}"
    );
    correlate(&program, &[".", "--output", "in.jsonl"]).expect(2);
    correlate(&program, &["in.jsonl", "--output", "none/out.jsonl"]).fails(
        1,
        "error: cannot write none/out.jsonl: No such file or directory (os error 2)\n",
    );
    program.write("cut.gz", &[0x1f, 0x8b, 8, 0]);
    let stderr = correlate(&program, &["cut.gz"]).expect(1).stderr;
    assert!(stderr.starts_with("error: cannot read cut.gz: "), "{stderr}");
}

#[test]
fn cli_correlate_reads_the_files_in_folders() {
    let program = Program::with(&[("whole.jsonl", &(alert("A") + &activity("one", "10:30:00")))]);
    let whole = correlate(&program, &["whole.jsonl"]).expect(0).stdout;
    std::fs::create_dir_all(program.path("export/h=01")).unwrap();
    program.write("export/a.json", alert("A").as_bytes());
    program.write("export/h=01/PT1H.json", activity("one", "10:30:00").as_bytes());
    program.write("export/h=01/notes.txt", b"no message");
    let done = correlate(&program, &["export"]).expect(0);
    assert_eq!(done.stdout, whole);
    assert!(done.stderr.contains("skipped 1 file in the folders"), "{}", done.stderr);
}

#[test]
fn cli_correlate_ends_quietly_when_nobody_reads_on() {
    let mut input = alert("A");
    for number in 0..20_000 {
        input += &activity(&format!("a{number}"), "10:30:00");
    }
    let program = Program::with(&[("in.jsonl", &input)]);
    let mut child = program.command(&["correlate", "--input", "in.jsonl"]).spawn().unwrap();
    let mut first = [0; 10];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    assert_eq!(&first, b"{\"schema\":");
    finish(child).fails(0, "");
}
