//! Sends ROUTE's records to the repartition topic and the dead-letter topic.

use std::sync::Arc;

use super::Error;
use crate::config::Config;
use crate::decode::Reject;
use crate::heartbeat::Heartbeat;
use crate::kafka::clients;
use crate::kafka::delivery::{Outgoing, PendingAcks, Sender};
use crate::metrics::Metrics;
use crate::record::Activity;
use crate::repartition::{Bundle, RepartitionRecord, WatermarkUpdate};
use crate::route::{Acks, Routed};
use crate::shutdown::Shutdown;
use crate::sink::dead_letter::DeadLetter;

/// Maximum bytes of activities in one repartition record. A greater limit saves nothing, because the overhead of a
/// message is small compared to this size.
const MAX_BUNDLE: usize = 64 << 10;
/// Maximum bytes of a repartition record without its activities, including the overhead of Kafka's record format.
const OVERHEAD: usize = 512;

impl Acks for PendingAcks {
    fn is_empty(&self) -> bool {
        self.pending() == 0
    }
}

/// The destinations of records.
pub(super) struct Out {
    sender: Sender,
    log: String,
    dead_letters: String,
    /// The activities that wait to be sent, by partition of the repartition topic.
    bundles: Vec<PendingBundle>,
    message_max_bytes: usize,
    scratch: Vec<u8>,
    shutdown: Shutdown,
    heartbeat: Heartbeat,
    metrics: Arc<Metrics>,
}

/// Activities that wait to be sent together.
#[derive(Default)]
struct PendingBundle {
    bundle: Bundle,
    /// The pending acknowledgements that they are counted in, held until they are sent.
    acks: Option<Arc<PendingAcks>>,
}

impl Out {
    pub(super) fn new(config: &Config, shutdown: Shutdown, heartbeat: Heartbeat, metrics: Arc<Metrics>) -> Result<Self, Error> {
        Ok(Self {
            sender: Sender::to_partitions(config, "route", "2", Some(config.repartition.partitions))?,
            log: config.repartition.topic.clone(),
            dead_letters: config.output.dead_letter_topic.clone(),
            bundles: (0..config.repartition.partitions).map(|_| PendingBundle::default()).collect(),
            message_max_bytes: clients::message_max_bytes(config),
            scratch: Vec::new(),
            shutdown,
            heartbeat,
            metrics,
        })
    }

    /// Returns the name of the repartition topic.
    pub(super) fn log(&self) -> &str {
        &self.log
    }

    /// Returns its number of partitions.
    pub(super) fn partitions(&self) -> u32 {
        u32::try_from(self.bundles.len()).unwrap_or(u32::MAX)
    }

    /// Sends refused messages again when they are due. Fails when the sender can no longer deliver.
    pub(super) fn check(&self) -> Result<(), Error> {
        Ok(self.sender.check()?)
    }

    /// Waits for acknowledgements, a few milliseconds at most.
    pub(super) fn pause(&self) {
        self.sender.pause();
    }

    /// Handles one result of routing a message, as part of `acks`. `letter` creates the dead letter of a rejected
    /// record. Activities are sent with the next [`Out::send_bundles`] at the latest.
    pub(super) fn routed<'a>(
        &mut self,
        routed: Routed<'a>,
        letter: &dyn Fn(usize, Reject<'a>) -> DeadLetter<'a>,
        acks: &Arc<PendingAcks>,
    ) -> Result<(), Error> {
        match routed {
            Routed::Record {
                partition,
                record: RepartitionRecord::Activity(activity),
            } => self.activity(partition, &activity, acks),
            Routed::Record { partition, record } => {
                let key = match &record {
                    RepartitionRecord::Alert(version) => Some(version.id.system_alert_id.as_bytes()),
                    _ => None,
                };
                self.send(partition, key, &record.encode(Vec::new())?, acks)
            }
            Routed::Rejected { index, reject } => self.dead_letter(letter(index, reject), acks),
            Routed::OtherTable(table) => {
                self.metrics.other_table(&table);
                Ok(())
            }
            Routed::SecondTenant => {
                self.metrics.second_tenant();
                Ok(())
            }
        }
    }

