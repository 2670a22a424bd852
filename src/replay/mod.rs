//! Replays recorded traffic: selects the next message ([`inputs`]), determines when it is due ([`pace`]), shifts its
//! times ([`shift`]) and batches its records ([`prepare`]).
//!
//! Nothing here sends, waits or reads a clock: the command does that, and passes the time as an argument. Only the
//! decoder interprets records; this module uses only their times. It relies on the decoder to validate a message before
//! anything in it is changed: a message that is not JSON is sent unchanged.

pub mod inputs;
pub mod pace;
pub mod prepare;
pub mod shift;
