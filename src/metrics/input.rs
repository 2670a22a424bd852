//! What was read from the input topics.

use super::{LONGEST_TABLE, MOST_TABLES, Metrics};
use crate::route::Seen;

impl Metrics {
    /// So many messages were routed, of so many bytes together.
    pub fn routed(&self, messages: u64, bytes: u64, seen: &Seen) {
        self.messages.inc_by(messages);
        self.message_bytes.inc_by(bytes);
        self.tombstones.inc_by(seen.tombstones);
        self.future.inc_by(seen.future);
        self.hints.routed(seen);
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
                "RawEventData of activities holds no JSON object, so no key is found in it: see what cuts it or writes it otherwise on its way; alerttrail_activities_unreadable_total counts them"
            );
        }
        self.unreadable.inc_by(count);
    }

    /// Counts the activities of a topic that were routed, and those of them that were ahead of the timestamps of their
    /// records.
    pub fn routed_of(&self, topic: &str, activities: u64, ahead: u64) {
        self.hints.routed_of(topic, activities, ahead);
    }

    /// A record of another table was skipped.
    pub fn other_table(&self, table: &str) {
        if let Some(counter) = self.tables.get(table) {
            return counter.inc();
        }
        // The name comes from the input, where anything may stand.
        let is_name = table.len() <= LONGEST_TABLE && table.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let label = match is_name && self.tables.len() < MOST_TABLES {
            true => table,
            false => "other",
        };
        let counter = self.other_tables.with_label_values(&[label]);
        counter.inc();
        self.tables.insert(label.to_owned(), counter);
    }

    /// A record of a second tenant was met while tenants are not told apart.
    pub fn second_tenant(&self) {
        if self.second_tenant.get() == 0 {
            tracing::error!(
                "records of a second tenant came in, but there is no [tenants] table: alerts of one tenant may be joined with activities of another; list the tenants, or give each its own topics and application.id"
            );
        }
        self.second_tenant.inc();
    }
}
