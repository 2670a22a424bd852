//! Writes the files of generated traffic.

use std::io::{self, Write as _};
use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::{Args, Compression, Error};
use crate::generate::Messages;
use crate::generate::tenant::Truth;
use crate::shutdown::Shutdown;
use crate::sink::file::{Output, Target};

/// The numbers of what was written so far.
#[derive(Default)]
pub(super) struct Written {
    pub(super) messages: u64,
    pub(super) records: u64,
    pub(super) bytes: u64,
}

/// Writes a table to a temporary file.
pub(super) fn write_table(
    args: &Args,
    target: Target,
    count: u64,
    mut source: impl Messages,
    written: &mut Written,
    shutdown: &Shutdown,
) -> Result<Output, Error> {
    let progress = progress(&target.name().file_name().unwrap_or_default().to_string_lossy(), count);
    let path = target.name().to_owned();
    let failed = |source| Error::Write {
        path: path.clone(),
        source,
    };
    let mut file = Encoder::new(target.create(&args.output)?, args.compress).map_err(failed)?;
    let mut line = Vec::new();
    while let Some(info) = source.next_message(&mut line) {
        line.push(b'\n');
        file.write_all(&line).map_err(failed)?;
        written.messages += 1;
        written.records += info.records as u64;
        written.bytes += line.len() as u64;
        // Updating the bar reads the clock, so it is not updated for every message.
        if written.messages.is_multiple_of(1_024) {
            progress.inc(1_024);
            if shutdown.is_requested() {
                return Err(Error::Interrupted);
            }
        }
        line.clear();
    }
    progress.finish_and_clear();
    file.finish().map_err(failed)
}

/// Writes a truth file to a temporary file. Returns it with the number of its rows.
pub(super) fn write_truth(target: Target, spare: &Path, truth: Truth, shutdown: &Shutdown) -> Result<(Output, u64), Error> {
    let path = target.name().to_owned();
    let failed = |source| Error::Truth {
        path: path.clone(),
        source,
    };
    let mut file = target.create(spare).map_err(Error::of_truth)?;
    let mut rows = 0_u64;
    write_line(&mut file, &truth.header()).map_err(failed)?;
    for fact in truth {
        write_line(&mut file, &fact).map_err(failed)?;
        rows += 1;
        if rows.is_multiple_of(1_024) && shutdown.is_requested() {
            return Err(Error::Interrupted);
        }
    }
    file.flush().map_err(failed)?;
    Ok((file, rows))
}

fn write_line(file: &mut Output, line: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *file, line)?;
    file.write_all(b"\n")
}

/// Creates a progress bar, which is shown on a terminal and hidden in a pipe.
fn progress(table: &str, count: u64) -> ProgressBar {
    let progress = ProgressBar::new(count);
    let template = "{msg:14} {bar:30} {human_pos}/{human_len} {per_sec} {eta}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        progress.set_style(style);
    }
    progress.set_message(table.to_owned());
    progress
}

enum Encoder {
    Plain(Output),
    Gz(flate2::write::GzEncoder<Output>),
    Zst(zstd::Encoder<'static, Output>),
}

impl Encoder {
    fn new(file: Output, compression: Compression) -> io::Result<Self> {
        Ok(match compression {
            Compression::None => Self::Plain(file),
            Compression::Gz => Self::Gz(flate2::write::GzEncoder::new(file, flate2::Compression::default())),
            Compression::Zst => Self::Zst(zstd::Encoder::new(file, zstd::DEFAULT_COMPRESSION_LEVEL)?),
        })
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(file) => file.write_all(bytes),
            Self::Gz(file) => file.write_all(bytes),
            Self::Zst(file) => file.write_all(bytes),
        }
    }

    /// Writes the buffered bytes, so that an error of the last bytes is reported.
    fn finish(self) -> io::Result<Output> {
        let mut file = match self {
            Self::Plain(file) => file,
            Self::Gz(file) => file.finish()?,
            Self::Zst(file) => file.finish()?,
        };
        file.flush()?;
        Ok(file)
    }
}
