//! Whether a group still answers.
//!
//! A client that has lost its session has been seen never to join its group again, static members most of all (librdkafka#3437): it
//! polls, and nothing comes. A rebalance may take long for good reasons, as it waits for every member; to join anew does no harm then.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};

use super::Error;
use crate::clock;

/// How long the answer of a group is waited for.
const PATIENCE: Duration = Duration::from_secs(45);

/// The name under which an instance is a static member of a group that reads these topics. A static member that comes back under its name is
/// given the partitions that it had, whatever it subscribes to now: with other topics it must be another member.
pub fn member_name(instance: &str, topics: &[String]) -> String {
    let mut topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    topics.sort_unstable();
    // No topic's name has a comma.
    let [a, b, c, d, ..] = <[u8; 32]>::from(Sha256::digest(topics.join(",")));
    format!("{instance}-{}", hex::encode([a, b, c, d]))
}

/// Since when the group has owed this member an assignment.
#[derive(Debug)]
pub struct Membership {
    group: String,
    waiting: Mutex<Option<Instant>>,
}

impl Membership {
    /// A member that begins to join.
    pub fn new(group: String) -> Self {
        Self {
            group,
            waiting: Mutex::new(Some(clock::start())),
        }
    }

    /// The group has said which partitions are this member's, be it none.
    pub fn assigned(&self) {
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The group has taken the partitions back, and will say which are this member's next.
    pub fn revoked(&self) {
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = Some(clock::start());
    }

    /// Fails when the group owes the answer for too long.
    pub fn check(&self) -> Result<(), Error> {
        match *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(since) if since.elapsed() >= PATIENCE => Err(Error::NotAssigned {
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
