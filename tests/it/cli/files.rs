//! Reading and writing files: commands never overwrite their inputs, never leave a partial output, and limit how much
//! they read.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::Command;

use serde_json::Value;

use super::correlate::{activity, alert, correlate, names};
use super::{CommandResult, Program, finish};

/// Returns a program with an input `in.jsonl` that gives one pair, and the content of that file.
fn program() -> (Program, String) {
    let input = activity("a", "10:30:00") + &alert("A");
    let program = Program::with(&[("in.jsonl", &input), ("mine.toml", "[correlation]\nignore_case = false\n")]);
    (program, input)
}

/// Returns the names of all files in the program's folder.
fn listed(program: &Program) -> Vec<String> {
    let entries = std::fs::read_dir(program.path("")).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn fifo(program: &Program, name: &str) {
    assert!(Command::new("mkfifo").arg(program.path(name)).status().unwrap().success());
}

/// Runs the program with this file as standard input.
fn run_from(program: &Program, file: &str, arguments: &[&str]) -> CommandResult {
    let input = File::open(if file.starts_with('/') {
        file.into()
    } else {
        program.path(file)
    })
    .unwrap();
    finish(program.command(arguments).stdin(input).spawn().unwrap())
}

#[test]
fn cli_files_nothing_is_written_over_what_is_read() {
    let (program, input) = program();
    std::fs::hard_link(program.path("in.jsonl"), program.path("hard.jsonl")).unwrap();
    symlink("in.jsonl", program.path("soft.jsonl")).unwrap();
    std::fs::hard_link(program.path("mine.toml"), program.path("other.toml")).unwrap();
    let before = listed(&program);
    for option in ["--output", "--dead-letters", "--summaries"] {
        for name in [
            "in.jsonl",
            "./in.jsonl",
            "hard.jsonl",
            "soft.jsonl",
            "mine.toml",
            "other.toml",
        ] {
            let arguments = ["correlate", "--input", "in.jsonl", "--config", "mine.toml", option, name];
            let stderr = program.run(&arguments).expect(2).stderr;
            assert!(
                stderr.contains("; name another file for the output"),
                "{option} {name}: {stderr}"
            );
            for standard in ["-", "/dev/stdin"].into_iter().filter(|_| !name.ends_with(".toml")) {
                let stderr = run_from(&program, "in.jsonl", &["correlate", "--input", standard, option, name]);
                let stderr = stderr.expect(2).stderr;
                assert!(
                    stderr.contains("; name another file for the output"),
                    "{option} {name} < in.jsonl: {stderr}"
                );
            }
        }
    }
    // The shell may have opened the input as standard output.
    let appended = std::fs::OpenOptions::new()
        .append(true)
        .open(program.path("in.jsonl"))
        .unwrap();
    let mut command = program.command(&["correlate", "--input", "hard.jsonl"]);
    finish(command.stdout(appended).spawn().unwrap()).expect(2);
    assert_eq!(program.read("in.jsonl"), input);
    assert_eq!(listed(&program), before);
}

#[test]
fn cli_files_two_outputs_are_not_one_file() {
    let (program, _) = program();
    program.write("old.jsonl", b"old\n");
    std::fs::hard_link(program.path("old.jsonl"), program.path("hard.jsonl")).unwrap();
    symlink("new.jsonl", program.path("soft.jsonl")).unwrap();
    let before = listed(&program);
    for (one, other) in [
        ("old.jsonl", "old.jsonl"),
        ("old.jsonl", "hard.jsonl"),
        ("new.jsonl", "new.jsonl"),
        ("new.jsonl", "./soft.jsonl"),
    ] {
        for options in [
            ["--output", "--summaries"],
            ["--output", "--dead-letters"],
            ["--dead-letters", "--summaries"],
        ] {
            let done = correlate(&program, &["in.jsonl", options[0], one, options[1], other]).expect(2);
            assert!(
                done.stderr
                    .contains(" are the same file; use a different file for each output"),
                "{}",
                done.stderr
            );
        }
    }
    assert_eq!(listed(&program), before);
    assert_eq!(program.read("old.jsonl"), "old\n");
    // Several outputs may share standard output or /dev/null.
    let both = correlate(&program, &["in.jsonl", "--output", "-", "--summaries", "-"]).expect(0);
    assert_eq!(both.stdout.lines().count(), 2);
    correlate(&program, &["in.jsonl", "--output", "/dev/null", "--summaries", "/dev/null"]).prints("");
    // The file that the shell opened is not replaced.
    let opened = File::create(program.path("shell.jsonl")).unwrap();
    let mut command = program.command(&["correlate", "--input", "in.jsonl", "--output", "shell.jsonl"]);
    finish(command.stdout(opened).spawn().unwrap()).expect(0);
    assert_eq!(names(&program.read("shell.jsonl")), ["a"]);
}

#[test]
fn cli_files_an_incomplete_output_does_not_replace_the_old_one() {
    let (program, input) = program();
    program.write("old.jsonl", b"old\n");
    program.write("own.jsonl", b"old\n");
    std::fs::set_permissions(program.path("own.jsonl"), std::fs::Permissions::from_mode(0o600)).unwrap();
    symlink("old.jsonl", program.path("link.jsonl")).unwrap();
    let cut = zstd::encode_all(input.repeat(2_000).as_bytes(), 1).unwrap();
    program.write("cut.zst", &cut[..cut.len() / 2]);
    let before = listed(&program);
    let outputs = [
        "--output",
        "link.jsonl",
        "--summaries",
        "new.jsonl",
        "--dead-letters",
        "own.jsonl",
    ];
    correlate(&program, &[&["in.jsonl", "cut.zst"], &outputs[..]].concat()).expect(1);
    assert_eq!(
        (program.read("old.jsonl").as_str(), program.read("own.jsonl").as_str()),
        ("old\n", "old\n")
    );
    assert_eq!(listed(&program), before, "no temporary file remains");
    correlate(&program, &[&["in.jsonl"], &outputs[..]].concat()).expect(0);
    assert_eq!(names(&program.read("old.jsonl")), ["a"]);
    assert!(program.path("link.jsonl").is_symlink());
    let mode = |name: &str| std::fs::metadata(program.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("own.jsonl"), mode("new.jsonl")), (0o600, mode("in.jsonl")));
    let stderr = correlate(&program, &["in.jsonl", "--output", "/dev/full"]).expect(1).stderr;
    assert!(stderr.contains("No space left on device"), "{stderr}");
}

