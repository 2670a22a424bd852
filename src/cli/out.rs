//! Standard output and standard error.
//!
//! What a command prints may be read by nobody any more (`| head -1`), or find no room (`> file` on a full disk). Neither stops the work:
//! printing never fails and never panics. The first failure of standard output is kept; after it nothing more is printed, and
//! [`end`] turns it into the command's exit status.

use std::io::{self, ErrorKind, Write as _};
use std::sync::OnceLock;

use super::{Failure, mask};

/// Why standard output takes nothing any more.
static LOST: OnceLock<io::Error> = OnceLock::new();

/// Prints a line of the answer for people: secrets become stars, control characters are spelled out.
pub(super) fn tell(line: &str) {
    masked(line, mask::Lines::Many);
}

/// Prints one line with the escapes that colour it. Whatever comes from records must have been made [`mask::printable`] before.
pub(super) fn tell_coloured(line: &str) {
    masked(line, mask::Lines::Coloured);
}

/// Prints a document for programs as it is, and ends its line.
pub(super) fn document(text: &str) {
    raw(format!("{text}\n").as_bytes());
}

/// Prints these bytes.
pub(super) fn raw(bytes: &[u8]) {
    if is_over() {
        return;
    }
    let mut out = io::stdout().lock();
    keep(out.write_all(bytes).and_then(|()| out.flush()));
}

/// Keeps the failure of a write to standard output that was made elsewhere.
pub(super) fn keep(written: io::Result<()>) {
    if let Err(cause) = written {
        // A second one has the same cause.
        LOST.set(cause).ok();
    }
}

/// Returns whether standard output takes nothing any more, so that a command which does nothing but print can end.
pub(super) fn is_over() -> bool {
    LOST.get().is_some()
}

/// Says a line to the person at the terminal, on standard error. When that cannot be written there is nobody to tell.
pub(super) fn say(line: &str) {
    let line = mask::printable(line, mask::Lines::Many);
    // One write, so that lines of several threads stay whole.
    io::stderr().lock().write_all(format!("{line}\n").as_bytes()).ok();
}

/// Returns the end of a command that came to `result`: a failure, too, when its answer found no room. Whoever closed a pipe has read enough.
pub(super) fn end(result: Result<(), Failure>) -> Result<(), Failure> {
    match LOST.get() {
        Some(cause) if result.is_ok() && cause.kind() != ErrorKind::BrokenPipe => Err(Failure::failed(format!(
            "cannot write to standard output: {cause}; the command did its work, but what it prints is incomplete"
        ))),
        _ => result,
    }
}

fn masked(line: &str, lines: mask::Lines) {
    raw(format!("{}\n", mask::printable(line, lines)).as_bytes());
}
