//! Watches a topic for the expected pairs.
//!
//! It shares the machine with the contender that it watches, so at first it only counts, and notes when each record
//! came. It parses the records once there are as many as expected pairs, or once no more come.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::time::Duration;

use alerttrail::clock;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Message, Offset, TopicPartitionList};
use serde_json::json;

use crate::pairs::{Form, Said};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[arg(long)]
    bootstrap: String,
    #[arg(long)]
    topic: String,
    /// The expected pairs, one per line
    #[arg(long)]
    pairs: PathBuf,
    #[arg(long, value_enum)]
    form: Form,
    /// Seconds without a record after which no more are expected
    #[arg(long, default_value_t = 30)]
    quiet: u64,
    /// Seconds after which it ends in any case
    #[arg(long, default_value_t = 900)]
    limit: u64,
}

/// The arrival time of each record, in milliseconds since 1970, by partition and in order of offsets.
type Arrivals = HashMap<i32, Vec<(i64, i64)>>;

/// The fold of what has been read.
#[derive(Default)]
struct Answer {
    pairs: HashMap<String, Standing>,
    missing: usize,
    records: u64,
    repeated: u64,
}

struct Standing {
    seq: i64,
    upsert: bool,
    expected: bool,
    first: i64,
}

pub(crate) fn run(args: &Args) {
    let text = std::fs::read_to_string(&args.pairs).unwrap();
    let expected: HashSet<&str> = text.lines().collect();
    let patience = Patience::new(args);
    let consumer = consumer(args);
    crate::say(&json!({"ready": true}));
    let mut arrivals = Arrivals::new();
    let mut last = clock::start();
    let mut count = 0;
    while count < expected.len() && !patience.is_over(count > 0, last.elapsed()) {
        let Some(message) = consumer.poll(Duration::from_millis(100)) else {
            continue;
        };
        let message = message.unwrap();
        let seen = arrivals.entry(message.partition()).or_default();
        seen.push((message.offset(), clock::now().0));
        last = clock::start();
        count += 1;
    }
    drop(consumer);
    let answer = take_apart(args, &expected, &arrivals, &patience);
    report(&answer, expected.len());
}

struct Patience {
    quiet: Duration,
    limit: Duration,
    started: std::time::Instant,
}

impl Patience {
    fn new(args: &Args) -> Self {
        Self {
            quiet: Duration::from_secs(args.quiet),
            limit: Duration::from_secs(args.limit),
            started: clock::start(),
        }
    }

    /// Before the first record, only the limit applies.
    fn is_over(&self, begun: bool, silence: Duration) -> bool {
        self.started.elapsed() > self.limit || (begun && silence > self.quiet)
    }
}

fn consumer(args: &Args) -> BaseConsumer {
    let consumer = crate::consumer(&args.bootstrap);
    let mut list = TopicPartitionList::new();
    for partition in crate::partitions(&consumer, &args.topic) {
        list.add_partition_offset(&args.topic, partition, Offset::Beginning).unwrap();
    }
    // The view of a reader of committed records, which is librdkafka's default.
    consumer.assign(&list).unwrap();
    consumer
}

/// Reads and parses the topic from its beginning, and continues where counting ended, until every pair is there.
fn take_apart(args: &Args, expected: &HashSet<&str>, arrivals: &Arrivals, patience: &Patience) -> Answer {
    let consumer = consumer(args);
    let counted: usize = arrivals.values().map(Vec::len).sum();
    let mut answer = Answer {
        missing: expected.len(),
        ..Answer::default()
    };
    let mut last = clock::start();
    // If counting ended by silence, it has already waited: the remaining records come at once.
    let over = |answer: &Answer, silence: Duration| {
        let all = answer.records >= counted as u64;
        if counted < expected.len() {
            all || silence > patience.quiet
        } else {
            all && (answer.missing == 0 || patience.is_over(true, silence))
        }
    };
    while !over(&answer, last.elapsed()) {
        let Some(message) = consumer.poll(Duration::from_millis(100)) else {
            continue;
        };
        let message = message.unwrap();
        last = clock::start();
        let seen = arrivals.get(&message.partition()).map_or(&[][..], Vec::as_slice);
        let place = seen.binary_search_by_key(&message.offset(), |(offset, _)| *offset);
        let came = place.map_or_else(|_| clock::now().0, |place| seen[place].1);
        let said = Said::read(args.form, message.payload().unwrap());
        answer.note(said, came, expected);
    }
    answer
}

impl Answer {
    fn note(&mut self, said: Said, came: i64, expected: &HashSet<&str>) {
        self.records += 1;
        let is_expected = expected.contains(said.pair.as_str());
        let mut is_new = false;
        let standing = self.pairs.entry(said.pair).or_insert_with(|| {
            is_new = true;
            Standing {
                seq: said.seq,
                upsert: false,
                expected: is_expected,
                first: came,
            }
        });
        self.repeated += u64::from(!is_new);
        if said.seq < standing.seq || said.upsert == standing.upsert {
            return;
        }
        standing.seq = said.seq;
        standing.upsert = said.upsert;
        if is_expected && said.upsert {
            self.missing -= 1;
        } else if is_expected {
            self.missing += 1;
        }
    }
}

fn report(answer: &Answer, expected: usize) {
    let stands = answer.pairs.values().filter(|standing| standing.upsert);
    let mut times: Vec<i64> = stands
        .clone()
        .filter(|standing| standing.expected)
        .map(|standing| standing.first)
        .collect();
    let unexpected = stands.filter(|standing| !standing.expected).count();
    times.sort_unstable();
    let at = |share: f64| times.get(((times.len() as f64 * share).ceil() as usize).saturating_sub(1));
    crate::say(&json!({
        "expected": expected,
        "records": answer.records,
        "missing": answer.missing,
        "unexpected": unexpected,
        "repeated": answer.repeated,
        "first_ms": times.first(),
        "p99_ms": at(0.99),
        "last_ms": times.last(),
    }));
}
