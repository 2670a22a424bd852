//! Where messages come from: bytes with an address. Knows nothing of what is in them.

mod capture;
pub mod file;
pub mod folder;