#[test]
fn cli_files_devices_and_long_configurations_are_refused() {
    let (program, _) = program();
    let refused = "it is a device, which has no end; name a file, a folder, a pipe, or - for standard input\n";
    correlate(&program, &["/dev/zero"]).fails(1, &format!("error: cannot read /dev/zero: {refused}"));
    run_from(&program, "/dev/zero", &["correlate", "--input", "-"]).fails(1, &format!("error: cannot read -: {refused}"));
    for arguments in [
        &["correlate", "--input", "in.jsonl", "--config", "/dev/zero"][..],
        &["check", "--offline", "--config", "/dev/zero"],
    ] {
        let stderr = program.run(arguments).expect(2).stderr;
        assert!(
            stderr.starts_with("error: cannot read the configuration file /dev/zero: it is a device"),
            "{stderr}"
        );
    }
    program.write("long.toml", "# \n".repeat(400_000).as_bytes());
    let stderr = program.run(&["check", "--offline", "--config", "long.toml"]).expect(2).stderr;
    assert!(stderr.contains("long.toml: it has more than 1048576 bytes"), "{stderr}");
    correlate(&program, &["/dev/null"]).prints("");
}

#[test]
fn cli_files_a_pipe_is_read_when_it_is_named_and_not_waited_for_in_a_folder() {
    let (program, input) = program();
    std::fs::create_dir(program.path("folder")).unwrap();
    std::fs::rename(program.path("in.jsonl"), program.path("folder/in.jsonl")).unwrap();
    fifo(&program, "folder/pipe.jsonl");
    symlink(".", program.path("folder/round")).unwrap();
    let done = correlate(&program, &["folder"]).expect(0);
    assert_eq!(names(&done.stdout), ["a"]);
    for part in [
        "warning: links in folder lead to 1 folders that are read already",
        "warning: folder/pipe.jsonl is a pipe and was skipped",
    ] {
        assert!(done.stderr.contains(part), "{}", done.stderr);
    }
    let path = program.path("folder/pipe.jsonl");
    let writer = std::thread::spawn(move || File::create(path).unwrap().write_all(input.as_bytes()).unwrap());
    let done = correlate(&program, &["folder/pipe.jsonl"]).expect(0);
    assert_eq!(names(&done.stdout), ["a"]);
    writer.join().unwrap();
}

#[test]
fn cli_files_a_run_that_waits_for_a_pipe_ends_on_a_signal() {
    let (program, _) = program();
    fifo(&program, "pipe");
    program.write("old.jsonl", b"old\n");
    let mut command = program.command(&["correlate", "--input", "in.jsonl", "pipe", "--output", "old.jsonl"]);
    let child = command.spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(700));
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    finish(child).fails(1, "error: interrupted before the end; old.jsonl was not written\n");
    assert_eq!(program.read("old.jsonl"), "old\n");
    assert_eq!(listed(&program), ["in.jsonl", "mine.toml", "old.jsonl", "pipe"]);
}

