//! `alerttrail verify`: compares the output with the rows that are recomputed from the input, and reports which rows
//! are the same, missing, extra or changed, and why.
//!
//! The log-end offsets of the output topic are requested first, and those of the input topics afterwards (`topics`). So
//! every row that is read follows from input that is read too. Former input topics are read as well (`former`). Both
//! sides are read once; the comparison uses a temporary folder. Nothing is written to any topic, and no position is
//! committed.
//!
//! [`Recomputation`] is the batch join: ROUTE and JOIN over a log in memory, which never expires anything and closes
//! every window at the end. [`Comparison`] receives the rows that it emits and the records of the output, each as
//! hashes, and compares them part by part (`buckets`): both sides may be larger than memory, which contains one part of
//! 512. `fold` compares the items of one id, `record` defines which parts of a row are kept, `cause` decides why a row
//! does not agree, [`Sources`] determines how far the output must be complete and which records are gone, [`Report`] is
//! the result, and `print` prints it.
//!
//! A row with an older version of its alert is right, and so is a row with any delivery of its activity. The comparison
//! looks up whether the content is one of these, byte for byte. It relies on the join to be right, which the simulation
//! compares with the query.

mod buckets;
mod cause;
mod comparison;
mod files;
mod fold;
mod former;
mod print;
mod reach;
mod recomputation;
mod record;
mod report;
#[cfg(test)]
mod tests;
mod topics;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::clock;
use crate::config::{self, Config};
use crate::decode::{Decoder, parse_time};
use crate::emit::{Emitter, Links};
use crate::replay::inputs::input_files;
use crate::route::{Router, Settings};
use crate::shutdown::Shutdown;
use crate::source::{CaptureFormat, file};
use crate::store::{self, Backend, Shared, State};
use crate::term::{Failure, configuration, eprint_line, logging, signals};
use crate::time::EventTime;
use crate::words::grouped;
pub use cause::{Cause, Judgement, Kind};
pub use comparison::{Comparison, Span};
pub use reach::{Reach, ReachSettings, Sources, StartPosition};
pub use recomputation::{Error as RecomputationError, Recomputation};
pub use report::{Example, Report, Verdict};

/// The stage in the name of the consumer group, which never has positions.
const STAGE: &str = "verify";
/// Maximum number of partitions whose beginnings are listed.
const MAX_LISTED: usize = 8;

/// What to compare.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// The configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Compare only rows with activities at this time or later, such as 2026-03-01T10:00:00Z
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<EventTime>,
    /// Compare only rows with activities before this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    to: Option<EventTime>,
    /// Recompute from these files, and those in these folders (without CSV), instead of the input topics, in any format
    /// that `correlate` reads; every window counts as closed
    #[arg(long, num_args = 1.., value_name = "FILE")]
    input: Vec<PathBuf>,
    /// File name format of Event Hubs Capture, as in the settings of the event hub, such as
    /// {Namespace}/{EventHub}/{PartitionId}/{Year}/{Month}/{Day}/{Hour}/{Minute}/{Second}
    #[arg(long, value_name = "FORMAT")]
    capture_format: Option<CaptureFormat>,
    /// Also recompute from this topic, which was in input.topics before; may be repeated; topics that the repartition
    /// topic names are found automatically
    #[arg(long, value_name = "NAME", conflicts_with = "input")]
    input_topic: Vec<String>,
    /// Compare with the rows in this file (JSON lines) instead of the output topic; nothing counts as expired
    #[arg(long, value_name = "FILE")]
    output_file: Option<PathBuf>,
    /// Number of rows to show of each kind and cause
    #[arg(long, default_value_t = 5, value_name = "N")]
    examples: usize,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
    /// Folder for temporary data; a folder in it is created and removed at the end [default: the system's temporary
    /// folder]
    #[arg(long, value_name = "DIR")]
    temp_dir: Option<PathBuf>,
}

/// The reason why the comparison failed.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Read(#[from] file::Error),
    #[error(transparent)]
    Verify(#[from] RecomputationError),
    #[error(transparent)]
    Kafka(#[from] crate::kafka::Error),
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::Verify(error.into())
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        Self::Verify(error.into())
    }
}

