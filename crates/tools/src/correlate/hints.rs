//! The hints that `correlate` prints at the end: why alerts match few activities or none, and which setting would match
//! more.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::{is_standard, say};
use crate::check::hints::Kind;
use crate::check::sample::Sample;
use crate::config::Config;
use crate::correlate::local::Totals;
use crate::shutdown::Shutdown;
use crate::source::file::{Chunk, FileSource};

/// Maximum number of messages to read again, of one input and of all.
const MAX_OF_INPUT: usize = 10_000;
const MAX_MESSAGES: usize = 50_000;
/// Maximum bytes to keep of inputs that can be read only once.
const MAX_KEPT: usize = 16 << 20;
/// Maximum number of hints to print.
const MAX_LINES: usize = 8;

/// The beginnings of inputs that can be read only once.
#[derive(Clone, Default)]
pub(super) struct Kept(Arc<Mutex<Vec<Chunk>>>);

impl Kept {
    /// Keeps the beginnings of what `chunks` reads from standard input or a pipe.
    pub(super) fn watch<E, C>(
        &self,
        inputs: &[PathBuf],
        mut chunks: C,
    ) -> impl FnMut() -> Option<Result<Chunk, E>> + Send + use<E, C>
    where
        C: FnMut() -> Option<Result<Chunk, E>> + Send,
    {
        let kept = self.0.clone();
        let once: Vec<String> = inputs
            .iter()
            .filter(|path| !is_file(path))
            .map(|path| path.display().to_string())
            .collect();
        let mut room = if once.is_empty() { 0 } else { MAX_KEPT };
        move || {
            let chunk = chunks();
            if let Some(Ok(chunk)) = &chunk
                && chunk.bytes().len() <= room
                && once.iter().any(|name| **name == *chunk.file)
            {
                room -= chunk.bytes().len();
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(chunk.clone());
            }
            chunk
        }
    }
}

/// Prints the hints. Reads the beginnings of the inputs again if keys do not match, or if there were too many
/// activities to compare.
pub(super) fn report(inputs: &[PathBuf], kept: &Kept, config: &Config, totals: &Totals, shutdown: &Shutdown) {
    let is_poor = totals.answered > 0 && totals.activities > 0 && totals.matched * 2 <= totals.answered;
    let is_apart = totals.tally.as_ref().is_none_or(|tally| tally.is_apart());
    let sample = (is_poor && is_apart).then(|| sample(inputs, kept, config, shutdown));
    let sampled = sample.as_ref().map(Sample::tally);
    let Some(tally) = totals.tally.as_ref().or(sampled.as_ref()) else {
        return;
    };
    if totals.activities == 0 || totals.answered == 0 {
        return;
    }
    let places = sample.as_ref().and_then(Sample::places);
    for hint in tally.hints(config, places.as_ref()).into_iter().take(MAX_LINES) {
        let word = match hint.kind {
            Kind::Doubt => "warning",
            Kind::Keys | Kind::Reason => "hint",
        };
        say(&format!("{word}: {}", hint.text));
    }
}

/// Samples the first messages of every input. Inputs that can no longer be read are omitted, because the result of the
/// join does not depend on the sample.
fn sample<'c>(inputs: &[PathBuf], kept: &Kept, config: &'c Config, shutdown: &Shutdown) -> Sample<'c> {
    let mut sample = Sample::new(config, crate::clock::now());
    let mut left = MAX_MESSAGES;
    for path in inputs.iter().filter(|path| is_file(path)) {
        let Ok(mut source) = FileSource::open(path, |raw| raw) else {
            continue;
        };
        let chunks = std::iter::from_fn(|| source.next_chunk().ok().flatten());
        take(&mut sample, chunks, &mut left, shutdown);
    }
    let kept = kept.0.lock().unwrap_or_else(PoisonError::into_inner);
    take(&mut sample, kept.iter().cloned(), &mut left, shutdown);
    sample
}

fn take(sample: &mut Sample<'_>, chunks: impl Iterator<Item = Chunk>, left: &mut usize, shutdown: &Shutdown) {
    let most = (*left).min(MAX_OF_INPUT);
    let mut taken = 0;
    for chunk in chunks {
        for (_, message) in chunk.messages() {
            if taken == most || shutdown.is_requested() {
                *left -= taken;
                return;
            }
            sample.message(&chunk.file, 0, Some(message), None);
            taken += 1;
        }
    }
    *left -= taken;
}

fn is_file(path: &Path) -> bool {
    !is_standard(path) && std::fs::metadata(path).is_ok_and(|found| found.is_file())
}
