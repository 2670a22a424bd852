//! `alerttrail correlate`: files in, joined rows out.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};

use super::{Failure, configuration, grouped, is_standard, say, signals};
use crate::clock;
use crate::config::{self, Config, Unmatched};
use crate::decode::Decoder;
use crate::emit::{Emitter, Kind};
use crate::pipeline::local::{self, Local, Totals};
use crate::route::{Arrival, Router, Settings};
use crate::shutdown::Shutdown;
use crate::sink::dead_letter::DeadLetter;
use crate::source::file::{self, Chunk, FileSource};
use crate::store::Base;

/// What to join and where the answer goes.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Files of either table, mixed: JSON lines or JSON documents, plain, gzip or zstd; `-` for standard input
    #[arg(long, short, required = true, num_args = 1.., value_name = "FILE")]
    input: Vec<PathBuf>,
    /// Where joined rows go, as JSON lines; `-` for standard output
    #[arg(long, short, default_value = "-", value_name = "FILE")]
    output: PathBuf,
    /// Where records that cannot be used go, as JSON lines
    #[arg(long, value_name = "FILE")]
    dead_letters: Option<PathBuf>,
    /// Where one summary for each alert goes, as JSON lines
    #[arg(long, value_name = "FILE")]
    summaries: Option<PathBuf>,
    /// The form of the output records [default: output.format of the configuration, which is native unless it says otherwise]
    #[arg(long, value_name = "F")]
    format: Option<Format>,
    /// A configuration file, for [correlation], [tenants], input.identity, output.unmatched, output.format and state.memory
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where state is kept while it runs, in a folder that is removed at the end [default: the system's temporary folder]
    #[arg(long, value_name = "DIR")]
    temp_dir: Option<PathBuf>,
}

/// The forms of output records that there are.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// alerttrail/1: one JSON object with the alert's and the activity's row in it
    Native,
    /// The flat row of the query
    Kql,
    /// Open Cybersecurity Schema Framework 1.8
    Ocsf,
    /// Elastic Common Schema 8
    Ecs,
}

impl From<Format> for config::Format {
    fn from(format: Format) -> Self {
        match format {
            Format::Native => Self::Native,
            Format::Kql => Self::Kql,
            Format::Ocsf => Self::Ocsf,
            Format::Ecs => Self::Ecs,
        }
    }
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    super::log("warn");
    let config = configuration(args.config.as_deref())?;
    let started = clock::start();
    let shutdown = Shutdown::default();
    signals::watch(&shutdown).map_err(Failure::failed)?;
    refuse_overwriting(args)?;
    // Before any output is made: a name that is wrong must not cost a file.
    args.input
        .iter()
        .try_for_each(|path| FileSource::check(path))
        .map_err(Failure::failed)?;
    let run = Run {
        output: Files::create(args)?,
        shutdown: &shutdown,
    };
    let totals = join(args, &config, run);
    match totals {
        Ok(Some(totals)) => {
            report(args, &totals, started.elapsed());
            Ok(())
        }
        Ok(None) => Err(Failure::failed("interrupted; the output is not complete")),
        // Whoever read the output has seen enough.
        Err(Error::Run(local::Error::Output(cause))) if cause.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failure::failed(error)),
    }
}

/// What a run writes, and what stops it.
struct Run<'a> {
    output: Files,
    shutdown: &'a Shutdown,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Read(#[from] file::Error),
    #[error(transparent)]
    Run(#[from] local::Error),
    #[error("the thread that reads the input ended unexpectedly; this is a fault of the program, its last words stand above")]
    Reader,
    #[cfg(feature = "rocksdb")]
    #[error("cannot make a temporary folder for state: {0}; name another place with --temp-dir")]
    Temporary(io::Error),
}

#[cfg(feature = "rocksdb")]
fn join(args: &Args, config: &Config, run: Run<'_>) -> Result<Option<Totals>, Error> {
    use crate::store::{Durability, Rocks, Shared};
    let mut builder = tempfile::Builder::new();
    builder.prefix("alerttrail-");
    let folder = match &args.temp_dir {
        Some(parent) => builder.tempdir_in(parent),
        None => builder.tempdir(),
    };
    let folder = folder.map_err(Error::Temporary)?;
    let shared = Shared::new(usize::try_from(config.state.memory).unwrap_or(usize::MAX));
    let base = Rocks::open(folder.path(), &shared, Durability::None).map_err(local::Error::Store)?;
    join_over(base, args, config, run)
}

