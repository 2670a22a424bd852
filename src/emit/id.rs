use sha2::{Digest, Sha256};

use crate::join::Output;
use crate::record::{ActivityId, AlertId};

/// The id of an output's record, as 32 hexadecimal digits. Fixed for ever: readers fold by it.
pub(super) fn of(output: &Output) -> String {
    let id = match output {
        Output::Row(row) => pair(&row.alert, row.activity),
        Output::Summary(summary) => id([
            b"alerttrail/1 alert".as_slice(),
            summary.alert.tenant.as_bytes(),
            summary.alert.system_alert_id.as_bytes(),
            summary.key.correlation_id.as_bytes(),
        ]),
    };
    hex::encode(id.to_be_bytes())
}

/// The id of a pair's row.
pub(super) fn pair(alert: &AlertId, activity: ActivityId) -> u128 {
    id([
        b"alerttrail/1 activity".as_slice(),
        alert.tenant.as_bytes(),
        alert.system_alert_id.as_bytes(),
        &activity.0,
    ])
}

/// 128 bits of a SHA-256.
fn id(parts: [&[u8]; 4]) -> u128 {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let digest = hash.finalize();
    u128::from_be_bytes(digest.first_chunk().copied().unwrap_or_default())
}
