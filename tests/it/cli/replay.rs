//! Arguments that `alerttrail replay` refuses before it connects to a broker.

use super::Program;

#[test]
fn cli_replay_wrong_usage_is_status_2() {
    let program = Program::with(&[("a.jsonl", "1\n"), ("mine.toml", "[kafka]\nbootstrap_server = \"x\"\n")]);
    for (arguments, expected) in [
        (&[][..], "--input <FILE>..."),
        (&["--input", "a.jsonl"], "--topic <T>"),
        (&["--topic", "t"], "--input <FILE>..."),
        (
            &["--input", "a.jsonl", "--topic", "t", "--rate", "5", "--speed", "1"],
            "cannot be used with",
        ),
        (
            &["--input", "a.jsonl", "--topic", "t", "--rate", "5/d"],
            "use records per second, such as 5000/s",
        ),
        (
            &["--input", "a.jsonl", "--topic", "t", "--rate", "0"],
            "use records per second",
        ),
        (
            &["--input", "a.jsonl", "--topic", "t", "--speed", "fast"],
            "use a number above 0",
        ),
        (&["--input", "a.jsonl", "--topic", "t", "--batch", "0"], "--batch <N>"),
        (
            &["--input", "a.jsonl", "--topic", "t", "--partitions", "0"],
            "--partitions <N>",
        ),
        (&["--input", "a.jsonl", "--topic", "t", "--loop=-1"], "--loop <N>"),
        (
            &["--input", "-", "--topic", "t", "--loop", "2"],
            "standard input can be read once only",
        ),
        (
            &["--input", "-", "a.jsonl", "-", "--topic", "t"],
            "standard input can be read once only",
        ),
        (
            &["--input", "a.jsonl", "--topic", "t", "--config", "mine.toml"],
            "the nearest is kafka.bootstrap_servers",
        ),
        (
            &["--input", "a.jsonl", "--topic", "t", "--bootstrap-servers", "no server"],
            "\"no server\" is not a list of servers",
        ),
    ] {
        let done = program.run(&[&["replay"], arguments].concat()).expect(2);
        assert_eq!(done.stdout, "");
        assert!(done.stderr.contains(expected), "{arguments:?}: {}", done.stderr);
    }
}

#[test]
fn cli_replay_names_a_file_that_cannot_be_read() {
    let program = Program::with(&[("a.jsonl", "1\n")]);
    let replay = |file| {
        program
            .run(&["replay", "--input", "a.jsonl", file, "--topic", "t"])
            .expect(1)
            .stderr
    };
    let missing = replay("none.jsonl");
    assert!(missing.starts_with("error: cannot read none.jsonl: "), "{missing}");
    std::fs::create_dir(program.path("empty")).unwrap();
    let folder = replay("empty");
    assert!(folder.contains("it is a folder without a file"), "{folder}");
}
