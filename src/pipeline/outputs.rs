//! How many partitions the topics of the output have. The key of a record decides its partition only as long as their number stays, so
//! whoever folds each partition by itself has to know of a change.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::config::Config;
use crate::store::StateDir;

/// The output topic and that of the summaries, and their partitions as they are known; `None` where nothing is known yet.
#[derive(Debug)]
pub(super) struct Outputs(Mutex<BTreeMap<String, Option<u32>>>);

impl Outputs {
    /// Takes the numbers from the folder of this instance: those of the run before.
    pub(super) fn new(config: &Config, dir: &StateDir) -> Self {
        let noted = dir.outputs();
        let known = topics(config).map(|topic| (topic.to_owned(), noted.get(topic).copied()));
        Self(Mutex::new(known.collect()))
    }

    /// Takes note that a topic has this many partitions, and warns when it had another number before. Other topics do not matter.
    pub(super) fn look(&self, topic: &str, count: u32, dir: &StateDir) {
        let mut topics = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(known) = topics.get_mut(topic).filter(|known| **known != Some(count)) else {
            return;
        };
        if let Some(before) = known.replace(count) {
            tracing::warn!(
                topic,
                before,
                partitions = count,
                "the number of partitions of an output topic has changed: newer records of an alert may be in another partition than its older ones; readers have to fold all partitions together, as docs/output.md says"
            );
        }
        let noted = topics.iter().filter_map(|(topic, count)| Some((topic.as_str(), (*count)?)));
        if let Err(error) = dir.note_outputs(noted) {
            tracing::warn!(%error, "cannot note how many partitions the output topics have; the next start cannot tell whether that has changed");
        }
    }
}

/// The topics whose records are folded.
pub(super) fn topics(config: &Config) -> impl Iterator<Item = &str> {
    let output = &config.output;
    std::iter::once(output.topic.as_str()).chain(output.summary_topic.as_deref())
}
