//! Standard output and standard error.
//!
//! The reader of the output may be gone (`| head -1`), or the disk may be full (`> file`). Neither stops the command:
//! printing never fails and never panics. The first failure of standard output is stored, and nothing more is printed
//! after it. [`end`] turns it into the command's exit status.

use std::io::{self, ErrorKind, Write as _};
use std::sync::OnceLock;

use super::{Failure, mask};

/// The first failure of standard output.
static FIRST_ERROR: OnceLock<io::Error> = OnceLock::new();

/// Prints a line of output as text: masks secrets and escapes control characters.
pub fn print_line(line: &str) {
    print_masked(line, mask::Lines::Many);
}

/// Prints a line with colour escapes. Text from records must have passed [`mask::printable`] before.
pub fn print_coloured_line(line: &str) {
    print_masked(line, mask::Lines::Coloured);
}

/// Prints a document for programs unchanged, and ends its line.
pub fn document(text: &str) {
    raw(format!("{text}\n").as_bytes());
}

/// Prints these bytes.
pub fn raw(bytes: &[u8]) {
    if is_over() {
        return;
    }
    let mut out = io::stdout().lock();
    keep(out.write_all(bytes).and_then(|()| out.flush()));
}

/// Stores the failure of a write to standard output that happened outside this module.
pub fn keep(written: io::Result<()>) {
    if let Err(cause) = written {
        // A second failure has the same cause.
        FIRST_ERROR.set(cause).ok();
    }
}

/// Returns whether standard output has failed, so that a command that only prints can end.
pub fn is_over() -> bool {
    FIRST_ERROR.get().is_some()
}

/// Prints a line to standard error. If that fails, there is no other place to report it.
pub fn eprint_line(line: &str) {
    let line = mask::printable(line, mask::Lines::Many);
    // A single write, so that lines of several threads are not mixed.
    io::stderr().lock().write_all(format!("{line}\n").as_bytes()).ok();
}

/// Returns the result of a command. It is a failure, too, if the output could not be written. A closed pipe is not a
/// failure.
pub fn end(result: Result<(), Failure>) -> Result<(), Failure> {
    match FIRST_ERROR.get() {
        Some(cause) if result.is_ok() && cause.kind() != ErrorKind::BrokenPipe => Err(Failure::failed(format!(
            "cannot write to standard output: {cause}; the command completed, but its output is incomplete"
        ))),
        _ => result,
    }
}

fn print_masked(line: &str, lines: mask::Lines) {
    raw(format!("{}\n", mask::printable(line, lines)).as_bytes());
}
