use std::io::{self, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, Datelike, Timelike, Utc};
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};

use super::{counted, say, signals};
use crate::generate::{self, Generator, Messages, Options};
use crate::shutdown::Shutdown;
use crate::sink::file::{self as sink, Guard, Output, Target};
use crate::time::{EventTime, TICKS_PER_SECOND};

/// Writes synthetic traffic of both tables to files: the same bytes for the same options, on every machine.
///
/// DIR/cloudappevents.jsonl and DIR/securityalert.jsonl hold one message per line, in order of arrival. Files of these
/// names are replaced, also those with another compression.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct Args {
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
    /// Share of the activities with a correlation id that lie in the window of an alert, 0 to 1, as far as the alerts allow
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
    #[arg(long, value_enum, default_value_t = Envelope::Mixed)]
    pub(super) envelope: Envelope,
    /// Share of alerts with later versions, 0 to 1: another status, a later EndTime, seldom another policy
    #[arg(long, value_name = "SHARE", default_value_t = 0.2)]
    pub(super) alert_updates: f64,
    /// Share of alerts with StartTime equal to EndTime, 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub(super) zero_windows: f64,
    /// Compression of the files; their names then end in .gz or .zst
    #[arg(long, value_enum, default_value_t = Compression::None)]
    pub(super) compress: Compression,
}

/// Envelopes of activities. Alerts are rows as Log Analytics exports them.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Envelope {
    /// All of them
    Mixed,
    /// Defender streaming API
    Streaming,
    /// Log Analytics export
    LogAnalytics,
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

/// Why there are no files.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// An option is out of its range.
    #[error("nothing was generated: --{0}")]
    Options(#[from] generate::Error),
    /// A directory or file cannot be written.
    #[error("cannot write {path}: {source}; give a directory with room and the right to write in --output")]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Both outputs go to one file.
    #[error(transparent)]
    Refused(sink::Error),
    /// A signal asked it to stop.
    #[error("interrupted; nothing was generated")]
    Interrupted,
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

/// The files' names, before their ending.
const TABLES: [&str; 2] = ["cloudappevents.jsonl", "securityalert.jsonl"];

/// Writes the files, and reports on standard error. Both files are replaced at the end, so an error leaves the old
/// ones.
pub(super) fn run(args: &Args) -> Result<(), Error> {
    let generator = Generator::new(&args.options())?;
    let unwritable = |source| Error::Write {
        path: args.output.clone(),
        source,
    };
    std::fs::create_dir_all(&args.output).map_err(unwritable)?;
    let shutdown = Shutdown::default();
    signals::watch_with(&shutdown, "nothing was generated").map_err(unwritable)?;
    let [activities, alerts] = targets(args)?;
    let mut written = Written::default();
    let activities = write_table(
        args,
        activities,
        args.activities,
        generator.activities(),
        &mut written,
        &shutdown,
    )?;
    let alerts = write_table(args, alerts, args.alerts, generator.alerts(), &mut written, &shutdown)?;
    activities.finish()?;
    alerts.finish()?;
    let line = format!(
        "2 files in {}: {}, {}, {}",
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
    say(&format!("{line}{unpacked}{removed}"));
    Ok(())
}

fn targets(args: &Args) -> Result<[Target; 2], Error> {
    let mut guard = Guard::default();
    let [activities, alerts] = TABLES.map(|table| args.output.join(format!("{table}{}", args.compress.suffix())));
    Ok([guard.writes(&activities)?, guard.writes(&alerts)?])
}

/// Removes files of an earlier run with another compression, because a reader of the folder would read both. Returns
/// what to report about it.
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
            // A link may lead to the file that was just written.
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

#[derive(Default)]
struct Written {
    messages: u64,
    records: u64,
    bytes: u64,
}

/// Writes a table to a temporary file.
fn write_table(
    args: &Args,
    target: Target,
    count: u64,
    mut source: impl Messages,
    written: &mut Written,
    shutdown: &Shutdown,
) -> Result<Output, Error> {
    let progress = progress(&target.name().file_name().unwrap_or_default().to_string_lossy(), count);
    let path = target.name().to_owned();
    let failed = |source| Error::Write {
        path: path.clone(),
        source,
    };
    let mut file = Encoder::new(target.create(&args.output)?, args.compress).map_err(failed)?;
    let mut line = Vec::new();
    while let Some(info) = source.next_message(&mut line) {
        line.push(b'\n');
        file.write_all(&line).map_err(failed)?;
        written.messages += 1;
        written.records += info.records as u64;
        written.bytes += line.len() as u64;
        // Each step asks the clock whether to draw.
        if written.messages.is_multiple_of(1_024) {
            progress.inc(1_024);
            if shutdown.is_requested() {
                return Err(Error::Interrupted);
            }
        }
        line.clear();
    }
    progress.finish_and_clear();
    file.finish().map_err(failed)
}

/// A bar on a terminal, nothing in a pipe.
fn progress(table: &str, count: u64) -> ProgressBar {
    let progress = ProgressBar::new(count);
    let template = "{msg:14} {bar:30} {human_pos}/{human_len} {per_sec} {eta}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        progress.set_style(style);
    }
    progress.set_message(table.to_owned());
    progress
}

enum Encoder {
    Plain(Output),
    Gz(flate2::write::GzEncoder<Output>),
    Zst(zstd::Encoder<'static, Output>),
}

impl Encoder {
    fn new(file: Output, compression: Compression) -> io::Result<Self> {
        Ok(match compression {
            Compression::None => Self::Plain(file),
            Compression::Gz => Self::Gz(flate2::write::GzEncoder::new(file, flate2::Compression::default())),
            Compression::Zst => Self::Zst(zstd::Encoder::new(file, zstd::DEFAULT_COMPRESSION_LEVEL)?),
        })
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(file) => file.write_all(bytes),
            Self::Gz(file) => file.write_all(bytes),
            Self::Zst(file) => file.write_all(bytes),
        }
    }

    /// Writes what is left, so that an error of the last bytes is seen too.
    fn finish(self) -> io::Result<Output> {
        let mut file = match self {
            Self::Plain(file) => file,
            Self::Gz(file) => file.finish()?,
            Self::Zst(file) => file.finish()?,
        };
        file.flush()?;
        Ok(file)
    }
}

impl Compression {
    /// Returns the ending of the file names.
    fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gz => ".gz",
            Self::Zst => ".zst",
        }
    }
}

