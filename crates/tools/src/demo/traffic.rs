//! Sends the messages of the stories at their times.

use std::sync::Arc;
use std::time::Duration;

use super::ACTIVITY_PARTITIONS;
use super::stories::{DemoTopic, STORY_INTERVAL, StoryPlanner};
use crate::clock;
use crate::config::Config;
use crate::kafka::delivery::{Outgoing, PendingAcks, Sender};
use crate::kafka::{self};
use crate::shutdown::Shutdown;
use crate::time::WallTime;

/// Sends messages until a shutdown is requested.
pub(super) fn run(config: &Config, seed: u64, shutdown: &Shutdown) -> Result<(), kafka::Error> {
    let sender = Sender::new(config, "traffic", "1")?;
    let (Some(activities), Some(alerts)) = (config.input.topics.first(), config.input.topics.last()) else {
        return Ok(());
    };
    let pending_acks = Arc::new(PendingAcks::default());
    let mut planner = StoryPlanner::new(seed);
    let mut planned_until = clock::now();
    let mut planned = Vec::new();
    let mut number: i32 = 0;
    while !shutdown.is_requested() {
        let now = clock::now();
        if planned_until <= now {
            planned.extend(planner.next(planned_until));
            // The sort is stable: messages that are due at the same time stay in the order of the story.
            planned.sort_by_key(|event| event.at);
            planned_until = WallTime(planned_until.0 + STORY_INTERVAL);
        }
        let due = planned.partition_point(|event| event.at <= now);
        for event in planned.drain(..due) {
            number = number.wrapping_add(1) & i32::MAX;
            let message = match event.table {
                DemoTopic::Activities => (activities, number % ACTIVITY_PARTITIONS),
                DemoTopic::Alerts => (alerts, 0),
            };
            let outgoing = Outgoing {
                topic: message.0,
                partition: Some(message.1),
                key: None,
                value: &event.value,
                headers: &[],
            };
            while !sender.send(&outgoing, &pending_acks)?.is_done(outgoing.topic)? && !shutdown.is_overdue() {
                sender.pause();
            }
        }
        shutdown.sleep(Duration::from_millis(10));
    }
    Ok(())
}
