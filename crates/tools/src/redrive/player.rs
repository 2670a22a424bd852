//! Sends dead-letter records in batches, and notes each when it is acknowledged.

use std::collections::BTreeMap;
use std::sync::Arc;

use rdkafka::message::{Headers as _, Message as _};

use super::{Error, STAGE, Totals, inputs, originals, print};
use crate::config::Config;
use crate::kafka::delivery::{Outgoing, PendingAcks, SendOutcome, Sender};
use crate::kafka::reading::{self, Extent};
use crate::kafka::topics::Topics;
use crate::redrive::{Ledger, Letter, Note, Origin, Run};
use crate::shutdown::Shutdown;
use crate::sink::dead_letter::REDRIVEN;
use crate::term::say;

/// Maximum number and bytes of records that are sent before they are noted.
const BATCH: (usize, usize) = (500, 8 << 20);

/// Sends the dead-letter records of one run.
pub(super) struct Player<'a> {
    config: &'a Config,
    topics: &'a Topics<'a>,
    shutdown: &'a Shutdown,
    is_dry: bool,
    /// The sender, which is created when there is something to send.
    out: Option<Out>,
    batch: Vec<(Letter, Vec<u8>)>,
    bytes: usize,
}

/// The sender, and the name of this run.
struct Out {
    sender: Sender,
    run: String,
}

impl<'a> Player<'a> {
    pub(super) fn new(config: &'a Config, topics: &'a Topics<'a>, shutdown: &'a Shutdown, is_dry: bool) -> Self {
        Self {
            config,
            topics,
            shutdown,
            is_dry,
            out: None,
            batch: Vec::new(),
            bytes: 0,
        }
    }

    /// Finds out what unfinished runs have sent, and notes it. Returns whether it finished.
    pub(super) fn settle(&mut self, ledger: &mut Ledger) -> Result<bool, Error> {
        let open = ledger.open_runs();
        if open.is_empty() {
            return Ok(true);
        }
        say("An earlier run did not finish: searching the input topics for what it sent.");
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
                        && !ledger.was_sent(&origin)
                    {
                        ledger.note(Note::Sent(origin.clone()));
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
    pub(super) fn take(&mut self, letter: Letter, value: &[u8], totals: &mut Totals) -> Result<(), Error> {
        if self.is_dry {
            print(&letter, value.len());
            *totals.sent.entry(letter.reason).or_default() += 1;
            return Ok(());
        }
        let value = match letter.truncated {
            None => value.to_vec(),
            Some(whole) => match originals::fetch(self.config, &letter.origin, value, whole, self.shutdown)? {
                Some(value) => value,
                None => {
                    say(&format!("{}: the original is gone from the topic", letter.origin));
                    totals.gone += 1;
                    return Ok(());
                }
            },
        };
        self.bytes += value.len();
        self.batch.push((letter, value));
        match self.batch.len() >= BATCH.0 || self.bytes >= BATCH.1 {
            true => self.send(totals),
            false => Ok(()),
        }
    }

    /// Sends the remaining records, and ends the run.
    pub(super) fn finish(mut self, totals: &mut Totals) -> Result<(), Error> {
        self.send(totals)?;
        match self.out.take() {
            None => Ok(()),
            Some(out) => self.note(&out.sender, &[Note::Ended(out.run.clone())]),
        }
    }

    fn send(&mut self, totals: &mut Totals) -> Result<(), Error> {
        let batch = std::mem::take(&mut self.batch);
        self.bytes = 0;
        if batch.is_empty() {
            return Ok(());
        }
        let out = match self.out.take() {
            Some(out) => out,
            None => self.begin()?,
        };
        let acks = Arc::new(PendingAcks::default());
        let mut sent = Vec::new();
        for (letter, value) in batch {
            let message = Outgoing {
                topic: &letter.origin.topic,
                partition: None,
                key: None,
                value: &value,
                headers: &[(REDRIVEN, letter.origin.to_string())],
            };
            match self.send_message(&out.sender, &message, &acks)? {
                SendOutcome::TooLarge => {
                    say(&format!(
                        "{}: the record is larger than {} accepts",
                        letter.origin, letter.origin.topic
                    ));
                    totals.too_large += 1;
                }
                _ => sent.push(letter),
            }
        }
        self.await_acks(&out.sender, &acks, sent.first().map_or("", |letter| &letter.origin.topic))?;
        let notes: Vec<Note> = sent.iter().map(|letter| Note::Sent(letter.origin.clone())).collect();
        self.note(&out.sender, &notes)?;
        for letter in sent {
            *totals.sent.entry(letter.reason).or_default() += 1;
        }
        self.out = Some(out);
        Ok(())
    }

    /// Notes the offsets from which on the sent records will be found, before any is sent.
    fn begin(&self) -> Result<Out, Error> {
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
        let out = Out {
            sender: Sender::new(self.config, STAGE, "5")?,
            run: run.run.clone(),
        };
        self.note(&out.sender, &[Note::Begun(run)])?;
        Ok(out)
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

    /// Waits for all acknowledgements, even after a shutdown request until the deadline, so that everything sent can be
    /// noted.
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
        // A partition that a run did not know was added after its beginning.
        let ends = runs.iter().map(|run| {
            let ends = run.ends.get(&extent.topic);
            ends.and_then(|ends| ends.get(partition)).copied().unwrap_or(0)
        });
        *low = ends.min().unwrap_or(*high).clamp(*low, *high);
    }
    extent
}
