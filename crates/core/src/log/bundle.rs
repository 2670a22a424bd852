use super::{Error, VERSION};
use crate::record::Activity;

/// Activities for one partition that become one log record, so that the cost of a message is paid only once for all of
/// them.
#[derive(Debug, Default)]
pub struct Bundle {
    /// The encoded activities, one after another.
    activities: Vec<u8>,
    count: u32,
}

/// The index of `LogRecord::Activities` among the variants; a test checks it.
const VARIANT: u8 = 4;

impl Bundle {
    /// Adds an activity after the others.
    pub fn push(&mut self, activity: &Activity<'_>) -> Result<(), Error> {
        let before = self.activities.len();
        let activities = std::mem::take(&mut self.activities);
        self.activities = postcard::to_extend(activity, activities)?;
        debug_assert!(self.activities.len() > before, "an activity has an identity");
        self.count += 1;
        Ok(())
    }

    /// Returns the number of bytes of the activities.
    pub fn len(&self) -> usize {
        self.activities.len()
    }

    /// Returns whether there are no activities in the bundle.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Replaces the content of `out` by the log record of all activities, and empties the bundle.
    pub fn take(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        out.clear();
        out.extend([VERSION, VARIANT]);
        *out = postcard::to_extend(&self.count, std::mem::take(out))?;
        out.append(&mut self.activities);
        self.count = 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::LogRecord;
    use super::*;
    use crate::record::{ActivityId, Key};
    use crate::time::EventTime;

    fn activity(number: u8) -> Activity<'static> {
        Activity {
            keys: vec![Key {
                tenant: "t".into(),
                correlation_id: "p".into(),
                ..Key::default()
            }],
            time: EventTime::from_ticks(i64::from(number)),
            id: ActivityId([number; 32]),
            row: vec![number; 200].into(),
        }
    }

    #[test]
    fn a_bundle_is_a_record_of_its_activities() {
        let mut bundle = Bundle::default();
        let mut bytes = b"before".to_vec();
        for count in [1, 2, 200] {
            let activities: Vec<_> = (0..count).map(activity).collect();
            activities.iter().for_each(|activity| bundle.push(activity).unwrap());
            assert!(!bundle.is_empty() && bundle.len() > 200 * usize::from(count));
            bundle.take(&mut bytes).unwrap();
            assert!(bundle.is_empty());
            assert_eq!(bundle.len(), 0);
            let record = LogRecord::Activities(activities);
            assert_eq!(bytes, record.encode(Vec::new()).unwrap());
            assert_eq!(LogRecord::decode(&bytes).unwrap(), record);
        }
    }
}
