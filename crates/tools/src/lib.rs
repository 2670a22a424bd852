//! The tools of alerttrail: what people run beside a processor.
//!
//! [`correlate`] joins files without a broker, [`generate`] and [`replay`] produce input traffic, [`verify`] compares
//! the output with it, [`redrive`] sends dead-letter records again, [`capacity`] finds the highest rate that processors
//! sustain, and [`demo`] shows all of it in one process. Each module is a command of the program, with its arguments
//! and `run`. [`source`] reads their input files, [`term`] has what they print with.

// The modules of the lower crates have the same paths in every crate.
use alerttrail_core::{decode, emit, join, json, record, repartition, route, time};
use alerttrail_node::{check, clock, config, http, kafka, metrics, open, pipeline, shutdown, sink, store, words};

pub mod capacity;
pub mod correlate;
pub mod demo;
pub mod generate;
pub mod redrive;
pub mod replay;
pub mod source;
pub mod term;
pub mod verify;
