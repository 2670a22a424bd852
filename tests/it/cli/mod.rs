//! The real binary: its exit status, its output streams, and the files that it reads and writes.
//!
//! Commands that need a broker are only called with `--help` here; `tests/e2e` runs them.

mod check;
mod correlate;
mod ends;
mod files;
mod generate;
mod hints;
mod replay;
mod verify;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// All commands of this build.
const COMMANDS: &[&str] = &[
    "correlate",
    "generate",
    "verify",
    "check",
    "config",
    "completions",
    "run",
    "demo",
    "replay",
    "redrive",
    "reset",
    "topics",
];

/// The result of a command.
struct CommandResult {
    status: i32,
    stdout: String,
    stderr: String,
}

impl CommandResult {
    /// Asserts that the command ended with this status; prints the two streams if not.
    fn expect(self, status: i32) -> Self {
        assert_eq!(self.status, status, "\nstdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    /// Asserts that the command ended with status 0 and printed exactly this.
    fn prints(self, expected: &str) {
        let done = self.expect(0);
        assert_eq!(done.stdout, expected, "\nstderr: {}", done.stderr);
    }

    /// Asserts that the command ended with this status, printed nothing to standard output, and exactly this to
    /// standard error.
    fn fails(self, status: i32, stderr: &str) {
        let done = self.expect(status);
        assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("", stderr));
    }
}

/// The binary, in its own folder and without settings from the environment.
struct Program {
    folder: tempfile::TempDir,
}

impl Program {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// Returns a program with these files, each a name and a content.
    fn with(files: &[(&str, &str)]) -> Self {
        let program = Self::new();
        for (name, content) in files {
            program.write(name, content.as_bytes());
        }
        program
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, content: &[u8]) {
        std::fs::write(self.path(name), content).unwrap();
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_alerttrail"));
        command.args(arguments).current_dir(self.folder.path());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("ALERTTRAIL_") {
                command.env_remove(name);
            }
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, arguments: &[&str]) -> CommandResult {
        finish(self.command(arguments).spawn().unwrap())
    }

    /// Runs the program with `input` as standard input.
    fn run_with(&self, input: &str, arguments: &[&str]) -> CommandResult {
        let mut child = self.command(arguments).stdin(Stdio::piped()).spawn().unwrap();
        // No input in these tests fills a pipe.
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        finish(child)
    }
}

fn finish(child: std::process::Child) -> CommandResult {
    let output = child.wait_with_output().unwrap();
    CommandResult {
        status: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn cli_every_command_has_help() {
    let program = Program::new();
    let help = program.run(&["--help"]).expect(0);
    assert_eq!(help.stderr, "");
    for command in COMMANDS {
        let listed = |line: &str| line.trim_start().starts_with(&format!("{command} "));
        assert!(help.stdout.lines().any(listed), "{command} is missing in\n{}", help.stdout);
        for option in ["--help", "-h"] {
            let help = program.run(&[command, option]).expect(0);
            assert!(
                help.stdout.contains(&format!("Usage: alerttrail {command}")),
                "{}",
                help.stdout
            );
            assert_eq!(help.stderr, "");
        }
    }
}

#[test]
fn cli_version() {
    let version = concat!("alerttrail ", env!("CARGO_PKG_VERSION"), "\n");
    Program::new().run(&["--version"]).prints(version);
    Program::new().run(&["-V"]).prints(version);
}

#[test]
fn cli_wrong_usage_is_status_2() {
    for (arguments, expected) in [
        (&[][..], "Usage: alerttrail <COMMAND>"),
        (&["correlte"], "a similar subcommand exists: 'correlate'"),
        (&["correlate"], "--input <FILE>..."),
        (&["correlate", "--imput", "x"], "a similar argument exists: '--input'"),
        (
            &["correlate", "--input", "x", "--format", "yaml"],
            "[possible values: native, kql, ocsf, ecs]",
        ),
        (&["check"], "--config <FILE>"),
        (&["completions", "cmd"], "bash"),
        (&["generate", "--activities", "many", "--output", "x"], "'many'"),
    ] {
        let done = Program::new().run(arguments).expect(2);
        assert_eq!(done.stdout, "");
        assert!(done.stderr.contains(expected), "{arguments:?}: {}", done.stderr);
    }
}

#[test]
fn cli_completions_contain_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let done = Program::new().run(&["completions", shell]).expect(0);
        assert_eq!(done.stderr, "");
        for command in COMMANDS {
            assert!(done.stdout.contains(command), "the completions of {shell} lack {command}");
        }
    }
}

#[test]
fn cli_every_command_has_a_man_page() {
    let program = Program::new();
    program.run(&["man", "--output", "."]).prints("");
    for command in COMMANDS {
        let page = program.read(&format!("alerttrail-{command}.1"));
        assert!(page.contains(".TH alerttrail-"), "{page}");
    }
    assert!(program.read("alerttrail.1").contains("alerttrail\\-correlate(1)"));
    program.run(&["man", "--output", "none"]).fails(
        1,
        "error: cannot write the man pages to none: No such file or directory (os error 2)\n",
    );
}

#[test]
fn cli_check_prints_the_settings() {
    let program = Program::with(&[("mine.toml", "[application]\nid = \"mine\"\n[output]\nsummary_topic = \"s\"\n")]);
    let done = program.run(&["check", "--offline", "--config", "mine.toml"]).expect(0);
    assert!(done.stdout.starts_with("mine.toml is valid.\n"), "{}", done.stdout);
    for line in [
        "  application  mine\n",
        "  summaries    s\n",
        "  reads        cloudappevents, securityalert\n",
    ] {
        assert!(done.stdout.contains(line), "{}", done.stdout);
    }
}

#[test]
fn cli_config_prints_a_configuration_and_its_schema() {
    let program = Program::new();
    let default = program.run(&["config", "default"]).expect(0);
    program.write("default.toml", default.stdout.as_bytes());
    program.run(&["check", "--offline", "--config", "default.toml"]).expect(0);
    let schema = program.run(&["config", "schema"]).expect(0);
    let schema: serde_json::Value = serde_json::from_str(&schema.stdout).unwrap();
    assert_eq!(schema, alerttrail::config::schema());
    assert_eq!(program.run(&["config"]).expect(2).stdout, "");
}

#[test]
fn cli_check_accepts_the_example() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/local.toml");
    Program::new()
        .run(&["check", "--offline", "--config", example.to_str().unwrap()])
        .expect(0);
}