#[cfg(not(feature = "rocksdb"))]
fn join(args: &Args, config: &Config, run: Run<'_>) -> Result<Option<Totals>, Error> {
    if args.temp_dir.is_some() {
        say("warning: --temp-dir is not used: this program was built without RocksDB and keeps state in memory");
    }
    join_over(crate::store::Memory::default(), args, config, run)
}

/// `None` when asked to stop before the end.
fn join_over<B: Base>(base: B, args: &Args, config: &Config, run: Run<'_>) -> Result<Option<Totals>, Error> {
    let Run { output, shutdown } = run;
    let bar = progress_bar(&args.input);
    let settings = Settings {
        partitions: 1,
        max_wait: config.watermark.max_wait,
        max_future_skew: config.watermark.max_future_skew,
        tenants: config.decode.tenants.is_some(),
    };
    let router = Router::new(Decoder::new(config.decode.clone()), settings);
    let emitter = Emitter {
        format: args.format.map_or(config.output.format, config::Format::from),
        widening: config.decode.widening,
        summaries: args.summaries.is_some(),
        unmatched: config.output.unmatched == Unmatched::Emit,
        limit: None,
    };
    let mut local = Local::new(router, base, None, emitter, output)?;
    let chunks = read(args.input.clone(), bar.clone());
    while let Some(chunk) = next(&chunks, shutdown)? {
        if shutdown.is_requested() {
            return Ok(None);
        }
        let arrival = Arrival {
            now: clock::now(),
            timestamp: None,
        };
        local.messages(&chunk.file, chunk.messages(), arrival)?;
    }
    bar.finish_and_clear();
    let Some((totals, mut output)) = local.end(shutdown)? else {
        return Ok(None);
    };
    output.flush().map_err(local::Error::Output)?;
    Ok(Some(totals))
}

/// What the reading thread says.
enum Read {
    Chunk(Chunk),
    Failed(file::Error),
    End,
}

/// Reads and decompresses on a thread of its own, a few chunks ahead.
fn read(inputs: Vec<PathBuf>, bar: ProgressBar) -> mpsc::Receiver<Read> {
    let (send, receive) = mpsc::sync_channel(4);
    std::thread::spawn(move || {
        for path in &inputs {
            let watched = bar.clone();
            let mut source = match FileSource::open(path, |raw| Box::new(watched.wrap_read(raw))) {
                Ok(source) => source,
                Err(error) => return drop(send.send(Read::Failed(error))),
            };
            while let Some(chunk) = source.next_chunk().transpose() {
                let (said, failed) = match chunk {
                    Ok(chunk) => (Read::Chunk(chunk), false),
                    Err(error) => (Read::Failed(error), true),
                };
                // The receiver goes when it has seen enough.
                if send.send(said).is_err() || failed {
                    return;
                }
            }
        }
        drop(send.send(Read::End));
    });
    receive
}

/// The next chunk; `None` at the end, and when asked to stop.
fn next(chunks: &mpsc::Receiver<Read>, shutdown: &Shutdown) -> Result<Option<Chunk>, Error> {
    loop {
        match chunks.recv_timeout(Duration::from_millis(100)) {
            Ok(Read::Chunk(chunk)) => return Ok(Some(chunk)),
            Ok(Read::Failed(error)) => return Err(error.into()),
            Ok(Read::End) => return Ok(None),
            Err(mpsc::RecvTimeoutError::Timeout) if shutdown.is_requested() => return Ok(None),
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            // It always says how it ended, unless it could not.
            Err(mpsc::RecvTimeoutError::Disconnected) => return Err(Error::Reader),
        }
    }
}

/// Refuses to write over what is to be read.
fn refuse_overwriting(args: &Args) -> Result<(), Failure> {
    let same = |one: &Path, other: &Path| match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    };
    let outputs = [Some(&args.output), args.dead_letters.as_ref(), args.summaries.as_ref()];
    for output in outputs.into_iter().flatten().filter(|path| !is_standard(path)) {
        if args.input.iter().any(|input| same(input, output)) {
            return Err(Failure::usage(format!(
                "{} is an input; name another file for the output",
                output.display()
            )));
        }
    }
    Ok(())
}

