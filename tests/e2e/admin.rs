//! Changes to topics and groups by an operator, or by retention, without the processor's involvement.

use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::{Offset, TopicPartitionList};

use crate::support::world::Counted;
use crate::support::{TIMEOUT, World};

fn wait<T>(result: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(result)
}

impl World {
    /// Returns the name of the repartition topic.
    pub(crate) fn repartition_topic(&self) -> String {
        format!("{}-correlation-repartition", self.name)
    }

    /// Sends messages to one partition.
    pub(crate) fn send_all_to(&mut self, role: &str, partition: usize, messages: &[Vec<u8>]) {
        let partition = i32::try_from(partition).unwrap();
        self.send_to(role, partition, Counted::Yes, messages.iter().map(Vec::as_slice));
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.client().create().unwrap()
    }

    fn consumer(&self, group: &str) -> BaseConsumer {
        self.client().set("group.id", group).create().unwrap()
    }

    /// Returns the number of partitions of a topic; 0 if it does not exist.
    pub(crate) fn partitions(&self, topic: &str) -> usize {
        let metadata = self.consumer("reader").fetch_metadata(None, TIMEOUT).unwrap();
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        found.map_or(0, |found| found.partitions().len())
    }

    /// Returns the first offset and the log-end offset of a partition.
    pub(crate) fn range(&self, topic: &str, partition: i32) -> (i64, i64) {
        self.consumer("reader").fetch_watermarks(topic, partition, TIMEOUT).unwrap()
    }

    /// Removes all current records of a partition, as retention does.
    pub(crate) fn remove_records(&self, topic: &str, partition: i32) {
        let (_, high) = self.range(topic, partition);
        self.remove_records_before(topic, partition, high);
    }

    /// Removes the records of a partition before an offset, as retention does.
    pub(crate) fn remove_records_before(&self, topic: &str, partition: i32, offset: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(offset)).unwrap();
        wait(self.admin().delete_records(&list, &AdminOptions::new())).unwrap();
        let began = Instant::now();
        while self.range(topic, partition).0 < offset {
            assert!(
                began.elapsed() < TIMEOUT,
                "the records of {topic}/{partition} were not removed"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Deletes a topic and waits until it is gone.
    pub(crate) fn delete_topic(&self, topic: &str) {
        let results = wait(self.admin().delete_topics(&[topic], &AdminOptions::new())).unwrap();
        assert!(results.iter().all(Result::is_ok), "{results:?}");
        let began = Instant::now();
        while self.partitions(topic) > 0 {
            assert!(began.elapsed() < TIMEOUT, "{topic} still exists");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Adds partitions to a topic and waits until they exist.
    pub(crate) fn add_partitions(&self, topic: &str, count: usize) {
        let new = NewPartitions::new(topic, count);
        let results = wait(self.admin().create_partitions([&new], &AdminOptions::new())).unwrap();
        assert!(results.iter().all(Result::is_ok), "{results:?}");
        let began = Instant::now();
        while self.partitions(topic) < count {
            assert!(began.elapsed() < TIMEOUT, "{topic} has fewer than {count} partitions");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Deletes a group with its positions. Waits until its last member is gone.
    pub(crate) fn delete_group(&self, group: &str) {
        let began = Instant::now();
        loop {
            let results = wait(self.admin().delete_groups(&[group], &AdminOptions::new())).unwrap();
            if results.iter().all(Result::is_ok) {
                return;
            }
            assert!(began.elapsed() < TIMEOUT, "{results:?}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Returns whether the broker knows the group.
    pub(crate) fn has_group(&self, group: &str) -> bool {
        let list = self.consumer("reader").fetch_group_list(Some(group), TIMEOUT).unwrap();
        list.groups()
            .iter()
            .any(|found| found.name() == group && found.state() != "Dead")
    }

    /// Returns the position that ROUTE's group has committed.
    pub(crate) fn committed(&self, topic: &str, partition: i32) -> Option<i64> {
        self.committed_with_metadata(topic, partition).map(|(position, _)| position)
    }

    /// Returns the same with the metadata that is committed with the position.
    pub(crate) fn committed_with_metadata(&self, topic: &str, partition: i32) -> Option<(i64, String)> {
        let mut list = TopicPartitionList::new();
        list.add_partition(topic, partition);
        let group = format!("{}-route", self.name);
        let committed = self.consumer(&group).committed_offsets(list, TIMEOUT).unwrap();
        let elements = committed.elements();
        let element = &elements[0];
        match element.offset() {
            Offset::Offset(position) => Some((position, element.metadata().to_owned())),
            _ => None,
        }
    }

    /// Commits a position and its metadata for a group without members.
    pub(crate) fn commit_with_metadata(&self, topic: &str, partition: i32, (position, metadata): &(i64, String)) {
        let mut list = TopicPartitionList::new();
        let mut element = list.add_partition(topic, partition);
        element.set_offset(Offset::Offset(*position)).unwrap();
        element.set_metadata(metadata);
        let consumer = self.consumer(&format!("{}-route", self.name));
        consumer.commit(&list, CommitMode::Sync).unwrap();
    }
}
