//! Topic ids. A topic that was deleted and created again has the same name and the same offsets, but other records and
//! another id.
//!
//! librdkafka compares the ids whenever the broker describes a topic, writes one line to its debug log if they differ
//! (`rd_kafka_topic_metadata_update`), and continues at the position that it had. None of its functions returns a topic
//! id to a consumer, so that line is parsed. It reaches the consumer's queue before any record of the new topic.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The debug context that librdkafka needs in order to log topic ids.
pub const DEBUG: &str = "metadata";

/// The id that means that there is no id.
const NONE: &str = "AAAAAAAAAAAAAAAAAAAAAA";

/// The ids of topics, as a client first saw them.
#[derive(Debug, Default)]
pub struct TopicIds(Mutex<BTreeMap<String, Ids>>);

#[derive(Debug)]
struct Ids {
    /// The id of the topic that the client has been reading.
    known: String,
    /// The id that was reported last.
    now: String,
    /// Whether `known` has been replaced.
    renewed: bool,
}

impl TopicIds {
    /// Processes a line of librdkafka's log. Returns the topic if its id now differs from the known one, which does not
    /// change.
    pub fn update<'m>(&self, facility: &str, message: &'m str) -> Option<&'m str> {
        let (topic, id) = changed(facility, message)?;
        let mut topics = self.lock();
        let ids = topics.entry(topic.to_owned()).or_insert_with(|| Ids {
            known: id.to_owned(),
            now: String::new(),
            renewed: false,
        });
        id.clone_into(&mut ids.now);
        (ids.known != ids.now).then_some(topic)
    }

    /// Returns the id of a topic. Brokers before Kafka 2.8 report none.
    pub fn get(&self, topic: &str) -> Option<String> {
        self.lock().get(topic).map(|ids| ids.known.clone())
    }

    /// Makes the id that was reported last the known one, because the previous topic is no longer read.
    pub fn renew(&self, topic: &str) {
        if let Some(ids) = self.lock().get_mut(topic) {
            ids.known.clone_from(&ids.now);
            ids.renewed = true;
        }
    }

    /// Returns whether the known id of the topic has been replaced.
    pub fn is_renewed(&self, topic: &str) -> bool {
        self.lock().get(topic).is_some_and(|ids| ids.renewed)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Ids>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the topic and its id if the line reports one.
fn changed<'m>(facility: &str, message: &'m str) -> Option<(&'m str, &'m str)> {
    if facility != "METADATA" {
        return None;
    }
    let (_client, line) = message.split_once("]: Topic ")?;
    let (topic, ids) = line.split_once(" changed id from ")?;
    let (_before, id) = ids.split_once(" to ")?;
    (id != NONE).then_some((topic, id))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = "[thrd:main]: Topic a.b changed id from AAAAAAAAAAAAAAAAAAAAAA to 7FkWwMW/Q+GAYuNBBJf+tg";
    const AGAIN: &str = "[thrd:main]: Topic a.b changed id from 7FkWwMW/Q+GAYuNBBJf+tg to 2MUdk30JSPmte2BaGIgmZg";

    #[test]
    fn the_first_id_is_stored_and_a_change_is_reported() {
        let ids = TopicIds::default();
        assert_eq!(ids.get("a.b"), None);
        assert_eq!(ids.update("METADATA", FIRST), None);
        assert_eq!(
            ids.update("METADATA", FIRST),
            None,
            "a broker may describe a topic several times"
        );
        assert_eq!(ids.update("METADATA", AGAIN), Some("a.b"));
        assert_eq!(ids.get("a.b").as_deref(), Some("7FkWwMW/Q+GAYuNBBJf+tg"));
        assert!(!ids.is_renewed("a.b"));
        ids.renew("a.b");
        assert!(ids.is_renewed("a.b"));
        assert_eq!(ids.get("a.b").as_deref(), Some("2MUdk30JSPmte2BaGIgmZg"));
        assert_eq!(ids.update("METADATA", AGAIN), None);
    }

    #[test]
    fn other_lines_and_brokers_without_ids_are_ignored() {
        let ids = TopicIds::default();
        let none = "[thrd:main]: Topic a.b changed id from 7FkWwMW/Q+GAYuNBBJf+tg to AAAAAAAAAAAAAAAAAAAAAA";
        for (facility, line) in [
            ("METADATA", "[thrd:main]: Topic a.b [0] Leader 1 Epoch 0"),
            ("METADATA", none),
            ("TOPBRK", FIRST),
        ] {
            assert_eq!(ids.update(facility, line), None);
            assert_eq!(ids.get("a.b"), None);
        }
    }
}
