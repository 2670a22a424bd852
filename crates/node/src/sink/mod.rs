//! Dead-letter records and output files. Handles bytes, headers and files, whatever produced them.

pub mod dead_letter;
pub mod file;
