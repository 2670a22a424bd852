//! alerttrail continuously joins activities with the security alerts that they belong to.
//!
//! The modules, in the order in which a record passes through them:
//!
//! 1. [`source`]: reads bytes and their address from a file (bytes from Kafka go straight to the pipeline).
//! 2. [`decode`]: turns bytes into a [`record`], or a reject if they cannot be used. Uses [`json`] and [`time`].
//! 3. [`route`]: decides which partitions of the [`repartition`] get a record, and what a watermark update contains.
//! 4. [`join`]: the state machine of one partition, over a [`store`].
//! 5. [`emit`]: turns the output of the join into the bytes that readers get.
//! 6. [`sink`]: dead-letter records and output files.
//!
//! [`query`] responds to requests from the state of the join.
//!
//! [`check`] tests beforehand whether the settings fit the topics and their records. [`pipeline`] contains the threads
//! and performs the effects, [`config`] the settings, [`cli`] the commands. [`correlate`] joins files, [`generate`] and
//! [`replay`] produce input traffic, [`verify`] compares the output with it, [`redrive`] decides which dead-letter
//! records are sent again, [`capacity`] finds the highest rate.
//!
//! The modules are in four crates, of which each knows only those before it. `alerttrail-core` has steps 2 to 5 and is
//! pure: it does no IO, reads no clock, uses no randomness, and depends neither on a broker library nor on RocksDB.
//! `alerttrail-node` is the processor, and `alerttrail-tools` has the other commands. This
//! crate is the program, and re-exports the modules of the others.
//!
//! `ARCHITECTURE.md` follows one record through all modules.

pub use alerttrail_core::{decode, emit, join, json, record, repartition, route, time};
pub use alerttrail_node::{
    check, clock, config, heartbeat, http, kafka, metrics, open, pipeline, query, shutdown, sink, store, words,
};
pub use alerttrail_tools::{capacity, correlate, demo, generate, redrive, replay, source, term, verify};

pub mod cli;
