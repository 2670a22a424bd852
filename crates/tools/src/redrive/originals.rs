//! Reads the full bytes of truncated dead-letter records.

use std::collections::BTreeMap;

use rdkafka::message::Message as _;

use super::{Error, STAGE};
use crate::config::Config;
use crate::kafka::reading::{self, Extent};
use crate::redrive::Origin;
use crate::shutdown::Shutdown;

/// Reads the original bytes of a record again: `length` bytes, which begin with `first`. Returns `None` if they no
/// longer exist.
pub(super) fn fetch(
    config: &Config,
    origin: &Origin,
    first: &[u8],
    length: usize,
    shutdown: &Shutdown,
) -> Result<Option<Vec<u8>>, Error> {
    let mut found = None;
    let extent = Extent {
        topic: origin.topic.clone(),
        partitions: BTreeMap::from([(origin.partition, (origin.offset, origin.offset + 1))]),
    };
    let read = reading::read(config, STAGE, &extent, shutdown, &mut |message| -> Result<(), Error> {
        if message.offset() == origin.offset {
            found = find_record(message.payload().unwrap_or_default(), first, length);
        }
        Ok(())
    });
    match read {
        // The consumer reports an error for an offset that retention has removed.
        Ok(_) | Err(Error::Kafka(crate::kafka::Error::Reading { .. })) => Ok(found),
        Err(error) => Err(error),
    }
}

/// Returns the record in a message that begins with `first` and has `length` bytes.
fn find_record(message: &[u8], first: &[u8], length: usize) -> Option<Vec<u8>> {
    let begin = memchr::memmem::find(message, first)?;
    let record = message.get(begin..begin.checked_add(length)?)?;
    Some(record.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_found_in_its_batch() {
        let message = br#"{"records":[{"a":1},{"b":"long"},{"c":3}]}"#;
        assert_eq!(find_record(message, br#"{"b":"#, 12).unwrap(), br#"{"b":"long"}"#);
        assert_eq!(
            find_record(message, message.get(..9).unwrap(), message.len()).unwrap(),
            message
        );
        assert_eq!(find_record(message, b"missing", 12), None);
        assert_eq!(find_record(message, br#"{"c":"#, 1_000), None);
    }
}
