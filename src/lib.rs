//! alerttrail joins activities with the security alerts they belong to, continuously.
//!
//! The modules, in the order in which a record meets them:
//!
//! 1. [`source`]: bytes with an address, from a file (from Kafka they come straight to the pipeline).
//! 2. [`decode`]: bytes to a [`record`]; what cannot be used becomes a reject. Over [`json`] and [`time`].
//! 3. [`route`]: a record to the partition of the [`log`] that owns its key; how far was read, to marks in every partition.
//! 4. [`join`]: the state machine of one partition, over a [`store`].
//! 5. [`emit`]: what the join says, to the bytes that readers get.
//! 6. [`sink`]: where they go.
//!
//! [`query`] reads what the join holds, for whoever asks.
//!
//! [`check`] says beforehand whether the settings fit the topics and the records in them. [`generate`] and [`replay`] make the traffic that goes in, [`verify`] holds what came out against it,
//! [`redrive`] says which dead letters go back in. [`pipeline`] holds threads and the order of effects, [`cli`] the commands,
//! [`config`] the settings. Steps 2 to 5 are pure: no IO, no clock, no randomness, and they build without a broker library and without
//! RocksDB (`--no-default-features`).
//! `ARCHITECTURE.md` follows one record through all of it.

pub mod capacity;
pub mod check;
pub mod cli;
pub mod clock;
pub mod config;
pub mod decode;
pub mod emit;
pub mod generate;
#[cfg(feature = "http")]
pub mod http;
pub mod join;
pub mod json;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod log;
pub mod metrics;
pub mod pipeline;
pub mod pulse;
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
