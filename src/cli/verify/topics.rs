//! Both sides from topics.

use rdkafka::message::{BorrowedMessage, Message as _};

use super::super::say;
use super::{Args, Error, bar};
use crate::clock;
use crate::config::{Config, Start};
use crate::kafka::reading::{self, Extent};
use crate::kafka::topics::Topics;
use crate::kafka::{self};
use crate::route::Arrival;
use crate::shutdown::Shutdown;
use crate::store::Base;
use crate::time::WallTime;
use crate::verify::{Comparison, Patience, Reach, Recomputation, Sources};

/// The consumer group that is named; it never has positions.
const STAGE: &str = "verify";
/// Messages, and bytes of them, that the join takes in at once.
const BATCH: (usize, usize) = (1_000, 4 << 20);

/// What the broker said when it was asked.
pub(super) struct Asked {
    output: Option<Extent>,
    input: Vec<Extent>,
    /// The greatest message that goes to the output; `None` when no topic is read.
    pub(super) limit: Option<usize>,
}

impl Asked {
    /// Asks for what of the two sides is in topics: for the output first, so that whatever led to its rows is in the input.
    pub(super) fn new(args: &Args, config: &Config) -> Result<Self, Error> {
        let mut asked = Self {
            output: None,
            input: Vec::new(),
            limit: None,
        };
        if !args.input.is_empty() && args.output_file.is_some() {
            return Ok(asked);
        }
        let topics = Topics::new(config)?;
        if args.output_file.is_none() {
            let found = topics.extent(&config.output.topic)?;
            asked.output = Some(found.ok_or_else(|| no_topic(&config.output.topic, "output", "output.topic"))?);
            asked.limit = Some(topics.message_limit());
        }
        if args.input.is_empty() {
            for topic in &config.input.topics {
                let found = match config.input.start {
                    Start::At(time) => topics.extent_from(topic, time)?,
                    Start::Earliest | Start::Latest => topics.extent(topic)?,
                };
                asked
                    .input
                    .push(found.ok_or_else(|| no_topic(topic, "input", "input.topics"))?);
            }
            asked.warn(config);
        }
        Ok(asked)
    }

    /// Says what makes the recomputation know more or less than the processor did.
    fn warn(&self, config: &Config) {
        if config.input.start == Start::Latest {
            say(
                "warning: input.start = \"latest\": what was in the input topics before the first start was not read then, but is now; its rows are reported as missing unless --from leaves them out",
            );
            return;
        }
        let lost =
            |extent: &&Extent| config.input.start == Start::Earliest && extent.partitions.values().any(|(low, _)| *low > 0);
        for extent in self.input.iter().filter(lost) {
            say(&format!(
                "warning: {} no longer holds its first records: rows that follow from them are reported as too many, unless --from leaves them out",
                extent.topic
            ));
        }
    }

    /// Reads the output topic; whether to its end.
    pub(super) fn output(&self, config: &Config, comparison: &mut Comparison, shutdown: &Shutdown) -> Result<bool, Error> {
        let Some(extent) = &self.output else { return Ok(true) };
        let bar = bar(Some(extent.len()), "records of the output");
        let is_done = reading::read(config, STAGE, extent, shutdown, &mut |message| -> Result<(), Error> {
            bar.inc(1);
            Ok(comparison.tell(message.payload().unwrap_or_default())?)
        })?;
        bar.finish_and_clear();
        Ok(is_done)
    }

    /// Reads the input topics; how far an answer can be there. `None` when asked to stop before their ends.
    pub(super) fn input<B: Base>(
        &self,
        config: &Config,
        recomputation: &mut Recomputation<B>,
        comparison: &mut Comparison,
        shutdown: &Shutdown,
    ) -> Result<Option<Reach>, Error> {
        let bar = bar(Some(self.input.iter().map(Extent::len).sum()), "records of the input");
        let mut sources = Sources::default();
        for extent in &self.input {
            let mut batch = Batch::default();
            let mut join = |batch: &mut Batch| -> Result<(), Error> {
                let messages = batch.messages.iter();
                let messages = messages.map(|(message, arrival)| (message.as_deref(), *arrival));
                let seen = recomputation.messages(messages, comparison)?;
                sources.read(&extent.topic, batch.partition, &seen, batch.newest);
                *batch = Batch::default();
                Ok(())
            };
            let is_done = reading::read(config, STAGE, extent, shutdown, &mut |message| -> Result<(), Error> {
                bar.inc(1);
                if batch.is_full() || batch.partition != message.partition() {
                    join(&mut batch)?;
                }
                batch.push(message);
                Ok(())
            })?;
            join(&mut batch)?;
            if !is_done {
                return Ok(None);
            }
        }
        bar.finish_and_clear();
        let patience = Patience {
            out_of_orderness: config.watermark.out_of_orderness,
            idle_timeout: config.watermark.idle_timeout,
            retention: config.state.retention,
        };
        Ok(Some(sources.reach(patience, clock::now())))
    }
}

fn no_topic(topic: &str, role: &'static str, key: &'static str) -> kafka::Error {
    kafka::Error::NoTopic {
        topic: topic.to_owned(),
        role,
        key,
    }
}

/// Messages of one partition.
#[derive(Default)]
struct Batch {
    partition: i32,
    messages: Vec<(Option<Vec<u8>>, Arrival)>,
    bytes: usize,
    newest: Option<WallTime>,
}

impl Batch {
    fn is_full(&self) -> bool {
        self.messages.len() >= BATCH.0 || self.bytes >= BATCH.1
    }

    fn push(&mut self, message: &BorrowedMessage<'_>) {
        let timestamp = message.timestamp().to_millis().map(WallTime);
        let arrival = Arrival {
            now: clock::now(),
            timestamp,
        };
        self.partition = message.partition();
        self.bytes += message.payload_len();
        self.newest = self.newest.max(timestamp);
        self.messages.push((message.payload().map(<[u8]>::to_vec), arrival));
    }
}
