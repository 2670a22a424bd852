//! Decides which dead-letter records to send again. Pure.
//!
//! The dead-letter topic also contains the state of `alerttrail redrive`. Besides the dead-letter records, it contains
//! the command's notes ([`Note`]) about which of them were sent, so that the next run on any machine knows. A run first
//! notes the offsets in the input topics from which on its records will be found. Its last note is that it has ended.
//! Records that an unfinished run sent are found in the input topics by the header that every redriven record has. This
//! module parses headers and decides. It sends nothing and reads no clock.

mod ledger;
mod letter;

pub use ledger::{Decision, Ledger};
pub use letter::{Filter, Letter, Note, Origin, Record, Run};
