//! Decides which dead-letter records to send again. Pure.
//!
//! The dead-letter topic also contains the state of `alerttrail redrive`: besides the dead-letter records, the command
//! writes notes there about which of them were sent ([`Note`]), so that the next run on any machine knows. A run first
//! notes the offsets in the input topics from which on its records will be found, and last that it has ended. What an
//! unfinished run has sent is found there by the header that every redriven record has. This module parses headers and
//! decides; it sends nothing and reads no clock. The tests are beside the code.

mod ledger;
mod letter;

pub use ledger::{Decision, Ledger};
pub use letter::{Filter, Letter, Note, Origin, Record, Run};
