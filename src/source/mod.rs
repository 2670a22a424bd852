//! Where messages come from: bytes with an address. Knows nothing of what is in them.

pub mod file;
