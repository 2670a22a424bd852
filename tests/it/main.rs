//! Tests from outside: each rule of the join as a scenario, the real binary, the store, and the rules for the source
//! code.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test that cannot continue panics, or prints that it is skipped"
)]

mod cli;
mod corpus;
#[cfg(feature = "rocksdb")]
mod format;
mod hostile;
mod http;
mod output;
mod replay;
mod scenarios;
mod schema;
#[cfg(feature = "rocksdb")]
mod storage;
mod store;
mod tidy;
