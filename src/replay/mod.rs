//! Recorded traffic on its way back to a topic: which message is next ([`inputs`]), when it is due ([`pace`]), its times moved ([`shift`]),
//! its records bundled ([`prepare`]).
//!
//! Nothing here sends, waits or reads a clock: the command does, and hands in what the time is. What a record means is the decoder's to
//! know; here only its time counts. It relies on the decoder to have found a message valid before anything in it is touched: what is not
//! JSON goes out as it came.

pub mod inputs;
pub mod pace;
pub mod prepare;
pub mod shift;
