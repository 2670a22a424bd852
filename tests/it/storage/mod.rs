//! Faults of the disk: what the state is worth after them, and what is said.
//!
//! Each test shows that its fault happened. The letters and numbers in names are those of the faults in `docs/state.md`.
//! `ALERTTRAIL_TEST_FAULTS` is the number of faults that are drawn (100 unless set), `SEED` what they are drawn from.

mod dir;
#[cfg(feature = "rocksdb")]
mod flips;
#[cfg(feature = "rocksdb")]
mod killed;
#[cfg(feature = "rocksdb")]
mod limits;
#[cfg(feature = "rocksdb")]
mod memory;
mod util;
#[cfg(feature = "rocksdb")]
mod world;
