use sha2::{Digest, Sha256};

use crate::join::Output;
use crate::record::{ActivityId, AlertId, Key};

/// The id of an output's record, as 32 hexadecimal digits. Fixed for ever: readers fold by it.
pub(super) fn of(output: &Output) -> String {
    match output {
        Output::Row(row) => pair_id(&row.alert, row.activity),
        Output::Summary(summary) => summary_id(&summary.alert, &summary.key),
    }
}

/// The id of the row of an alert and an activity.
pub fn pair_id(alert: &AlertId, activity: ActivityId) -> String {
    hex::encode(pair_number(alert, activity).to_be_bytes())
}

/// That id as a number, for whoever holds many of them.
pub fn pair_number(alert: &AlertId, activity: ActivityId) -> u128 {
    digest([
        b"alerttrail/1 activity",
        alert.tenant.as_bytes(),
        alert.system_alert_id.as_bytes(),
        &activity.0,
    ])
}

/// The id of the summary of an alert under this key.
pub fn summary_id(alert: &AlertId, key: &Key) -> String {
    let number = digest([
        b"alerttrail/1 alert",
        alert.tenant.as_bytes(),
        alert.system_alert_id.as_bytes(),
        key.correlation_id.as_bytes(),
    ]);
    hex::encode(number.to_be_bytes())
}

/// 128 bits of a SHA-256.
fn digest(parts: [&[u8]; 4]) -> u128 {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let digest = hash.finalize();
    u128::from_be_bytes(digest.first_chunk().copied().unwrap_or_default())
}
