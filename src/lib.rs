//! alerttrail continuously joins activities with the security alerts that they belong to.
//!
//! The modules, in the order in which a record passes through them:
//!
//! 1. [`source`]: reads bytes and their address from a file (bytes from Kafka go straight to the pipeline).
//! 2. [`decode`]: turns bytes into a [`record`], or a reject if they cannot be used. Uses [`json`] and [`time`].
//! 3. [`route`]: decides which partitions of the [`log`] get a record, and what a watermark update says.
//! 4. [`join`]: the state machine of one partition, over a [`store`].
//! 5. [`emit`]: turns the output of the join into the bytes that readers get.
//! 6. [`sink`]: dead-letter records and output files.
//!
//! [`query`] answers requests from the state of the join.
//!
//! [`check`] tests beforehand whether the settings fit the topics and their records. [`generate`] and [`replay`]
//! produce input traffic, [`verify`] compares the output with it, [`redrive`] decides which dead-letter records are
//! sent again. [`pipeline`] contains the threads and performs the effects, [`cli`] the commands, [`config`] the
//! settings. Steps 2 to 5 are the crate `alerttrail-core`, which is pure: it does no IO, reads no clock, uses no
//! randomness, and depends neither on a broker library nor on RocksDB.
//!
//! `ARCHITECTURE.md` follows one record through all modules.

pub use alerttrail_core::{decode, emit, join, json, log, record, route, time};
pub use alerttrail_node::{
    check, clock, config, heartbeat, http, kafka, metrics, open, pipeline, query, shutdown, sink, store, words,
};

pub mod capacity;
pub mod cli;
pub mod generate;
pub mod local;
pub mod redrive;
pub mod replay;
pub mod source;
pub mod verify;
