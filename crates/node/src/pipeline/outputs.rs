//! Partition counts of the output topics. A record's key decides its partition only while the count stays the same, so
//! readers that fold each partition separately must learn of a change.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::config::Config;
use crate::store::StateDir;

/// The output topic and the summary topic with their partition counts, or `None` where the count is not known yet.
#[derive(Debug)]
pub(super) struct OutputTopics(Mutex<BTreeMap<String, Option<u32>>>);

impl OutputTopics {
    /// Loads the counts of the previous run from the state directory of this instance.
    pub(super) fn new(config: &Config, dir: &StateDir) -> Self {
        let noted = dir.outputs();
        let known = topics(config).map(|topic| (topic.to_owned(), noted.get(topic).copied()));
        Self(Mutex::new(known.collect()))
    }

    /// Stores the partition count of a topic, and warns if it was another before. Ignores other topics.
    pub(super) fn update(&self, topic: &str, count: u32, dir: &StateDir) {
        let mut topics = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(known) = topics.get_mut(topic).filter(|known| **known != Some(count)) else {
            return;
        };
        if let Some(before) = known.replace(count) {
            tracing::warn!(
                topic,
                before,
                partitions = count,
                "the number of partitions of an output topic has changed: newer records of an alert may be in another partition than older ones; readers must fold all partitions together, as docs/output.md explains"
            );
        }
        let noted = topics.iter().filter_map(|(topic, count)| Some((topic.as_str(), (*count)?)));
        if let Err(error) = dir.note_outputs(noted) {
            tracing::warn!(%error, "cannot store the partition counts of the output topics; the next start cannot detect a change");
        }
    }
}

/// Returns the topics whose records are folded.
pub(super) fn topics(config: &Config) -> impl Iterator<Item = &str> {
    let output = &config.output;
    std::iter::once(output.topic.as_str()).chain(output.summary_topic.as_deref())
}
