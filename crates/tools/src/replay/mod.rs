//! `alerttrail replay`: sends recorded traffic to a topic.
//!
//! One thread reads and prepares messages, a few blocks ahead. Another thread sends each message when it is due. Only
//! the schedule decides when that is, so a broker that is slow for a while delays the replay, but no message is left
//! out or rescheduled.
//!
//! [`inputs`] selects the next message, [`schedule`] determines when it is due, [`shift`] shifts its times, and
//! [`prepare`] batches its records. These never send, wait or read a clock: the time is an argument. Only the decoder
//! interprets records; these files use only their times. They rely on the decoder to validate a message before anything
//! in it is changed: a message that is not JSON is sent unchanged.

pub mod inputs;
mod player;
pub mod prepare;
mod reader;
pub mod schedule;
mod screen;
pub mod shift;

use std::path::PathBuf;

use crate::config::{Config, Property};
use crate::kafka::clients;
use crate::kafka::topics::Topics;
use crate::kafka::{self};
use crate::shutdown::Shutdown;
use crate::source::CaptureFormat;
use crate::source::file::{self, FileSource};
use crate::term::{Failure, configuration_with, eprint_line, is_standard, logging, report_unfinished, signals};
use crate::words::{counted, grouped};
use inputs::{Order, input_files};
use player::{End, Player, TargetTopic};
use reader::Job;
use schedule::{Rate, Speed, Timing};
use screen::{ReplayTotals, Screen};

/// What to send, where, and when.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// Files of recorded messages: JSON lines or JSON documents, plain, gzip or zstd, CSV, or Avro of Event Hubs
    /// Capture; folders of such files except CSV; `-` for standard input
    #[arg(long, short, required = true, num_args = 1.., value_name = "FILE")]
    input: Vec<PathBuf>,
    /// File name format of Event Hubs Capture, as in the settings of the event hub, such as
    /// {Namespace}/{EventHub}/{PartitionId}/{Year}/{Month}/{Day}/{Hour}/{Minute}/{Second}
    #[arg(long, value_name = "FORMAT")]
    capture_format: Option<CaptureFormat>,
    /// Topic to send to; it must exist
    #[arg(long, short, value_name = "T")]
    topic: String,
    /// Records per second (5000 or 5000/s), per minute (300/m) or per hour [default: as fast as the broker accepts
    /// them]
    #[arg(long, value_name = "N/s", conflicts_with = "speed")]
    rate: Option<Rate>,
    /// Speed by the times of the records: 1 as recorded, 10 ten times as fast; several files are replayed side by side
    #[arg(long, value_name = "X")]
    speed: Option<Speed>,
    /// Shift all times in the records by one offset, so that the first is now
    #[arg(long)]
    shift_to_now: bool,
    /// Replay the input N times; 0 for ever
    #[arg(long = "loop", value_name = "N", default_value_t = 1)]
    laps: u64,
    /// Batch up to N records in one message {"records":[…]} [default: messages as recorded]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    batch: Option<u32>,
    /// Distribute the messages over the first N partitions [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    partitions: Option<u32>,
    /// Configuration file, for [kafka] and correlation.activity_time
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Broker address; overrides the configuration
    #[arg(long, value_name = "HOST:PORT")]
    bootstrap_servers: Option<String>,
}

/// The reason why a replay failed.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Read(#[from] file::Error),
    #[error(transparent)]
    Kafka(kafka::Error),
    #[error(
        "cannot deliver to {topic}: {cause}; the replay ends here, and acknowledged messages stay in the topic; check the topic, the permission to write to it, and its max.message.bytes"
    )]
    Delivery {
        topic: String,
        cause: rdkafka::error::KafkaError,
    },
    #[error(
        "message {number} of {file} has {bytes} bytes, more than the limit of {limit} for a message to {topic}; the replay ends here; raise max.message.bytes of the topic and message.max.bytes in [kafka.properties], or leave the message out"
    )]
    TooLarge {
        file: String,
        number: i64,
        bytes: usize,
        topic: String,
        limit: usize,
    },
    #[error("not acknowledged in time after the shutdown request: {}, which may or may not be in the topic", counted(*.count, "message"))]
    Unacknowledged { count: u64 },
    #[error(
        "the thread that reads the input ended unexpectedly; this is a bug in alerttrail, please report it with the message above"
    )]
    Reader,
}

