//! `alerttrail redrive`: sends dead-letter records again to the input topics from which they came.
//!
//! The dead-letter topic is read twice: first for the notes in it, then for the dead-letter records. A note of a record
//! is written only after the record has been sent and acknowledged. If a run was killed in between, the next run first
//! searches the input topics for what was sent, before it sends anything.
//!
//! The dead-letter topic also contains the state of the command. Besides the dead-letter records, it contains notes
//! ([`Note`]) about which of them were sent, so that the next run can read them on any machine. A run first writes a
//! note of the offsets in the input topics from which its records will be found. Its last note states that it has
//! ended. Records that an unfinished run sent are found in the input topics by the header that every redriven record
//! has. `dead_letter` parses headers and `state` decides; neither sends anything or reads a clock.

mod dead_letter;
mod originals;
mod redriver;
mod state;

use std::collections::BTreeMap;
use std::path::PathBuf;

use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};

use crate::clock;
use crate::config::Config;
use crate::decode::{Reason, parse_time};
use crate::kafka::exclusive_lock::ExclusiveLock;
use crate::kafka::reading::{self, Extent};
use crate::kafka::topics::Topics;
use crate::kafka::{self};
use crate::shutdown::Shutdown;
use crate::term::{Failure, configuration, eprint_line, logging, mask, print_line, signals};
use crate::time::WallTime;
use crate::words::{ALIKE, counted, grouped, nearest};
pub use dead_letter::{DeadLetterHeaders, DeadLetterTopicRecord, Filter, Note, Origin, Run};
use redriver::Redriver;
pub use state::{Decision, RedriveState};

/// The stage in the names of the producer and of the consumer group, which never has positions.
const STAGE: &str = "redrive";

/// Which dead-letter records to send.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Only dead letters with this reason, such as missing_field; may be repeated
    #[arg(long, value_name = "WORD")]
    reason: Vec<String>,
    /// Only dead letters of records from this input topic; may be repeated
    #[arg(long, value_name = "T")]
    topic: Vec<String>,
    /// Only dead letters written at this time or later: 2026-03-01T10:00:00Z, or 2h for the last two hours
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<WallTime>,
    /// Only dead letters written before this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<WallTime>,
    /// Send at most N, the earliest of each partition first
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// List what would be sent, without sending it
    #[arg(long)]
    dry_run: bool,
    /// Also send dead letters that were sent before, or that failed again
    #[arg(long)]
    again: bool,
}

/// The reason why dead-letter records cannot be sent.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Kafka(#[from] kafka::Error),
    #[error(
        "cannot send to {topic}: {cause}; everything acknowledged before is noted and will not be sent again; check the topic and the permission to write to it"
    )]
    Refused {
        topic: String,
        cause: rdkafka::error::KafkaError,
    },
    #[error(
        "stopped before everything sent was acknowledged; the next run searches the input topics for it before it sends anything"
    )]
    Unacknowledged,
}

fn time(text: &str) -> Result<WallTime, String> {
    if let Some(time) = parse_time(text) {
        return Ok(time.to_wall());
    }
    let ago = humantime::parse_duration(text);
    let ago = ago.map_err(|_| "it is not a time; use 2026-03-01T10:00:00Z, or a duration before now such as 2h".to_owned())?;
    Ok(clock::now().minus(ago))
}

/// Fails if no dead-letter record can have this reason.
fn check_reason(reason: &str) -> Result<(), Failure> {
    let known = Reason::ALL.map(Reason::as_str);
    if known.contains(&reason) {
        return Ok(());
    }
    let remedy = match nearest(reason, known, ALIKE) {
        Some(nearest) => format!("the nearest is {nearest} (known: {})", known.join(", ")),
        None => format!("use {}", known.join(", ")),
    };
    Err(Failure::usage(format!(
        "--reason {reason} is not a reason of dead letters; {remedy}"
    )))
}

/// Sends the dead-letter records.
pub fn run(args: &Args) -> Result<(), Failure> {
    logging::begin("warn");
    let config = configuration(Some(&args.config))?;
    if let Some(topic) = args.topic.iter().find(|topic| !config.input.topics.contains(topic)) {
        return Err(Failure::usage(format!(
            "--topic {topic} is not in input.topics ({}): dead letters are sent to those only",
            config.input.topics.join(", ")
        )));
    }
    args.reason.iter().try_for_each(|reason| check_reason(reason))?;
    if let (Some(since), Some(until)) = (args.since, args.until)
        && since >= until
    {
        return Err(Failure::usage("--since must be before --until"));
    }
    let shutdown = Shutdown::default();
    signals::watch(&shutdown).map_err(Failure::failed)?;
    let totals = redrive(args, &config, &shutdown).map_err(Failure::failed)?;
    report(args, &totals);
    match totals.is_stopped {
        true => Err(Failure::failed(
            "interrupted; everything sent is noted; run the command again for the rest",
        )),
        false if totals.problems() > 0 => Err(Failure::failed(format!(
            "{} could not be sent; see the lines above",
            counted(totals.problems(), "dead letter")
        ))),
        false => Ok(()),
    }
}

/// The numbers of dead-letter records by outcome.
#[derive(Default)]
struct RedriveTotals {
    decisions: BTreeMap<Decision, u64>,
    /// Records that were sent, by reason.
    sent: BTreeMap<String, u64>,
    /// Truncated records whose originals no longer exist.
    missing_originals: u64,
    /// Records that are larger than the input topic accepts.
    too_large: u64,
    is_stopped: bool,
}

