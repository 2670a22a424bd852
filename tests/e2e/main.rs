//! The real program on a real Apache Kafka broker.
//!
//! The broker is that of `ALERTTRAIL_TEST_KAFKA` (`scripts/test` starts one and sets it). Without it, these tests print
//! that they were skipped; under `CI=true` they fail instead. The expected result comes from `alerttrail correlate`
//! over the same messages, which the scenarios and the simulation compare with the query itself.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot continue panics, and prints what it skips"
)]
#![allow(clippy::disallowed_methods, reason = "tests of processes wait by the clock")]

mod admin;
mod backfill;
mod capacity;
mod check;
mod demo;
mod explain;
mod forms;
mod hostile;
mod latency;
mod lifecycle;
mod markers;
mod oauth;
mod otlp;
mod positions;
mod recreated;
mod redrive;
mod refusals;
mod replay;
mod reset;
mod results;
mod secure;
mod sizes;
#[path = "../support/mod.rs"]
mod support;
mod takeover;
mod topics;
mod upgrade;
mod verdicts;
mod verify;
mod walkthrough;
