//! How commands end if nobody reads their output or if there is no room for it: `| head -1`, `> file` on a full disk.

use std::fs::File;
use std::process::Stdio;

use super::{CommandResult, Program, finish};

const CHECK: [&str; 4] = ["check", "--offline", "--config", "mine.toml"];
const VERIFY: [&str; 7] = [
    "verify",
    "--config",
    "mine.toml",
    "--input",
    "sample",
    "--output-file",
    "rows.jsonl",
];

/// Returns every command that prints without a broker.
fn commands() -> Vec<Vec<&'static str>> {
    let mut commands = vec![
        vec!["--help"],
        vec!["--version"],
        vec!["check", "--help"],
        vec!["correlate", "--input", "sample"],
    ];
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        commands.push(vec!["completions", shell]);
    }
    for command in [CHECK.as_slice(), VERIFY.as_slice()] {
        commands.push(command.to_vec());
        commands.push([command, &["--json"]].concat());
    }
    commands
}

/// Returns a program with a sample and the rows that `correlate` finds in it.
fn program() -> Program {
    let program = Program::with(&[("mine.toml", "[application]\nid = \"mine\"\n")]);
    let sample = [
        "generate",
        "--output",
        "sample",
        "--activities",
        "2000",
        "--alerts",
        "20",
        "--keyed-share",
        "0.5",
    ];
    program.run(&sample).expect(0);
    program
        .run(&["correlate", "--input", "sample", "--output", "rows.jsonl"])
        .expect(0);
    program
}

fn full() -> Stdio {
    File::options().write(true).open("/dev/full").unwrap().into()
}

/// Returns a pipe whose reading end is closed.
fn closed() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

fn run(program: &Program, arguments: &[&str], stdout: Stdio) -> CommandResult {
    finish(program.command(arguments).stdout(stdout).spawn().unwrap())
}

fn assert_no_panic(arguments: &[&str], done: &CommandResult) {
    let stderr = &done.stderr;
    assert!(
        !stderr.contains("panicked") && !stderr.contains("stack backtrace"),
        "{arguments:?}: {stderr}"
    );
}

#[test]
fn cli_a_closed_pipe_is_not_an_error() {
    let program = program();
    for arguments in commands() {
        let done = run(&program, &arguments, closed());
        assert_no_panic(&arguments, &done);
        assert_eq!(done.status, 0, "{arguments:?}: {}", done.stderr);
        assert!(!done.stderr.contains("error"), "{arguments:?}: {}", done.stderr);
    }
}

#[test]
fn cli_a_full_output_is_an_error_in_one_sentence() {
    let program = program();
    for arguments in commands() {
        let done = run(&program, &arguments, full());
        assert_no_panic(&arguments, &done);
        assert_eq!(done.status, 1, "{arguments:?}: {}", done.stderr);
        let errors = done
            .stderr
            .lines()
            .filter(|line| line.starts_with("error: "))
            .collect::<Vec<_>>();
        assert!(
            errors.len() == 1 && errors[0].contains("No space left on device"),
            "{arguments:?}: {}",
            done.stderr
        );
    }
}

#[test]
fn cli_a_full_standard_error_changes_no_exit_status() {
    let program = program();
    let usage: Vec<&str> = vec!["correlate", "--imput", "x"];
    let wrong: Vec<&str> = vec!["check", "--config", "none.toml"];
    for (arguments, status) in commands()
        .into_iter()
        .map(|arguments| (arguments, 1))
        .chain([(usage, 2), (wrong, 2)])
    {
        let child = program.command(&arguments).stdout(full()).stderr(full()).spawn().unwrap();
        assert_eq!(finish(child).status, status, "{arguments:?}");
        let child = program.command(&arguments).stdout(closed()).stderr(closed()).spawn().unwrap();
        let status = if status == 1 { 0 } else { status };
        assert_eq!(finish(child).status, status, "{arguments:?}");
    }
}

/// `generate` prints nothing to standard output, but reports on standard error what it wrote.
#[test]
fn cli_generate_succeeds_if_nobody_reads_its_messages() {
    let program = Program::new();
    let arguments = ["generate", "--output", "x", "--activities", "100", "--alerts", "5"];
    for stream in [full as fn() -> Stdio, closed] {
        let child = program.command(&arguments).stderr(stream()).spawn().unwrap();
        finish(child).expect(0);
    }
}

/// The exit status reports the verdict even if nobody reads the report.
#[test]
fn cli_verify_fails_even_if_the_pipe_is_closed() {
    let program = program();
    program.write("rows.jsonl", b"");
    let done = run(&program, &VERIFY, closed());
    assert_no_panic(&VERIFY, &done);
    assert_eq!(done.status, 1, "{}", done.stderr);
}

mod queries {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use super::*;

    /// Starts a server that answers every request with an empty list of alerts. Returns its address.
    fn server() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut request = [0; 4_096];
                assert!(stream.read(&mut request).unwrap() > 0);
                let body = "{\"alerts\":[],\"examined\":0,\"next_cursor\":null,\"unanswered_partitions\":[]}";
                write!(
                    stream,
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                )
                .unwrap();
            }
        });
        address
    }

    #[test]
    fn cli_query_distinguishes_a_closed_pipe_from_a_full_disk() {
        let (program, server) = (Program::new(), server());
        for more in [&[][..], &["--json"]] {
            let arguments = [&["query", "--server", &server, "alerts"], more].concat();
            assert_eq!(run(&program, &arguments, Stdio::piped()).status, 0);
            let done = run(&program, &arguments, closed());
            assert_eq!((done.status, done.stderr.as_str()), (0, ""), "{arguments:?}");
            let done = run(&program, &arguments, full());
            assert_eq!(done.status, 1, "{arguments:?}: {}", done.stderr);
            assert!(done.stderr.contains("No space left on device"), "{}", done.stderr);
        }
    }
}

#[test]
fn cli_redrive_refuses_what_can_match_nothing() {
    let program = Program::with(&[("mine.toml", "[kafka]\nbootstrap_servers = \"127.0.0.1:1\"\n")]);
    let redrive = |options: &[&str]| program.run(&[&["redrive", "--config", "mine.toml"], options].concat());
    let done = redrive(&["--reason", "missing_feild"]).expect(2);
    assert!(
        done.stderr.contains(
            "--reason missing_feild is not a reason of dead letters; the nearest is missing_field (known: invalid_json, "
        ),
        "{}",
        done.stderr
    );
    redrive(&["--since", "1h", "--until", "2h"]).fails(2, "error: --since must be before --until\n");
}

#[test]
fn cli_an_error_names_the_option_that_named_the_broker() {
    let program = Program::with(&[("one.json", "{}")]);
    let done = program
        .run(&[
            "replay",
            "--input",
            "one.json",
            "--topic",
            "t",
            "--bootstrap-servers",
            "127.0.0.1:1",
        ])
        .expect(1);
    assert!(
        done.stderr.contains("check --bootstrap-servers") && !done.stderr.contains("kafka.bootstrap_servers"),
        "{}",
        done.stderr
    );
}
