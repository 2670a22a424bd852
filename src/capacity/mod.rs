//! Capacity testing: what is decided without a broker.
//!
//! When each message is to be sent ([`schedule`]), what it holds ([`template`], [`traffic`]), what the processor must answer and what it did
//! ([`oracle`]), how long that took ([`latency`]), whether the lag grew ([`lag`]), which rate to try next ([`search`]), whether a trial counts
//! ([`verdict`]), and how all of it is told ([`result`], [`report`], [`compare`]). Nothing here reads a clock, opens a file or starts a process;
//! times come in as spans since a trial began. The command around it is in `cli/capacity`.
//!
//! It knows the processor as its users do: what goes in, and what comes out. The oracle is made from what was sent only.

pub mod compare;
pub mod lag;
pub mod latency;
pub mod oracle;
pub mod report;
pub mod result;
pub mod schedule;
pub mod search;
pub mod template;
pub mod traffic;
pub mod verdict;
