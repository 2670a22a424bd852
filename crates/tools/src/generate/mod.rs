//! `alerttrail generate`: generates synthetic traffic of both tables from a seed.
//!
//! The CloudAppEvents and SecurityAlert records resemble real ones in content (formats of times, strings that hold
//! JSON, ids) and in behaviour (many records without a correlation id, a few frequent policies, disorder, repeated
//! deliveries, later versions of alerts, broken messages). Equal [`Options`] give equal bytes on every machine. Of one
//! million activities, only the few that are scheduled for delivery are held. It relies on the ChaCha8 stream cipher
//! and on integer arithmetic. The assignment of random streams to purposes never changes.
//!
//! [`Generator`] generates whole tables. [`record`] generates single records, for callers that decide themselves what
//! happens when. Neither reads a clock or does input or output: [`run`] writes the files (`files`).

#[cfg(test)]
mod argument_tests;
mod coverage;
mod files;
mod json;
mod malformed;
mod messages;
mod options;
mod plan;
mod random;
pub mod record;
pub mod tenant;
#[cfg(test)]
mod tests;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Datelike, Timelike, Utc};
use clap::ValueEnum;

use crate::shutdown::Shutdown;
use crate::sink::file::{self as sink, Guard, Target};
use crate::term::{Failure, say, signals};
use crate::time::{EventTime, TICKS_PER_SECOND};
use crate::words::counted;
use files::{Written, write_table, write_truth};
pub use json::TimeForm;
use messages::{ActivityTable, AlertTable, Batches};
pub use messages::{MessageInfo, Messages};
pub use options::{Envelope, Error as OptionsError, Options};
use plan::Plan;
pub use random::Guid;
use tenant::{IGNORED, LINKS_TOML, TenantGenerator, Truth};

/// The plan of both tables, which defines their activities and alerts.
#[derive(Clone, Debug)]
pub struct Generator {
    plan: Arc<Plan>,
}

impl Generator {
    /// Plans the traffic for `options`. Takes time and memory in proportion to the alerts, some microseconds and 100
    /// bytes each. Fails only if an option is out of range.
    pub fn new(options: &Options) -> Result<Self, OptionsError> {
        Ok(Self {
            plan: Arc::new(Plan::new(options)?),
        })
    }

    /// Returns the CloudAppEvents messages from the first one on, in order of arrival.
    pub fn activities(&self) -> impl Messages + use<> {
        Batches::new(ActivityTable::new(Arc::clone(&self.plan)))
    }

    /// Returns the SecurityAlert messages from the first one on, in order of arrival.
    pub fn alerts(&self) -> impl Messages + use<> {
        Batches::new(AlertTable::new(Arc::clone(&self.plan)))
    }
}

