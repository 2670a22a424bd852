//! Sends in transactions: outputs and their position become visible together, or not at all.
//!
//! One transactional id belongs to one partition of the repartition topic. Opening a [`Transactions`] sender for it
//! aborts the open transaction of the previous partition task and fences that task. The group's generation, which is
//! sent with every committed position, also fences a task that does not know yet that it has lost the partition
//! (KIP-447).

use std::cell::Cell;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::producer::Producer as _;

use super::Error;
use super::delivery::Sender;
use crate::clock;
use crate::config::Config;

/// How long a step of a transaction may take. A transaction may stay open for half of that time, so a step that has not
/// finished by then will never finish.
const STEP_TIMEOUT: Duration = Duration::from_secs(20);

/// A sender whose messages become visible only when their transaction is committed.
pub struct Transactions {
    sender: Sender,
    id: String,
    open: Cell<bool>,
}

impl Transactions {
    /// Takes over the transactional id of a partition of the repartition topic. `outputs` is the number of partitions
    /// to which outputs are sent, if it is known.
    pub fn open(config: &Config, partition: i32, outputs: Option<u32>) -> Result<Self, Error> {
        Self::open_as(config, &partition.to_string(), outputs)
    }

    /// Takes over JOIN's transactional id with this suffix.
    pub(super) fn open_as(config: &Config, suffix: &str, outputs: Option<u32>) -> Result<Self, Error> {
        let id = format!("{}-join-{suffix}", config.application.id);
        let sender = Sender::transactional(config, "join", &id, outputs)?;
        let transactions = Self {
            sender,
            id,
            open: Cell::new(false),
        };
        transactions.until_done("initialise", |sender, left| sender.producer.init_transactions(left))?;
        Ok(transactions)
    }

    /// Begins a transaction if none is open. Its messages go to the returned sender.
    pub fn begin(&self) -> Result<&Sender, Error> {
        if !self.open.get() {
            let result = self.sender.producer.begin_transaction();
            result.map_err(|cause| self.failed("begin", cause))?;
            self.open.set(true);
        }
        Ok(&self.sender)
    }

    /// Returns the sender of messages of the open transaction.
    pub fn sender(&self) -> &Sender {
        &self.sender
    }

    /// Adds positions to the transaction, as a member of `group`, and begins one if none is open.
    pub fn add_offsets(&self, positions: &TopicPartitionList, group: Option<&ConsumerGroupMetadata>) -> Result<(), Error> {
        let group = group.ok_or_else(|| self.failed("join the group for", KafkaError::Canceled))?;
        self.begin()?;
        self.until_done("commit the positions of", |sender, left| {
            sender.producer.send_offsets_to_transaction(positions, group, left)
        })
    }

    /// Commits everything sent and the positions that were added. All messages must have been acknowledged.
    pub fn commit(&self) -> Result<(), Error> {
        self.until_done("commit", |sender, left| sender.producer.commit_transaction(left))?;
        self.open.set(false);
        Ok(())
    }

    fn until_done(&self, what: &'static str, act: impl Fn(&Sender, Duration) -> KafkaResult<()>) -> Result<(), Error> {
        let began: Instant = clock::start();
        loop {
            let left = STEP_TIMEOUT.saturating_sub(began.elapsed());
            match act(&self.sender, left) {
                Ok(()) => return Ok(()),
                Err(KafkaError::Transaction(cause)) if cause.is_retriable() && !left.is_zero() => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(cause) => return Err(self.failed(what, cause)),
            }
        }
    }

    fn failed(&self, what: &'static str, cause: KafkaError) -> Error {
        Error::Transaction {
            what,
            id: self.id.clone(),
            cause,
        }
    }
}
