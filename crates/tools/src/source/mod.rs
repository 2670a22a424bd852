//! Messages from files: bytes with an address. Knows nothing about their content.

mod avro;
mod begin;
mod capture;
pub mod file;
pub mod folder;
mod format;
mod growing;
pub mod limit;
mod table;

pub use format::Format;
