//! `alerttrail correlate`: joins files.
//!
//! [`local`] decodes and joins them, `hints` prints why alerts match few activities. Nothing here contacts a broker.

mod hints;
pub mod local;

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use tempfile::TempDir;

use crate::check::traffic;
use crate::clock;
use crate::config::{self, Config, Unmatched};
use crate::emit::{Emitter, Links};
use crate::replay::inputs::input_files;
use crate::shutdown::Shutdown;
use crate::sink::file::{self as sink, Guard, Output, Target};
use crate::source::CaptureFormat;
use crate::source::file::{self, Chunk, FileSource};
use crate::store::{Backend, Shared, Spilling, State};
use crate::term::{Failure, configuration, eprint_line, is_standard, logging, report_unfinished, signals};
use crate::words::{counted, grouped};
use hints::BufferedInput;
use local::{Local, Next, Resources, Scanner, Stream, Totals, ordered};

/// What to join and where the output goes.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// Input files of either table, mixed: JSON lines or JSON documents, plain, gzip or zstd, CSV, or Avro of Event
    /// Hubs Capture; folders of such files except CSV; `-` for standard input
    #[arg(long, short, required = true, num_args = 1.., value_name = "FILE")]
    input: Vec<PathBuf>,
    /// File name format of Event Hubs Capture, as in the settings of the event hub, such as
    /// {Namespace}/{EventHub}/{PartitionId}/{Year}/{Month}/{Day}/{Hour}/{Minute}/{Second}
    #[arg(long, value_name = "FORMAT")]
    capture_format: Option<CaptureFormat>,
    /// File for joined rows, as JSON lines; `-` for standard output
    #[arg(long, short, default_value = "-", value_name = "FILE")]
    output: PathBuf,
    /// File for records that cannot be used, as JSON lines
    #[arg(long, value_name = "FILE")]
    dead_letters: Option<PathBuf>,
    /// File for one summary per alert, as JSON lines
    #[arg(long, value_name = "FILE")]
    summaries: Option<PathBuf>,
    /// Format of the output records [default: output.format of the configuration, or native]
    #[arg(long, value_name = "F")]
    format: Option<OutputFormat>,
    /// Configuration file, for [correlation], [[link]], [alert], [tenants], input.identity, output.unmatched,
    /// output.format and state.memory
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder for state that exceeds memory, and for rows of compressed files and standard input; a folder in it is
    /// created and removed at the end [default: the system's temporary folder]
    #[arg(long, value_name = "DIR")]
    temp_dir: Option<PathBuf>,
}

/// The formats of output records.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum OutputFormat {
    /// alerttrail/1: one JSON object that contains the rows of the alert and of the activity
    Native,
    /// The flat row of the query
    Kql,
    /// Open Cybersecurity Schema Framework 1.8
    Ocsf,
    /// Elastic Common Schema 8
    Ecs,
}

impl From<OutputFormat> for config::Format {
    fn from(format: OutputFormat) -> Self {
        match format {
            OutputFormat::Native => Self::Native,
            OutputFormat::Kql => Self::Kql,
            OutputFormat::Ocsf => Self::Ocsf,
            OutputFormat::Ecs => Self::Ecs,
        }
    }
}

