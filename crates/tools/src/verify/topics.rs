//! Reads both sides from topics.

use std::collections::{BTreeMap, BTreeSet};

use rdkafka::message::{BorrowedMessage, Message as _};

use super::former::{self, FormerInput, InputHistory};
use super::{Args, Error, Explanation, STAGE, bar, list_offsets};
use crate::clock;
use crate::config::{Config, Start};
use crate::kafka::reading::{self, Extent};
use crate::kafka::topics::Topics;
use crate::kafka::{self};
use crate::route::Arrival;
use crate::shutdown::Shutdown;
use crate::store::Backend;
use crate::time::{EventTime, WallTime};
use crate::verify::{self, Cause, Comparison, Reach, ReachSettings, Recomputation, Sources};

/// Maximum number and bytes of messages that are passed to the join at once.
const BATCH: (usize, usize) = (1_000, 4 << 20);

/// The extents of the topics, and what was read from them.
pub(super) struct TopicSides {
    output: Option<Extent>,
    input: Vec<InputTopic>,
    /// The size of the largest message that every topic accepts; `None` if no topic is read.
    pub(super) limit: Option<usize>,
    sources: Sources,
    explanations: Vec<Explanation>,
}

/// A topic whose records are joined.
struct InputTopic {
    extent: Extent,
    /// For a former input: the time when it was last an input, and the positions up to which it had been read.
    former: Option<FormerInput>,
}

impl TopicSides {
    /// Requests the extents of the topics. The output comes first, so that the input contains everything from which its
    /// rows follow. Returns `None` after a shutdown request.
    pub(super) fn new(args: &Args, config: &Config, shutdown: &Shutdown) -> Result<Option<Self>, Error> {
        let mut sides = Self {
            output: None,
            input: Vec::new(),
            limit: None,
            sources: Sources::default(),
            explanations: Vec::new(),
        };
        if !args.input.is_empty() && args.output_file.is_some() {
            return Ok(Some(sides));
        }
        let topics = Topics::new(config)?;
        if args.output_file.is_none() {
            let found = topics.extent(&config.output.topic)?;
            sides.output = Some(found.ok_or_else(|| no_topic(&config.output.topic, "output", "output.topic"))?);
            sides.limit = Some(topics.message_limit());
        }
        if args.input.is_empty() {
            for topic in &config.input.topics {
                let found = match config.input.start {
                    Start::At(time) => topics.extent_from(topic, time)?,
                    Start::Earliest | Start::Latest => topics.extent(topic)?,
                };
                let extent = found.ok_or_else(|| no_topic(topic, "input", "input.topics"))?;
                sides.input.push(InputTopic { extent, former: None });
            }
            if config.input.start == Start::Latest {
                sides.sources.set_start(verify::StartPosition::Latest);
                sides.explain(
                    Cause::BeforeStart,
                    "input.start = \"latest\": the positions at which the processor first started are not known, so the input topics were read from their beginnings; --from leaves out earlier rows"
                        .to_owned(),
                );
            }
            if !sides.add_former_inputs(args, config, &topics, shutdown)? {
                return Ok(None);
            }
        }
        Ok(Some(sides))
    }

    /// Finds former input topics: those that the user passed, and those that the repartition topic names. Returns
    /// whether it finished.
    fn add_former_inputs(
        &mut self,
        args: &Args,
        config: &Config,
        topics: &Topics<'_>,
        shutdown: &Shutdown,
    ) -> Result<bool, Error> {
        let Some(InputHistory {
            topics: named,
            unknown_before,
        }) = former::read_history(config, topics, shutdown)?
        else {
            return Ok(false);
        };
        // A user who passes former inputs is expected to pass all of them.
        if let Some((before, text)) = unknown_before
            && args.input_topic.is_empty()
        {
            self.sources.set_input_gone(before);
            self.explain(Cause::BeforeInput, text);
        }
        let mut formers: BTreeMap<String, Option<FormerInput>> =
            named.into_iter().map(|(topic, known)| (topic, Some(known))).collect();
        for topic in &args.input_topic {
            formers.entry(topic.clone()).or_insert(None);
        }
        formers.retain(|topic, _| !config.input.topics.contains(topic));
        for (topic, former) in formers {
            let extent = match topics.extent(&topic) {
                Err(kafka::Error::Hidden { .. }) if former.is_some() => None,
                extent => extent?,
            };
            match (extent, former) {
                (Some(extent), former) => self.input.push(InputTopic { extent, former }),
                (None, Some(former)) => {
                    self.sources.set_input_gone(former.until.to_event());
                    self.explain(
                        Cause::BeforeInput,
                        format!(
                            "{topic} was in input.topics until {} and no longer exists or is not accessible: rows that may follow from it are not judged",
                            former.until.to_event()
                        ),
                    );
                }
                (None, None) => return Err(no_topic(&topic, "input", "--input-topic").into()),
            }
        }
        Ok(true)
    }

