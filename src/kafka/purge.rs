//! Deleting the records of a topic that stays, with its settings and its partitions.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

use super::clients;
use super::reading::Extent;
use super::topics::{TIMEOUT, Topics};
use super::{Error, block_on};
use crate::clock;
use crate::config::Config;

/// Fails where the broker would refuse to delete the records of this topic, and deletes none: it asks for those before the first.
pub fn try_out(config: &Config, extent: &Extent) -> Result<(), Error> {
    let failed = |cause| Error::Delete {
        what: format!("the records of {}", extent.topic),
        cause,
        way_out: "nothing was changed; give this principal the right to delete from the topic, have cleanup.policy include delete, or name a \
                  new topic in [output]",
    };
    delete_before(config, extent, |(low, _)| low)?.map_err(failed)
}

/// Deletes all records that the topic has now, and waits until the broker says that they are gone.
pub fn empty(config: &Config, topics: &Topics<'_>, topic: &str) -> Result<(), Error> {
    let failed = |cause| Error::Delete {
        what: format!("the records of {topic}"),
        cause,
        way_out: "positions, state and log are forgotten already: run it again before any instance starts, or name a new topic in [output]",
    };
    let Some(extent) = topics.extent(topic)? else { return Ok(()) };
    delete_before(config, &extent, |(_, high)| high)?.map_err(failed)?;
    let began = clock::start();
    while topics.extent(topic)?.is_some_and(|now| !now.is_empty()) {
        if began.elapsed() > TIMEOUT {
            return Err(failed(format!("the broker still has some {} s later", TIMEOUT.as_secs())));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// Deletes what lies before the offset that `end` chooses from the first offset of a partition and the one behind its last. The inner error is
/// the broker's word.
fn delete_before(config: &Config, extent: &Extent, end: impl Fn((i64, i64)) -> i64) -> Result<Result<(), String>, Error> {
    let mut list = TopicPartitionList::new();
    for (partition, range) in &extent.partitions {
        // Only an offset that is none fails.
        drop(list.add_partition_offset(&extent.topic, *partition, Offset::Offset(end(*range))));
    }
    let admin: AdminClient<DefaultClientContext> = clients::plain(config, DefaultClientContext)?;
    let options = AdminOptions::new()
        .operation_timeout(Some(TIMEOUT))
        .request_timeout(Some(TIMEOUT));
    let deleted = match block_on(admin.delete_records(&list, &options))? {
        Ok(deleted) => deleted,
        Err(cause) => return Ok(Err(cause.to_string())),
    };
    let refused = deleted.elements().into_iter().find_map(|partition| partition.error().err());
    let word = |cause: KafkaError| {
        cause
            .rdkafka_error_code()
            .map_or_else(|| cause.to_string(), |code| code.to_string())
    };
    Ok(refused.map_or(Ok(()), |cause| Err(word(cause))))
}
