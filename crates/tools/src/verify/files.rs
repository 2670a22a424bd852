//! Reads both sides from files.

use std::path::{Path, PathBuf};

use super::{Error, bar};
use crate::clock;
use crate::decode::Reason;
use crate::route::Arrival;
use crate::shutdown::Shutdown;
use crate::source::file::{self, FileSource};
use crate::source::limit::Rest;
use crate::store::Backend;
use crate::term::report_unfinished;
use crate::time::EventTime;
use crate::verify::{Comparison, Recomputation};

/// Reads the output from a file. Returns whether it finished.
pub(super) fn read_output(path: &Path, comparison: &mut Comparison, shutdown: &Shutdown) -> Result<bool, Error> {
    let bar = bar(None, "bytes of the output");
    let mut source = FileSource::open(path, |raw| Box::new(bar.wrap_read(raw)))?;
    while let Some(chunk) = source.next_chunk()? {
        if shutdown.is_requested() {
            return Ok(false);
        }
        for (_, value) in chunk.messages() {
            comparison.add_output(value)?;
        }
        if let Some((number, Rest::TooLong(long))) = chunk.rest() {
            let cause = format!("line {} is not a row: {}", number + 1, long.sentence());
            return Err(file::Error::new(path, cause).into());
        }
    }
    bar.finish_and_clear();
    Ok(true)
}

/// Reads the input from files: every window closes at their end, and nothing expires. Returns the time before which
/// records may be missing (any time, if a file is still being written), or `None` after a shutdown request.
pub(super) fn read_input<B: Backend>(
    paths: &[PathBuf],
    recomputation: &mut Recomputation<B>,
    comparison: &mut Comparison,
    shutdown: &Shutdown,
) -> Result<Option<EventTime>, Error> {
    let mut unfinished = Vec::new();
    let bar = bar(None, "bytes of the input");
    for path in paths {
        let mut source = FileSource::open(path, |raw| Box::new(bar.wrap_read(raw)))?;
        while let Some(chunk) = source.next_chunk()? {
            if shutdown.is_requested() {
                return Ok(None);
            }
            let arrival = Arrival {
                now: clock::now(),
                timestamp: None,
            };
            match chunk.rest() {
                Some((_, Rest::TooLong(_))) => comparison.count_dead_letter(Reason::TooLarge.as_str()),
                Some((_, Rest::Unfinished)) => unfinished.push(chunk.file.to_string()),
                None => {}
            }
            let messages = chunk.messages().map(|(_, message)| (Some(message), arrival));
            recomputation.messages(messages, comparison)?;
        }
    }
    bar.finish_and_clear();
    report_unfinished(&unfinished, "the record was skipped");
    Ok(Some(match unfinished.is_empty() {
        true => EventTime::MIN,
        false => EventTime::MAX,
    }))
}