impl RedriveTotals {
    fn problems(&self) -> u64 {
        self.missing_originals + self.too_large
    }

    fn all_sent(&self) -> u64 {
        self.sent.values().sum()
    }
}

fn redrive(args: &Args, config: &Config, shutdown: &Shutdown) -> Result<RedriveTotals, Error> {
    let topics = Topics::new(config)?;
    let topic = config.output.dead_letter_topic.clone();
    let no_topic = || kafka::Error::NoTopic {
        topic: topic.clone(),
        role: "dead letters",
        key: "output.dead_letter_topic",
    };
    topics.partitions(&topic)?.ok_or_else(no_topic)?;
    // The lock is taken before anything is read, because the notes must not change after that.
    let _lock = match args.dry_run {
        true => None,
        false => Some(ExclusiveLock::acquire(config, STAGE, &config.output.dead_letter_topic)?),
    };
    // The extent is requested after the lock was acquired, so all notes of earlier runs are before its end.
    let extent = topics.extent(&topic)?.ok_or_else(no_topic)?;
    let mut totals = RedriveTotals::default();
    let mut state = RedriveState::default();
    let is_read = reading::read(config, STAGE, &extent, shutdown, &mut |message| -> Result<(), Error> {
        if let DeadLetterTopicRecord::Note(note) = record(message) {
            state.apply(note);
        }
        Ok(())
    })?;
    let mut redriver = Redriver::new(config, &topics, shutdown, args.dry_run);
    if !is_read || !redriver.recover_unfinished_runs(&mut state)? {
        totals.is_stopped = true;
        return Ok(totals);
    }
    let filter = Filter {
        reasons: args.reason.clone(),
        topics: args.topic.clone(),
        since: args.since,
        until: args.until,
    };
    let limit = args.limit.unwrap_or(u64::MAX);
    let mut selected = 0;
    let is_read = reading::read(config, STAGE, &extent, shutdown, &mut |message| -> Result<(), Error> {
        let DeadLetterTopicRecord::DeadLetter(dead_letter) = record(message) else {
            return Ok(());
        };
        if selected >= limit {
            return Ok(());
        }
        let decision = state.decide(&dead_letter, &filter, &config.input.topics, args.again);
        *totals.decisions.entry(decision).or_default() += 1;
        match decision {
            Decision::Send => {
                selected += 1;
                redriver.add(dead_letter, message.payload().unwrap_or_default(), &mut totals)
            }
            _ => Ok(()),
        }
    })?;
    redriver.finish(&mut totals)?;
    totals.is_stopped = !is_read;
    Ok(totals)
}

fn record(message: &BorrowedMessage<'_>) -> DeadLetterTopicRecord {
    let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
    let headers = headers.map(|header| (header.key, header.value.unwrap_or_default()));
    let at = message.timestamp().to_millis().map(WallTime);
    DeadLetterTopicRecord::parse(headers, message.payload().unwrap_or_default(), at)
}

/// Returns the extents of all input topics.
fn inputs(config: &Config, topics: &Topics<'_>) -> Result<Vec<Extent>, Error> {
    let mut found = Vec::new();
    for topic in &config.input.topics {
        let extent = topics.extent(topic)?;
        found.push(extent.ok_or_else(|| kafka::Error::NoTopic {
            topic: topic.clone(),
            role: "input",
            key: "input.topics",
        })?);
    }
    Ok(found)
}

/// Prints a dead-letter record on one line.
fn print_dead_letter(dead_letter: &DeadLetterHeaders, bytes: usize) {
    let bytes = dead_letter.truncated.unwrap_or(bytes);
    let line = format!(
        "{} {}, {}: {}",
        dead_letter.origin,
        dead_letter.reason,
        counted(bytes as u64, "byte"),
        dead_letter.error
    );
    // Headers of records from other programs may contain line ends.
    print_line(&mask::printable(&line, mask::Lines::One));
}

fn report(args: &Args, totals: &RedriveTotals) {
    let count_of = |decision| totals.decisions.get(&decision).copied().unwrap_or(0);
    let reasons: Vec<String> = totals
        .sent
        .iter()
        .map(|(reason, count)| format!("{reason} {}", grouped(*count)))
        .collect();
    let listed = if reasons.is_empty() {
        String::new()
    } else {
        format!(" ({})", reasons.join(", "))
    };
    let verb = if args.dry_run { "would be sent" } else { "sent" };
    eprint_line(&format!("{} {verb}{listed}", counted(totals.all_sent(), "dead letter")));
    for (count, sentence) in [
        (
            count_of(Decision::SentBefore),
            "had been sent before; --again sends them once more",
        ),
        (
            count_of(Decision::FailedAgain),
            "had been sent before and failed again; --again sends them once more",
        ),
        (
            count_of(Decision::NoInput),
            "did not come from a topic in input.topics, such as output records that were too large, and cannot be sent",
        ),
        (
            totals.missing_originals,
            "had been truncated, and the original is gone from the input topics",
        ),
        (totals.too_large, "exceeded the size that the input topic accepts"),
        (
            count_of(Decision::Filtered),
            "did not match --reason, --topic, --since or --until",
        ),
    ] {
        if count > 0 {
            eprint_line(&format!("{} {sentence}", counted(count, "dead letter")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_suggested_only_if_it_is_spelled_similarly() {
        let error = |reason: &str| check_reason(reason).unwrap_err().message;
        assert!(error("missing_feild").contains("; the nearest is missing_field (known: invalid_json, "));
        assert!(error("banana").contains(" is not a reason of dead letters; use invalid_json, "));
    }
}
