use sha2::{Digest, Sha256};

use super::{Links, PairIds};
use crate::join::Output;
use crate::record::{ActivityId, AlertId, Key};

/// Returns the id of an output's record, as 32 hexadecimal digits. It must never change, because readers fold by it.
pub(super) fn of(output: &Output, links: &Links) -> String {
    match output {
        Output::Row(row) => pair_id(&row.alert, &row.key, row.activity, links),
        Output::Summary(summary) => summary_id(&summary.alert, &summary.key, links),
    }
}

/// Returns the id of the row of an alert and an activity that have this key in common.
pub fn pair_id(alert: &AlertId, key: &Key, activity: ActivityId, links: &Links) -> String {
    hex::encode(pair_number(alert, key, activity, links).to_be_bytes())
}

/// Returns the same id as a number, for callers that keep many ids.
pub fn pair_number(alert: &AlertId, key: &Key, activity: ActivityId, links: &Links) -> u128 {
    let (tenant, id) = (alert.tenant.as_bytes(), alert.system_alert_id.as_bytes());
    match links.pair_ids(key.link) {
        PairIds::ByPair => digest(&[b"alerttrail/1 activity", tenant, id, &activity.0]),
        PairIds::ByPath => digest(&[
            b"alerttrail/1 activity by link",
            tenant,
            id,
            links.name(key.link).as_bytes(),
            key.correlation_id.as_bytes(),
            &activity.0,
        ]),
    }
}

/// Returns the id of the summary of an alert under this key.
pub fn summary_id(alert: &AlertId, key: &Key, links: &Links) -> String {
    let (tenant, id) = (alert.tenant.as_bytes(), alert.system_alert_id.as_bytes());
    let number = match key.link {
        crate::record::LinkId::QUERY => digest(&[b"alerttrail/1 alert", tenant, id, key.correlation_id.as_bytes()]),
        link => digest(&[
            b"alerttrail/1 alert by link",
            tenant,
            id,
            links.name(link).as_bytes(),
            key.correlation_id.as_bytes(),
        ]),
    };
    hex::encode(number.to_be_bytes())
}

/// Returns 128 bits of a SHA-256.
fn digest(parts: &[&[u8]]) -> u128 {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let digest = hash.finalize();
    u128::from_be_bytes(digest.first_chunk().copied().unwrap_or_default())
}