    /// Sends a watermark update to every partition, after everything that came before.
    pub(super) fn watermark_update(&mut self, update: &WatermarkUpdate, acks: &Arc<PendingAcks>) -> Result<(), Error> {
        let value = RepartitionRecord::WatermarkUpdate(update.clone()).encode(Vec::new())?;
        (0..self.partitions()).try_for_each(|partition| self.send(partition, None, &value, acks))
    }

    /// Sends the activities that were gathered.
    pub(super) fn send_bundles(&mut self) -> Result<(), Error> {
        (0..self.partitions()).try_for_each(|partition| self.send_bundle(partition))
    }

    fn activity(&mut self, partition: u32, activity: &Activity<'_>, acks: &Arc<PendingAcks>) -> Result<(), Error> {
        let most = MAX_BUNDLE.min(self.message_max_bytes.saturating_sub(OVERHEAD));
        let size = activity.row.len() + activity.keys_size() + OVERHEAD;
        let Some(gathered) = self.bundles.get(partition as usize) else {
            return Ok(());
        };
        let is_another = gathered.acks.as_ref().is_some_and(|held| !Arc::ptr_eq(held, acks));
        if is_another || gathered.bundle.len() + size > most {
            self.send_bundle(partition)?;
        }
        let Some(gathered) = self.bundles.get_mut(partition as usize) else {
            return Ok(());
        };
        gathered.bundle.push(activity)?;
        if gathered.acks.is_none() {
            acks.hold();
            gathered.acks = Some(Arc::clone(acks));
        }
        Ok(())
    }

    fn send_bundle(&mut self, partition: u32) -> Result<(), Error> {
        let Some(gathered) = self.bundles.get_mut(partition as usize) else {
            return Ok(());
        };
        let Some(acks) = gathered.acks.take() else { return Ok(()) };
        let mut value = std::mem::take(&mut self.scratch);
        gathered.bundle.take(&mut value)?;
        let sent = self.send_message(partition, None, &value, &acks);
        acks.release();
        self.scratch = value;
        sent
    }

    /// Sends a repartition record after the activities that came before it.
    fn send(&mut self, partition: u32, key: Option<&[u8]>, value: &[u8], acks: &Arc<PendingAcks>) -> Result<(), Error> {
        self.send_bundle(partition)?;
        self.send_message(partition, key, value, acks)
    }

    fn send_message(&self, partition: u32, key: Option<&[u8]>, value: &[u8], acks: &Arc<PendingAcks>) -> Result<(), Error> {
        let message = Outgoing {
            topic: &self.log,
            partition: Some(i32::try_from(partition).unwrap_or(i32::MAX)),
            key,
            value,
            headers: &[],
        };
        self.send_when_room(&message, acks)
    }

    fn dead_letter(&self, letter: DeadLetter<'_>, acks: &Arc<PendingAcks>) -> Result<(), Error> {
        let letter = letter.cut_to(self.message_max_bytes);
        self.metrics.dead_letter(letter.reason);
        let message = Outgoing {
            topic: &self.dead_letters,
            partition: None,
            key: None,
            value: &letter.value,
            headers: &letter.headers(),
        };
        self.send_when_room(&message, acks)
    }

    /// Sends a message. If the queue is full, waits for room until the shutdown deadline.
    fn send_when_room(&self, message: &Outgoing<'_>, acks: &Arc<PendingAcks>) -> Result<(), Error> {
        while !self.sender.send(message, acks)?.is_done(message.topic)? {
            if self.shutdown.is_overdue() {
                // The message never counts as delivered, so it is routed again after the restart.
                acks.hold();
                return Ok(());
            }
            self.heartbeat.record();
            self.sender.pause();
        }
        Ok(())
    }
}