fn time(text: &str) -> Result<EventTime, String> {
    let wrong = || "it is not a time; use 2026-03-01T10:00:00Z, in UTC unless another zone is given".to_owned();
    parse_time(text).ok_or_else(wrong)
}

/// Compares, prints the result, and fails if it is not exact.
pub fn run(args: &Args) -> Result<(), Failure> {
    logging::begin("warn");
    let config = configuration(Some(&args.config))?;
    if config.output.format != config::Format::Native {
        return Err(Failure::usage(
            "verify compares rows of output.format = \"native\" only, but the configuration has another format",
        ));
    }
    let span = Span {
        from: args.from.unwrap_or(EventTime::MIN),
        to: args.to.unwrap_or(EventTime::MAX),
    };
    if span.from >= span.to {
        return Err(Failure::usage("--from must be before --to"));
    }
    let args = &Args {
        input: input_files(&args.input, args.capture_format.as_ref(), &config.decode)?,
        ..args.clone()
    };
    let files = args.input.iter().chain(&args.output_file);
    files
        .into_iter()
        .try_for_each(|path| file::FileSource::check(path))
        .map_err(Failure::failed)?;
    let shutdown = Shutdown::default();
    signals::watch_with(&shutdown, "the comparison is not complete").map_err(Failure::failed)?;
    let began = clock::start();
    let Some(verified) = verify(args, &config, span, &shutdown).map_err(Failure::failed)? else {
        return Err(Failure::failed("interrupted; the comparison is not complete"));
    };
    let report = &verified.report;
    match args.json {
        true => print::print_json(report),
        false => print::print(&verified),
    }
    let undecided = report.causes(Judgement::Undecided);
    for explanation in verified
        .explanations
        .iter()
        .filter(|explanation| undecided.contains_key(&explanation.cause))
    {
        eprint_line(&format!("warning: {}", explanation.text));
    }
    eprint_line(&format!("It took {:.1} s.", began.elapsed().as_secs_f64()));
    match report.verdict() {
        Verdict::Exact => Ok(()),
        Verdict::NotExact => Err(Failure::failed(print::faults(report))),
        Verdict::Undecided => Err(Failure::undecided(print::undecided(report))),
    }
}

/// The result of a comparison, with the names of both sides.
struct Verified {
    report: Report,
    explanations: Vec<Explanation>,
    /// The names of the two sides.
    input: String,
    output: String,
}

/// An explanation why some rows cannot be judged.
struct Explanation {
    /// The cause that it explains.
    cause: Cause,
    text: String,
}

/// Compares both sides. Returns `None` after a shutdown request.
fn verify(args: &Args, config: &Config, span: Span, shutdown: &Shutdown) -> Result<Option<Verified>, Error> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("alerttrail-");
    let folder = match &args.temp_dir {
        Some(parent) => builder.tempdir_in(parent),
        None => builder.tempdir(),
    }?;
    let backend = open_backend(folder.path(), config)?;
    let shorter = config.decode.all_links().map(|(_, link)| {
        let retention = config.state.retention;
        retention.saturating_sub(link.retention.unwrap_or(retention))
    });
    let comparison = Comparison::new(folder.path(), span, Links::new(&config.decode), args.examples)?;
    let comparison = comparison.with_shorter(shorter.collect());
    compare(backend, comparison, args, config, shutdown)
}

fn open_backend(folder: &Path, config: &Config) -> Result<State, store::Error> {
    let shared = Shared::new(usize::try_from(config.state.memory).unwrap_or(usize::MAX));
    State::open(&folder.join("state"), &shared)
}