impl Args {
    /// What the library is asked for.
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
                Envelope::Mixed => generate::Envelope::Mixed,
                Envelope::Streaming => generate::Envelope::Streaming,
                Envelope::LogAnalytics => generate::Envelope::LogAnalytics,
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

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read as _;

    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        args: Args,
    }

    fn parse(extra: &[&str]) -> Args {
        let line = ["generate", "--output", "out"].iter().chain(extra);
        Command::try_parse_from(line).unwrap().args
    }

    fn texts(args: &Args) -> [Vec<u8>; 2] {
        ["cloudappevents", "securityalert"].map(|table| {
            let mut text = Vec::new();
            let open = |suffix: &str| File::open(args.output.join(format!("{table}.jsonl{suffix}"))).unwrap();
            match args.compress {
                Compression::None => open("").read_to_end(&mut text).unwrap(),
                Compression::Gz => flate2::read::GzDecoder::new(open(".gz")).read_to_end(&mut text).unwrap(),
                Compression::Zst => zstd::Decoder::new(open(".zst")).unwrap().read_to_end(&mut text).unwrap(),
            };
            text
        })
    }

    #[test]
    fn the_defaults_are_the_librarys() {
        assert_eq!(parse(&[]).options(), Options::default());
        let args = parse(&["--start", "2026-03-01T02:30:00.5+02:30", "--span", "1h30m"]);
        assert_eq!(args.start.to_string(), "2026-03-01T00:00:00.5000000Z");
        assert_eq!(args.span, Duration::from_secs(5_400));
    }

    #[test]
    fn compressed_files_hold_the_same_lines() {
        let dir = tempfile::tempdir().unwrap();
        let mut all = Vec::new();
        for compress in [Compression::None, Compression::Gz, Compression::Zst] {
            let mut args = parse(&["--activities", "200", "--alerts", "10"]);
            args.compress = compress;
            args.output = dir.path().join("new").join("files");
            run(&args).unwrap();
            all.push(texts(&args));
        }
        assert_eq!(all[0], all[1]);
        assert_eq!(all[0], all[2]);
        assert!(all[0][0].iter().filter(|&&byte| byte == b'\n').count() >= 200);
        let names = std::fs::read_dir(dir.path().join("new/files")).unwrap();
        let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(
            names,
            ["cloudappevents.jsonl.zst", "securityalert.jsonl.zst"],
            "files of earlier runs are removed"
        );
    }

    #[test]
    fn errors_say_what_to_do() {
        let args = parse(&["--keyed-share", "3"]);
        let text = run(&args).unwrap_err().to_string();
        assert_eq!(text, "nothing was generated: --keyed-share is 3: give a share from 0 to 1");
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut args = parse(&[]);
        args.output = file.path().to_owned();
        let text = run(&args).unwrap_err().to_string();
        assert!(text.starts_with("cannot write ") && text.ends_with("in --output"), "{text}");
    }
}
