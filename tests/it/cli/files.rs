//! What commands write: nothing over what they read, and nothing half.

use std::fs::File;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::Command;

use super::correlate::{activity, alert, correlate, names};
use super::{Done, Program, done};

/// A program with an input `in.jsonl` that gives one pair, and what that holds.
fn program() -> (Program, String) {
    let input = activity("a", "10:30:00") + &alert("A");
    let program = Program::with(&[("in.jsonl", &input), ("mine.toml", "[correlation]\nignore_case = false\n")]);
    (program, input)
}

/// What is in the program's folder, hidden or not.
fn listed(program: &Program) -> Vec<String> {
    let entries = std::fs::read_dir(program.path("")).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// With this file as standard input.
fn run_from(program: &Program, file: &str, arguments: &[&str]) -> Done {
    let input = File::open(if file.starts_with('/') {
        file.into()
    } else {
        program.path(file)
    })
    .unwrap();
    done(program.command(arguments).stdin(input).spawn().unwrap())
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
            let said = program.run(&arguments).expect(2).stderr;
            assert!(said.contains("; name another file for the output"), "{option} {name}: {said}");
            for standard in ["-", "/dev/stdin"].into_iter().filter(|_| !name.ends_with(".toml")) {
                let said = run_from(&program, "in.jsonl", &["correlate", "--input", standard, option, name]);
                let said = said.expect(2).stderr;
                assert!(
                    said.contains("; name another file for the output"),
                    "{option} {name} < in.jsonl: {said}"
                );
            }
        }
    }
    // The shell may have opened it, too.
    let appended = std::fs::OpenOptions::new()
        .append(true)
        .open(program.path("in.jsonl"))
        .unwrap();
    let mut command = program.command(&["correlate", "--input", "hard.jsonl"]);
    done(command.stdout(appended).spawn().unwrap()).expect(2);
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
                done.stderr.contains(" are one file; give each output a file of its own"),
                "{}",
                done.stderr
            );
        }
    }
    assert_eq!(listed(&program), before);
    assert_eq!(program.read("old.jsonl"), "old\n");
    // Standard output may take several, and so may what keeps nothing.
    let both = correlate(&program, &["in.jsonl", "--output", "-", "--summaries", "-"]).expect(0);
    assert_eq!(both.stdout.lines().count(), 2);
    correlate(&program, &["in.jsonl", "--output", "/dev/null", "--summaries", "/dev/null"]).prints("");
    // Under its name the file that the shell opened would be another one.
    let opened = File::create(program.path("shell.jsonl")).unwrap();
    let mut command = program.command(&["correlate", "--input", "in.jsonl", "--output", "shell.jsonl"]);
    done(command.stdout(opened).spawn().unwrap()).expect(0);
    assert_eq!(names(&program.read("shell.jsonl")), ["a"]);
}

#[test]
fn cli_files_an_answer_that_is_not_whole_does_not_take_the_place_of_the_old_one() {
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
    assert_eq!(listed(&program), before, "nothing is left of it");
    correlate(&program, &[&["in.jsonl"], &outputs[..]].concat()).expect(0);
    assert_eq!(names(&program.read("old.jsonl")), ["a"]);
    assert!(program.path("link.jsonl").is_symlink());
    let mode = |name: &str| std::fs::metadata(program.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("own.jsonl"), mode("new.jsonl")), (0o600, mode("in.jsonl")));
    let said = correlate(&program, &["in.jsonl", "--output", "/dev/full"]).expect(1).stderr;
    assert!(said.contains("No space left on device"), "{said}");
}

#[test]
fn cli_files_generate_leaves_both_or_none() {
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
    let said = generate(&["--compress", "gz"]).expect(0).stderr;
    let removed = "; removed out/cloudappevents.jsonl and out/securityalert.jsonl of an earlier run\n";
    assert!(said.ends_with(removed), "{said}");
    assert_eq!(names(), ["cloudappevents.jsonl.gz", "securityalert.jsonl.gz"]);
    // The second of the two cannot be written.
    symlink("/dev/full", program.path("out/securityalert.jsonl")).unwrap();
    let said = generate(&[]).expect(1).stderr;
    assert!(
        said.starts_with("error: cannot write out/securityalert.jsonl: No space left"),
        "{said}"
    );
    assert_eq!(
        names(),
        ["cloudappevents.jsonl.gz", "securityalert.jsonl", "securityalert.jsonl.gz"]
    );
    symlink("cloudappevents.jsonl.zst", program.path("out/securityalert.jsonl.zst")).unwrap();
    let said = generate(&["--compress", "zst"]).expect(2).stderr;
    assert!(said.contains(" are one file"), "{said}");
    let said = generate(&["--window-min", "2d", "--window-max", "10m"]).expect(2).stderr;
    assert_eq!(
        said,
        "error: nothing was generated: --window-min (2days) is longer than --window-max (10m): give a shorter --window-min or a longer \
         --window-max\n"
    );
}

#[cfg(any(feature = "kafka", feature = "http"))]
#[test]
fn cli_files_generate_that_is_interrupted_leaves_nothing() {
    let program = Program::new();
    let child = program
        .command(&["generate", "--activities", "100000000", "--output", "out"])
        .spawn()
        .unwrap();
    let began = std::time::Instant::now();
    while std::fs::read_dir(program.path("out")).map_or(0, Iterator::count) == 0 {
        assert!(began.elapsed() < std::time::Duration::from_secs(60));
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    done(child).fails(1, "error: interrupted; nothing was generated\n");
    assert_eq!(std::fs::read_dir(program.path("out")).unwrap().count(), 0);
}

#[cfg(all(feature = "kafka", feature = "http"))]
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
        let said = program.run(&[&["capacity"], more].concat()).expect(2).stderr;
        assert!(said.contains("name another file") || said.contains("are one file"), "{said}");
    }
    assert_eq!(listed(&program), before);
}
