//! Capacity testing: everything that is decided without a broker.
//!
//! When each message is due ([`schedule`]), its content ([`template`], [`traffic`]), the expected and the actual output
//! ([`oracle`]), latencies ([`latency`]), whether the lag grew ([`lag`]), which rate to try next ([`search`]), whether
//! a trial counts ([`verdict`]), and the results ([`result`], [`report`], [`compare`]). Nothing here reads a clock,
//! opens a file or starts a process; times are durations since a trial began. The command itself is in `cli/capacity`.
//!
//! This module knows the processor as its users do, by its input and output. The expected output depends only on what
//! was sent.

pub mod compare;
pub mod lag;
pub mod latency;
pub mod oracle;
pub mod report;
pub mod result;
pub mod schedule;
pub mod search;
pub mod template;
pub mod traffic;
pub mod verdict;
