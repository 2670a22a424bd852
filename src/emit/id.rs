use sha2::{Digest, Sha256};

use crate::join::Output;

/// The id of an output's record: 128 bits of a SHA-256, as 32 hexadecimal digits. Fixed for ever: readers fold by it.
pub(super) fn of(output: &Output) -> String {
    let mut hash = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    match output {
        Output::Row(row) => {
            part(b"alerttrail/1 activity");
            part(row.alert.tenant.as_bytes());
            part(row.alert.system_alert_id.as_bytes());
            part(&row.activity.0);
        }
        Output::Summary(summary) => {
            part(b"alerttrail/1 alert");
            part(summary.alert.tenant.as_bytes());
            part(summary.alert.system_alert_id.as_bytes());
            part(summary.key.correlation_id.as_bytes());
        }
    }
    let digest: [u8; 32] = hash.finalize().into();
    let (half, _) = digest.split_at(16);
    hex::encode(half)
}