/// Joins the files.
pub fn run(args: &Args) -> Result<(), Failure> {
    logging::begin("warn");
    let config = configuration(args.config.as_deref())?;
    let args = &Args {
        input: input_files(&args.input, args.capture_format.as_ref(), &config.decode)?,
        ..args.clone()
    };
    let started = clock::start();
    let shutdown = Shutdown::default();
    signals::watch_with(&shutdown, "its output is not complete").map_err(Failure::failed)?;
    // Inputs are checked before any output is created.
    args.input
        .iter()
        .try_for_each(|path| FileSource::check(path))
        .map_err(Failure::failed)?;
    let output = Outputs::create(args)?;
    let files: Vec<String> = output.files().map(|path| path.display().to_string()).collect();
    let buffered = BufferedInput::default();
    let run = RunContext {
        output,
        shutdown: &shutdown,
        buffered: &buffered,
    };
    let totals = join(args, &config, run);
    match totals {
        Ok(Some(totals)) => {
            report(args, &totals, started.elapsed());
            hints::report(&args.input, &buffered, &config, &totals, &shutdown);
            Ok(())
        }
        Ok(None) => Err(Failure::failed(match files.is_empty() {
            true => "interrupted; the output is not complete".to_owned(),
            false => format!("interrupted before the end; {} not written", subject_and_verb(&files)),
        })),
        // The reader of the output has closed it.
        Err(Error::Run(local::Error::Output(cause))) if cause.kind() == io::ErrorKind::BrokenPipe => match files.is_empty() {
            true => Ok(()),
            false => Err(Failure::failed(format!(
                "the output was closed before the end; {} not written",
                subject_and_verb(&files)
            ))),
        },
        Err(error) => Err(Failure::failed(error)),
    }
}

/// Returns `a was`, or `a and b were`.
fn subject_and_verb(files: &[String]) -> String {
    match files {
        [one] => format!("{one} was"),
        more => format!("{} were", more.join(" and ")),
    }
}

