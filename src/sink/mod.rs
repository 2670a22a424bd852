//! Where records go. Knows bytes, keys, headers and files; nothing of how they came about.

pub mod dead_letter;
pub mod file;
