//! alerttrail continuously joins activities with the security alerts that they belong to.
//!
//! The modules, in the order in which a record passes through them:
//!
//! 1. [`source`]: reads bytes and their address from a file (bytes from Kafka go straight to the pipeline).
//! 2. [`decode`]: turns bytes into a [`record`], or a reject if they cannot be used. Uses [`json`] and [`time`].
//! 3. [`route`]: sends a record to the partition of the [`log`] that owns its key, and watermark updates to all.
//! 4. [`join`]: the state machine of one partition, over a [`store`].
//! 5. [`emit`]: turns the output of the join into the bytes that readers get.
//! 6. [`sink`]: dead-letter records and output files.
//!
//! [`query`] answers requests from the state of the join.
//!
//! [`check`] tests beforehand whether the settings fit the topics and their records. [`generate`] and [`replay`]
//! produce input traffic, [`verify`] compares the output with it, [`redrive`] decides which dead-letter records are
//! sent again. [`pipeline`] contains the threads and the order of effects, [`cli`] the commands, [`config`] the
//! settings. Steps 2 to 5 are pure: they do no IO, read no clock, use no randomness, and compile without a broker
//! library and without RocksDB (`--no-default-features`).
//!
//! `ARCHITECTURE.md` follows one record through all modules.

pub mod capacity;
pub mod check;
pub mod cli;
pub mod clock;
pub mod config;
pub mod decode;
pub mod emit;
pub mod generate;
pub mod heartbeat;
#[cfg(feature = "http")]
pub mod http;
pub mod join;
pub mod json;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod log;
pub mod metrics;
pub mod pipeline;
pub mod query;
pub mod record;
pub mod redrive;
pub mod replay;
pub mod route;
pub mod shutdown;
pub mod sink;
pub mod source;
pub mod store;
pub mod time;
pub mod verify;
pub mod words;
