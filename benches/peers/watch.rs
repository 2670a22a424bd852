//! Watches a topic for the expected pairs.
//!
//! It shares the machine with the contender that it watches, so at first it only counts, and notes when each record
//! arrived. It parses the records once there are as many as expected pairs, or once no more arrive.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::time::Duration;

use alerttrail::clock;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Message, Offset, TopicPartitionList};
use serde_json::json;

use crate::pairs::{Form, PairRecord};

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
struct Fold {
    pairs: HashMap<String, PairState>,
    missing: usize,
    records: u64,
    repeated: u64,
}

struct PairState {
    seq: i64,
    upsert: bool,
    expected: bool,
    first: i64,
}

pub(crate) fn run(args: &Args) {
    let text = std::fs::read_to_string(&args.pairs).unwrap();
    let expected: HashSet<&str> = text.lines().collect();
    let timeouts = Timeouts::new(args);
    let consumer = consumer(args);
    crate::print_line(&json!({"ready": true}));
    let mut arrivals = Arrivals::new();
    let mut last = clock::start();
    let mut count = 0;
    while count < expected.len() && !timeouts.is_over(count > 0, last.elapsed()) {
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
    let fold = parse_records(args, &expected, &arrivals, &timeouts);
    report(&fold, expected.len());
}

struct Timeouts {
    quiet: Duration,
    limit: Duration,
    started: std::time::Instant,
}

impl Timeouts {
    fn new(args: &Args) -> Self {
        Self {
            quiet: Duration::from_secs(args.quiet),
            limit: Duration::from_secs(args.limit),
            started: clock::start(),
        }
    }

    /// Before the first record, only the limit applies.
    fn is_over(&self, begun: bool, quiet_for: Duration) -> bool {
        self.started.elapsed() > self.limit || (begun && quiet_for > self.quiet)
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
fn parse_records(args: &Args, expected: &HashSet<&str>, arrivals: &Arrivals, timeouts: &Timeouts) -> Fold {
    let consumer = consumer(args);
    let counted: usize = arrivals.values().map(Vec::len).sum();
    let mut fold = Fold {
        missing: expected.len(),
        ..Fold::default()
    };
    let mut last = clock::start();
    // If counting ended because no record arrived, it has already waited: the remaining records are available.
    let over = |fold: &Fold, quiet_for: Duration| {
        let all = fold.records >= counted as u64;
        if counted < expected.len() {
            all || quiet_for > timeouts.quiet
        } else {
            all && (fold.missing == 0 || timeouts.is_over(true, quiet_for))
        }
    };
    while !over(&fold, last.elapsed()) {
        let Some(message) = consumer.poll(Duration::from_millis(100)) else {
            continue;
        };
        let message = message.unwrap();
        last = clock::start();
        let seen = arrivals.get(&message.partition()).map_or(&[][..], Vec::as_slice);
        let place = seen.binary_search_by_key(&message.offset(), |(offset, _)| *offset);
        let arrived = place.map_or_else(|_| clock::now().0, |place| seen[place].1);
        let pair_record = PairRecord::read(args.form, message.payload().unwrap());
        fold.note(pair_record, arrived, expected);
    }
    fold
}

impl Fold {
    fn note(&mut self, pair_record: PairRecord, arrived: i64, expected: &HashSet<&str>) {
        self.records += 1;
        let is_expected = expected.contains(pair_record.pair.as_str());
        let mut is_new = false;
        let state = self.pairs.entry(pair_record.pair).or_insert_with(|| {
            is_new = true;
            PairState {
                seq: pair_record.seq,
                upsert: false,
                expected: is_expected,
                first: arrived,
            }
        });
        self.repeated += u64::from(!is_new);
        if pair_record.seq < state.seq || pair_record.upsert == state.upsert {
            return;
        }
        state.seq = pair_record.seq;
        state.upsert = pair_record.upsert;
        if is_expected && pair_record.upsert {
            self.missing -= 1;
        } else if is_expected {
            self.missing += 1;
        }
    }
}

fn report(fold: &Fold, expected: usize) {
    let present = fold.pairs.values().filter(|state| state.upsert);
    let mut times: Vec<i64> = present
        .clone()
        .filter(|state| state.expected)
        .map(|state| state.first)
        .collect();
    let unexpected = present.filter(|state| !state.expected).count();
    times.sort_unstable();
    let at = |share: f64| times.get(((times.len() as f64 * share).ceil() as usize).saturating_sub(1));
    crate::print_line(&json!({
        "expected": expected,
        "records": fold.records,
        "missing": fold.missing,
        "unexpected": unexpected,
        "repeated": fold.repeated,
        "first_ms": times.first(),
        "p99_ms": at(0.99),
        "last_ms": times.last(),
    }));
}
