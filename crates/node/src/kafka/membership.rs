//! Detects a group that no longer responds.
//!
//! Clients that lost their session have been seen never to rejoin their group, static members in particular
//! (librdkafka#3437): they poll and receive nothing. A rebalance may take long for good reasons, because it waits for
//! every member. In that case, rejoining does no harm.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};

use super::Error;
use crate::clock;

/// How long to wait for an assignment.
const ASSIGNMENT_TIMEOUT: Duration = Duration::from_secs(45);

/// Returns the name under which an instance is a static member of a group that reads these topics. A static member that
/// returns under its name gets the partitions it had, even if it now subscribes to other topics. So with other topics,
/// it must be another member.
pub fn member_name(instance: &str, topics: &[String]) -> String {
    let mut topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    topics.sort_unstable();
    // Topic names contain no commas.
    let [a, b, c, d, ..] = <[u8; 32]>::from(Sha256::digest(topics.join(",")));
    format!("{instance}-{}", hex::encode([a, b, c, d]))
}

/// The time since which this member has been waiting for an assignment.
#[derive(Debug)]
pub struct Membership {
    group: String,
    waiting: Mutex<Option<Instant>>,
}

impl Membership {
    /// Creates a member that begins to join.
    pub fn new(group: String) -> Self {
        Self {
            group,
            waiting: Mutex::new(Some(clock::start())),
        }
    }

    /// Records that the group has assigned partitions to this member, possibly none.
    pub fn assigned(&self) {
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Records that the group has revoked the partitions and will assign others.
    pub fn revoked(&self) {
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = Some(clock::start());
    }

    /// Fails when an assignment has been missing for too long.
    pub fn check(&self) -> Result<(), Error> {
        match *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(since) if since.elapsed() >= ASSIGNMENT_TIMEOUT => Err(Error::NotAssigned {
                group: self.group.clone(),
                seconds: since.elapsed().as_secs(),
            }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_named_by_its_instance_and_by_what_it_reads() {
        let name = |instance, topics: &[&str]| {
            let topics: Vec<String> = topics.iter().map(|topic| (*topic).to_owned()).collect();
            member_name(instance, &topics)
        };
        assert_eq!(name("i", &["a", "b"]), name("i", &["b", "a"]), "their order means nothing");
        assert!(name("i", &["a"]).starts_with("i-"));
        for other in [name("j", &["a"]), name("i", &["a", "b"]), name("i", &["ab"])] {
            assert_ne!(name("i", &["a"]), other);
        }
    }
}
