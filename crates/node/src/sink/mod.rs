//! Dead-letter records and output files. Knows bytes, headers and files, and nothing about how they are produced.

pub mod dead_letter;
pub mod file;
