//! Faults of the disk: what the state is worth after them, and what is said.
//!
//! Each test shows that its fault happened. The letters and numbers in names are those of the faults in `docs/state.md`.

mod dir;
mod util;
