//! The processor of alerttrail.
//!
//! The steps of a record are decided in `alerttrail-core`, which is pure. This crate performs them: [`pipeline`] has
//! the threads that read, route, join and send, over [`kafka`] and a [`store`] on disk; [`sink`] writes dead-letter
//! records and output files. [`config`] reads the settings, and [`check`] tests beforehand whether they fit the topics
//! and their records. [`query`] responds to requests from the state of the join, and [`http`] serves them, with the web
//! page and the [`metrics`]. Only [`clock`] reads the clock.
//!
//! Nothing here prints, parses arguments or ends the process.

// The core's modules have the same paths in every crate.
use alerttrail_core::{decode, emit, join, json, record, repartition, route, time};

pub mod check;
pub mod clock;
pub mod config;
pub mod heartbeat;
pub mod http;
pub mod kafka;
pub mod metrics;
pub mod open;
pub mod pipeline;
pub mod query;
pub mod shutdown;
pub mod sink;
pub mod store;
pub mod words;
