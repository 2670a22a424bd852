//! Faults of the disk: the state of the store after them, and the errors that are reported.
//!
//! Each test shows that its fault happened. The letters and numbers in names are those of the faults in
//! `docs/state.md`. `ALERTTRAIL_TEST_FAULTS` is the number of random faults (100 by default), `SEED` is their seed.

mod dir;
mod flips;
mod joined_log;
mod killed;
mod limits;
mod memory;
mod util;