/// Draws on a terminal only. Counts the bytes read of the files as they are on disk.
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

/// Where a run's records go.
struct Files {
    rows: Box<dyn Write>,
    summaries: Option<Box<dyn Write>>,
    dead_letters: Option<Box<dyn Write>>,
    line: Vec<u8>,
}

impl Files {
    fn create(args: &Args) -> Result<Self, Failure> {
        let optional = |path: &Option<PathBuf>| path.as_deref().map(create).transpose();
        Ok(Self {
            rows: create(&args.output)?,
            summaries: optional(&args.summaries)?,
            dead_letters: optional(&args.dead_letters)?,
            line: Vec::new(),
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        let optional = [&mut self.summaries, &mut self.dead_letters];
        optional.into_iter().flatten().try_for_each(Write::flush)?;
        self.rows.flush()
    }
}

fn create(path: &Path) -> Result<Box<dyn Write>, Failure> {
    const BUFFER: usize = 1 << 18;
    if is_standard(path) {
        return Ok(Box::new(BufWriter::with_capacity(BUFFER, io::stdout())));
    }
    let file = File::create(path).map_err(|error| Failure::failed(format!("cannot write {}: {error}", path.display())))?;
    Ok(Box::new(BufWriter::with_capacity(BUFFER, file)))
}

impl local::Output for Files {
    fn record(&mut self, kind: Kind, value: &[u8]) -> io::Result<()> {
        let file = match (kind, &mut self.summaries) {
            (Kind::Alert, Some(summaries)) => summaries,
            _ => &mut self.rows,
        };
        file.write_all(value)?;
        file.write_all(b"\n")
    }

    fn dead_letter(&mut self, letter: DeadLetter<'_>) -> io::Result<()> {
        let Some(file) = &mut self.dead_letters else { return Ok(()) };
        self.line.clear();
        letter.write_json_line(&mut self.line);
        file.write_all(&self.line)
    }
}

fn report(args: &Args, totals: &Totals, took: Duration) {
    let others: u64 = totals.other_tables.values().sum();
    let dead: u64 = totals.dead_letters.values().sum();
    let activities = totals.activities + totals.timeless;
    let records = activities + totals.alerts + others + dead;
    let rate = records as f64 / took.as_secs_f64().max(0.001);
    say(&format!(
        "{} activities ({} with a key, {} of those delivered again), {} alert versions, {} records of other tables{}; {} pairs; {} dead letters{}; {:.1} s, {} records/s",
        grouped(activities),
        grouped(totals.keyed),
        grouped(totals.duplicates),
        grouped(totals.alerts),
        grouped(others),
        listed(&totals.other_tables),
        grouped(totals.pairs),
        grouped(dead),
        listed(&totals.dead_letters),
        took.as_secs_f64(),
        grouped(rate as u64),
    ));
    if dead > 0 && args.dead_letters.is_none() {
        say("warning: records that could not be used were left out; --dead-letters FILE keeps them, with the reason");
    }
    if totals.empty_windows > 0 {
        say(&format!(
            "warning: {} alert versions have EndTime <= StartTime, which matches nothing under these bounds; [correlation] bounds = \"inclusive\", or before and after, take in what lies at or around them",
            grouped(totals.empty_windows)
        ));
    }
    if totals.second_tenant > 0 {
        say(
            "warning: the input holds records of more than one tenant, but there is no [tenants] table: alerts of one may be joined with activities of another",
        );
    }
}

/// ` (a 1, b 2)`, or nothing.
fn listed<K: std::fmt::Display>(counts: &BTreeMap<K, u64>) -> String {
    const MOST: usize = 8;
    if counts.is_empty() {
        return String::new();
    }
    let mut words: Vec<String> = counts
        .iter()
        .take(MOST)
        .map(|(name, count)| format!("{name} {}", grouped(*count)))
        .collect();
    if counts.len() > MOST {
        words.push("…".into());
    }
    format!(" ({})", words.join(", "))
}
