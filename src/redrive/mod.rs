//! Which dead letters go back through. Pure.
//!
//! The topic of dead letters is its own ledger: beside the letters, `alerttrail redrive` writes records there that say which of them were sent
//! ([`Note`]), so that whoever runs it next, on whatever machine, knows. A run says first from where on in the input topics its records will be found,
//! and last that it has ended. What a run that did not end has sent is looked up there, by the header that every such record carries.
//! This module reads headers and decides; it sends nothing and reads no clock. The tests are beside the code.

mod ledger;
mod letter;

pub use ledger::{Decision, Ledger};
pub use letter::{Filter, Letter, Note, Origin, Record, Run};
