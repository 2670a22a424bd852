//! The output against the answer recomputed from the input: same, missing, too many, changed, and why.
//!
//! [`Recomputation`] is the batch join: ROUTE and JOIN over a log in memory that forgets nothing and closes every
//! window at its end. [`Comparison`] takes what it finds and the records of the output, each as hashes, and compares
//! them part by part (`buckets`): both sides may be larger than memory, which holds one part of 512. `fold` is the
//! comparison of one id, `record` what is kept of it, `cause` why it does not agree, [`Sources`] how far an answer
//! can be there at all and which records are gone, [`Report`] what is said in the end.
//!
//! An alert that stands in a row in an older version is right, and so is any delivery of an activity; that they are
//! one of these, byte for byte, is looked up. Nothing here connects, reads a clock or prints; files are temporary
//! ones. It relies on the join to be right, which the simulation holds against the query.

mod buckets;
mod cause;
mod comparison;
mod fold;
mod reach;
mod recomputation;
mod record;
mod report;
#[cfg(test)]
mod tests;

pub use cause::{Cause, Judgement, Kind};
pub use comparison::{Comparison, Span};
pub use reach::{Patience, Reach, Sources, Start};
pub use recomputation::{Error, Recomputation};
pub use report::{Example, Report, Verdict};
