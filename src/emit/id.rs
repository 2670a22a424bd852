use sha2::{Digest, Sha256};

use crate::join::Output;
use crate::record::{ActivityId, AlertId};

/// The id of an output's record: 128 bits of a SHA-256, as 32 hexadecimal digits. Fixed for ever: readers fold by it.
pub(super) fn of(output: &Output) -> String {
    match output {
        Output::Row(row) => of_pair(&row.alert, &row.activity),
        Output::Summary(summary) => hash(b"alerttrail/1 alert", &summary.alert, summary.key.correlation_id.as_bytes()),
    }
}

/// The id of the row of an alert and an activity.
pub(super) fn of_pair(alert: &AlertId, activity: &ActivityId) -> String {
    hash(b"alerttrail/1 activity", alert, &activity.0)
}

fn hash(domain: &[u8], alert: &AlertId, last: &[u8]) -> String {
    let mut hash = Sha256::new();
    for part in [domain, alert.tenant.as_bytes(), alert.system_alert_id.as_bytes(), last] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let digest: [u8; 32] = hash.finalize().into();
    let (half, _) = digest.split_at(16);
    hex::encode(half)
}
