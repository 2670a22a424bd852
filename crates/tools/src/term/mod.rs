//! The parts that all commands share: failures, configuration and output.
//!
//! Only this module prints (`out`), after it has masked secrets (`mask`). `logging` sets up the log, `signals` requests
//! a shutdown.

pub mod logging;
pub mod mask;
pub mod out;
pub mod signals;

use std::path::Path;

use crate::config::{self, Config};
use crate::sink;
use crate::words::grouped;
pub use out::{eprint_line, print_line};

/// The exit status of a command that completed without a definite result.
pub const UNDECIDED: u8 = 3;

/// The error of a command that failed.
#[derive(Debug)]
pub struct Failure {
    /// The exit status.
    pub status: u8,
    /// A description of the failure, and what the user can do.
    pub message: String,
}

impl Failure {
    /// Creates a failure for wrong usage or configuration: status 2.
    pub fn usage(message: impl ToString) -> Self {
        Self {
            status: 2,
            message: message.to_string(),
        }
    }

    /// Creates a failure for a command that completed without a definite result: status 3.
    pub fn undecided(message: impl ToString) -> Self {
        Self {
            status: UNDECIDED,
            message: message.to_string(),
        }
    }

    /// Creates any other failure: status 1.
    pub fn failed(message: impl ToString) -> Self {
        Self {
            status: 1,
            message: message.to_string(),
        }
    }

    /// Returns a failure that names `--bootstrap-servers` instead of the setting, if the broker's address came from
    /// that option.
    pub fn naming(self, bootstrap_servers: Option<&str>) -> Self {
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

/// Loads the configuration from this file and the environment.
pub fn configuration(file: Option<&Path>) -> Result<Config, Failure> {
    configuration_with(file, None)
}

/// Loads the configuration and checks whether Kafka clients can be created from it, without contacting a broker.
pub fn configuration_of_clients(file: &Path) -> Result<Config, Failure> {
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
pub fn configuration_with(file: Option<&Path>, variable: Option<(&str, &str)>) -> Result<Config, Failure> {
    let variable = variable.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let config = Config::load(file, config::environment().chain(variable)).map_err(Failure::usage)?;
    mask::hide(config.secrets());
    Ok(config)
}

/// Reports files that end in the middle of a record. `outcome` describes what happened to that record.
pub fn report_unfinished(files: &[String], outcome: &str) {
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
    eprint_line(&format!(
        "{count} {are} unfinished: {named} {end} in the middle of a record that is still being written; {outcome}"
    ));
}

/// Returns whether a path argument means standard input or output.
pub fn is_standard(path: &Path) -> bool {
    path.as_os_str() == "-"
}
