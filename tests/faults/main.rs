//! Faults: the real program on a real Apache Kafka broker while something fails.
//!
//! Each test is named after a line of the catalogue in README.md, prints one line (`A12 ok kills=200 ...`), and proves
//! that its fault happened: a test that cannot prove it fails as INVALID, because it has shown nothing. The expected
//! result comes from `alerttrail correlate` over the sent messages; the mode of delivery determines how often a record
//! may be sent. `scripts/faults` runs the tests. They never look into the program's state.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot continue panics, and prints its facts"
)]
#![allow(clippy::disallowed_methods, reason = "tests of processes wait by the clock")]

mod feed;
mod oracle;
mod proxy;
mod report;
#[path = "../sim/rng.rs"]
#[allow(dead_code, reason = "shared with the simulation")]
mod rng;
#[path = "../support/mod.rs"]
mod support;
mod test_broker;

mod bounds;
mod broker;
mod input;
mod kills;
mod membership;
mod network;
mod storage;
mod time;
