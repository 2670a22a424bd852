//! Compares the output with the rows that are recomputed from the input, and reports which rows are the same, missing,
//! extra or changed, and why.
//!
//! [`Recomputation`] is the batch join: ROUTE and JOIN over a log in memory, which never expires anything and closes
//! every window at the end. [`Comparison`] receives the rows that it emits and the records of the output, each as
//! hashes, and compares them part by part (`buckets`): both sides may be larger than memory, which holds one part of
//! 512. `fold` compares the items of one id, `record` defines what is kept of a row, `cause` decides why a row does not
//! agree, [`Sources`] determines how far the output must be complete and which records are gone, and [`Report`] is the
//! result.
//!
//! A row with an older version of its alert is right, and so is a row with any delivery of its activity. The comparison
//! looks up whether the content is one of these, byte for byte. Nothing here connects to a broker, reads a clock or
//! prints, and all files are temporary. It relies on the join to be right, which the simulation compares with the
//! query.

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
