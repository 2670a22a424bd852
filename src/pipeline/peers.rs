//! Who else is in the group, asked of the broker again and again, so that any instance can answer for all.

use std::sync::Arc;
use std::time::Duration;

use super::exposed::{Exposed, Member};
use crate::config::Config;
use crate::kafka::roster::{Roster, Seat};
use crate::shutdown::Shutdown;

/// How often the broker is asked.
const EVERY: Duration = Duration::from_secs(5);

/// Asks until it is time to stop. What fails is tried again: nothing depends on it but what the API knows of others.
pub(super) fn watch(config: &Config, exposed: &Arc<Exposed>, shutdown: &Shutdown) {
    let mut roster: Option<Roster> = None;
    while !shutdown.is_requested() {
        if roster.is_none() {
            roster = Roster::new(config).ok();
        }
        match roster.as_ref().map(Roster::seats) {
            Some(Ok(seats)) => exposed.are(seats.into_iter().map(member).collect()),
            Some(Err(error)) => tracing::debug!(%error, "cannot ask who is in the group"),
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
