//! The command line: parses arguments, runs a command, and returns its exit status. Only this module prints (`out`).

mod capacity;
mod check;
mod correlate;
mod demo;
mod documents;
mod generate;
mod hints;
mod limits;
mod logging;
mod mask;
#[cfg(feature = "otel")]
mod otlp;
mod out;
mod query;
mod redrive;
mod replay;
mod reset;
mod run;
mod service;
mod signals;
mod topics;
mod verify;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::config::{self, Config};
use crate::decode::Settings;
use crate::replay::inputs::Measure;
use crate::source::Format;
use crate::source::folder::Times;
use crate::words::{counted, grouped};
use crate::{sink, source};
use out::{say, tell};

/// Joins activities with the security alerts that they belong to, continuously
#[derive(Parser, Debug)]
#[command(name = "alerttrail", version, about, max_term_width = 110, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Run the processor: read both tables from Kafka, write the joined rows
    Run(run::Args),
    /// Run a demo: broker, traffic and processor in one process, without any setup
    Demo(demo::Args),
    /// Join files, without a broker
    Correlate(correlate::Args),
    /// Write synthetic traffic of both tables, the same for the same seed
    Generate(generate::Args),
    /// Send recorded traffic to a topic, at the original speed, faster, or at a given rate
    Replay(replay::Args),
    /// Find the highest sustained rate, or apply a load, and verify the output
    Capacity(Box<capacity::Args>),
    /// Recompute the result from the input topics and compare it with the output topic
    Verify(verify::Args),
    /// Send dead letters through again, each once
    Redrive(redrive::Args),
    /// Query a running processor: alerts, their activities, and why they closed as they did
    Query(query::Args),
    /// Delete positions, state and the internal topic of an application, after a confirmation
    Reset(reset::Args),
    /// Check a configuration, its topics, and whether the settings fit the records in them
    Check(check::Args),
    /// Create the topics of a configuration
    Topics(topics::Args),
    /// Print what a configuration can hold: every setting with its default, or a JSON Schema for editors
    Config(documents::Args),
    /// Print the completions for a shell
    Completions {
        /// Name of the shell
        shell: clap_complete::Shell,
    },
    /// Write the man pages of all commands to a folder
    #[command(hide = true)]
    Man {
        /// An existing folder
        #[arg(long, value_name = "DIR")]
        output: PathBuf,
    },
}

/// The exit status of a command that completed without a definite result.
const UNDECIDED: u8 = 3;

/// The error of a command that failed.
#[derive(Debug)]
struct Failure {
    status: u8,
    message: String,
}

impl Failure {
    /// Creates a failure for wrong usage or configuration: status 2.
    fn usage(message: impl ToString) -> Self {
        Self {
            status: 2,
            message: message.to_string(),
        }
    }

    /// Creates a failure for a command that completed without a definite result: status 3.
    fn undecided(message: impl ToString) -> Self {
        Self {
            status: UNDECIDED,
            message: message.to_string(),
        }
    }

    /// Creates any other failure: status 1.
    fn failed(message: impl ToString) -> Self {
        Self {
            status: 1,
            message: message.to_string(),
        }
    }

    /// Returns a failure that names `--bootstrap-servers` instead of the setting, if the broker's address came from
    /// that option.
    fn naming(self, bootstrap_servers: Option<&str>) -> Self {
        match bootstrap_servers {
            None => self,
            Some(_) => Self {
                message: self.message.replace("kafka.bootstrap_servers", "--bootstrap-servers"),
                ..self
            },
        }
    }
}

impl From<sink::file::Error> for Failure {
    fn from(error: sink::file::Error) -> Self {
        match error {
            sink::file::Error::Write { .. } => Self::failed(error),
            sink::file::Error::Input { .. } | sink::file::Error::Twice { .. } => Self::usage(error),
        }
    }
}

