//! Faults: the real program on a real Apache Kafka broker while something goes wrong.
//!
//! Each test is named after a line of the catalogue in README.md, prints one line (`A12 ok kills=200 ...`), and proves that its fault
//! happened: one that cannot fails as INVALID, for it has shown nothing. What the answer must be is told by `alerttrail correlate` over what was
//! sent; how often a record may come, by the mode of delivery. `scripts/faults` runs them. Never looks into the program's state.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on panics, and says what it found"
)]
#![allow(clippy::disallowed_methods, reason = "tests of processes wait by the clock")]

mod feed;
mod lab;
mod oracle;
mod proxy;
#[path = "../sim/rng.rs"]
#[allow(dead_code, reason = "shared with the simulation")]
mod rng;
#[path = "../support/mod.rs"]
mod support;
mod trial;

mod bounds;
mod broker;
mod input;
mod kills;
mod membership;
mod network;
mod storage;
mod time;
