//! The command line: parses arguments, runs a command, and returns its exit status. The tools are commands of
//! `alerttrail-tools`; this module has those that run, check and query a processor.

mod check;
mod documents;
mod limits;
#[cfg(feature = "otel")]
mod otlp;
mod query;
mod reset;
mod run;
mod service;
mod topics;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::term::{
    Failure, UNDECIDED, configuration, configuration_of_clients, eprint_line, logging, mask, out, print_line, signals,
};
use crate::words::{counted, grouped};
use crate::{capacity, correlate, demo, generate, redrive, replay, verify};

/// Joins activities with the security alerts that they belong to, continuously
#[derive(Parser, Debug)]
#[command(name = "alerttrail", version, about, max_term_width = 110, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Run the processor, which reads both tables from Kafka and writes the joined rows
    Run(run::Args),
    /// Run a demo with broker, traffic and processor in one process, without any setup
    Demo(demo::Args),
    /// Join files without a broker
    Correlate(correlate::Args),
    /// Generate synthetic records of both tables; the same seed gives the same records
    Generate(generate::Args),
    /// Send recorded traffic to a topic at the original speed, faster, or at a fixed rate
    Replay(replay::Args),
    /// Find the highest sustained rate, or apply a fixed load, and verify the output
    Capacity(Box<capacity::Args>),
    /// Recompute the result from the input topics and compare it with the output topic
    Verify(verify::Args),
    /// Send dead-letter records to their input topics again, each of them once
    Redrive(redrive::Args),
    /// Query a running processor for alerts, their activities and the reasons for their status
    Query(query::Args),
    /// Delete the positions, the state and the repartition topic of an application after a confirmation
    Reset(reset::Args),
    /// Check a configuration, its topics, and whether the settings fit the records in the topics
    Check(check::Args),
    /// Create the topics of a configuration
    Topics(topics::Args),
    /// Print every setting with its default, or a JSON Schema of the configuration for editors
    Config(documents::Args),
    /// Print the completion script for a shell
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

/// Runs the command line.
pub fn main() -> ExitCode {
    mask::watch_panics();
    let result = match Arguments::try_parse() {
        Ok(arguments) => run_command(arguments.command),
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
            eprint_line(&format!("{word}: {}", failure.message));
            ExitCode::from(failure.status)
        }
    }
}

fn run_command(command: Command) -> Result<(), Failure> {
    match command {
        Command::Run(args) => run::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Correlate(args) => correlate::run(&args),
        Command::Generate(args) => generate::run(&args),
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