/// Runs the command line.
pub fn main() -> ExitCode {
    mask::watch_panics();
    let result = match Arguments::try_parse() {
        Ok(arguments) => carry_out(arguments.command),
        Err(error) if error.use_stderr() => {
            // If this cannot be written, there is no other place to report it.
            error.print().ok();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
        // Help and version.
        Err(error) => {
            out::keep(error.print());
            Ok(())
        }
    };
    match out::end(result) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let word = if failure.status == UNDECIDED { "warning" } else { "error" };
            say(&format!("{word}: {}", failure.message));
            ExitCode::from(failure.status)
        }
    }
}

fn carry_out(command: Command) -> Result<(), Failure> {
    match command {
        Command::Run(args) => run::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Correlate(args) => correlate::run(&args),
        Command::Generate(args) => generate::run(&args).map_err(|error| match error {
            generate::Error::Options(_) | generate::Error::Refused(_) | generate::Error::Meaningless { .. } => {
                Failure::usage(error)
            }
            _ => Failure::failed(error),
        }),
        Command::Capacity(args) => capacity::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Redrive(args) => redrive::run(&args),
        Command::Reset(args) => reset::run(&args),
        Command::Query(args) => query::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Topics(args) => topics::run(&args),
        Command::Config(args) => documents::run(&args),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "alerttrail", &mut script);
            out::raw(&script);
            Ok(())
        }
        Command::Man { output } => clap_mangen::generate_to(Arguments::command(), &output)
            .map_err(|cause| Failure::failed(format!("cannot write the man pages to {}: {cause}", output.display()))),
    }
}

/// Loads the configuration from this file and the environment.
fn configuration(file: Option<&Path>) -> Result<Config, Failure> {
    configuration_with(file, None)
}

/// Loads the configuration and checks whether Kafka clients can be created from it, without contacting a broker.
fn configuration_of_clients(file: &Path) -> Result<Config, Failure> {
    let config = configuration(Some(file))?;
    match crate::kafka::client_check::problems(&config).as_slice() {
        [] => Ok(config),
        [only] => Err(Failure::usage(only)),
        all => Err(Failure::usage(format!(
            "the configuration has {} errors:\n  {}",
            all.len(),
            all.join("\n  ")
        ))),
    }
}

/// Loads the configuration with a variable that an option sets, which overrides the environment.
fn configuration_with(file: Option<&Path>, variable: Option<(&str, &str)>) -> Result<Config, Failure> {
    let variable = variable.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let config = Config::load(file, config::environment().chain(variable)).map_err(Failure::usage)?;
    mask::hide(config.secrets());
    Ok(config)
}

/// Returns the given files, and those in the given folders. `settings` define where the times of records are.
fn input_files(named: &[PathBuf], format: Option<&Format>, settings: &Settings) -> Result<Vec<PathBuf>, Failure> {
    let mut measure = Measure::new(settings);
    let of_message = &mut |message: &[u8]| Some(measure.of(message).1?.to_string());
    let found = source::folder::files(named, Times { format, of_message }).map_err(Failure::failed)?;
    if found.passed_over > 0 {
        say(&format!(
            "skipped {} in the folders: their file name extensions are not those of messages",
            counted(found.passed_over, "file")
        ));
    }
    found.warnings.iter().for_each(|warning| say(&format!("warning: {warning}")));
    Ok(found.paths)
}

/// Reports files that end in the middle of a record. `outcome` describes what happened to that record.
fn tell_unfinished(files: &[String], outcome: &str) {
    const MAX_LISTED: usize = 3;
    let named: Vec<&str> = files.iter().take(MAX_LISTED).map(String::as_str).collect();
    let (mut named, count) = (named.join(", "), grouped(files.len() as u64));
    if files.len() > MAX_LISTED {
        named += " and others";
    }
    let (are, end) = match files.len() {
        0 => return,
        1 => ("file is", "ends"),
        _ => ("files are", "end"),
    };
    say(&format!(
        "{count} {are} unfinished: {named} {end} in the middle of a record that is still being written; {outcome}"
    ));
}

/// Returns whether a path argument means standard input or output.
fn is_standard(path: &Path) -> bool {
    path.as_os_str() == "-"
}
