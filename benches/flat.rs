//! Measures whether JOIN is as fast over a large state as over a small one: activities arrive and windows close, over
//! two stores in turn.
//!
//! `cargo bench --bench flat -- --stored 10000000 --rounds 5`. Needs about 8 GB of disk for ten million stored
//! activities, in `--folder`. Both stores get records of the same kind after their stored ones: `--live` activities of
//! 5,000 correlation ids, a thousand alerts, and watermark updates that close their windows. Each round uses a new
//! small store and continues the large one. CPU time is that of the whole process, including RocksDB's threads, until
//! they have nothing left to do.

#![expect(clippy::unwrap_used, reason = "a bench that cannot set itself up panics")]
#![expect(clippy::disallowed_methods, reason = "it measures by the clock")]
#![expect(clippy::print_stdout, reason = "it is a program of its own")]

mod common;

use std::borrow::Cow;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use alerttrail::record::{Activity, ActivityId, AlertId, Key, Version};
use alerttrail::repartition::{AlertVersion, RepartitionRecord};
use alerttrail::store::{Backend as _, Shared, State};
use alerttrail::time::{EventTime, WallTime, Window};
use clap::Parser;
use common::partition::Partition;
use common::{Story, watermark_update};

/// The number of correlation ids.
const KEYS: u64 = 5_000;
/// The number of activities between two watermark updates.
const UPDATE_INTERVAL: u64 = 1_000;
/// The number of activities for each alert of the live part.
const PER_ALERT: u64 = 200;
/// The number of activities in the time range of an alert's window: some of them have its key.
const WINDOW: u64 = 20_000;

#[derive(Parser)]
struct Args {
    /// Activities in the large store
    #[arg(long, default_value_t = 10_000_000)]
    stored: u64,
    /// Factor by which the small store has fewer activities
    #[arg(long, default_value_t = 100)]
    ratio: u64,
    /// Activities that are measured in each round: enough for compactions to happen in both stores
    #[arg(long, default_value_t = 1_000_000)]
    live: u64,
    /// Rounds
    #[arg(long, default_value_t = 5)]
    rounds: u64,
    /// Bytes of a row
    #[arg(long, default_value_t = 600)]
    row: usize,
    /// Memory limit of both stores, as `state.memory`
    #[arg(long, default_value_t = 512_000_000)]
    memory: usize,
    /// Folder of the stores [default: the temporary folder]
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Passed by cargo bench
    #[arg(long, hide = true)]
    bench: bool,
}

/// Returns a number that looks random and is the same every time (splitmix64).
fn mixed(number: u64) -> u64 {
    let mut bits = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

fn key(number: u64) -> Key {
    Key {
        correlation_id: format!("{:032x}", u128::from(mixed(number)) << 32).as_str().into(),
        ..Key::default()
    }
}

/// Returns the time of an activity: ten happen in a second.
fn time(number: u64) -> EventTime {
    Story::time(number / 10)
}

/// Returns an activity whose row compresses to about half, as real ones do.
fn activity(number: u64, size: usize) -> RepartitionRecord<'static> {
    let mut row = Vec::with_capacity(size + 32);
    while row.len() < size {
        let chance = mixed(number.wrapping_mul(1_000) + row.len() as u64);
        row.extend_from_slice(format!("\"Property\":\"{chance:016x}\",").as_bytes());
    }
    let mut id = [0; 32];
    for (part, bytes) in (0..).zip(id.chunks_mut(8)) {
        bytes.copy_from_slice(&mixed(number.wrapping_mul(4) + part).to_be_bytes());
    }
    RepartitionRecord::Activity(Activity {
        keys: vec![key(mixed(number) % KEYS)],
        time: time(number),
        id: ActivityId(id),
        row: Cow::Owned(row),
    })
}

/// Returns an alert whose window ends at the activity of this number.
fn alert(number: u64) -> RepartitionRecord<'static> {
    let version = AlertVersion {
        id: AlertId {
            tenant: "".into(),
            system_alert_id: format!("alert-{number}").as_str().into(),
        },
        version: Version {
            time_generated: time(number),
            hash: [0; 32],
        },
        links: Vec::new(),
        row: Cow::Borrowed(b"{}"),
    };
    let window = Window {
        from: time(number.saturating_sub(WINDOW)),
        to: time(number),
    };
    let key = key(mixed(number) % KEYS);
    RepartitionRecord::Alert(version.by_query(key.correlation_id, window, WallTime(i64::MAX / 2)))
}

/// Returns the records of these activities, with alerts and watermark updates between them.
fn records(numbers: std::ops::Range<u64>, row: usize, alerts: bool) -> impl Iterator<Item = RepartitionRecord<'static>> {
    numbers.flat_map(move |number| {
        let update = (number % UPDATE_INTERVAL == UPDATE_INTERVAL - 1)
            .then(|| RepartitionRecord::WatermarkUpdate(watermark_update(4, time(number))));
        let alert = (alerts && number % PER_ALERT == 0).then(|| alert(number));
        [Some(activity(number, row)), alert, update].into_iter().flatten()
    })
}