    fn explain(&mut self, cause: Cause, text: String) {
        self.explanations.push(Explanation { cause, text });
    }

    /// Returns the names of the topics whose records are joined.
    pub(super) fn inputs(&self) -> Vec<String> {
        self.input.iter().map(|source| source.extent.topic.clone()).collect()
    }

    /// Returns the reasons why rows cannot be judged, and the time from which they can be judged.
    pub(super) fn into_explanations(mut self, reach: Reach) -> Vec<Explanation> {
        for (cause, from, what) in [
            (
                Cause::BeforeOutput,
                reach.output_from,
                "every row that may have been in removed records",
            ),
            (
                Cause::BeforeInput,
                reach.input_from,
                "most rows that may follow from removed records",
            ),
        ] {
            if (EventTime::FIRST..EventTime::LAST).contains(&from) {
                self.explain(cause, format!("--from {from} leaves out {what}"));
            }
        }
        self.explanations
    }

    /// Reads the output topic. Returns whether it finished.
    pub(super) fn read_output(
        &mut self,
        config: &Config,
        comparison: &mut Comparison,
        shutdown: &Shutdown,
    ) -> Result<bool, Error> {
        let Some(extent) = self.output.clone() else { return Ok(true) };
        let bar = bar(Some(extent.len()), "records of the output");
        let cut = extent.cut();
        let mut unseen: BTreeSet<i32> = cut.keys().copied().collect();
        let is_done = reading::read(config, STAGE, &extent, shutdown, &mut |message| -> Result<(), Error> {
            bar.inc(1);
            if unseen.remove(&message.partition()) {
                self.sources
                    .set_output_gone(sent(message).map_or(EventTime::MAX, WallTime::to_event));
            }
            Ok(comparison.add_output(message.payload().unwrap_or_default())?)
        })?;
        if !unseen.is_empty() {
            self.sources.set_output_gone(EventTime::MAX);
        }
        if !cut.is_empty() {
            let text = format!("{} no longer has its first records ({})", extent.topic, list_offsets(&cut));
            self.explain(Cause::BeforeOutput, text + ": rows that may have been there are not judged");
        }
        bar.finish_and_clear();
        Ok(is_done)
    }

    /// Reads the input topics. Returns whether it finished.
    pub(super) fn read_input<B: Backend>(
        &mut self,
        config: &Config,
        recomputation: &mut Recomputation<B>,
        comparison: &mut Comparison,
        shutdown: &Shutdown,
    ) -> Result<bool, Error> {
        let bar = bar(
            Some(self.input.iter().map(|source| source.extent.len()).sum()),
            "records of the input",
        );
        for source in std::mem::take(&mut self.input) {
            let mut joiner = TopicJoiner::new(&source, &mut self.sources, recomputation, comparison);
            let is_done = reading::read(config, STAGE, &source.extent, shutdown, &mut |message| -> Result<(), Error> {
                bar.inc(1);
                joiner.add(message)
            })?;
            joiner.join()?;
            if !is_done {
                return Ok(false);
            }
            let explanations = joiner.into_explanations(config);
            self.explanations.extend(explanations);
        }
        bar.finish_and_clear();
        self.sources.add_lead(recomputation.lead());
        Ok(true)
    }

    /// Returns the reach, that is which rows can be judged, according to what was read.
    pub(super) fn reach(&self, config: &Config) -> Reach {
        let settings = ReachSettings {
            out_of_orderness: config.watermark.out_of_orderness,
            idle_timeout: config.watermark.idle_timeout,
            retention: config.state.retention,
            max_future_skew: config.watermark.max_future_skew,
        };
        self.sources.reach(settings, clock::now())
    }
}

/// Joins the messages of one topic.
struct TopicJoiner<'r, B> {
    source: &'r InputTopic,
    sources: &'r mut Sources,
    recomputation: &'r mut Recomputation<B>,
    comparison: &'r mut Comparison,
    batch: MessageBatch,
    /// Partitions that do not begin at offset 0, and from which nothing has been read yet.
    unseen: BTreeSet<i32>,
    /// Partitions of a former input that contain more records than are known to have been read.
    longer: BTreeSet<i32>,
}

