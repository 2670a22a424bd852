//! Emits the output of JOIN as the bytes that readers get: one group for each output format.
//!
//! `cargo bench --bench emit`; the throughput is that of the emitted bytes.

#![expect(clippy::unwrap_used, reason = "a bench that cannot set itself up panics")]

mod common;

use std::hint::black_box;

use alerttrail::emit::{Emitted, Emitter, Format};
use alerttrail::join::Output;
use criterion::{Criterion, Throughput};

/// Emits all `outputs`. Returns the total size of their values in bytes.
fn emit(emitter: &Emitter, outputs: &[&Output], value: &mut Vec<u8>) -> u64 {
    let one = |output: &&Output| match emitter.emit(output, 7, value) {
        Emitted::Record(_) => black_box(&*value).len() as u64,
        other => panic!("not emitted: {other:?}"),
    };
    outputs.iter().map(one).sum()
}

fn measure(criterion: &mut Criterion, (name, format): (&str, Format), outputs: &[Output]) {
    let emitter = |limit| Emitter {
        format,
        ..common::emitter(limit)
    };
    let (rows, summaries): (Vec<&Output>, Vec<&Output>) = outputs.iter().partition(|output| matches!(output, Output::Row(_)));
    // With its key and headers, no row fits into the size of its value, so its alert is truncated.
    let mut value = Vec::new();
    let row = emit(&emitter(None), &rows[..1], &mut value);
    let tight = usize::try_from(row).unwrap();
    let mut group = criterion.benchmark_group(format!("emit/{name}"));
    for (name, outputs, limit) in [
        ("rows", &rows, None),
        ("rows_cut", &rows, Some(tight)),
        ("summaries", &summaries, None),
    ] {
        let emitter = emitter(limit);
        let bytes = emit(&emitter, outputs, &mut value);
        assert_eq!(
            limit.is_some(),
            value.windows(11).any(|window| window == b"\"truncated\""),
            "{name}"
        );
        group.throughput(Throughput::Bytes(bytes));
        group.bench_function(name, |bencher| {
            bencher.iter(|| assert_eq!(emit(&emitter, outputs, &mut value), bytes));
        });
    }
    group.finish();
}

fn main() {
    let mut criterion = common::criterion();
    // As many rows as summaries.
    let outputs = common::outputs(1_000, 1);
    for format in [
        ("native", Format::Native),
        ("kql", Format::Kql),
        ("ocsf", Format::Ocsf),
        ("ecs", Format::Ecs),
    ] {
        measure(&mut criterion, format, &outputs);
    }
    criterion.final_summary();
}
