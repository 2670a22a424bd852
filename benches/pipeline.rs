//! The whole pipeline: reads messages of both tables and emits rows, over a log and state in memory, like `correlate`
//! without files.
//!
//! `cargo bench --bench pipeline`; the throughput is that of the messages' bytes.

#![expect(clippy::unwrap_used, reason = "a bench that cannot set itself up panics")]

mod common;

use std::hint::black_box;
use std::io::Result;

use alerttrail::correlate::local::{Local, Output, Resources, Scanner, Stream};
use alerttrail::decode::Settings;
use alerttrail::generate::{Generator, Options};
use alerttrail::shutdown::Shutdown;
use alerttrail::source::file::Chunk;
use alerttrail::store::Memory;
use criterion::Throughput;

/// Accepts all output, and keeps none of it.
struct Discard;

impl Output for Discard {
    fn write(&mut self, stream: Stream, lines: &[u8]) -> Result<()> {
        assert!(stream != Stream::DeadLetters, "the generator's own record is rejected");
        black_box(lines);
        Ok(())
    }
}

/// Joins `messages`. Returns the number of pairs.
fn join(messages: &[Vec<u8>]) -> u64 {
    let settings = Settings::default();
    let resources = Resources {
        threads: 1,
        memory: usize::MAX,
        folder: std::env::temp_dir(),
    };
    let shutdown = Shutdown::default();
    let mut local = Local::new(settings.clone(), resources, Memory::default(), common::emitter(None), Discard).unwrap();
    let mut scanner = Scanner::new(&settings);
    // As many messages at once as `correlate` reads at once.
    for messages in messages.chunks(400) {
        let chunk = Chunk::of("messages", messages.iter().map(Vec::as_slice));
        local.take(scanner.scan(chunk), &shutdown).unwrap().unwrap();
    }
    let (totals, Discard) = local.end(&shutdown).unwrap().unwrap();
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
