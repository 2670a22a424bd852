//! Counts what ROUTE routes, for the metrics.

use std::time::Duration;

use crate::metrics::{Metrics, RouteLatency};
use crate::route::{Arrival, Seen};

/// What was routed since the last update of the metrics.
pub(super) struct RoutedCounts {
    messages: u64,
    bytes: u64,
    seen: Seen,
    /// The number of activities by topic, and of those ahead of their record's timestamp.
    topics: Vec<(String, u64, u64)>,
    latency: RouteLatency,
    /// `watermark.max_window_ahead`, which warnings depend on.
    max_window_ahead: Option<Duration>,
}

impl RoutedCounts {
    pub(super) fn new(metrics: &Metrics, max_window_ahead: Option<Duration>) -> Self {
        Self {
            messages: 0,
            bytes: 0,
            seen: Seen::default(),
            topics: Vec::new(),
            latency: metrics.route_latency(),
            max_window_ahead,
        }
    }

    /// Adds a message.
    pub(super) fn add(&mut self, topic: &str, bytes: usize, arrival: Arrival, seen: Seen) {
        self.latency.taken(arrival.timestamp, arrival.now);
        self.messages += 1;
        self.bytes += bytes as u64;
        self.seen += seen;
        let place = self.topics.iter().position(|(known, ..)| known == topic).unwrap_or_else(|| {
            self.topics.push((topic.to_owned(), 0, 0));
            self.topics.len() - 1
        });
        if let Some((_, activities, ahead)) = self.topics.get_mut(place) {
            *activities += seen.activities;
            *ahead += seen.ahead_of_timestamp;
        }
    }

    /// Adds the counts to the metrics, and resets them. Returns the number of messages.
    pub(super) fn report_to(&mut self, metrics: &Metrics) -> u64 {
        metrics.routed(self.messages, self.bytes, &self.seen, self.max_window_ahead);
        for (topic, activities, ahead) in &mut self.topics {
            metrics.routed_of(topic, std::mem::take(activities), std::mem::take(ahead));
        }
        self.latency.publish();
        self.seen = Seen::default();
        self.bytes = 0;
        std::mem::take(&mut self.messages)
    }
}
