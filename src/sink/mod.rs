//! Where records go. Knows bytes, keys and headers; nothing of how they came about.

pub mod dead_letter;
