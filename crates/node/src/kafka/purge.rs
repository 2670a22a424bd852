//! Deletes the records of a topic and keeps the topic, with its settings and partitions.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

use super::clients::{self, REQUEST_TIMEOUT};
use super::reading::Extent;
use super::topics::Topics;
use super::{Error, block_on};
use crate::clock;
use crate::config::Config;

/// Fails if the broker would refuse to delete the records of this topic. Deletes no record, because it requests the
/// deletion of those before the first.
pub fn check_permission(config: &Config, extent: &Extent) -> Result<(), Error> {
    let failed = |cause| Error::Delete {
        what: format!("the records of {}", extent.topic),
        cause,
        way_out: "nothing was changed; grant this principal the permission to delete from the topic, make sure that cleanup.policy includes delete, or name a \
                  new topic in [output]",
    };
    delete_before(config, extent, |(low, _)| low)?.map_err(failed)
}

/// Deletes all records that the topic has now, and waits until the broker reports that they are gone.
pub fn delete_all(config: &Config, topics: &Topics<'_>, topic: &str) -> Result<(), Error> {
    let failed = |cause| Error::Delete {
        what: format!("the records of {topic}"),
        cause,
        way_out: "positions, state and repartition topic are already deleted; run the command again before any instance starts, or name a new topic in [output]",
    };
    let Some(extent) = topics.extent(topic)? else { return Ok(()) };
    delete_before(config, &extent, |(_, high)| high)?.map_err(failed)?;
    let began = clock::start();
    while topics.extent(topic)?.is_some_and(|now| !now.is_empty()) {
        if began.elapsed() > REQUEST_TIMEOUT {
            return Err(failed(format!(
                "the broker still has some after {} s",
                REQUEST_TIMEOUT.as_secs()
            )));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// Deletes the records before the offset that `end` returns, given the first offset of a partition and the log-end
/// offset. The inner error is the broker's error message.
fn delete_before(config: &Config, extent: &Extent, end: impl Fn((i64, i64)) -> i64) -> Result<Result<(), String>, Error> {
    let mut list = TopicPartitionList::new();
    for (partition, range) in &extent.partitions {
        // This fails only for an invalid offset.
        drop(list.add_partition_offset(&extent.topic, *partition, Offset::Offset(end(*range))));
    }
    let admin: AdminClient<DefaultClientContext> = clients::admin(config, DefaultClientContext)?;
    let options = AdminOptions::new()
        .operation_timeout(Some(REQUEST_TIMEOUT))
        .request_timeout(Some(REQUEST_TIMEOUT));
    let deleted = match block_on(admin.delete_records(&list, &options))? {
        Ok(deleted) => deleted,
        Err(cause) => return Ok(Err(cause.to_string())),
    };
    let refused = deleted.elements().into_iter().find_map(|partition| partition.error().err());
    let message = |cause: KafkaError| {
        cause
            .rdkafka_error_code()
            .map_or_else(|| cause.to_string(), |code| code.to_string())
    };
    Ok(refused.map_or(Ok(()), |cause| Err(message(cause))))
}
