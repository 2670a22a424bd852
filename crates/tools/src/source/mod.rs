//! Messages from files: bytes with an address. This module does not interpret their content.

mod avro;
mod capture;
mod detect;
pub mod file;
pub mod folder;
mod format;
mod growing;
pub mod limit;
mod table;
mod texts;

pub use format::CaptureFormat;
