//! Requests the members of the group from the broker at an interval, so that any instance can answer API requests for
//! all.

use std::sync::Arc;
use std::time::Duration;

use super::exposed::{Exposed, Member};
use crate::config::Config;
use crate::kafka::roster::{Roster, Seat};
use crate::shutdown::Shutdown;

/// Interval between the requests.
const EVERY: Duration = Duration::from_secs(5);

/// Requests the members until a shutdown. Errors are retried, because only the API's knowledge of other instances
/// depends on it.
pub(super) fn watch(config: &Config, exposed: &Arc<Exposed>, shutdown: &Shutdown) {
    let mut roster: Option<Roster> = None;
    while !shutdown.is_requested() {
        if roster.is_none() {
            roster = Roster::new(config).ok();
        }
        match roster.as_ref().map(Roster::seats) {
            Some(Ok(seats)) => exposed.are(seats.into_iter().map(member).collect()),
            Some(Err(error)) => tracing::debug!(%error, "cannot get the members of the group"),
            None => {}
        }
        shutdown.sleep(EVERY);
    }
}

fn member(seat: Seat) -> Member {
    Member {
        instance: seat.instance,
        address: seat.address,
        partitions: seat.partitions,
    }
}