impl From<kafka::Error> for Error {
    fn from(error: kafka::Error) -> Self {
        match error {
            kafka::Error::Delivery { topic, cause } => Self::Delivery { topic, cause },
            other => Self::Kafka(other),
        }
    }
}

/// Sends the recorded messages.
pub fn run(args: &Args) -> Result<(), Failure> {
    logging::begin("warn");
    let servers = args.bootstrap_servers.as_deref();
    let servers = servers.map(|servers| ("ALERTTRAIL_KAFKA__BOOTSTRAP_SERVERS", servers));
    let config = configuration_with(args.config.as_deref(), servers)?;
    let args = &Args {
        input: input_files(&args.input, args.capture_format.as_ref(), &config.decode)?,
        ..args.clone()
    };
    check_inputs(args)?;
    let (config, target) = find_topic(config, args).map_err(|failure| failure.naming(args.bootstrap_servers.as_deref()))?;
    let shutdown = Shutdown::default();
    signals::watch_with(&shutdown, "messages that were acknowledged stay in the topic").map_err(Failure::failed)?;
    let screen = Screen::new(&args.input, args.laps);
    let blocks = reader::start(Job {
        inputs: args.input.clone(),
        settings: config.decode.clone(),
        order: match args.speed {
            Some(_) => Order::ByTime,
            None => Order::AsNamed,
        },
        shift_to_now: args.shift_to_now,
        batch: args.batch,
        limit: target.max_value_bytes(),
        laps: args.laps,
        bar: screen.bar().clone(),
    })
    .map_err(Failure::failed)?;
    let player = Player::new(&config, &target, timing(args), &shutdown, screen).map_err(Failure::failed)?;
    let (totals, end) = player.play(&blocks);
    report(args, &totals, &end);
    end.map(drop).map_err(Failure::failed)
}

fn timing(args: &Args) -> Timing {
    match (args.rate, args.speed) {
        (Some(rate), _) => Timing::Rate(rate),
        (None, Some(speed)) => Timing::Speed(speed),
        (None, None) => Timing::Unlimited,
    }
}

fn check_inputs(args: &Args) -> Result<(), Failure> {
    let again = args.laps != 1;
    for (index, path) in args.input.iter().enumerate() {
        // Neither standard input nor a named pipe can be read a second time.
        let is_file = !is_standard(path) && std::fs::metadata(path).is_ok_and(|found| found.is_file());
        let is_first = !args.input.iter().take(index).any(|earlier| earlier == path);
        if (again || !is_first) && (is_standard(path) || path.exists() && !is_file && !path.is_dir()) {
            return Err(Failure::usage(format!(
                "{} can be read once only; save its content to a file and pass that",
                if is_standard(path) {
                    "standard input".to_owned()
                } else {
                    path.display().to_string()
                }
            )));
        }
        FileSource::check(path).map_err(Failure::failed)?;
    }
    Ok(())
}

/// Finds the topic. Returns the configuration with the message size that the topic accepts.
fn find_topic(mut config: Config, args: &Args) -> Result<(Config, TargetTopic), Failure> {
    let topics = Topics::new(&config).map_err(Failure::failed)?;
    let found = topics.partitions(&args.topic).map_err(Failure::failed)?;
    let Some(found) = found else {
        return Err(Failure::failed(kafka::Error::NoTopic {
            topic: args.topic.clone(),
            role: "to replay to",
            key: "--topic",
        }));
    };
    let partitions = args.partitions.unwrap_or(found);
    if partitions > found {
        return Err(Failure::usage(format!(
            "--partitions is {partitions}, but the topic {} has {found}; use at most that, or add partitions to the topic",
            args.topic
        )));
    }
    let limit = topics.message_limit_of(&args.topic);
    let target = TargetTopic {
        topic: args.topic.clone(),
        partitions: i32::try_from(partitions).unwrap_or(i32::MAX),
        limit,
    };
    drop(topics);
    let name = clients::MESSAGE_MAX_BYTES.to_owned();
    config.kafka.properties.insert(name, Property::Plain(limit.to_string()));
    Ok((config, target))
}

