//! The thread that reads the files and prepares messages.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use indicatif::ProgressBar;

use crate::clock;
use crate::decode::Settings;
use crate::replay::inputs::{Inputs, Order, Preview};
use crate::replay::prepare::{Block, Options, Preparer};
use crate::replay::shift::Offset;
use crate::source::file::Error;

/// The maximum number of blocks that wait to be sent.
const MAX_QUEUED_BLOCKS: usize = 4;

/// The files to read, and the options for preparing their messages.
pub(super) struct Job {
    pub(super) inputs: Vec<PathBuf>,
    /// The settings that define where times are.
    pub(super) settings: Settings,
    pub(super) order: Order,
    pub(super) shift_to_now: bool,
    pub(super) batch: Option<u32>,
    /// Maximum bytes of a batch.
    pub(super) limit: usize,
    /// The number of times that the input is replayed; 0 means without end.
    pub(super) laps: u64,
    /// Shows the progress of reading.
    pub(super) bar: ProgressBar,
}

/// A message of the thread to the player.
pub(super) enum ReaderMessage {
    Block(Block),
    Failed(Error),
    /// The end of the input, with the files that end in the middle of a record.
    End(Vec<String>),
}

/// Starts the thread. It ends when the receiver is dropped.
pub(super) fn start(job: Job) -> std::io::Result<Receiver<ReaderMessage>> {
    let (send, receive) = sync_channel(MAX_QUEUED_BLOCKS);
    let read = move || {
        let last = match read(&job, &send) {
            Ok(unfinished) => ReaderMessage::End(unfinished),
            Err(error) => ReaderMessage::Failed(error),
        };
        drop(send.send(last));
    };
    std::thread::Builder::new().name("reader".into()).spawn(read)?;
    Ok(receive)
}

fn read(job: &Job, send: &SyncSender<ReaderMessage>) -> Result<Vec<String>, Error> {
    let preview = match job.shift_to_now {
        true => Preview::FirstTimes,
        false => Preview::None,
    };
    let bar = job.bar.clone();
    let watch = Box::new(move |raw| Box::new(bar.wrap_read(raw)) as Box<_>);
    let mut inputs = Inputs::open(&job.inputs, &job.settings, job.order, preview, watch)?;
    let first = inputs.first_time().filter(|_| job.shift_to_now);
    let mut preparer = Preparer::new(Options {
        batch: job.batch,
        limit: job.limit,
        shift: first.map(|first| Offset::between(first, clock::now().to_event())),
    });
    let mut lap = 0_u64;
    loop {
        let mut is_empty = true;
        while let Some(found) = inputs.next_message()? {
            is_empty = false;
            preparer.add(&found);
            if let Some(block) = preparer.full_block()
                && send.send(ReaderMessage::Block(block)).is_err()
            {
                return Ok(Vec::new());
            }
        }
        let rest = preparer.end_of_lap();
        if !rest.is_empty() && send.send(ReaderMessage::Block(rest)).is_err() {
            return Ok(Vec::new());
        }
        lap += 1;
        // An empty input that is replayed without end would never end.
        if lap == job.laps || is_empty {
            return Ok(inputs.unfinished().map(str::to_owned).collect());
        }
        inputs.rewind();
    }
}