#[test]
fn cli_check_reports_all_errors_at_once() {
    let program = Program::with(&[(
        "wrong.toml",
        "[state]\ndri = \"x\"\n[watermark]\nmax_wait = \"soon\"\n[repartition]\npartitions = 0\n",
    )]);
    let done = program.run(&["check", "--config", "wrong.toml"]).expect(2);
    assert_eq!(done.stdout, "");
    let lines: Vec<&str> = done.stderr.lines().collect();
    assert_eq!(lines[0], "error: the configuration has 3 errors:");
    assert_eq!(lines.len(), 4, "{}", done.stderr);
    for line in [
        "  state.dri: unknown setting; the nearest is state.dir",
        "  watermark.max_wait: \"soon\" is not a duration",
    ] {
        assert!(done.stderr.contains(line), "{}", done.stderr);
    }
    assert!(done.stderr.contains("\n  repartition.partitions: "), "{}", done.stderr);
}

#[test]
fn cli_one_error_is_one_sentence() {
    let program = Program::with(&[("wrong.toml", "[input]\ntopcs = [\"a\"]\n"), ("no.toml", "[input\n")]);
    let check = |file| program.run(&["check", "--config", file]);
    check("wrong.toml").fails(2, "error: input.topcs: unknown setting; the nearest is input.topics\n");
    let syntax = check("no.toml").expect(2).stderr;
    assert!(syntax.starts_with("error: no.toml, line 1, column "), "{syntax}");
    check("none.toml").fails(
        2,
        "error: cannot read the configuration file none.toml: No such file or directory (os error 2); name a file that exists and \
         that this user may read\n",
    );
}

#[test]
fn cli_the_environment_overrides_the_file() {
    let program = Program::with(&[("mine.toml", "[application]\nid = \"${NAME_OF_MINE}\"\n")]);
    let check = |variables: &[(&str, &str)]| {
        let mut command = program.command(&["check", "--offline", "--config", "mine.toml"]);
        finish(command.envs(variables.iter().copied()).spawn().unwrap())
    };
    let named = check(&[("NAME_OF_MINE", "one")]).expect(0);
    assert!(named.stdout.contains("application  one\n"), "{}", named.stdout);
    let overridden = check(&[("NAME_OF_MINE", "one"), ("ALERTTRAIL_APPLICATION__ID", "two")]).expect(0);
    assert!(overridden.stdout.contains("application  two\n"), "{}", overridden.stdout);
    let missing = check(&[]).expect(2);
    assert!(missing.stderr.contains("NAME_OF_MINE"), "{}", missing.stderr);
    let wrong = check(&[("NAME_OF_MINE", "one"), ("ALERTTRAIL_STATE__RETENTION", "soon")]).expect(2);
    assert!(
        wrong.stderr.contains("(set by ALERTTRAIL_STATE__RETENTION)"),
        "{}",
        wrong.stderr
    );
}

#[test]
fn cli_reset_asks_for_confirmation_only_on_a_terminal() {
    let program = Program::with(&[("mine.toml", "[kafka]\nbootstrap_servers = \"127.0.0.1:1\"\n")]);
    program.run(&["reset", "--config", "mine.toml"]).fails(
        2,
        "error: reset asks for a confirmation, but standard input is not a terminal; add --yes to delete without asking, or \
         --dry-run to see what would be deleted\n",
    );
    // A reply in a pipe was written before the confirmation was requested.
    let piped = program.run_with("y\n", &["reset", "--config", "mine.toml"]).expect(2);
    assert_eq!(piped.stdout, "");
    let both = program
        .run(&["reset", "--config", "mine.toml", "--yes", "--dry-run"])
        .expect(2);
    assert!(both.stderr.contains("cannot be used with"), "{}", both.stderr);
}
