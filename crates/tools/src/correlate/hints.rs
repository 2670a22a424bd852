//! The hints that `correlate` prints at the end: why alerts match few activities or none, and which setting would match
//! more.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::{eprint_line, is_standard};
use crate::check::hints::Kind;
use crate::check::sample::Sample;
use crate::config::Config;
use crate::correlate::local::Totals;
use crate::shutdown::Shutdown;
use crate::source::file::{Chunk, FileSource};

/// Maximum number of messages to read again, of one input and of all.
const MAX_OF_INPUT: usize = 10_000;
const MAX_MESSAGES: usize = 50_000;
/// Maximum number of bytes to keep of inputs that can be read only once.
const MAX_BUFFERED: usize = 16 << 20;
/// Maximum number of hints to print.
const MAX_LINES: usize = 8;

/// The beginnings of inputs that can be read only once.
#[derive(Clone, Default)]
pub(super) struct BufferedInput(Arc<Mutex<Vec<Chunk>>>);

impl BufferedInput {
    /// Returns a function that returns the chunks of `chunks`, and keeps the first ones from standard input or a pipe.
    pub(super) fn buffer_chunks<E, C>(
        &self,
        inputs: &[PathBuf],
        mut chunks: C,
    ) -> impl FnMut() -> Option<Result<Chunk, E>> + Send + use<E, C>
    where
        C: FnMut() -> Option<Result<Chunk, E>> + Send,
    {
        let buffered = self.0.clone();
        let once: Vec<String> = inputs
            .iter()
            .filter(|path| !is_file(path))
            .map(|path| path.display().to_string())
            .collect();
        let mut remaining = if once.is_empty() { 0 } else { MAX_BUFFERED };
        move || {
            let chunk = chunks();
            if let Some(Ok(chunk)) = &chunk
                && chunk.bytes().len() <= remaining
                && once.iter().any(|name| **name == *chunk.file)
            {
                remaining -= chunk.bytes().len();
                buffered.lock().unwrap_or_else(PoisonError::into_inner).push(chunk.clone());
            }
            chunk
        }
    }
}

/// Prints the hints. Reads the beginnings of the inputs again if keys do not match, or if there were too many
/// activities to compare.
pub(super) fn report(inputs: &[PathBuf], buffered: &BufferedInput, config: &Config, totals: &Totals, shutdown: &Shutdown) {
    let is_poor = totals.closed > 0 && totals.activities > 0 && totals.matched * 2 <= totals.closed;
    let is_apart = totals.tally.as_ref().is_none_or(|tally| tally.is_apart());
    let sample = (is_poor && is_apart).then(|| sample(inputs, buffered, config, shutdown));
    let sampled = sample.as_ref().map(Sample::tally);
    let Some(tally) = totals.tally.as_ref().or(sampled.as_ref()) else {
        return;
    };
    if totals.activities == 0 || totals.closed == 0 {
        return;
    }
    let places = sample.as_ref().and_then(Sample::places);
    for hint in tally.hints(config, places.as_ref()).into_iter().take(MAX_LINES) {
        let label = match hint.kind {
            Kind::Doubt => "warning",
            Kind::Keys | Kind::Reason => "hint",
        };
        eprint_line(&format!("{label}: {}", hint.text));
    }
}

/// Samples the first messages of every input. Inputs that can no longer be read are omitted, because the result of the
/// join does not depend on the sample.
fn sample<'c>(inputs: &[PathBuf], buffered: &BufferedInput, config: &'c Config, shutdown: &Shutdown) -> Sample<'c> {
    let mut sample = Sample::new(config, crate::clock::now());
    let mut remaining = MAX_MESSAGES;
    for path in inputs.iter().filter(|path| is_file(path)) {
        let Ok(mut source) = FileSource::open(path, |raw| raw) else {
            continue;
        };
        let chunks = std::iter::from_fn(|| source.next_chunk().ok().flatten());
        add_messages(&mut sample, chunks, &mut remaining, shutdown);
    }
    let buffered = buffered.0.lock().unwrap_or_else(PoisonError::into_inner);
    add_messages(&mut sample, buffered.iter().cloned(), &mut remaining, shutdown);
    sample
}

fn add_messages(sample: &mut Sample<'_>, chunks: impl Iterator<Item = Chunk>, remaining: &mut usize, shutdown: &Shutdown) {
    let limit = (*remaining).min(MAX_OF_INPUT);
    let mut count = 0;
    for chunk in chunks {
        for (_, message) in chunk.messages() {
            if count == limit || shutdown.is_requested() {
                *remaining -= count;
                return;
            }
            sample.message(&chunk.file, 0, Some(message), None);
            count += 1;
        }
    }
    *remaining -= count;
}

fn is_file(path: &Path) -> bool {
    !is_standard(path) && std::fs::metadata(path).is_ok_and(|found| found.is_file())
}