fn dead_letters(program: &Program) -> Vec<Value> {
    let lines = program.read("dead.jsonl");
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn cli_files_a_record_that_is_too_long_is_one_truncated_dead_letter() {
    let (program, input) = program();
    let mut zstd = zstd::Encoder::new(Vec::new(), 1).unwrap();
    let (first, second) = input.split_once('\n').unwrap();
    let zeros = vec![0; 1 << 20];
    writeln!(zstd, "{first}").unwrap();
    (0..300).for_each(|_| zstd.write_all(&zeros).unwrap());
    write!(zstd, "\n{second}").unwrap();
    program.write("bomb.zst", &zstd.finish().unwrap());
    let done = correlate(&program, &["bomb.zst", "--dead-letters", "dead.jsonl"]).expect(0);
    assert_eq!(names(&done.stdout), ["a"]);
    let found = dead_letters(&program);
    let [record] = found.as_slice() else {
        panic!("{} dead letters", found.len());
    };
    assert_eq!(record["alerttrail.reason"], "too_large");
    assert_eq!(
        (&record["alerttrail.offset"], &record["alerttrail.truncated"]),
        (&1.into(), &(300 << 20).into())
    );
    assert_eq!(record["value_hex"].as_str().unwrap().len(), 2 * (64 << 10));
    // The dead-letter record of a record within the limit is not six times as long as the record.
    program.write("zeros", &[vec![0; 60 << 20], b"\n".to_vec()].concat());
    correlate(&program, &["zeros", "--dead-letters", "dead.jsonl"]).expect(0);
    let length = std::fs::metadata(program.path("dead.jsonl")).unwrap().len();
    assert!(length < 2 * (61 << 20), "{length}");
}

#[test]
fn cli_files_a_record_that_is_still_being_written_is_not_a_dead_letter() {
    let (program, _) = program();
    let hour = "y=2026/m=03/d=01/h=10/m=00";
    std::fs::create_dir_all(program.path(hour)).unwrap();
    let name = format!("{hour}/PT1H.json");
    let whole = activity("b", "10:40:00");
    program.write(&name, format!("{whole}{}", &whole[..50]).as_bytes());
    let run = || correlate(&program, &["in.jsonl", "y=2026", "--dead-letters", "dead.jsonl"]).expect(0);
    let done = run();
    assert_eq!(names(&done.stdout), ["a", "b"]);
    assert_eq!(program.read("dead.jsonl"), "");
    let expected = format!("1 file is unfinished: {name} ends in the middle of a record that is still being written; ");
    assert!(done.stderr.contains(&expected), "{}", done.stderr);
    assert!(done.stderr.contains("; 0 dead letters; "), "{}", done.stderr);
    // The export has finished the record.
    program.write(&name, format!("{whole}{}", whole.replace("\"b\"", "\"c\"")).as_bytes());
    let done = run();
    assert_eq!(names(&done.stdout), ["a", "b", "c"]);
    assert!(!done.stderr.contains("unfinished"), "{}", done.stderr);
    // A line with a line end is broken, and so is a truncated line in another file.
    program.write(&name, format!("{whole}{}\n", &whole[..50]).as_bytes());
    assert!(run().stderr.contains("1 dead letter"));
    program.write("cut.jsonl", format!("{whole}{}", &whole[..50]).as_bytes());
    assert!(correlate(&program, &["cut.jsonl"]).expect(0).stderr.contains("1 dead letter"));
}

/// Writes a file of Capture with one event.
fn capture(program: &Program, name: &str, enqueued: &str, body: &str) {
    use apache_avro::types::{Record, Value};
    let schema = r#"{"type":"record","name":"EventData","fields":[{"name":"EnqueuedTimeUtc","type":"string"},{"name":"Body","type":["null","bytes"]}]}"#;
    let schema = apache_avro::Schema::parse_str(schema).unwrap();
    let path = program.path(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut writer = apache_avro::Writer::new(&schema, File::create(path).unwrap()).unwrap();
    let mut event = Record::new(writer.schema()).unwrap();
    event.put("EnqueuedTimeUtc", enqueued);
    event.put("Body", Value::Union(1, Box::new(Value::Bytes(body.as_bytes().to_vec()))));
    writer.append_value(event).unwrap();
    writer.flush().unwrap();
}

#[test]
fn cli_files_of_capture_are_read_in_the_order_of_time_whatever_their_names() {
    let program = Program::new();
    // Each file has an activity, and a record that becomes a dead-letter record and shows the order in which the files
    // are read.
    let expected: Vec<String> = [
        ("0/08/05", 10),
        ("3/08/05", 20),
        ("12/08/05", 25),
        ("0/09/05", 70),
        ("12/09/05", 80),
    ]
    .map(|(name, minute)| {
        let name = format!("hub/2026/11/20/{name}/00.avro");
        let time = format!("{:02}:{:02}:00", 8 + minute / 60, minute % 60);
        capture(
            &program,
            &name,
            "11/20/2026 8:34:11 AM",
            &format!("[{},1]", activity("a", &time).trim()),
        );
        name
    })
    .to_vec();
    let format = "{EventHub}/{Year}/{Month}/{Day}/{PartitionId}/{Hour}/{Minute}/{Second}";
    for more in [&[][..], &["--capture-format", format]] {
        let arguments = [&["hub", "--dead-letters", "dead.jsonl"], more].concat();
        correlate(&program, &arguments).expect(0);
        let read: Vec<String> = dead_letters(&program)
            .iter()
            .map(|record| record["alerttrail.topic"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(read, expected, "{more:?}");
    }
    let stderr = correlate(&program, &["hub", "--capture-format", "{Hub}"]).expect(2).stderr;
    assert!(stderr.contains("{Hub} is not a part"), "{stderr}");
    let odd = "{EventHub}-{Year}-{Month}-{Day}-{PartitionId}-{Hour}-{Minute}-{Second}";
    let stderr = correlate(&program, &["hub", "--capture-format", odd]).expect(0).stderr;
    assert!(
        stderr.contains("warning: 5 Capture files in hub do not match --capture-format"),
        "{stderr}"
    );
}

#[test]
fn cli_files_generate_writes_both_files_or_neither() {
    let program = Program::new();
    let generate =
        |more: &[&str]| program.run(&[&["generate", "--activities", "50", "--alerts", "2", "--output", "out"], more].concat());
    let names = || {
        let entries = std::fs::read_dir(program.path("out")).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    generate(&[]).expect(0);
    let stderr = generate(&["--compress", "gz"]).expect(0).stderr;
    let removed = "; removed out/cloudappevents.jsonl and out/securityalert.jsonl of an earlier run\n";
    assert!(stderr.ends_with(removed), "{stderr}");
    assert_eq!(names(), ["cloudappevents.jsonl.gz", "securityalert.jsonl.gz"]);
    // The second file cannot be written.
    symlink("/dev/full", program.path("out/securityalert.jsonl")).unwrap();
    let stderr = generate(&[]).expect(1).stderr;
    assert!(
        stderr.starts_with("error: cannot write out/securityalert.jsonl: No space left"),
        "{stderr}"
    );
    assert_eq!(
        names(),
        ["cloudappevents.jsonl.gz", "securityalert.jsonl", "securityalert.jsonl.gz"]
    );
    symlink("cloudappevents.jsonl.zst", program.path("out/securityalert.jsonl.zst")).unwrap();
    let stderr = generate(&["--compress", "zst"]).expect(2).stderr;
    assert!(stderr.contains(" are the same file"), "{stderr}");
    let stderr = generate(&["--window-min", "2d", "--window-max", "10m"]).expect(2).stderr;
    assert_eq!(
        stderr,
        "error: nothing was generated: --window-min (2 days) is longer than --window-max (10m): give a shorter --window-min or a longer \
         --window-max\n"
    );
}

#[test]
fn cli_files_generate_that_is_interrupted_leaves_nothing() {
    let program = Program::new();
    let child = program
        .command(&["generate", "--activities", "100000000", "--output", "out"])
        .spawn()
        .unwrap();
    let began = alerttrail::clock::start();
    while std::fs::read_dir(program.path("out")).map_or(0, Iterator::count) == 0 {
        assert!(began.elapsed() < std::time::Duration::from_secs(60));
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    finish(child).fails(1, "error: interrupted; nothing was generated\n");
    assert_eq!(std::fs::read_dir(program.path("out")).unwrap().count(), 0);
}

#[test]
fn cli_files_capacity_does_not_write_over_anything() {
    let program = Program::with(&[("mine.toml", "[correlation]\nignore_case = false\n"), ("in.jsonl", "1\n")]);
    std::fs::hard_link(program.path("in.jsonl"), program.path("hard.jsonl")).unwrap();
    let before = listed(&program);
    for more in [
        &["--embedded", "--html", "one", "--json", "one"][..],
        &["--embedded", "--recording", "in.jsonl", "--json", "hard.jsonl"],
        &["--config", "mine.toml", "--html", "mine.toml"],
    ] {
        let stderr = program.run(&[&["capacity"], more].concat()).expect(2).stderr;
        assert!(
            stderr.contains("name another file") || stderr.contains("are the same file"),
            "{stderr}"
        );
    }
    assert_eq!(listed(&program), before);
    let stderr = program
        .run(&["capacity", "compare", "/dev/zero", "in.jsonl"])
        .expect(1)
        .stderr;
    assert!(stderr.starts_with("error: cannot read /dev/zero: it is a device"), "{stderr}");
}
