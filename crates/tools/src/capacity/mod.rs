//! `alerttrail capacity`: finds the highest sustained rate, or tests a given load, with processors of its own.
//!
//! This process is the driver. It creates topics, starts processors as separate processes (`alerttrail run`), sends
//! messages (`sender`), reads the output (`reader`), measures resources (`processors`), and runs trials (`trial`) one
//! after another. Everything that the test creates is deleted: topics, consumer groups, state. `compare_files` compares
//! two tests.
//!
//! The other files decide without a broker what to send, what is correct and what counts. [`schedule`] determines when
//! each message is due, [`template`] and [`traffic`] its content. [`oracle`] compares the expected with the actual
//! output, [`latency`] measures latencies, [`lag`] decides whether the lag grew, [`search`] which rate to try next, and
//! [`verdict`] whether a trial counts. The results are in [`result`], [`report`] and [`compare`]. None of these reads a
//! clock, opens a file or starts a process; times are durations since a trial began.
//!
//! This module knows the processor only by its input and output. The expected output depends only on what was sent.

pub mod compare;
mod compare_files;
mod environment;
pub mod lag;
pub mod latency;
mod machine;
mod options;
pub mod oracle;
mod processors;
mod progress;
mod reader;
pub mod report;
pub mod result;
pub mod schedule;
pub mod search;
mod sender;
pub mod template;
pub mod traffic;
mod trial;
pub mod verdict;

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use clap::Subcommand;

use crate::clock;
use crate::shutdown::Shutdown;
use crate::sink::file::{Guard, Output};
use crate::source::file::FileSource;
use crate::term::{Failure, eprint_line, logging, signals};
use crate::words::{counted, grouped};
use environment::{Environment, OUT_OF_ORDERNESS};
use options::{Mode, Options, Shape};
use oracle::Judgement;
use progress::Progress;
use result::{Limits, Report, SCHEMA, Settings, Step};
use search::{Purpose, Search, SearchResult};
use template::Pool;
use trial::TestContext;

/// What to test, or which tests to compare.
#[derive(clap::Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    options: Options,
}

#[derive(Subcommand, Clone, Debug)]
enum Command {
    /// Compare two tests and tell significant differences from noise
    Compare(compare_files::Args),
}

/// The result of the trials.
#[derive(Default)]
struct TestOutcome {
    steps: Vec<Step>,
    found: Option<SearchResult>,
    /// The environments of the trials: the settings of the last one are reported, and their consumer groups are
    /// deleted.
    environments: Vec<Environment>,
    /// The reason why the test did not continue.
    failure: Option<Failure>,
}

/// Runs the test, or compares two tests.
pub fn run(args: &Args) -> Result<(), Failure> {
    if let Some(Command::Compare(args)) = &args.command {
        return compare_files::run(args);
    }
    logging::begin("error");
    let options = &args.options;
    options.check()?;
    // Files are created first, so that a long test does not fail at its end.
    let files = Files::create(options)?;
    let shutdown = Shutdown::default();
    signals::watch(&shutdown).map_err(Failure::failed)?;
    let pool = pool(options)?;
    let machine = machine::describe();
    let folder = tempfile::Builder::new()
        .prefix("alerttrail-capacity-")
        .disable_cleanup(options.keep)
        .tempdir();
    let folder = folder.map_err(Failure::failed)?;
    let mut random = [0; 4];
    getrandom::fill(&mut random).map_err(Failure::failed)?;
    let name = format!("alerttrail-capacity-{}", hex::encode(random));
    let context = TestContext {
        options,
        pool: &pool,
        record_size: pool.mean_size(options.keyed_share),
        shutdown: &shutdown,
        folder: folder.path(),
        name: &name,
    };
    introduce(options, &context);
    let (began, started) = (clock::start(), clock::now());
    let mut outcome = trials(&context);
    if outcome.steps.is_empty()
        && let Some(failure) = outcome.failure.take()
    {
        clean(&context, &outcome.environments);
        return Err(failure.naming(options.bootstrap_servers.as_deref()));
    }
    let report = Report {
        schema: SCHEMA.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started: started.to_event().to_string(),
        seconds: began.elapsed().as_secs_f64(),
        interrupted: shutdown.is_requested() || outcome.failure.is_some(),
        machine,
        settings: settings(&context, &outcome),
        found: outcome.found,
        answer: outcome
            .steps
            .iter()
            .map(|step| step.answer)
            .reduce(Judgement::and)
            .unwrap_or_default(),
        steps: outcome.steps,
    };
    files.write(&report)?;
    conclude(options, &report);
    clean(&context, &outcome.environments);
    match outcome.failure {
        Some(failure) => Err(failure),
        None => verdict(&report),
    }
}

