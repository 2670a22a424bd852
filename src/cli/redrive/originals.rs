//! The bytes of which a letter holds only the first.

use std::collections::BTreeMap;

use rdkafka::message::Message as _;

use super::{Error, STAGE};
use crate::config::Config;
use crate::kafka::reading::{self, Extent};
use crate::redrive::Origin;
use crate::shutdown::Shutdown;

/// The record's own bytes, read again from where it came from: `whole` of them, which begin with `first`. `None` when they are no longer
/// there.
pub(super) fn fetch(
    config: &Config,
    origin: &Origin,
    first: &[u8],
    whole: usize,
    shutdown: &Shutdown,
) -> Result<Option<Vec<u8>>, Error> {
    let mut found = None;
    let extent = Extent {
        topic: origin.topic.clone(),
        partitions: BTreeMap::from([(origin.partition, (origin.offset, origin.offset + 1))]),
    };
    let read = reading::read(config, STAGE, &extent, shutdown, &mut |message| -> Result<(), Error> {
        if message.offset() == origin.offset {
            found = within(message.payload().unwrap_or_default(), first, whole);
        }
        Ok(())
    });
    match read {
        // An offset that retention has taken is an error of the consumer's.
        Ok(_) | Err(Error::Kafka(crate::kafka::Error::Reading { .. })) => Ok(found),
        Err(error) => Err(error),
    }
}

/// The record of a message that begins so and is so long.
fn within(message: &[u8], first: &[u8], whole: usize) -> Option<Vec<u8>> {
    let begin = memchr::memmem::find(message, first)?;
    let record = message.get(begin..begin.checked_add(whole)?)?;
    Some(record.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_found_in_its_batch() {
        let message = br#"{"records":[{"a":1},{"b":"long"},{"c":3}]}"#;
        assert_eq!(within(message, br#"{"b":"#, 12).unwrap(), br#"{"b":"long"}"#);
        assert_eq!(within(message, message.get(..9).unwrap(), message.len()).unwrap(), message);
        assert_eq!(within(message, b"elsewhere", 12), None);
        assert_eq!(within(message, br#"{"c":"#, 1_000), None);
    }
}