impl<'r, B: Backend> TopicJoiner<'r, B> {
    fn new(
        source: &'r InputTopic,
        sources: &'r mut Sources,
        recomputation: &'r mut Recomputation<B>,
        comparison: &'r mut Comparison,
    ) -> Self {
        Self {
            source,
            sources,
            recomputation,
            comparison,
            batch: MessageBatch::default(),
            unseen: source.extent.cut().into_keys().collect(),
            longer: BTreeSet::new(),
        }
    }

    fn add(&mut self, message: &BorrowedMessage<'_>) -> Result<(), Error> {
        let partition = message.partition();
        if let Some(former) = &self.source.former
            && former
                .positions
                .get(&partition)
                .is_none_or(|position| *position <= message.offset())
        {
            self.longer.insert(partition);
            return Ok(());
        }
        if self.batch.is_full() || self.batch.partition != partition {
            self.join()?;
        }
        self.batch.push(message);
        // The message is joined separately, so that its times are known: all removed messages were sent before it.
        match self.unseen.contains(&partition) {
            true => self.join(),
            false => Ok(()),
        }
    }

    fn join(&mut self) -> Result<(), Error> {
        let batch = std::mem::take(&mut self.batch);
        let messages = batch.messages.iter();
        let messages = messages.map(|(message, arrival)| (message.as_deref(), *arrival));
        let seen = self.recomputation.messages(messages, self.comparison)?;
        match self.source.former {
            Some(_) => self.sources.add_former(&seen),
            None => {
                let topic = &self.source.extent.topic;
                self.sources.add_read(topic, batch.partition, &seen, batch.newest);
            }
        }
        if !batch.messages.is_empty() && self.unseen.remove(&batch.partition) {
            let arrived = batch.newest.map_or(EventTime::MAX, WallTime::to_event);
            self.sources
                .set_input_gone(seen.latest.map_or(arrived, |latest| latest.max(arrived)));
        }
        Ok(())
    }

    /// Returns notes about what could not be read.
    fn into_explanations(self, config: &Config) -> Vec<Explanation> {
        let mut explanations = Vec::new();
        let mut explain = |text| {
            explanations.push(Explanation {
                cause: Cause::BeforeInput,
                text,
            });
        };
        let extent = &self.source.extent;
        if !self.unseen.is_empty() {
            self.sources.set_input_gone(EventTime::MAX);
        }
        let cut = extent.cut();
        if !cut.is_empty() {
            let what = match config.input.start {
                Start::At(_) => "was not read from its first records",
                Start::Earliest | Start::Latest => "no longer has its first records",
            };
            explain(format!(
                "{} {what} ({}): rows that may follow from earlier records are not judged",
                extent.topic,
                list_offsets(&cut)
            ));
        }
        if let Some(former) = &self.source.former {
            let is_shorter = former.positions.iter().any(|(partition, position)| {
                let end = extent.partitions.get(partition).map_or(0, |(_, high)| *high);
                end < *position
            });
            if is_shorter || !self.longer.is_empty() {
                self.sources.set_input_gone(former.until.to_event());
                explain(format!(
                    "{} was in input.topics until {}, but now ends at another position than it was read to: rows that may follow from the records in between are not judged",
                    extent.topic,
                    former.until.to_event()
                ));
            }
        }
        explanations
    }
}

fn no_topic(topic: &str, role: &'static str, key: &'static str) -> kafka::Error {
    kafka::Error::NoTopic {
        topic: topic.to_owned(),
        role,
        key,
    }
}

/// Returns when a message was sent, by its timestamp.
fn sent(message: &BorrowedMessage<'_>) -> Option<WallTime> {
    message.timestamp().to_millis().map(WallTime)
}

/// Messages of one partition.
#[derive(Default)]
struct MessageBatch {
    partition: i32,
    messages: Vec<(Option<Vec<u8>>, Arrival)>,
    bytes: usize,
    newest: Option<WallTime>,
}

impl MessageBatch {
    fn is_full(&self) -> bool {
        self.messages.len() >= BATCH.0 || self.bytes >= BATCH.1
    }

    fn push(&mut self, message: &BorrowedMessage<'_>) {
        let timestamp = sent(message);
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
