//! `alerttrail generate`: generates synthetic traffic of both tables from a seed.
//!
//! The CloudAppEvents and SecurityAlert records resemble real ones in content (formats of times, strings that hold
//! JSON, ids) and in behaviour (many records without a correlation id, a few frequent policies, disorder, repeated
//! deliveries, later versions of alerts, broken messages). Equal [`Options`] give equal bytes on every machine. Of one
//! million activities, only the few that are scheduled for delivery are held. It relies on the ChaCha8 stream cipher
//! and on integer arithmetic, and on templates that are part of the program.
//!
//! [`Generator`] and [`tenant`] plan whole tables, which [`Messages`] delivers. [`record`] writes single records, for
//! them and for callers that decide themselves what happens when. Neither reads a clock or does input or output:
//! [`run`] writes the files (`files`).

#[cfg(test)]
mod argument_tests;
mod coverage;
mod files;
mod malformed;
mod messages;
mod options;
mod plan;
mod random;
pub mod record;
mod tables;
pub mod tenant;
#[cfg(test)]
mod tests;
mod time_form;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use clap::ValueEnum;

use crate::shutdown::Shutdown;
use crate::sink::file::{self as sink, Guard, Target};
use crate::term::{Failure, eprint_line, signals};
use crate::words::counted;
use files::{Written, write_table, write_truth};
pub use messages::{MessageInfo, Messages};
pub use options::{Envelope, Error as OptionsError, Options};
use plan::CorrelatedPlan;
use tenant::{IGNORED, LINKS_TOML, TenantGenerator, Truth};
pub use time_form::TimeForm;
pub use uuid::Uuid as Guid;

/// The plan of both tables, which defines their activities and alerts.
#[derive(Clone, Debug)]
pub struct Generator {
    plan: Arc<CorrelatedPlan>,
}

impl Generator {
    /// Plans the traffic for `options`. Takes time and memory in proportion to the alerts, some microseconds and 100
    /// bytes each. Fails only if an option is out of range.
    pub fn new(options: &Options) -> Result<Self, OptionsError> {
        Ok(Self {
            plan: Arc::new(CorrelatedPlan::new(options)?),
        })
    }

    /// Returns the CloudAppEvents messages from the first one on, in order of arrival.
    pub fn activities(&self) -> impl Messages + use<> {
        tables::activities(self.plan.clone())
    }

    /// Returns the SecurityAlert messages from the first one on, in order of arrival.
    pub fn alerts(&self) -> impl Messages + use<> {
        tables::alerts(self.plan.clone())
    }
}

/// Writes synthetic traffic of both tables to files: the same bytes for the same options, on every machine.
///
/// DIR/cloudappevents.jsonl and DIR/securityalert.jsonl hold one message per line, in order of arrival. Files of these
/// names are replaced, also those with another compression. With --traffic tenant, DIR/links.toml holds the links by
/// which alerts find the activities of their people and files.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// Directory to write to; made where it does not exist
    #[arg(long, short, value_name = "DIR")]
    pub(super) output: PathBuf,
    #[command(flatten)]
    pub(super) options: Options,
    /// What happens in the traffic
    #[arg(long, value_enum, default_value_t = Traffic::Correlated)]
    pub(super) traffic: Traffic,
    /// Write to FILE, as JSON lines, which activities belong to which alert by which link; with --traffic tenant. Keep
    /// it out of DIR: commands that read the folder would take its lines for messages
    #[arg(long, value_name = "FILE")]
    pub(super) truth: Option<PathBuf>,
    /// Compression of the files; their names then end in .gz or .zst
    #[arg(long, value_enum, default_value_t = Compression::None)]
    pub(super) compress: Compression,
}

/// What happens in the traffic.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Traffic {
    /// Activities that have the correlation ids of alerts, as many as asked for
    Correlated,
    /// People at work, and alerts about some of them: ordinary activities have no correlation id. Options about
    /// correlation ids, windows and sizes have no meaning
    Tenant,
}

/// Compression of a file.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Compression {
    /// Plain text
    None,
    /// gzip
    Gz,
    /// Zstandard
    Zst,
}

