//! Requests the members of the group from the broker at an interval, so that any instance can answer API requests for
//! all.

use std::sync::Arc;
use std::time::Duration;

use super::exposed::{Exposed, Member};
use crate::config::Config;
use crate::kafka::group_members::{GroupMember, GroupMembers};
use crate::shutdown::Shutdown;

/// Interval between the requests.
const INTERVAL: Duration = Duration::from_secs(5);

/// Requests the members until a shutdown. Errors are retried, because only the API's knowledge of other instances
/// depends on it.
pub(super) fn watch(config: &Config, exposed: &Arc<Exposed>, shutdown: &Shutdown) {
    let mut group: Option<GroupMembers> = None;
    while !shutdown.is_requested() {
        if group.is_none() {
            group = GroupMembers::new(config).ok();
        }
        match group.as_ref().map(GroupMembers::current) {
            Some(Ok(members)) => exposed.set_members(members.into_iter().map(member).collect()),
            Some(Err(error)) => tracing::debug!(%error, "cannot get the members of the group"),
            None => {}
        }
        shutdown.sleep(INTERVAL);
    }
}

fn member(member: GroupMember) -> Member {
    Member {
        instance: member.instance,
        address: member.address,
        partitions: member.partitions,
    }
}
