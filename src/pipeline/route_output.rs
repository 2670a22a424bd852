//! What ROUTE has to say, on its way to the repartition log and the dead letters.

use std::sync::Arc;

use super::Error;
use crate::config::Config;
use crate::decode::Reject;
use crate::kafka::clients;
use crate::kafka::delivery::{Flight, Outgoing, Sender};
use crate::log::{Bundle, LogRecord, Marks};
use crate::metrics::Metrics;
use crate::record::Activity;
use crate::route::Routed;
use crate::shutdown::Shutdown;
use crate::sink::dead_letter::DeadLetter;

/// Bytes of activities that go into one record of the log. More saves nothing: what a message costs is small against that.
const BUNDLE: usize = 64 << 10;
/// What a record of the log has beside its activities, and what Kafka's record format adds.
const BESIDE: usize = 512;

/// Where records go.
pub(super) struct Out {
    sender: Sender,
    log: String,
    dead_letters: String,
    /// What is gathered for each partition of the log.
    bundles: Vec<Gathered>,
    message_max_bytes: usize,
    scratch: Vec<u8>,
    shutdown: Shutdown,
    metrics: Arc<Metrics>,
}

/// Activities that wait to be sent together.
#[derive(Default)]
struct Gathered {
    bundle: Bundle,
    /// The flight they belong to, which is held until they are sent.
    flight: Option<Arc<Flight>>,
}

impl Out {
    pub(super) fn new(config: &Config, shutdown: Shutdown, metrics: Arc<Metrics>) -> Result<Self, Error> {
        Ok(Self {
            sender: Sender::new(config, "route", "2")?,
            log: config.repartition.topic.clone(),
            dead_letters: config.output.dead_letter_topic.clone(),
            bundles: (0..config.repartition.partitions).map(|_| Gathered::default()).collect(),
            message_max_bytes: clients::message_max_bytes(config),
            scratch: Vec::new(),
            shutdown,
            metrics,
        })
    }

    /// The repartition topic.
    pub(super) fn log(&self) -> &str {
        &self.log
    }

    /// Its partitions.
    pub(super) fn partitions(&self) -> u32 {
        u32::try_from(self.bundles.len()).unwrap_or(u32::MAX)
    }

    /// Sends again what was refused, when its time has come. Fails when anything cannot be delivered any more.
    pub(super) fn check(&self) -> Result<(), Error> {
        Ok(self.sender.check()?)
    }

    /// Waits for acknowledgements, a few milliseconds at most.
    pub(super) fn pause(&self) {
        self.sender.pause();
    }

    /// Takes what follows from a record as part of `flight`; `letter` makes the dead letter of one that cannot be used. Activities are sent with the next [`Out::send_bundles`] at the latest.
    pub(super) fn routed<'a>(
        &mut self,
        routed: Routed<'a>,
        letter: &dyn Fn(usize, Reject<'a>) -> DeadLetter<'a>,
        flight: &Arc<Flight>,
    ) -> Result<(), Error> {
        match routed {
            Routed::Record {
                partition,
                record: LogRecord::Activity(activity),
            } => self.activity(partition, &activity, flight),
            Routed::Record { partition, record } => {
                let key = match &record {
                    LogRecord::Alert(version) => Some(version.id.system_alert_id.as_bytes()),
                    _ => None,
                };
                self.send(partition, key, &record.encode(Vec::new())?, flight)
            }
            Routed::Rejected { index, reject } => self.dead_letter(&letter(index, reject), flight),
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

    /// Sends marks to every partition, behind everything that came before.
    pub(super) fn marks(&mut self, marks: &Marks, flight: &Arc<Flight>) -> Result<(), Error> {
        let value = LogRecord::Marks(marks.clone()).encode(Vec::new())?;
        (0..self.partitions()).try_for_each(|partition| self.send(partition, None, &value, flight))
    }

    /// Sends the activities that have been gathered.
    pub(super) fn send_bundles(&mut self) -> Result<(), Error> {
        (0..self.partitions()).try_for_each(|partition| self.send_bundle(partition))
    }

    fn activity(&mut self, partition: u32, activity: &Activity<'_>, flight: &Arc<Flight>) -> Result<(), Error> {
        let most = BUNDLE.min(self.message_max_bytes.saturating_sub(BESIDE));
        let size = activity.row.len() + activity.keys_size() + BESIDE;
        let Some(gathered) = self.bundles.get(partition as usize) else {
            return Ok(());
        };
        let is_another = gathered.flight.as_ref().is_some_and(|held| !Arc::ptr_eq(held, flight));
        if is_another || gathered.bundle.len() + size > most {
            self.send_bundle(partition)?;
        }
        let Some(gathered) = self.bundles.get_mut(partition as usize) else {
            return Ok(());
        };
        gathered.bundle.push(activity)?;
        if gathered.flight.is_none() {
            flight.hold();
            gathered.flight = Some(Arc::clone(flight));
        }
        Ok(())
    }

    fn send_bundle(&mut self, partition: u32) -> Result<(), Error> {
        let Some(gathered) = self.bundles.get_mut(partition as usize) else {
            return Ok(());
        };
        let Some(flight) = gathered.flight.take() else { return Ok(()) };
        let mut value = std::mem::take(&mut self.scratch);
        gathered.bundle.take(&mut value)?;
        let sent = self.hand_over(partition, None, &value, &flight);
        flight.handed_over();
        self.scratch = value;
        sent
    }

    /// Sends a record of the log, behind the activities before it.
    fn send(&mut self, partition: u32, key: Option<&[u8]>, value: &[u8], flight: &Arc<Flight>) -> Result<(), Error> {
        self.send_bundle(partition)?;
        self.hand_over(partition, key, value, flight)
    }

    fn hand_over(&self, partition: u32, key: Option<&[u8]>, value: &[u8], flight: &Arc<Flight>) -> Result<(), Error> {
        let message = Outgoing {
            topic: &self.log,
            partition: Some(i32::try_from(partition).unwrap_or(i32::MAX)),
            key,
            value,
            headers: &[],
        };
        let shutdown = &self.shutdown;
        let sending = self.sender.send_when_room(&message, flight, &mut || !shutdown.is_overdue())?;
        // What was not sent for want of time never counts as delivered: it is routed again after the restart.
        sending.is_done(&self.log)?;
        Ok(())
    }

    fn dead_letter(&self, letter: &DeadLetter<'_>, flight: &Arc<Flight>) -> Result<(), Error> {
        self.metrics.dead_letter(letter.reason);
        super::send_dead_letter(
            &self.sender,
            &self.dead_letters,
            letter,
            self.message_max_bytes,
            flight,
            &mut || !self.shutdown.is_overdue(),
        )?;
        Ok(())
    }
}
