//! Sends dead-letter records in batches, and writes a note of each when it is acknowledged.

use std::collections::BTreeMap;
use std::sync::Arc;

use rdkafka::message::{Headers as _, Message as _};

use super::{Error, RedriveTotals, STAGE, inputs, originals, print_dead_letter};
use crate::config::Config;
use crate::kafka::delivery::{Outgoing, PendingAcks, SendOutcome, Sender};
use crate::kafka::reading::{self, Extent};
use crate::kafka::topics::Topics;
use crate::redrive::{DeadLetterHeaders, Note, Origin, RedriveState, Run};
use crate::shutdown::Shutdown;
use crate::sink::dead_letter::REDRIVEN;
use crate::term::eprint_line;

/// Maximum number and bytes of records that are sent before their notes are written.
const MAX_BATCH: (usize, usize) = (500, 8 << 20);

/// Sends the dead-letter records of one run.
pub(super) struct Redriver<'a> {
    config: &'a Config,
    topics: &'a Topics<'a>,
    shutdown: &'a Shutdown,
    is_dry: bool,
    /// The run of this command, which starts when the first batch is sent.
    open_run: Option<OpenRun>,
    batch: Vec<(DeadLetterHeaders, Vec<u8>)>,
    bytes: usize,
}

/// A run that has started: its sender and its name.
struct OpenRun {
    sender: Sender,
    name: String,
}

impl<'a> Redriver<'a> {
    pub(super) fn new(config: &'a Config, topics: &'a Topics<'a>, shutdown: &'a Shutdown, is_dry: bool) -> Self {
        Self {
            config,
            topics,
            shutdown,
            is_dry,
            open_run: None,
            batch: Vec::new(),
            bytes: 0,
        }
    }

    /// Searches the input topics for what unfinished runs have sent, and writes notes of it. Returns whether it
    /// finished, that is, whether no shutdown was requested.
    pub(super) fn recover_unfinished_runs(&mut self, state: &mut RedriveState) -> Result<bool, Error> {
        let open = state.open_runs();
        if open.is_empty() {
            return Ok(true);
        }
        eprint_line("An earlier run did not finish: searching the input topics for what it sent.");
        let mut found = Vec::new();
        for extent in inputs(self.config, self.topics)? {
            let extent = since(extent, &open);
            let is_read = reading::read(
                self.config,
                STAGE,
                &extent,
                self.shutdown,
                &mut |message| -> Result<(), Error> {
                    let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
                    let mut origins = headers.filter(|header| header.key == REDRIVEN);
                    let origin = origins.next().and_then(|header| std::str::from_utf8(header.value?).ok());
                    if let Some(origin) = origin.and_then(|origin| origin.parse::<Origin>().ok())
                        && !state.was_sent(&origin)
                    {
                        state.apply(Note::Sent(origin.clone()));
                        found.push(Note::Sent(origin));
                    }
                    Ok(())
                },
            )?;
            if !is_read {
                return Ok(false);
            }
        }
        if !self.is_dry {
            found.extend(open.into_iter().map(|run| Note::Ended(run.run)));
            let sender = Sender::new(self.config, STAGE, "5")?;
            self.note(&sender, &found[..found.len() - 1])?;
            // The end is noted after everything that the run sent.
            self.note(&sender, &found[found.len() - 1..])?;
        }
        Ok(true)
    }

    /// Adds a dead-letter record to the batch.
    pub(super) fn add(&mut self, dead_letter: DeadLetterHeaders, value: &[u8], totals: &mut RedriveTotals) -> Result<(), Error> {
        if self.is_dry {
            print_dead_letter(&dead_letter, value.len());
            *totals.sent.entry(dead_letter.reason).or_default() += 1;
            return Ok(());
        }
        let value = match dead_letter.truncated {
            None => value.to_vec(),
            Some(full_length) => match originals::fetch(self.config, &dead_letter.origin, value, full_length, self.shutdown)? {
                Some(value) => value,
                None => {
                    eprint_line(&format!("{}: the original is gone from the topic", dead_letter.origin));
                    totals.missing_originals += 1;
                    return Ok(());
                }
            },
        };
        self.bytes += value.len();
        self.batch.push((dead_letter, value));
        match self.batch.len() >= MAX_BATCH.0 || self.bytes >= MAX_BATCH.1 {
            true => self.send(totals),
            false => Ok(()),
        }
    }

    /// Sends the remaining records, and ends the run.
    pub(super) fn finish(mut self, totals: &mut RedriveTotals) -> Result<(), Error> {
        self.send(totals)?;
        match self.open_run.take() {
            None => Ok(()),
            Some(open_run) => self.note(&open_run.sender, &[Note::Ended(open_run.name.clone())]),
        }
    }