/// The reason why no files were written.
#[derive(Debug, thiserror::Error)]
enum Error {
    /// An option is out of range.
    #[error("nothing was generated: --{0}")]
    Options(#[from] OptionsError),
    /// A directory or file cannot be written.
    #[error("cannot write {path}: {source}; give a directory with room and the right to write in --output")]
    Write {
        /// The path.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// The truth file cannot be written.
    #[error("cannot write {path}: {source}; give a file with room and the right to write in --truth")]
    Truth {
        /// The path.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// An option has no effect on this kind of traffic.
    #[error("nothing was generated: --{option} has no meaning with --traffic {traffic}: {remedy}")]
    Meaningless {
        /// The option.
        option: &'static str,
        /// The traffic's name.
        traffic: &'static str,
        /// The remedy.
        remedy: &'static str,
    },
    /// Two outputs have the same file, or an output cannot be replaced.
    #[error(transparent)]
    Refused(sink::Error),
    /// A shutdown was requested.
    #[error("interrupted; nothing was generated")]
    Interrupted,
}

impl Error {
    /// Returns an error about the truth file.
    fn of_truth(error: sink::Error) -> Self {
        match error {
            sink::Error::Write { file, cause } => Self::Truth {
                path: file,
                source: cause,
            },
            refused => Self::Refused(refused),
        }
    }
}

impl From<sink::Error> for Error {
    fn from(error: sink::Error) -> Self {
        match error {
            sink::Error::Write { file, cause } => Self::Write {
                path: file,
                source: cause,
            },
            refused => Self::Refused(refused),
        }
    }
}

/// The names of the files, before the suffix for compression.
const TABLES: [&str; 2] = ["cloudappevents.jsonl", "securityalert.jsonl"];

/// The file with the links of tenant traffic.
const LINKS: &str = "links.toml";

/// Writes the files, and reports on standard error. All files are replaced at the end, so an error leaves the old
/// ones.
pub fn run(args: &Args) -> Result<(), Failure> {
    generate(args).map_err(|error| match error {
        Error::Options(_) | Error::Refused(_) | Error::Meaningless { .. } => Failure::usage(error),
        _ => Failure::failed(error),
    })
}

fn generate(args: &Args) -> Result<(), Error> {
    args.check()?;
    let options = &args.options;
    match args.traffic {
        Traffic::Correlated => {
            let generator = Generator::new(options)?;
            write(args, generator.activities(), generator.alerts(), None)
        }
        Traffic::Tenant => {
            let generator = TenantGenerator::new(options)?;
            write(args, generator.activities(), generator.alerts(), Some(generator.truth()))
        }
    }
}

/// Writes both tables. If the truth is known, also writes the links, and the truth file if its path is given.
fn write(args: &Args, activities: impl Messages, alerts: impl Messages, truth: Option<Truth>) -> Result<(), Error> {
    let unwritable = |source| Error::Write {
        path: args.output.clone(),
        source,
    };
    std::fs::create_dir_all(&args.output).map_err(unwritable)?;
    let shutdown = Shutdown::default();
    signals::watch_with(&shutdown, "nothing was generated").map_err(unwritable)?;
    let mut guard = Guard::default();
    let [activities_to, alerts_to] = targets(args, &mut guard)?;
    let mut written = Written::default();
    let mut outputs = vec![
        write_table(
            args,
            activities_to,
            args.options.activities,
            activities,
            &mut written,
            &shutdown,
        )?,
        write_table(args, alerts_to, args.options.alerts, alerts, &mut written, &shutdown)?,
    ];
    let mut rows = String::new();
    if let Some(truth) = truth {
        let mut links = guard.writes(&args.output.join(LINKS))?.create(&args.output)?;
        links.write_all(LINKS_TOML.as_bytes()).map_err(unwritable)?;
        links.flush().map_err(unwritable)?;
        outputs.push(links);
        if let Some(path) = &args.truth {
            let target = guard.writes(path).map_err(Error::of_truth)?;
            let (output, count) = write_truth(target, &args.output, truth, &shutdown)?;
            rows = format!("; {} in {}", counted(count, "row"), path.display());
            outputs.push(output);
        }
    }
    let files = outputs.len() - usize::from(!rows.is_empty());
    for output in outputs {
        output.finish()?;
    }
    let line = format!(
        "{files} files in {}: {}, {}, {}",
        args.output.display(),
        counted(written.messages, "message"),
        counted(written.records, "record"),
        counted(written.bytes, "byte"),
    );
    let unpacked = if args.compress == Compression::None {
        ""
    } else {
        " before compression"
    };
    let removed = remove_others(args);
    eprint_line(&format!("{line}{unpacked}{rows}{removed}"));
    Ok(())
}

fn targets(args: &Args, guard: &mut Guard) -> Result<[Target; 2], Error> {
    let [activities, alerts] = TABLES.map(|table| args.output.join(format!("{table}{}", args.compress.suffix())));
    Ok([guard.writes(&activities)?, guard.writes(&alerts)?])
}

/// Removes files of an earlier run with another compression, because a reader of the folder would read both. Returns a
/// text for the report about it.
fn remove_others(args: &Args) -> String {
    let mut removed = Vec::new();
    for table in TABLES {
        let kept = args
            .output
            .join(format!("{table}{}", args.compress.suffix()))
            .canonicalize()
            .ok();
        for other in [Compression::None, Compression::Gz, Compression::Zst] {
            let path = args.output.join(format!("{table}{}", other.suffix()));
            // A symbolic link may lead to the file that was just written.
            if path.canonicalize().is_ok_and(|path| path.is_file() && Some(path) != kept) && std::fs::remove_file(&path).is_ok() {
                removed.push(path.display().to_string());
            }
        }
    }
    match removed.is_empty() {
        true => String::new(),
        false => format!("; removed {} of an earlier run", removed.join(" and ")),
    }
}

impl Compression {
    /// Returns the suffix of the file names.
    fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gz => ".gz",
            Self::Zst => ".zst",
        }
    }
}

impl Args {
    /// Refuses options that would have no effect.
    fn check(&self) -> Result<(), Error> {
        let refused = |option, traffic, remedy| Err(Error::Meaningless { option, traffic, remedy });
        match self.traffic {
            Traffic::Correlated if self.truth.is_some() => refused("truth", "correlated", "add --traffic tenant"),
            Traffic::Correlated => Ok(()),
            Traffic::Tenant => {
                let (given, usual) = (&self.options, Options::default());
                let changed = [
                    given.record_size != usual.record_size,
                    given.keyed_share != usual.keyed_share,
                    given.policy_skew != usual.policy_skew,
                    given.window_min != usual.window_min,
                    given.window_max != usual.window_max,
                    given.in_window_share != usual.in_window_share,
                    given.zero_windows != usual.zero_windows,
                ];
                match IGNORED.into_iter().zip(changed).find(|(_, changed)| *changed) {
                    Some((option, _)) => refused(option, "tenant", "leave it out"),
                    None => Ok(()),
                }
            }
        }
    }
}