/// The output of a run, its shutdown flag, and its buffered input.
struct RunContext<'a> {
    output: Outputs,
    shutdown: &'a Shutdown,
    /// Input that may have to be read again.
    buffered: &'a BufferedInput,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Read(#[from] file::Error),
    #[error(transparent)]
    Run(#[from] local::Error),
    #[error(transparent)]
    Write(#[from] sink::Error),
    #[error("cannot create a temporary folder for state: {0}; choose another place with --temp-dir")]
    Temporary(io::Error),
}

/// Joins the input. Returns `None` after a shutdown request.
fn join(args: &Args, config: &Config, run: RunContext<'_>) -> Result<Option<Totals>, Error> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("alerttrail-");
    let folder = match &args.temp_dir {
        Some(parent) => builder.tempdir_in(parent),
        None => builder.tempdir(),
    };
    let folder = folder.map_err(Error::Temporary)?;
    // Half of the memory is for activities that may join, and half for the state of the join, in memory or in RocksDB.
    let memory = usize::try_from(config.state.memory / 2).unwrap_or(usize::MAX);
    let resources = Resources {
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        memory,
        folder: folder.path().to_owned(),
    };
    join_with_backend(spilling_backend(&folder, memory), resources, args, config, run)
}

fn spilling_backend(folder: &TempDir, memory: usize) -> impl Backend + use<> {
    let path = folder.path().join("state");
    Spilling::new(memory, move || State::open(&path, &Shared::new(memory)))
}

fn join_with_backend<B: Backend>(
    backend: B,
    resources: Resources,
    args: &Args,
    config: &Config,
    run: RunContext<'_>,
) -> Result<Option<Totals>, Error> {
    let RunContext {
        output,
        shutdown,
        buffered,
    } = run;
    let bar = progress_bar(&args.input);
    let emitter = Emitter {
        format: args.format.map_or(config.output.format, config::Format::from),
        links: Links::new(&config.decode),
        summaries: args.summaries.is_some(),
        unmatched: config.output.unmatched == Unmatched::Emit,
        limit: None,
    };
    let threads = resources.threads;
    let mut local = Local::new(config.decode.clone(), resources, backend, emitter, output)?;
    let chunks = buffered.buffer_chunks(&args.input, chunks(args.input.clone(), bar.clone()));
    let mut parts = ordered("scan", threads, chunks, || {
        let mut scanner = Scanner::new(&config.decode);
        move |chunk: Result<Chunk, file::Error>| chunk.map(|chunk| scanner.scan(chunk))
    });
    loop {
        if shutdown.is_requested() {
            return Ok(None);
        }
        match parts.next_within(Duration::from_millis(100)) {
            Next::Result(part) => {
                if local.take(part?, shutdown)?.is_none() {
                    return Ok(None);
                }
            }
            Next::Pending => {}
            Next::End => break,
            Next::Broken => return Err(local::Error::Thread.into()),
        }
    }
    bar.finish_and_clear();
    let Some((totals, mut output)) = local.end(shutdown)? else {
        return Ok(None);
    };
    output.flush().map_err(local::Error::Output)?;
    output.all().try_for_each(Output::finish)?;
    Ok(Some(totals))
}

/// Reads and decompresses the inputs, one after another.
fn chunks(inputs: Vec<PathBuf>, bar: ProgressBar) -> impl FnMut() -> Option<Result<Chunk, file::Error>> + Send {
    let mut inputs = inputs.into_iter();
    let mut source: Option<FileSource> = None;
    move || {
        loop {
            let reading = match &mut source {
                Some(reading) => reading,
                none => {
                    let watched = bar.clone();
                    match FileSource::open(&inputs.next()?, |raw| Box::new(watched.wrap_read(raw))) {
                        Ok(opened) => none.insert(opened),
                        Err(error) => return Some(Err(error)),
                    }
                }
            };
            match reading.next_chunk().transpose() {
                Some(chunk) => return Some(chunk),
                None => source = None,
            }
        }
    }
}

/// Shows progress on a terminal, by the bytes read of the files on disk.
fn progress_bar(inputs: &[PathBuf]) -> ProgressBar {
    let size = |path: &PathBuf| {
        std::fs::metadata(path)
            .ok()
            .filter(|_| !is_standard(path))
            .map(|found| found.len())
    };
    let sizes: Option<Vec<u64>> = inputs.iter().map(size).collect();
    let (bar, template) = match sizes {
        Some(sizes) => (
            ProgressBar::new(sizes.iter().sum()),
            "{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta} left",
        ),
        None => (ProgressBar::no_length(), "{spinner} {bytes} {bytes_per_sec}"),
    };
    bar.with_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// The output files of a run.
struct Outputs {
    rows: Output,
    summaries: Option<Output>,
    dead_letters: Option<Output>,
}

impl Outputs {
    /// Opens the outputs. Fails when one of them is an input, the configuration file or another output.
    fn create(args: &Args) -> Result<Self, sink::Error> {
        let mut guard = Guard::default();
        args.input.iter().for_each(|path| guard.reads(path, "an input"));
        if let Some(path) = &args.config {
            guard.reads(path, "the configuration file");
        }
        // All outputs are checked before the first one is created.
        let rows = guard.writes(&args.output)?;
        let mut optional = |path: &Option<PathBuf>| path.as_deref().map(|path| guard.writes(path)).transpose();
        let (summaries, dead_letters) = (optional(&args.summaries)?, optional(&args.dead_letters)?);
        let spare = args.temp_dir.clone().unwrap_or_else(std::env::temp_dir);
        let create = |target: Target| target.create(&spare);
        Ok(Self {
            rows: create(rows)?,
            summaries: summaries.map(create).transpose()?,
            dead_letters: dead_letters.map(create).transpose()?,
        })
    }

    /// Returns the names of the regular files, which are replaced at the end.
    fn files(&self) -> impl Iterator<Item = &Path> {
        let all = [Some(&self.rows), self.summaries.as_ref(), self.dead_letters.as_ref()];
        all.into_iter().flatten().filter(|output| output.is_file()).map(Output::name)
    }

    /// Writes what is buffered, so that errors occur before a file is replaced.
    fn flush(&mut self) -> io::Result<()> {
        let optional = [&mut self.summaries, &mut self.dead_letters];
        optional.into_iter().flatten().try_for_each(Output::flush)?;
        self.rows.flush()
    }

    fn all(self) -> impl Iterator<Item = Output> {
        [Some(self.rows), self.summaries, self.dead_letters].into_iter().flatten()
    }
}

impl local::Output for Outputs {
    fn write(&mut self, stream: Stream, lines: &[u8]) -> io::Result<()> {
        let file = match stream {
            Stream::Rows => Some(&mut self.rows),
            Stream::Summaries => self.summaries.as_mut(),
            Stream::DeadLetters => self.dead_letters.as_mut(),
        };
        file.map_or(Ok(()), |file| file.write_all(lines))
    }
}

fn report(args: &Args, totals: &Totals, took: Duration) {
    let others: u64 = totals.other_tables.values().sum();
    let dead_letters: u64 = totals.dead_letters.values().sum();
    let activities = totals.activities + totals.timeless;
    let records = activities + totals.alerts + others + totals.ignored + dead_letters;
    let unreadable = match totals.unreadable {
        0 => String::new(),
        count => format!(", {} unreadable", grouped(count)),
    };
    let ignored = match totals.ignored {
        0 => String::new(),
        count => format!(", {} ignored", grouped(count)),
    };
    let rate = records as f64 / took.as_secs_f64().max(0.001);
    eprint_line(&format!(
        "{} ({} with a key, {} of those duplicates{unreadable}), {}, {} of other tables{}{ignored}; {}; {}{}; {:.1} s, {} records/s",
        counted(activities, "activity"),
        grouped(totals.keyed),
        grouped(totals.duplicates),
        counted(totals.alerts, "alert version"),
        counted(others, "record"),
        listed(&totals.other_tables),
        counted(totals.pairs, "pair") + &by_link(&totals.by_link),
        counted(dead_letters, "dead letter"),
        listed(&totals.dead_letters),
        took.as_secs_f64(),
        grouped(rate as u64),
    ));
    if dead_letters > 0 && args.dead_letters.is_none() {
        eprint_line("warning: records that could not be used were left out; --dead-letters FILE saves them, with the reason");
    }
    if totals.unreadable > 0 {
        eprint_line(&format!(
            "warning: RawEventData contains no JSON object in {}, so they have no correlation id: find out what truncates or rewrites it",
            counted(totals.unreadable, "activity")
        ));
    }
    if let Some(sentence) = traffic::cut_keys(totals.cut_keys) {
        eprint_line(&format!("warning: {sentence}"));
    }
    report_unfinished(
        &totals.unfinished,
        "the record was skipped; run again when the file is complete",
    );
    if totals.empty_windows > 0 {
        eprint_line(&format!(
            "warning: EndTime <= StartTime in {}, which matches nothing with these bounds; [correlation] bounds = \"inclusive\", or before and after, include activities at or around these times",
            counted(totals.empty_windows, "alert version")
        ));
    }
    if totals.second_tenant > 0 {
        eprint_line(
            "warning: the input contains records of more than one tenant, but there is no [tenants] table: alerts of one may be joined with activities of another",
        );
    }
}

/// Returns ` (query 1, user 2)`, or an empty string if there is only the query.
fn by_link(counts: &[(String, u64)]) -> String {
    let parts: Vec<String> = counts
        .iter()
        .map(|(name, count)| format!("{name} {}", grouped(*count)))
        .collect();
    match parts.is_empty() {
        true => String::new(),
        false => format!(" ({})", parts.join(", ")),
    }
}

/// Returns ` (a 1, b 2)`, or an empty string.
fn listed<K: std::fmt::Display>(counts: &BTreeMap<K, u64>) -> String {
    const MAX_LISTED: usize = 8;
    if counts.is_empty() {
        return String::new();
    }
    let mut parts: Vec<String> = counts
        .iter()
        .take(MAX_LISTED)
        .map(|(name, count)| format!("{name} {}", grouped(*count)))
        .collect();
    if counts.len() > MAX_LISTED {
        parts.push("…".into());
    }
    format!(" ({})", parts.join(", "))
}
