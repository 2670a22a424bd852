use sha2::{Digest, Sha256};

use crate::join::Output;
use crate::record::{ActivityId, AlertId, Key};

/// The id of an output's record: 128 bits of a SHA-256, as 32 hexadecimal digits. Fixed for ever: readers fold by it.
pub(super) fn of(output: &Output) -> String {
    match output {
        Output::Row(row) => pair_id(&row.alert, row.activity),
        Output::Summary(summary) => summary_id(&summary.alert, &summary.key),
    }
}

/// The id of the row of an alert and an activity.
pub fn pair_id(alert: &AlertId, activity: ActivityId) -> String {
    digest([
        b"alerttrail/1 activity",
        alert.tenant.as_bytes(),
        alert.system_alert_id.as_bytes(),
        &activity.0,
    ])
}

/// The id of the summary of an alert under this key.
pub fn summary_id(alert: &AlertId, key: &Key) -> String {
    digest([
        b"alerttrail/1 alert",
        alert.tenant.as_bytes(),
        alert.system_alert_id.as_bytes(),
        key.correlation_id.as_bytes(),
    ])
}

fn digest(parts: [&[u8]; 4]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let digest: [u8; 32] = hash.finalize().into();
    let (half, _) = digest.split_at(16);
    hex::encode(half)
}