/// Writes synthetic traffic of both tables to files: the same bytes for the same options, on every machine.
///
/// DIR/cloudappevents.jsonl and DIR/securityalert.jsonl hold one message per line, in order of arrival. Files of these
/// names are replaced, also those with another compression. With --traffic tenant, DIR/links.toml holds the links by
/// which alerts find the activities of their people and files.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// Distinct activities; re-deliveries and broken messages come on top
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub(super) activities: u64,
    /// Distinct alerts; later versions, re-deliveries and broken messages come on top
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(super) alerts: u64,
    /// What all random choices follow from
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub(super) seed: u64,
    /// Directory to write to; made where it does not exist
    #[arg(long, short, value_name = "DIR")]
    pub(super) output: PathBuf,
    /// Typical size of a CloudAppEvents record, in bytes; sizes vary around it, the least are some 1400
    #[arg(long, value_name = "BYTES", default_value_t = 2_600)]
    pub(super) record_size: usize,
    /// Share of activities with a correlation id, 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.03)]
    pub(super) keyed_share: f64,
    /// Alert policies, and so distinct correlation ids
    #[arg(long, value_name = "N", default_value_t = 40)]
    pub(super) policies: usize,
    /// How uneven the policies are: the k-th has a weight of 1/k^SKEW; 0 to 8
    #[arg(long, value_name = "SKEW", default_value_t = 1.1)]
    pub(super) policy_skew: f64,
    /// Event time covered by the activities
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = humantime::parse_duration)]
    pub(super) span: Duration,
    /// Event time at which the activities begin, as RFC 3339
    #[arg(long, value_name = "TIME", default_value = "2026-03-01T00:00:00Z", value_parser = parse_start)]
    pub(super) start: EventTime,
    /// Shortest window of an alert
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = humantime::parse_duration)]
    pub(super) window_min: Duration,
    /// Longest window of an alert
    #[arg(long, value_name = "DURATION", default_value = "12h", value_parser = humantime::parse_duration)]
    pub(super) window_max: Duration,
    /// Share of the activities with a correlation id that lie in the window of an alert, 0 to 1, as far as the alerts
    /// allow
    #[arg(long, value_name = "SHARE", default_value_t = 0.1)]
    pub(super) in_window_share: f64,
    /// How far records may lie out of event-time order
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = humantime::parse_duration)]
    pub(super) disorder: Duration,
    /// Share of records that are delivered twice, 0 to 1: the same properties in another envelope
    #[arg(long, value_name = "SHARE", default_value_t = 0.03)]
    pub(super) duplicates: f64,
    /// Share of messages that are broken or hold a broken record, 0 to 0.9
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub(super) malformed: f64,
    /// Records in a message at most: with 1 a line is the record, with more it is {"records":[...]} with 1 to N of them
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(super) batch_max: usize,
    /// Envelopes of activities
    #[arg(long, value_enum, default_value_t = Envelopes::Mixed)]
    pub(super) envelope: Envelopes,
    /// Share of alerts with later versions, 0 to 1: another status, a later EndTime, seldom another policy
    #[arg(long, value_name = "SHARE", default_value_t = 0.2)]
    pub(super) alert_updates: f64,
    /// Share of alerts with StartTime equal to EndTime, 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub(super) zero_windows: f64,
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

/// Envelopes of activities. Alerts are rows as Log Analytics exports them.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Envelopes {
    /// All of them
    Mixed,
    /// Defender streaming API
    Streaming,
    /// Log Analytics export
    LogAnalytics,
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
    let options = args.options();
    match args.traffic {
        Traffic::Correlated => {
            let generator = Generator::new(&options)?;
            write(args, generator.activities(), generator.alerts(), None)
        }
        Traffic::Tenant => {
            let generator = TenantGenerator::new(&options)?;
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
        write_table(args, activities_to, args.activities, activities, &mut written, &shutdown)?,
        write_table(args, alerts_to, args.alerts, alerts, &mut written, &shutdown)?,
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
    say(&format!("{line}{unpacked}{rows}{removed}"));
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
                let (given, usual) = (self.options(), Options::default());
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

    /// Returns the options for the generator.
    fn options(&self) -> Options {
        Options {
            activities: self.activities,
            alerts: self.alerts,
            seed: self.seed,
            record_size: self.record_size,
            keyed_share: self.keyed_share,
            policies: self.policies,
            policy_skew: self.policy_skew,
            span: self.span,
            start: self.start,
            window_min: self.window_min,
            window_max: self.window_max,
            in_window_share: self.in_window_share,
            disorder: self.disorder,
            duplicates: self.duplicates,
            malformed: self.malformed,
            batch_max: self.batch_max,
            envelope: match self.envelope {
                Envelopes::Mixed => Envelope::Mixed,
                Envelopes::Streaming => Envelope::Streaming,
                Envelopes::LogAnalytics => Envelope::LogAnalytics,
            },
            alert_updates: self.alert_updates,
            zero_windows: self.zero_windows,
        }
    }
}

fn parse_start(text: &str) -> Result<EventTime, String> {
    let hint = "give an RFC 3339 time such as 2026-03-01T00:00:00Z";
    let time = DateTime::parse_from_rfc3339(text).map_err(|error| format!("{error}: {hint}"))?;
    let time = time.with_timezone(&Utc);
    let ticks = i64::from(time.num_seconds_from_midnight()) * TICKS_PER_SECOND + i64::from(time.nanosecond() / 100);
    EventTime::from_date(time.year(), time.month(), time.day(), ticks).ok_or_else(|| hint.to_owned())
}