fn compare<B: Backend>(
    backend: B,
    mut comparison: Comparison,
    args: &Args,
    config: &Config,
    shutdown: &Shutdown,
) -> Result<Option<Verified>, Error> {
    let Some(mut sides) = topics::TopicSides::new(args, config, shutdown)? else {
        return Ok(None);
    };
    let limit = sides.limit;
    let names = |paths: &[PathBuf]| -> Vec<String> { paths.iter().map(|path| path.display().to_string()).collect() };
    let topics = sides.inputs();
    let inputs = if args.input.is_empty() { topics } else { names(&args.input) };
    let is_read = match &args.output_file {
        Some(path) => files::read_output(path, &mut comparison, shutdown)?,
        None => sides.read_output(config, &mut comparison, shutdown)?,
    };
    if !is_read {
        return Ok(None);
    }
    let mut recomputation = Recomputation::new(router(config, limit), backend, emitter(config, limit))?;
    let input_from = match args.input.as_slice() {
        [] => sides
            .read_input(config, &mut recomputation, &mut comparison, shutdown)?
            .then_some(EventTime::MIN),
        paths => files::read_input(paths, &mut recomputation, &mut comparison, shutdown)?,
    };
    let Some(input_from) = input_from else {
        return Ok(None);
    };
    let mut reach = reach(args, sides.reach(config));
    reach.input_from = reach.input_from.max(input_from);
    let Some(report) = finish(recomputation, comparison, reach, shutdown)? else {
        return Ok(None);
    };
    Ok(Some(Verified {
        report,
        explanations: sides.into_explanations(reach),
        input: inputs.join(", "),
        output: match &args.output_file {
            None => config.output.topic.clone(),
            Some(path) => path.display().to_string(),
        },
    }))
}

/// Returns the reach with the limits of the sides that are topics. Files are complete.
fn reach(args: &Args, topics: Reach) -> Reach {
    let whole = Reach::default();
    match (args.input.is_empty(), args.output_file.is_some()) {
        (false, _) => Reach {
            output_from: topics.output_from,
            ..whole
        },
        (true, true) => Reach {
            cutoff: whole.cutoff,
            ..topics
        },
        (true, false) => topics,
    }
}

/// Recomputes the remaining rows and compares. Returns `None` after a shutdown request.
fn finish<B: Backend>(
    recomputation: Recomputation<B>,
    mut comparison: Comparison,
    reach: Reach,
    shutdown: &Shutdown,
) -> Result<Option<Report>, Error> {
    let bar = bar(None, "rows recomputed");
    let is_done = recomputation.end(&mut comparison, &mut |rows| {
        bar.set_position(rows);
        !shutdown.is_requested()
    })?;
    bar.finish_and_clear();
    if !is_done {
        return Ok(None);
    }
    let bar = self::bar(Some(100), "% compared");
    let report = comparison.finish(reach, &mut |share| {
        bar.set_position((share * 100.0) as u64);
        !shutdown.is_requested()
    })?;
    bar.finish_and_clear();
    Ok(report)
}

/// Returns a router that sends everything to one partition.
fn router(config: &Config, limit: Option<usize>) -> Router {
    let decoder = Decoder::new(config.decode.clone());
    let decoder = match limit {
        Some(limit) => decoder.with_limit(limit),
        None => decoder,
    };
    let settings = Settings {
        partitions: 1,
        max_wait: config.watermark.max_wait,
        max_future_skew: config.watermark.max_future_skew,
        max_window_ahead: config.watermark.max_window_ahead,
        tenants: config.decode.tenants.is_some(),
    };
    Router::new(decoder, settings)
}

fn emitter(config: &Config, limit: Option<usize>) -> Emitter {
    Emitter {
        format: config.output.format,
        links: Links::new(&config.decode),
        summaries: false,
        unmatched: false,
        limit,
    }
}

/// Lists the first offsets of partitions.
fn list_offsets(cut: &BTreeMap<i32, i64>) -> String {
    let shown = cut.iter().take(MAX_LISTED);
    let mut shown: Vec<String> = shown
        .map(|(partition, low)| format!("partition {partition} begins at offset {low}"))
        .collect();
    if cut.len() > MAX_LISTED {
        shown.push(format!("{} more", cut.len() - MAX_LISTED));
    }
    shown.join(", ")
}

/// Creates a progress bar, which is shown only on a terminal.
fn bar(length: Option<u64>, what: &'static str) -> ProgressBar {
    let (bar, template) = match length {
        Some(length) => (ProgressBar::new(length), "{bar:30} {human_pos}/{human_len} {msg} {eta} left"),
        None => (ProgressBar::no_length(), "{spinner} {human_pos} {msg} {per_sec}"),
    };
    bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar.with_message(what)
}
