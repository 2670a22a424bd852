//! Metrics about the input topics.

use std::time::Duration;

use super::{MAX_TABLE_LENGTH, MAX_TABLES, Metrics};
use crate::check::traffic;
use crate::route::Seen;

impl Metrics {
    /// Counts routed messages, with their bytes and contents. The warning about windows depends on
    /// `watermark.max_window_ahead`.
    pub fn routed(&self, messages: u64, bytes: u64, seen: &Seen, max_window_ahead: Option<Duration>) {
        self.messages.inc_by(messages);
        self.message_bytes.inc_by(bytes);
        self.tombstones.inc_by(seen.tombstones);
        self.future.inc_by(seen.future);
        self.hints.routed(seen, max_window_ahead);
        self.ignored.inc_by(seen.ignored);
        self.unreadable(seen.unreadable);
        for (kind, count) in [
            ("activity_keyed", seen.keyed),
            (
                "activity_unkeyed",
                (seen.activities + seen.timeless).saturating_sub(seen.keyed),
            ),
            ("alert", seen.alerts),
        ] {
            if count > 0 {
                self.records.with_label_values(&[kind]).inc_by(count);
            }
        }
    }

    fn unreadable(&self, count: u64) {
        if count > 0 && self.unreadable.get() == 0 {
            tracing::warn!(
                "RawEventData of an activity contains no JSON object, so it has no correlation id: find out what truncates or rewrites it before it reaches the input topics; alerttrail_activities_unreadable_total counts such activities"
            );
        }
        self.unreadable.inc_by(count);
    }

    /// Counts the routed activities of a topic, and how many of them were ahead of the timestamps of their records.
    pub fn routed_of(&self, topic: &str, activities: u64, ahead: u64) {
        self.hints.routed_of(topic, activities, ahead);
    }

    /// Counts a skipped record of another table.
    pub fn other_table(&self, table: &str) {
        if let Some(counter) = self.tables.get(table) {
            return counter.inc();
        }
        // The name comes from the input, which may contain anything.
        let is_name = table.len() <= MAX_TABLE_LENGTH && table.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let label = match is_name && self.tables.len() < MAX_TABLES {
            true => table,
            false => "other",
        };
        let counter = self.other_tables.with_label_values(&[label]);
        counter.inc();
        self.tables.insert(label.to_owned(), counter);
    }

    /// Counts a record of a second tenant while no tenants are configured.
    pub fn second_tenant(&self) {
        if self.second_tenant.get() == 0 {
            tracing::error!("the input contains records of a second tenant, {}", traffic::NO_TENANTS);
        }
        self.second_tenant.inc();
    }
}
