//! `alerttrail redrive`: sends dead-letter records again to the input topics from which they came.
//!
//! The dead-letter topic is read twice: first for the notes in it, then for the dead-letter records. Each batch is
//! sent, acknowledged, and only then noted. If a run was killed in between, the next run first searches the input
//! topics for what was sent, before it sends anything.
//!
//! The dead-letter topic also contains the state of the command. Besides the dead-letter records, it contains notes
//! ([`Note`]) about which of them were sent, so that the next run on any machine knows. A run first notes the offsets
//! in the input topics from which on its records will be found. Its last note is that it has ended. Records that an
//! unfinished run sent are found in the input topics by the header that every redriven record has. `letter` parses
//! headers and `ledger` decides; neither sends anything or reads a clock.

mod ledger;
mod letter;
mod originals;
mod player;

use std::collections::BTreeMap;
use std::path::PathBuf;

use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};

use crate::clock;
use crate::config::Config;
use crate::decode::{Reason, timestamp};
use crate::kafka::exclusive_lock::ExclusiveLock;
use crate::kafka::reading::{self, Extent};
use crate::kafka::topics::Topics;
use crate::kafka::{self};
use crate::shutdown::Shutdown;
use crate::term::{Failure, configuration, logging, mask, say, signals, tell};
use crate::time::WallTime;
use crate::words::{counted, grouped};
pub use ledger::{Decision, Ledger};
pub use letter::{Filter, Letter, Note, Origin, Record, Run};
use player::Player;

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
    if let Some(time) = timestamp::parse(text) {
        return Ok(time.to_wall());
    }
    let ago = humantime::parse_duration(text);
    let ago = ago.map_err(|_| "it is not a time; use 2026-03-01T10:00:00Z, or a duration before now such as 2h".to_owned())?;
    Ok(clock::now().minus(ago))
}

/// Fails if no dead-letter record can have this reason.
fn refuse_unknown_reason(word: &str) -> Result<(), Failure> {
    let known = Reason::ALL.map(Reason::as_str);
    if known.contains(&word) {
        return Ok(());
    }
    let likeness = |known: &&str| (strsim::normalized_damerau_levenshtein(word, known) * 1_000.0) as u64;
    let nearest = known.into_iter().max_by_key(likeness).unwrap_or_default();
    Err(Failure::usage(format!(
        "--reason {word} is not a reason of dead letters; the nearest is {nearest} (known: {})",
        known.join(", ")
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
    args.reason.iter().try_for_each(|word| refuse_unknown_reason(word))?;
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

/// The numbers of dead-letter records by what happened to them.
#[derive(Default)]
struct Totals {
    decisions: BTreeMap<Decision, u64>,
    /// Records that were sent, by reason.
    sent: BTreeMap<String, u64>,
    /// Truncated records whose originals are gone.
    gone: u64,
    /// Records that are larger than the input topic accepts.
    too_large: u64,
    is_stopped: bool,
}

impl Totals {
    fn problems(&self) -> u64 {
        self.gone + self.too_large
    }

    fn all_sent(&self) -> u64 {
        self.sent.values().sum()
    }
}

fn redrive(args: &Args, config: &Config, shutdown: &Shutdown) -> Result<Totals, Error> {
    let topics = Topics::new(config)?;
    let dead = config.output.dead_letter_topic.clone();
    let none = || kafka::Error::NoTopic {
        topic: dead.clone(),
        role: "dead letters",
        key: "output.dead_letter_topic",
    };
    topics.partitions(&dead)?.ok_or_else(none)?;
    // The lock is taken before anything is read, because the notes must not change after that.
    let _lock = match args.dry_run {
        true => None,
        false => Some(ExclusiveLock::acquire(config, STAGE, &config.output.dead_letter_topic)?),
    };
    // The extent is requested while the lock is held, so all notes of earlier runs are before this end.
    let dead = topics.extent(&dead)?.ok_or_else(none)?;
    let mut totals = Totals::default();
    let mut ledger = Ledger::default();
    let is_read = reading::read(config, STAGE, &dead, shutdown, &mut |message| -> Result<(), Error> {
        if let Record::Note(note) = record(message) {
            ledger.note(note);
        }
        Ok(())
    })?;
    let mut player = Player::new(config, &topics, shutdown, args.dry_run);
    if !is_read || !player.settle(&mut ledger)? {
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
    let mut taken = 0;
    let is_read = reading::read(config, STAGE, &dead, shutdown, &mut |message| -> Result<(), Error> {
        let Record::Letter(letter) = record(message) else {
            return Ok(());
        };
        if taken >= limit {
            return Ok(());
        }
        let decision = ledger.decide(&letter, &filter, &config.input.topics, args.again);
        *totals.decisions.entry(decision).or_default() += 1;
        match decision {
            Decision::Send => {
                taken += 1;
                player.take(letter, message.payload().unwrap_or_default(), &mut totals)
            }
            _ => Ok(()),
        }
    })?;
    player.finish(&mut totals)?;
    totals.is_stopped = !is_read;
    Ok(totals)
}

fn record(message: &BorrowedMessage<'_>) -> Record {
    let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
    let headers = headers.map(|header| (header.key, header.value.unwrap_or_default()));
    let at = message.timestamp().to_millis().map(WallTime);
    Record::read(headers, message.payload().unwrap_or_default(), at)
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
fn print(letter: &Letter, bytes: usize) {
    let bytes = letter.truncated.unwrap_or(bytes);
    let line = format!(
        "{} {}, {}: {}",
        letter.origin,
        letter.reason,
        counted(bytes as u64, "byte"),
        letter.error
    );
    // Headers of records from other programs may contain line ends.
    tell(&mask::printable(&line, mask::Lines::One));
}

fn report(args: &Args, totals: &Totals) {
    let of = |decision| totals.decisions.get(&decision).copied().unwrap_or(0);
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
    let word = if args.dry_run { "would be sent" } else { "sent" };
    say(&format!("{} {word}{listed}", counted(totals.all_sent(), "dead letter")));
    for (count, sentence) in [
        (of(Decision::SentBefore), "had been sent before; --again sends them once more"),
        (
            of(Decision::FailedAgain),
            "had been sent before and failed again; --again sends them once more",
        ),
        (
            of(Decision::NoInput),
            "did not come from a topic in input.topics, such as output records that were too large, and cannot be sent",
        ),
        (
            totals.gone,
            "had been truncated, and the original is gone from the input topics",
        ),
        (totals.too_large, "exceeded the size that the input topic accepts"),
        (of(Decision::Filtered), "did not match --reason, --topic, --since or --until"),
    ] {
        if count > 0 {
            say(&format!("{} {sentence}", counted(count, "dead letter")));
        }
    }
}
