//! Everything in one: messages of both tables go in, rows come out, over a log and state in memory. What `correlate` does, but for files.
//!
//! `cargo bench --no-default-features --bench pipeline`; the throughput is that of the messages' bytes.

#![expect(clippy::unwrap_used, reason = "a bench that cannot set itself up has nothing to say")]

mod common;

use std::hint::black_box;
use std::io::Result;

use alerttrail::emit::Kind;
use alerttrail::generate::{Generator, Options};
use alerttrail::pipeline::local::{Local, Output};
use alerttrail::route::Arrival;
use alerttrail::shutdown::Shutdown;
use alerttrail::sink::dead_letter::DeadLetter;
use alerttrail::store::Memory;
use alerttrail::time::WallTime;
use criterion::Throughput;

/// Takes what comes, and keeps none of it.
struct Nowhere;

impl Output for Nowhere {
    fn record(&mut self, _: Kind, value: &[u8]) -> Result<()> {
        black_box(value);
        Ok(())
    }

    fn dead_letter(&mut self, letter: DeadLetter<'_>) -> Result<()> {
        panic!("the generator's own record is rejected: {letter:?}")
    }
}

/// Joins `messages`; the number of pairs.
fn join(messages: &[Vec<u8>]) -> u64 {
    let arrival = Arrival {
        now: WallTime(1_800_000_000_000),
        timestamp: None,
    };
    let mut local = Local::new(
        common::routing::router(1),
        Memory::default(),
        None,
        common::emitter(None),
        Nowhere,
    )
    .unwrap();
    // As much at once as `correlate` reads at once.
    for messages in messages.chunks(400) {
        let messages = messages.iter().map(Vec::as_slice);
        local.messages("messages", (0..).zip(messages), arrival).unwrap();
    }
    let (totals, Nowhere) = local.end(&Shutdown::default()).unwrap().unwrap();
    totals.pairs
}

fn main() {
    let mut criterion = common::criterion();
    let mut group = criterion.benchmark_group("pipeline/local");
    for (name, keyed_share) in [("keyed_0.03", 0.03), ("keyed_1", 1.0)] {
        let generator = Generator::new(&Options {
            activities: 2_000,
            alerts: 20,
            keyed_share,
            ..Options::default()
        })
        .unwrap();
        let messages: Vec<Vec<u8>> = [common::all(generator.alerts()), common::all(generator.activities())].concat();
        let pairs = join(&messages);
        assert!(pairs > 0, "nothing joins");
        group.throughput(Throughput::Bytes(common::bytes(&messages)));
        group.bench_function(name, |bencher| bencher.iter(|| assert_eq!(join(&messages), pairs)));
    }
    group.finish();
    criterion.final_summary();
}
