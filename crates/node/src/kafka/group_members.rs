//! The members of JOIN's group: each instance, the address of its API, and its partitions. They come from the broker:
//! an instance appends its address to its client id, and the group protocol contains the assignment of each member.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaResult;

use super::Error;
use super::clients::{self, ADDRESS_SEPARATOR, Logged};
use crate::config::Config;

/// The length of the unique suffix that a broker appends to the id of a static member, with its hyphen.
const UNIQUE_SUFFIX_LENGTH: usize = 37;

/// How long to wait for a broker. It is less than the time that a shutdown may take.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(2);

/// A member of the group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupMember {
    /// The id of the instance.
    pub instance: String,
    /// The address of its API.
    pub address: Option<String>,
    /// The partitions that are assigned to it.
    pub partitions: Vec<u32>,
}

/// Requests the members of the group from a broker.
pub struct GroupMembers {
    consumer: BaseConsumer<Logged>,
    group: String,
    topic: String,
}

impl GroupMembers {
    /// Creates a client for JOIN's group.
    pub fn new(config: &Config) -> Result<Self, Error> {
        Ok(Self {
            consumer: clients::admin(config, Logged)?,
            group: format!("{}-join", config.application.id),
            topic: config.repartition.topic.clone(),
        })
    }

    /// Returns the current members.
    pub fn current(&self) -> KafkaResult<Vec<GroupMember>> {
        let list = self.consumer.fetch_group_list(Some(&self.group), RESPONSE_TIMEOUT)?;
        let members = list.groups().iter().flat_map(|group| group.members());
        Ok(members
            .map(|member| GroupMember {
                instance: instance(member.id()).to_owned(),
                address: member
                    .client_id()
                    .split_once(ADDRESS_SEPARATOR)
                    .map(|(_, address)| address.to_owned()),
                partitions: assigned(member.assignment().unwrap_or_default(), &self.topic).unwrap_or_default(),
            })
            .collect())
    }
}

/// Returns the instance id contained in the member id of a static member.
fn instance(member: &str) -> &str {
    let end = member.len().saturating_sub(UNIQUE_SUFFIX_LENGTH);
    member.get(..end).filter(|_| member[end..].starts_with('-')).unwrap_or(member)
}

/// Returns the partitions of `topic` in a member's assignment. The consumer protocol encodes a version, followed by
/// topics with their partitions.
fn assigned(bytes: &[u8], topic: &str) -> Option<Vec<u32>> {
    let (_version, mut rest) = bytes.split_first_chunk::<2>()?;
    let mut partitions = Vec::new();
    for _ in 0..number(&mut rest)? {
        let (length, remaining) = rest.split_first_chunk::<2>()?;
        let length = usize::try_from(i16::from_be_bytes(*length)).ok()?;
        let (name, remaining) = remaining.split_at_checked(length)?;
        rest = remaining;
        for _ in 0..number(&mut rest)? {
            let partition = number(&mut rest)?;
            if name == topic.as_bytes() {
                partitions.push(partition);
            }
        }
    }
    partitions.sort_unstable();
    Some(partitions)
}

/// Reads the next number, and removes it from `rest`.
fn number(rest: &mut &[u8]) -> Option<u32> {
    let (number, remaining) = rest.split_first_chunk::<4>()?;
    *rest = remaining;
    u32::try_from(i32::from_be_bytes(*number)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_is_read_topic_by_topic() {
        let mut bytes = vec![0, 1, 0, 0, 0, 2];
        for (topic, partitions) in [("other", vec![9_i32]), ("log", vec![3, 1])] {
            bytes.extend((topic.len() as i16).to_be_bytes());
            bytes.extend(topic.as_bytes());
            bytes.extend((partitions.len() as i32).to_be_bytes());
            bytes.extend(partitions.iter().flat_map(|partition| partition.to_be_bytes()));
        }
        assert_eq!(assigned(&bytes, "log"), Some(vec![1, 3]));
        assert_eq!(assigned(&bytes[..20], "log"), None, "cut off");
        assert_eq!(assigned(&[], "log"), None);
    }

    #[test]
    fn the_instance_is_the_part_before_the_unique_suffix() {
        assert_eq!(instance("4f0c-0a1b2c3d-0000-1111-2222-333344445555"), "4f0c");
        assert_eq!(instance("short"), "short");
    }
}
