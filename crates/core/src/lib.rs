//! The core of alerttrail: from the bytes of a record to the bytes of a row.
//!
//! The modules, in the order in which a record passes through them:
//!
//! 1. [`decode`]: turns bytes into a [`record`], or a reject if they cannot be used. Uses [`json`] and [`time`].
//! 2. [`route`]: decides which partitions of the [`repartition`] get a record, and what a watermark update says.
//! 3. [`join`]: the state machine of one partition over a [`store`], and the order of its effects.
//! 4. [`emit`]: turns the output of the join into the bytes that readers get.
//!
//! Everything here is pure: no IO, no clock, no randomness, no thread. The crate knows neither Kafka nor RocksDB, which
//! the compiler ensures: it does not depend on them.

pub mod decode;
pub mod emit;
pub mod join;
pub mod json;
pub mod record;
pub mod repartition;
pub mod route;
pub mod store;
pub mod time;
