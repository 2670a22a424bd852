//! Cursors: the position after which a list continues, as an opaque string. It consists of hexadecimal digits: a byte
//! for the kind of list, then postcard.

use super::Error;
use crate::join::Place;
use crate::record::{ActivityId, AlertId, Text};
use crate::time::EventTime;

const ALERTS: u8 = 1;
const ACTIVITIES: u8 = 2;

/// Returns the cursor for the list after this alert.
pub(super) fn after_alert(place: &Place) -> String {
    let parts = (place.time, &place.alert.tenant, &place.alert.system_alert_id);
    encode(ALERTS, &parts)
}

/// Returns the alert after which the cursor continues.
pub(super) fn parse_alert(cursor: &str) -> Result<Place, Error> {
    let (time, tenant, system_alert_id): (EventTime, Text, Text) = decode(ALERTS, cursor)?;
    Ok(Place {
        time,
        alert: AlertId { tenant, system_alert_id },
    })
}

/// Returns the cursor for the list after this activity.
pub(super) fn after_activity(time: EventTime, id: ActivityId) -> String {
    encode(ACTIVITIES, &(time, id))
}

/// Returns the activity after which the cursor continues.
pub(super) fn parse_activity(cursor: &str) -> Result<(EventTime, ActivityId), Error> {
    decode(ACTIVITIES, cursor)
}

fn encode<T: serde::Serialize>(kind: u8, value: &T) -> String {
    // Encoding times and texts cannot fail.
    hex::encode(postcard::to_extend(value, vec![kind]).unwrap_or_default())
}

fn decode<T: serde::de::DeserializeOwned>(kind: u8, cursor: &str) -> Result<T, Error> {
    let bytes = hex::decode(cursor).map_err(|_| Error::Cursor)?;
    match bytes.split_first() {
        Some((found, rest)) if *found == kind => postcard::from_bytes(rest).map_err(|_| Error::Cursor),
        _ => Err(Error::Cursor),
    }
}
