//! Finds former input topics. A processor writes the names of all its inputs into every partition of the repartition
//! topic once a second, with the positions up to which it has read them.

use std::collections::BTreeMap;

use rdkafka::message::Message as _;

use super::{Error, STAGE, bar, list_offsets};
use crate::config::Config;
use crate::kafka;
use crate::kafka::reading::{self, Extent};
use crate::kafka::topics::Topics;
use crate::repartition::{RepartitionRecord, WatermarkUpdate};
use crate::shutdown::Shutdown;
use crate::time::{EventTime, WallTime};

/// A former input topic.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct FormerInput {
    /// The time when it was last named.
    pub(super) until: WallTime,
    /// The positions up to which its partitions had been read.
    pub(super) positions: BTreeMap<i32, i64>,
}

/// The inputs that the repartition topic names.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct InputHistory {
    /// Every topic that is named as an input.
    pub(super) topics: BTreeMap<String, FormerInput>,
    /// The time before which the inputs are not known, and the reason.
    pub(super) unknown_before: Option<(EventTime, String)>,
}

impl InputHistory {
    fn add(&mut self, update: &WatermarkUpdate) {
        for (topic, _) in &update.topics {
            let former = self.topics.entry(topic.clone()).or_insert_with(|| FormerInput {
                until: update.wall,
                positions: BTreeMap::new(),
            });
            former.until = former.until.max(update.wall);
        }
        for source in &update.sources {
            if let Some(former) = self.topics.get_mut(&source.topic)
                && let Ok(partition) = i32::try_from(source.partition)
            {
                // The last position counts: a topic that was created again is read from its beginning.
                former.positions.insert(partition, source.position);
            }
        }
    }

    fn set_unknown_before(&mut self, before: EventTime, why: &str) {
        let text = format!("{why}: if input.topics named other topics before, pass them with --input-topic");
        self.unknown_before = Some((before, text));
    }
}

/// Reads one partition of the repartition topic, because all of them name the same inputs. Returns `None` after a
/// shutdown request. Errors do not end the command.
pub(super) fn read_history(config: &Config, topics: &Topics<'_>, shutdown: &Shutdown) -> Result<Option<InputHistory>, Error> {
    let topic = &config.repartition.topic;
    let mut history = InputHistory::default();
    let extent = match topics.extent(topic) {
        Ok(Some(extent)) => extent,
        Ok(None) => {
            history.set_unknown_before(EventTime::MAX, &format!("the repartition topic {topic} does not exist"));
            return Ok(Some(history));
        }
        Err(error) => {
            history.set_unknown_before(
                EventTime::MAX,
                &format!("the repartition topic {topic} cannot be read ({error})"),
            );
            return Ok(Some(history));
        }
    };
    let Some(extent) = shortest(extent) else {
        return Ok(Some(history));
    };
    let bar = bar(Some(extent.len()), "records of the repartition topic");
    let cut = extent.cut();
    let mut first = None;
    let read = reading::read::<kafka::Error>(config, STAGE, &extent, shutdown, &mut |message| {
        bar.inc(1);
        first.get_or_insert(message.timestamp().to_millis().map(WallTime));
        if let Ok(RepartitionRecord::WatermarkUpdate(update)) = RepartitionRecord::decode(message.payload().unwrap_or_default()) {
            history.add(&update);
        }
        Ok(())
    });
    bar.finish_and_clear();
    match read {
        Ok(true) => {}
        Ok(false) => return Ok(None),
        Err(error) => history.set_unknown_before(
            EventTime::MAX,
            &format!("the repartition topic {topic} cannot be read ({error})"),
        ),
    }
    if !cut.is_empty() && history.unknown_before.is_none() {
        let before = first.flatten().map_or(EventTime::MAX, WallTime::to_event);
        let why = format!(
            "the repartition topic {topic} no longer has its first records ({})",
            list_offsets(&cut)
        );
        history.set_unknown_before(before, &why);
    }
    Ok(Some(history))
}

/// Keeps the partition with the most information for the least reading: preferably one that still has its first
/// records, then the shortest.
fn shortest(mut extent: Extent) -> Option<Extent> {
    let order = |(_, (low, high)): &(&i32, &(i64, i64))| (*low > 0, high - low);
    let (partition, range) = extent.partitions.iter().min_by_key(order)?;
    extent.partitions = BTreeMap::from([(*partition, *range)]);
    Some(extent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repartition::SourceWatermark;

    fn watermark_update(wall: i64, topics: &[&str], sources: &[(&str, u32, i64)]) -> WatermarkUpdate {
        let source_watermark = |&(topic, partition, position): &(&str, u32, i64)| SourceWatermark {
            topic: topic.into(),
            partition,
            position,
            time: None,
            idle: false,
            rejected: 0,
        };
        WatermarkUpdate {
            wall: WallTime(wall),
            clock: EventTime::from_ticks(0),
            topics: topics.iter().map(|topic| ((*topic).to_owned(), 2)).collect(),
            sources: sources.iter().map(source_watermark).collect(),
            settings: [0; 32],
        }
    }

    #[test]
    fn the_last_update_of_each_topic_counts() {
        let mut history = InputHistory::default();
        // Each of the two routers has a partition of its own.
        history.add(&watermark_update(1_000, &["a", "old"], &[("old", 0, 5)]));
        history.add(&watermark_update(1_100, &["a", "old"], &[("old", 1, 7), ("a", 0, 1)]));
        history.add(&watermark_update(2_000, &["a", "old"], &[("old", 0, 9)]));
        history.add(&watermark_update(3_000, &["a"], &[("a", 0, 4)]));
        assert_eq!(history.topics["old"].until, WallTime(2_000));
        assert_eq!(history.topics["old"].positions, BTreeMap::from([(0, 9), (1, 7)]));
        assert_eq!(history.topics["a"].until, WallTime(3_000));
        assert_eq!(history.unknown_before, None);
    }

    #[test]
    fn a_partition_with_its_first_records_is_preferred_to_a_short_one() {
        let extent = |partitions: &[(i32, (i64, i64))]| Extent {
            topic: "log".into(),
            partitions: partitions.iter().copied().collect(),
        };
        let shortest_partitions =
            |partitions| shortest(extent(partitions)).map(|extent| extent.partitions.into_keys().collect::<Vec<i32>>());
        assert_eq!(
            shortest_partitions(&[(0, (0, 900)), (1, (5, 10)), (2, (0, 800))]),
            Some(vec![2])
        );
        assert_eq!(shortest_partitions(&[(0, (3, 900)), (1, (5, 10))]), Some(vec![1]));
        assert_eq!(shortest_partitions(&[]), None);
    }
}
