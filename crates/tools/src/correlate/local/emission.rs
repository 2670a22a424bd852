use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use super::ordered::{Next, Ordered, PIECES_PER_THREAD, Reuse, ordered};
use super::rows::{RowFiles, RowPosition};
use super::{Error, Output, Stream};
use crate::emit::{Emitted, Emitter, Kind};
use crate::join::{self, Outbox, Row, Summary};

/// The number of bytes of rows at which a piece of work is complete.
const PIECE_BYTES: usize = 1 << 20;

/// Encodes the outputs of the join in several threads, and writes the records in order.
pub(super) struct Emission {
    emitter: Emitter,
    seq: i64,
    pieces: SyncSender<Piece>,
    written: Ordered<Result<Lines, Error>>,
    in_progress: usize,
    max_in_progress: usize,
    reuse: Reuse<Lines>,
}

/// Outputs of the join, each with the number of its record.
struct Piece {
    outputs: Vec<(i64, join::Output)>,
    lines: Lines,
}

/// The records of a piece, each on a line.
#[derive(Default)]
struct Lines {
    rows: Vec<u8>,
    summaries: Vec<u8>,
}

impl Emission {
    pub(super) fn new(emitter: Emitter, rows: &Arc<RowFiles>, threads: usize) -> Self {
        let max_in_progress = PIECES_PER_THREAD * threads;
        let (pieces, received) = sync_channel::<Piece>(max_in_progress);
        let written = ordered(
            "emit",
            threads,
            move || received.recv().ok(),
            || {
                let (emitter, rows) = (emitter.clone(), rows.clone());
                let mut buffers = Buffers::default();
                move |piece| write(piece, &emitter, &rows, &mut buffers)
            },
        );
        Self {
            emitter,
            seq: 0,
            pieces,
            written,
            in_progress: 0,
            max_in_progress,
            reuse: Reuse::default(),
        }
    }

    /// Removes the outputs from `outbox`, and writes records to `output` that are ready in the meantime.
    pub(super) fn take(&mut self, outbox: &mut Outbox, output: &mut dyn Output) -> Result<(), Error> {
        let mut outputs = Vec::new();
        let mut bytes = 0;
        for (_, item) in outbox.drain() {
            if !self.emitter.emits(&item) {
                continue;
            }
            bytes += size(&item);
            outputs.push((self.seq, item));
            self.seq += 1;
            if bytes >= PIECE_BYTES {
                self.send_piece(std::mem::take(&mut outputs), output)?;
                bytes = 0;
            }
        }
        match outputs.is_empty() {
            true => Ok(()),
            false => self.send_piece(outputs, output),
        }
    }

    fn send_piece(&mut self, outputs: Vec<(i64, join::Output)>, output: &mut dyn Output) -> Result<(), Error> {
        if self.in_progress == self.max_in_progress {
            self.write_next(output)?;
        }
        let lines = self.reuse.get();
        self.pieces.send(Piece { outputs, lines }).map_err(|_| Error::Thread)?;
        self.in_progress += 1;
        Ok(())
    }

    fn write_next(&mut self, output: &mut dyn Output) -> Result<(), Error> {
        /// Long, because the end of a thread is detected at once, and a thread that still works has no time limit.
        const RESULT_TIMEOUT: Duration = Duration::from_secs(3600);
        match self.written.next_within(RESULT_TIMEOUT) {
            Next::Result(lines) => {
                let mut lines = lines?;
                output.write(Stream::Rows, &lines.rows)?;
                output.write(Stream::Summaries, &lines.summaries)?;
                lines.rows.clear();
                lines.summaries.clear();
                self.reuse.put(lines);
                self.in_progress -= 1;
                Ok(())
            }
            Next::Pending => Ok(()),
            Next::End | Next::Broken => Err(Error::Thread),
        }
    }

    /// Writes all remaining records.
    pub(super) fn finish(&mut self, output: &mut dyn Output) -> Result<(), Error> {
        while self.in_progress > 0 {
            self.write_next(output)?;
        }
        Ok(())
    }
}

fn size(output: &join::Output) -> usize {
    match output {
        join::Output::Row(row) => row.rows.as_ref().map_or(0, |(alert, position)| {
            alert.len() + RowPosition::from_bytes(position).map_or(0, RowPosition::length)
        }),
        join::Output::Summary(summary) => {
            let lengths = summary
                .related
                .iter()
                .filter_map(|related| RowPosition::from_bytes(&related.row));
            let related: usize = lengths.map(RowPosition::length).sum();
            related + summary.row.as_ref().map_or(0, |alert| alert.len())
        }
    }
}

#[derive(Default)]
struct Buffers {
    row: Vec<u8>,
    value: Vec<u8>,
}

fn write(piece: Piece, emitter: &Emitter, rows: &RowFiles, buffers: &mut Buffers) -> Result<Lines, Error> {
    let mut lines = piece.lines;
    for (seq, output) in piece.outputs {
        let output = match output {
            join::Output::Row(row) => join::Output::Row(with_row(row, rows, &mut buffers.row)?),
            join::Output::Summary(summary) => join::Output::Summary(with_related(summary, rows)?),
        };
        // A file has no limit, so no record is too large.
        if let Emitted::Record(headers) | Emitted::TooLarge(headers) = emitter.emit(&output, seq, &mut buffers.value) {
            let lines = match headers.kind {
                Kind::Activity => &mut lines.rows,
                Kind::Alert => &mut lines.summaries,
            };
            lines.extend_from_slice(&buffers.value);
            lines.push(b'\n');
        }
        if let join::Output::Row(Row {
            rows: Some((_, row)), ..
        }) = output
        {
            buffers.row = row.into();
        }
    }
    Ok(lines)
}

/// Returns the summary with the rows of the activities that it lists, in place of the rows' positions.
fn with_related(mut summary: Summary, rows: &RowFiles) -> Result<Summary, Error> {
    for related in &mut summary.related {
        let mut bytes = Vec::new();
        rows.read(parse_position(&related.row)?, &mut bytes)?;
        related.row = bytes.into_boxed_slice();
    }
    Ok(summary)
}

/// Returns the pair with the activity's row, in place of the row's position.
fn with_row(mut row: Row, rows: &RowFiles, buffer: &mut Vec<u8>) -> Result<Row, Error> {
    if let Some((_, activity)) = &mut row.rows {
        let mut bytes = std::mem::take(buffer);
        rows.read(parse_position(activity)?, &mut bytes)?;
        *activity = bytes.into_boxed_slice();
    }
    Ok(row)
}

fn parse_position(stored: &[u8]) -> Result<RowPosition, Error> {
    let damaged = crate::store::Error::Damaged { what: "place of a row" };
    Ok(RowPosition::from_bytes(stored).ok_or(damaged)?)
}