    fn send(&mut self, totals: &mut RedriveTotals) -> Result<(), Error> {
        let batch = std::mem::take(&mut self.batch);
        self.bytes = 0;
        if batch.is_empty() {
            return Ok(());
        }
        let open_run = match self.open_run.take() {
            Some(open_run) => open_run,
            None => self.begin()?,
        };
        let acks = Arc::new(PendingAcks::default());
        let mut sent = Vec::new();
        for (dead_letter, value) in batch {
            let message = Outgoing {
                topic: &dead_letter.origin.topic,
                partition: None,
                key: None,
                value: &value,
                headers: &[(REDRIVEN, dead_letter.origin.to_string())],
            };
            match self.send_message(&open_run.sender, &message, &acks)? {
                SendOutcome::TooLarge => {
                    eprint_line(&format!(
                        "{}: the record is larger than {} accepts",
                        dead_letter.origin, dead_letter.origin.topic
                    ));
                    totals.too_large += 1;
                }
                _ => sent.push(dead_letter),
            }
        }
        self.await_acks(
            &open_run.sender,
            &acks,
            sent.first().map_or("", |dead_letter| &dead_letter.origin.topic),
        )?;
        let notes: Vec<Note> = sent
            .iter()
            .map(|dead_letter| Note::Sent(dead_letter.origin.clone()))
            .collect();
        self.note(&open_run.sender, &notes)?;
        for dead_letter in sent {
            *totals.sent.entry(dead_letter.reason).or_default() += 1;
        }
        self.open_run = Some(open_run);
        Ok(())
    }

    /// Starts a run: before anything is sent, writes a note of the offsets from which the sent records will be found.
    fn begin(&self) -> Result<OpenRun, Error> {
        let ends = inputs(self.config, self.topics)?.into_iter();
        let ends = ends.map(|extent| {
            let ends = extent.partitions.into_iter().map(|(partition, (_, end))| (partition, end));
            (extent.topic, ends.collect::<BTreeMap<_, _>>())
        });
        let mut name = [0; 8];
        getrandom::fill(&mut name).map_err(|error| {
            crate::kafka::Error::Client(rdkafka::error::KafkaError::ClientCreation(format!(
                "no random numbers: {error}"
            )))
        })?;
        let run = Run {
            run: hex::encode(name),
            ends: ends.collect(),
        };
        let open_run = OpenRun {
            sender: Sender::new(self.config, STAGE, "5")?,
            name: run.run.clone(),
        };
        self.note(&open_run.sender, &[Note::Begun(run)])?;
        Ok(open_run)
    }

    /// Writes notes, and waits until they are acknowledged.
    fn note(&self, sender: &Sender, notes: &[Note]) -> Result<(), Error> {
        let topic = &self.config.output.dead_letter_topic;
        let acks = Arc::new(PendingAcks::default());
        for note in notes {
            let (headers, value) = note.to_record();
            let message = Outgoing {
                topic,
                partition: None,
                key: None,
                value: &value,
                headers: &headers,
            };
            self.send_message(sender, &message, &acks)?.is_done(topic)?;
        }
        self.await_acks(sender, &acks, topic)
    }

    /// Sends a message. If the queue is full, waits for room.
    fn send_message(&self, sender: &Sender, message: &Outgoing<'_>, acks: &Arc<PendingAcks>) -> Result<SendOutcome, Error> {
        loop {
            match sender.send(message, acks)? {
                SendOutcome::Full => self.wait(sender, message.topic)?,
                outcome => return Ok(outcome),
            }
        }
    }

    /// Waits for all acknowledgements, even after a shutdown request until the deadline, so that there is a note of
    /// everything that was sent.
    fn await_acks(&self, sender: &Sender, acks: &PendingAcks, topic: &str) -> Result<(), Error> {
        while !sender.is_delivered(acks)? {
            self.wait(sender, topic)?;
        }
        Ok(())
    }

    /// Waits a few milliseconds. Fails if further waiting does not help.
    fn wait(&self, sender: &Sender, topic: &str) -> Result<(), Error> {
        if let Some(cause) = sender.permanent_refusal() {
            return Err(Error::Refused {
                topic: topic.to_owned(),
                cause,
            });
        }
        if self.shutdown.is_overdue() {
            return Err(Error::Unacknowledged);
        }
        sender.pause();
        Ok(())
    }
}

/// Returns the part of a topic after the beginning of the earliest of these runs.
fn since(mut extent: Extent, runs: &[Run]) -> Extent {
    for (partition, (low, high)) in &mut extent.partitions {
        // A partition that is not in the note of a run was added after the run began.
        let ends = runs.iter().map(|run| {
            let ends = run.ends.get(&extent.topic);
            ends.and_then(|ends| ends.get(partition)).copied().unwrap_or(0)
        });
        *low = ends.min().unwrap_or(*high).clamp(*low, *high);
    }
    extent
}