fn report(args: &Args, totals: &ReplayTotals, end: &Result<End, Error>) {
    let seconds = totals.took.as_secs_f64();
    let reached = totals.records as f64 / seconds.max(0.001);
    let mut line = match end {
        Ok(End::Done) => String::new(),
        Ok(End::Stopped) => "stopped before the end: ".to_owned(),
        Err(_) => "failed before the end: ".to_owned(),
    };
    line += &format!(
        "{}, {}, {} in {seconds:.1} s, {} records/s",
        counted(totals.messages, "message"),
        counted(totals.records, "record"),
        counted(totals.bytes, "byte"),
        format_rate(reached),
    );
    if totals.due.is_some() {
        line += &format!("; at most {} behind the schedule", duration(totals.lag.max));
    }
    eprint_line(&line);
    if totals.is_late {
        eprint_line(&late_warning(totals, reached));
    }
    report_unfinished(&totals.unfinished, "the record was not sent");
    if args.shift_to_now && totals.shifted == 0 && totals.messages > 0 {
        eprint_line(
            "warning: no time was shifted: there is none in the first megabyte of any file, or the records have no times in a known format",
        );
    }
}

/// Returns the warning that the schedule was missed, with the reasons.
fn late_warning(totals: &ReplayTotals, reached: f64) -> String {
    let due = totals.due.unwrap_or_default().as_secs_f64();
    let schedule = match due > 0.0 {
        true => format!(
            "{} records/s were requested, {} were reached",
            format_rate(totals.records.saturating_sub(1) as f64 / due),
            format_rate(reached)
        ),
        false => format!("{} records/s were reached", format_rate(reached)),
    };
    let acknowledged = duration(totals.unacknowledged);
    if !totals.lag.is_late() {
        return format!(
            "warning: the replay did not keep its schedule: messages were sent in time, but acknowledged up to {acknowledged} after they were due; {schedule}. The delay comes from the broker or the connection to it"
        );
    }
    format!(
        "warning: the replay did not keep its schedule: messages were sent up to {} late, the last one {} late, and acknowledged up to {acknowledged} after they were due; {schedule}. The replay waited {} for room in the producer's queue and {} for the input; the remaining delay before sending comes from this machine",
        duration(totals.lag.max),
        duration(totals.lag.last),
        duration(totals.waited_for_broker),
        duration(totals.waited_for_input),
    )
}

/// Formats a rate in whole records, or with a fraction if it is small.
fn format_rate(rate: f64) -> String {
    match rate < 100.0 {
        true => format!("{rate:.1}"),
        false => grouped(rate as u64),
    }
}

/// Formats a duration: `0.8 ms`, `3.2 s`.
fn duration(duration: std::time::Duration) -> String {
    let seconds = duration.as_secs_f64();
    match seconds < 1.0 {
        true => format!("{:.1} ms", seconds * 1e3),
        false => format!("{seconds:.1} s"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_warning_names_the_cause_of_a_delay() {
        let mut totals = ReplayTotals {
            unacknowledged: Duration::from_millis(1_040),
            ..ReplayTotals::default()
        };
        let text = late_warning(&totals, 5.0);
        assert!(
            text.ends_with(
                "messages were sent in time, but acknowledged up to 1.0 s after they were due; 5.0 records/s were \
                 reached. The delay comes from the broker or the connection to it"
            ),
            "{text}"
        );
        totals.lag.record(Duration::ZERO, Duration::from_millis(300));
        let text = late_warning(&totals, 5.0);
        assert!(
            text.contains("sent up to 300.0 ms late, the last one 300.0 ms late, and acknowledged"),
            "{text}"
        );
        assert!(
            text.ends_with("for the input; the remaining delay before sending comes from this machine"),
            "{text}"
        );
    }
}
