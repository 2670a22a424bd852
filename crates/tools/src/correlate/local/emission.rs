use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use super::ordered::{AHEAD, Next, Ordered, Reuse, ordered};
use super::rows::{Rows, Spot};
use super::{Error, Output, Stream};
use crate::emit::{Emitted, Emitter, Kind};
use crate::join::{self, Outbox, Row, Summary};

/// The bytes of rows at which a piece of work is complete.
const PIECE: usize = 1 << 20;

/// Encodes the outputs of the join in several threads, and writes the records in order.
pub(super) struct Emission {
    emitter: Emitter,
    seq: i64,
    pieces: SyncSender<Piece>,
    written: Ordered<Result<Lines, Error>>,
    under_way: usize,
    most_under_way: usize,
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
    pub(super) fn new(emitter: Emitter, rows: &Arc<Rows>, threads: usize) -> Self {
        let most_under_way = AHEAD * threads;
        let (pieces, given) = sync_channel::<Piece>(most_under_way);
        let written = ordered(
            "emit",
            threads,
            move || given.recv().ok(),
            || {
                let (emitter, rows) = (emitter.clone(), rows.clone());
                let mut room = Room::default();
                move |piece| write(piece, &emitter, &rows, &mut room)
            },
        );
        Self {
            emitter,
            seq: 0,
            pieces,
            written,
            under_way: 0,
            most_under_way,
            reuse: Reuse::default(),
        }
    }

    /// Removes the outputs from `outbox`, and writes records to `output` that are ready in the meantime.
    pub(super) fn take(&mut self, outbox: &mut Outbox, output: &mut dyn Output) -> Result<(), Error> {
        let mut outputs = Vec::new();
        let mut bytes = 0;
        for (_, said) in outbox.drain() {
            if !self.emitter.tells(&said) {
                continue;
            }
            bytes += size(&said);
            outputs.push((self.seq, said));
            self.seq += 1;
            if bytes >= PIECE {
                self.give(std::mem::take(&mut outputs), output)?;
                bytes = 0;
            }
        }
        match outputs.is_empty() {
            true => Ok(()),
            false => self.give(outputs, output),
        }
    }

    fn give(&mut self, outputs: Vec<(i64, join::Output)>, output: &mut dyn Output) -> Result<(), Error> {
        if self.under_way == self.most_under_way {
            self.write_next(output)?;
        }
        let lines = self.reuse.get();
        self.pieces.send(Piece { outputs, lines }).map_err(|_| Error::Thread)?;
        self.under_way += 1;
        Ok(())
    }

    fn write_next(&mut self, output: &mut dyn Output) -> Result<(), Error> {
        /// Long, because the end of a thread is noticed at once, and a thread that works is waited for.
        const PATIENCE: Duration = Duration::from_secs(3600);
        match self.written.next_within(PATIENCE) {
            Next::Result(lines) => {
                let mut lines = lines?;
                output.write(Stream::Rows, &lines.rows)?;
                output.write(Stream::Summaries, &lines.summaries)?;
                lines.rows.clear();
                lines.summaries.clear();
                self.reuse.put(lines);
                self.under_way -= 1;
                Ok(())
            }
            Next::Pending => Ok(()),
            Next::End | Next::Broken => Err(Error::Thread),
        }
    }

    /// Writes all remaining records.
    pub(super) fn finish(&mut self, output: &mut dyn Output) -> Result<(), Error> {
        while self.under_way > 0 {
            self.write_next(output)?;
        }
        Ok(())
    }
}

fn size(output: &join::Output) -> usize {
    match output {
        join::Output::Row(row) => row.rows.as_ref().map_or(0, |(alert, spot)| {
            alert.len() + Spot::from_bytes(spot).map_or(0, Spot::length)
        }),
        join::Output::Summary(summary) => {
            let lengths = summary.related.iter().filter_map(|related| Spot::from_bytes(&related.row));
            let related: usize = lengths.map(Spot::length).sum();
            related + summary.row.as_ref().map_or(0, |alert| alert.len())
        }
    }
}

#[derive(Default)]
struct Room {
    row: Vec<u8>,
    value: Vec<u8>,
}

fn write(piece: Piece, emitter: &Emitter, rows: &Rows, room: &mut Room) -> Result<Lines, Error> {
    let mut lines = piece.lines;
    for (seq, output) in piece.outputs {
        let output = match output {
            join::Output::Row(row) => join::Output::Row(with_row(row, rows, &mut room.row)?),
            join::Output::Summary(summary) => join::Output::Summary(with_related(summary, rows)?),
        };
        // A file has no limit, so no record is too large.
        if let Emitted::Record(headers) | Emitted::TooLarge(headers) = emitter.emit(&output, seq, &mut room.value) {
            let lines = match headers.kind {
                Kind::Activity => &mut lines.rows,
                Kind::Alert => &mut lines.summaries,
            };
            lines.extend_from_slice(&room.value);
            lines.push(b'\n');
        }
        if let join::Output::Row(Row {
            rows: Some((_, row)), ..
        }) = output
        {
            room.row = row.into();
        }
    }
    Ok(lines)
}

/// Returns the summary with the rows of the activities that it lists, in place of the rows' positions.
fn with_related(mut summary: Summary, rows: &Rows) -> Result<Summary, Error> {
    for related in &mut summary.related {
        let mut bytes = Vec::new();
        rows.read(spot(&related.row)?, &mut bytes)?;
        related.row = bytes.into_boxed_slice();
    }
    Ok(summary)
}

/// Returns the pair with the activity's row, in place of the row's position.
fn with_row(mut row: Row, rows: &Rows, room: &mut Vec<u8>) -> Result<Row, Error> {
    if let Some((_, activity)) = &mut row.rows {
        let mut bytes = std::mem::take(room);
        rows.read(spot(activity)?, &mut bytes)?;
        *activity = bytes.into_boxed_slice();
    }
    Ok(row)
}

fn spot(stored: &[u8]) -> Result<Spot, Error> {
    let damaged = crate::store::Error::Damaged { what: "place of a row" };
    Ok(Spot::from_bytes(stored).ok_or(damaged)?)
}