/// Returns the CPU seconds of this process so far.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u64 = fields[11..13].iter().map(|field| field.parse::<u64>().unwrap()).sum();
    ticks as f64 / rustix::param::clock_ticks_per_second() as f64
}

/// Returns the number of bytes that this process has written so far.
fn written() -> f64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap();
    io.lines()
        .find_map(|line| line.strip_prefix("wchar: "))
        .unwrap()
        .parse()
        .unwrap()
}

/// Waits until RocksDB has nothing left to do in the background: the compactions of one store must not run in the time
/// of the other.
fn wait_for_compactions() {
    const POLL_INTERVAL: Duration = Duration::from_millis(500);
    loop {
        let before = cpu();
        std::thread::sleep(POLL_INTERVAL);
        if cpu() - before < 0.02 {
            return;
        }
    }
}

struct Measured {
    rate: f64,
    cpu_per_million: f64,
    /// Bytes written per byte of rows.
    amplification: f64,
}

struct MeasuredStore {
    partition: Partition<State>,
    stored: u64,
    /// The first activity that is not in the store.
    next: u64,
}

impl MeasuredStore {
    fn fill(folder: &std::path::Path, shared: &Shared, stored: u64, row: usize) -> Self {
        let backend = State::open(folder, shared).unwrap();
        let mut partition = Partition::open(backend, Some(Duration::from_secs(400 * 86_400)));
        partition.apply(records(0..stored, row, false));
        partition.backend.begin_flush().unwrap();
        wait_for_compactions();
        let next = stored;
        Self { partition, stored, next }
    }

    /// Applies live records. They are made before the measurement. The CPU time includes RocksDB's background work
    /// after them, until it has nothing left to do.
    fn live(&mut self, round: u64, args: &Args) -> Measured {
        let records: Vec<_> = records(self.next..self.next + args.live, args.row, true).collect();
        self.next += args.live;
        wait_for_compactions();
        let before = self.partition.outputs;
        let (began, cpu_before, written_before) = (Instant::now(), cpu(), written());
        self.partition.apply(records.into_iter());
        let live = args.live as f64;
        let rate = live / began.elapsed().as_secs_f64();
        self.partition.backend.begin_flush().unwrap();
        wait_for_compactions();
        self.partition.backend.check().unwrap();
        let run = Measured {
            rate,
            cpu_per_million: (cpu() - cpu_before) / live * 1e6,
            amplification: (written() - written_before) / live / args.row as f64,
        };
        println!(
            "{:>9} stored, round {round}: {:>8.0} activities/s, {:>5.2} CPU s per million, {:.2} bytes written for each of rows, {} rows and summaries, {} MB of tables",
            self.stored,
            run.rate,
            run.cpu_per_million,
            run.amplification,
            self.partition.outputs - before,
            self.partition.backend.disk_bytes().unwrap_or_default() / 1_000_000
        );
        run
    }
}

fn median(runs: &[Measured], figure: impl Fn(&Measured) -> f64) -> f64 {
    let mut figures: Vec<f64> = runs.iter().map(figure).collect();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn main() {
    let args = Args::parse();
    let folder = match &args.folder {
        Some(folder) => tempfile::tempdir_in(folder).unwrap(),
        None => tempfile::tempdir().unwrap(),
    };
    let shared = Shared::new(args.memory);
    let began = Instant::now();
    let mut large = MeasuredStore::fill(&folder.path().join("large"), &shared, args.stored, args.row);
    println!("{} activities stored in {:.0} s", args.stored, began.elapsed().as_secs_f64());
    let small_size = args.stored / args.ratio;
    let mut runs = [Vec::new(), Vec::new()];
    for round in 0..args.rounds {
        // A new store for each round, so that it stays small.
        let mut small = MeasuredStore::fill(&folder.path().join(format!("small-{round}")), &shared, small_size, args.row);
        runs[0].push(small.live(round, &args));
        drop(small);
        runs[1].push(large.live(round, &args));
    }
    let [small, large] = runs.map(|runs| {
        [
            median(&runs, |run| run.rate),
            median(&runs, |run| run.cpu_per_million),
            median(&runs, |run| run.amplification),
        ]
    });
    println!(
        "medians: {:.0} activities/s over {small_size} stored, {:.0} over {}: {:.2} times; CPU {:.2} and {:.2} s per million: {:.2} times; {:.2} and {:.2} bytes written for each of rows",
        small[0],
        large[0],
        args.stored,
        large[0] / small[0],
        small[1],
        large[1],
        large[1] / small[1],
        small[2],
        large[2]
    );
}
