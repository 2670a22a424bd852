//! The events of one world, line by line, for people.

use crate::world::{show, ticks_of};

/// Lines, kept only if the trace is on.
#[derive(Default)]
pub(crate) struct Trace {
    pub(crate) lines: Option<Vec<String>>,
}

impl Trace {
    pub(crate) fn on() -> Self {
        Self { lines: Some(Vec::new()) }
    }

    pub(crate) fn event(&mut self, wall: i64, line: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            lines.push(format!("{} {}", show(ticks_of(wall)), line()));
        }
    }

    pub(crate) fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            lines.push(line());
        }
    }
}