/// Runs one trial after another, until the test is complete.
fn trials(context: &TestContext<'_>) -> TestOutcome {
    let mut outcome = TestOutcome::default();
    let mut progress = Progress::new();
    if let Some(failure) = warm_up(context, &mut outcome, &mut progress) {
        outcome.failure = Some(failure);
        return outcome;
    }
    let mut search = Search::new(context.options.plan());
    loop {
        let next = match (context.options.shape, context.options.rate) {
            (Shape::Search, _) => search.next(),
            (_, Some(rate)) if outcome.steps.is_empty() => Some((rate, Purpose::Load)),
            _ => None,
        };
        let Some((rate, purpose)) = next.filter(|_| !context.shutdown.is_requested()) else {
            break;
        };
        let number = outcome.steps.len() + 1;
        progress.begins(number, crate::capacity::verdict::name(Some(purpose)), rate);
        match context.run(number, purpose, rate, &mut progress) {
            Ok((step, environment)) => {
                progress.ended(&step);
                // An interrupted trial shows nothing about the rate.
                if !context.shutdown.is_requested() {
                    search.tried(step.is_sustained());
                }
                outcome.steps.push(step);
                outcome.environments.push(environment);
            }
            Err(failure) => {
                outcome.failure = Some(failure);
                break;
            }
        }
    }
    progress.done();
    if context.options.shape == Shape::Search {
        outcome.found = search.found();
    }
    outcome
}

/// Warms up the broker with a load that does not count. Returns why that failed, if it did.
fn warm_up(context: &TestContext<'_>, outcome: &mut TestOutcome, progress: &mut Progress) -> Option<Failure> {
    let (options, rate) = context.options.warming()?;
    eprint_line(&format!(
        "Warming up the broker for {} (--broker-warm-up); this does not count.",
        crate::words::duration(context.options.broker_warm_up)
    ));
    let context = TestContext {
        options: &options,
        ..*context
    };
    match context.run(0, Purpose::Load, rate, progress) {
        Ok((_, environment)) => {
            outcome.environments.push(environment);
            None
        }
        Err(failure) => Some(failure),
    }
}

/// Returns the records to send: generated ones, or recorded ones in their place.
fn pool(options: &Options) -> Result<Pool, Failure> {
    /// With more bodies than this, the traffic does not become more realistic.
    const MAX_TEMPLATES: usize = 4_096;
    const MAX_TEMPLATE_BYTES: usize = 256 << 20;
    let mut pool = Pool::generated(options.seed, options.policies as usize, options.record_size);
    if options.recording.is_empty() {
        return Ok(pool);
    }
    let mut messages = Vec::new();
    let mut bytes = 0;
    'files: for path in &options.recording {
        let mut file = FileSource::open(path, |raw| raw).map_err(Failure::failed)?;
        while let Some(chunk) = file.next_chunk().map_err(Failure::failed)? {
            for (_, message) in chunk.messages() {
                if messages.len() == MAX_TEMPLATES || bytes > MAX_TEMPLATE_BYTES {
                    break 'files;
                }
                bytes += message.len();
                messages.push(message.to_vec());
            }
        }
    }
    match pool.record(messages.into_iter()) {
        0 => Err(Failure::failed(
            "none of the recorded messages is a CloudAppEvents record with a RawEventData.CreationTime; pass files to --recording in a format that correlate reads",
        )),
        used => {
            eprint_line(&format!("Templates: {}.", counted(used as u64, "recorded record")));
            Ok(pool)
        }
    }
}

fn introduce(options: &Options, context: &TestContext<'_>) {
    let processors = counted(options.instances.into(), "processor");
    eprint_line(&format!(
        "alerttrail capacity, {}: {processors}, records of {:.0} bytes. Each trial warms up for {} and then measures for {}.",
        options.shape.word(),
        context.record_size,
        crate::words::duration(options.warm_up),
        crate::words::duration(options.hold()),
    ));
    if !options.embedded {
        eprint_line(&format!(
            "Topics and groups are its own: their names begin with {}.",
            context.name
        ));
    }
    if options.embedded {
        eprint_line(
            "The embedded broker keeps 5 MiB per partition, and a trial fails when half of that is unread; for reliable figures, use a real broker.",
        );
    }
}

fn settings(context: &TestContext<'_>, outcome: &TestOutcome) -> Settings {
    let options = context.options;
    let config = outcome.environments.last().map(|environment| &environment.config);
    let names = options.recording.iter().filter_map(|path| path.file_name());
    let names: Vec<String> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    Settings {
        shape: options.shape.word().to_owned(),
        broker: match options.embedded {
            true => "embedded".to_owned(),
            false => config
                .map(|config| config.kafka.bootstrap_servers.clone())
                .unwrap_or_default(),
        },
        instances: usize::from(options.instances),
        delivery: config
            .map_or("", |config| Mode::from_delivery(config.output.delivery).word())
            .to_owned(),
        seed: options.seed,
        records: if names.is_empty() {
            "generated".to_owned()
        } else {
            names.join(", ")
        },
        record_size: context.record_size,
        keyed_share: options.keyed_share,
        policies: options.policies as usize,
        alerts_per_second: options.alerts_per_second,
        window: options.window.as_secs_f64(),
        partitions: options.partitions,
        log_partitions: config.map_or(0, |config| config.repartition.partitions),
        watermark_interval_ms: config.map_or(0.0, |config| config.watermark.interval.as_secs_f64() * 1_000.0),
        out_of_orderness_ms: OUT_OF_ORDERNESS.as_secs_f64() * 1_000.0,
        warm_up: options.warm_up.as_secs_f64(),
        hold: options.hold().as_secs_f64(),
        limits: Limits {
            p99_ms: options.p99.as_secs_f64() * 1_000.0,
            memory: options.memory_limit.as_u64(),
        },
        precision: options.precision,
        kill_every: options.kill_every.map(|every| every.as_secs_f64()),
        outage: (options.shape == Shape::Outage).then_some(options.outage.as_secs_f64()),
    }
}

