//! Capacity testing: everything that is decided without a broker.
//!
//! [`schedule`] determines when each message is due, [`template`] and [`traffic`] its content. [`oracle`] compares the
//! expected with the actual output, [`latency`] measures latencies, [`lag`] decides whether the lag grew, [`search`]
//! which rate to try next, and [`verdict`] whether a trial counts. The results are in [`result`], [`report`] and
//! [`compare`]. Nothing here reads a clock, opens a file or starts a process; times are durations since a trial began.
//! The command itself is in `cli/capacity`.
//!
//! Like its users, this module knows the processor only by its input and output. The expected output depends only on
//! what was sent.

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