/// The files that a test writes at its end.
struct Files {
    html: Output,
    json: Output,
}

impl Files {
    fn create(options: &Options) -> Result<Self, Failure> {
        let mut guard = Guard::default();
        options.recording.iter().for_each(|path| guard.reads(path, "a recording"));
        if let Some(path) = &options.config {
            guard.reads(path, "the configuration file");
        }
        let (html, json) = (guard.writes(&options.html)?, guard.writes(&options.json)?);
        let spare = std::env::temp_dir();
        Ok(Self {
            html: html.create(&spare)?,
            json: json.create(&spare)?,
        })
    }

    fn write(mut self, report: &Report) -> Result<(), Failure> {
        let unwritable = |path: &Path, cause: &std::io::Error| {
            let path = path.display();
            Failure::failed(format!(
                "cannot write {path}: {cause}; choose another file with --html or --json"
            ))
        };
        let json = serde_json::to_vec(report).map_err(Failure::failed)?;
        let html = report::html(report);
        for (file, bytes) in [(&mut self.json, json.as_slice()), (&mut self.html, html.as_bytes())] {
            file.write_all(bytes).map_err(|cause| unwritable(file.name(), &cause))?;
        }
        self.json.finish()?;
        Ok(self.html.finish()?)
    }
}

fn conclude(options: &Options, report: &Report) {
    if report.interrupted {
        eprint_line("\nThe test was interrupted; the report contains the results so far.");
    }
    if let Some(SearchResult {
        rate,
        low,
        high,
        runs,
        bounded,
    }) = report.found
    {
        let number = |rate: f64| grouped(rate.round() as u64);
        let bound = if bounded {
            ""
        } else {
            " (no higher rate failed: raise --most)"
        };
        eprint_line(&format!(
            "\nSustained: {} records/s{bound}. Median of {}, {} to {}.",
            number(rate),
            counted(runs as u64, "run"),
            number(low),
            number(high)
        ));
    }
    eprint_line(&format!(
        "Report: {}, figures: {}.",
        options.html.display(),
        options.json.display()
    ));
}

/// The addition to a negative result: a broker that was just started may fail a test because it is still slow.
const COLD_BROKER: &str = "a broker is slow in its first minutes, so before relying on this, run the test again or with a longer \
                            --broker-warm-up";

/// Returns whether the test was successful.
fn verdict(report: &Report) -> Result<(), Failure> {
    if report.answer.exact == Some(false) {
        return Err(Failure::failed(format!(
            "the output was wrong: {} missing, {} unexpected, {} repeated; use --keep to inspect the topics",
            counted(report.answer.missing, "pair"),
            grouped(report.answer.unexpected),
            grouped(report.answer.repeated)
        )));
    }
    match (&report.found, report.steps.as_slice()) {
        _ if report.interrupted => Err(Failure::failed("the test was interrupted")),
        (Some(_), _) => Ok(()),
        (None, [step]) if step.is_sustained() => Ok(()),
        (None, [step]) => Err(Failure::failed(format!(
            "the load was not sustained: {}; {COLD_BROKER}",
            step.failures.join("; ")
        ))),
        (None, _) => Err(Failure::failed(format!(
            "no rate was sustained; the report shows why; {COLD_BROKER}"
        ))),
    }
}

/// Deletes the consumer groups, or reports those that are left. The topics are already deleted, and the folder is
/// deleted automatically.
fn clean(context: &TestContext<'_>, environments: &[Environment]) {
    /// A member that has ended counts for 15 s.
    const GROUP_TIMEOUT: Duration = Duration::from_secs(17);
    if context.options.keep {
        eprint_line(&format!("State and logs are in {}.", context.folder.display()));
        eprint_line(&format!("Topics and consumer groups begin with {}.", context.name));
        return;
    }
    let began = clock::start();
    let mut left: Vec<&Environment> = environments.iter().collect();
    loop {
        left.retain(|environment| !environment.forget());
        if left.is_empty() || context.shutdown.is_requested() || began.elapsed() > GROUP_TIMEOUT {
            break;
        }
        context.shutdown.sleep(Duration::from_secs(1));
    }
    if !left.is_empty() {
        eprint_line(&format!(
            "warning: some consumer groups of the test could not be deleted; their names begin with {}",
            context.name
        ));
    }
}
