//! The only place with threads and an order of effects.
//!
//! [`local`] runs the decoder and JOIN over files, with a log that exists only as offsets. `processor` runs ROUTE and JOIN over Kafka: `route` from the input topics to the
//! repartition topic, `join` from there to the output topics, each on its own thread. The other files are their parts: which offsets may be
//! committed (`ledger`), where partitions end (`ends`), which partitions are read from where (`route_assignment`, `route_positions`, `join_assignment`), what is sent on (`route_output`), the state of those
//! that are joined (`owners`), how a part of the log is joined (`join_slice`), which of their windows closes next (`next_close`), what is sent because of them (`join_output`), how many partitions the output topics have (`outputs`), what others may look at (`exposed`), who else is in the group (`peers`) and how the group hears of us meanwhile (`attendance`), how much goes into a transaction (`pace`), what only the input knows of an alert (`scan`), what the
//! end of the log tells before anything is written (`settings`). Relies on the pure stages for what follows from a record, and on `kafka`
//! for reaching a broker.

#[cfg(feature = "kafka")]
mod attendance;
#[cfg(feature = "kafka")]
mod ends;
pub mod exposed;
#[cfg(feature = "kafka")]
mod join;
#[cfg(feature = "kafka")]
mod join_assignment;
#[cfg(feature = "kafka")]
mod join_output;
#[cfg(feature = "kafka")]
mod join_slice;
#[cfg(feature = "kafka")]
mod ledger;
pub mod local;
#[cfg(feature = "kafka")]
mod next_close;
#[cfg(feature = "kafka")]
mod outputs;
#[cfg(feature = "kafka")]
mod owners;
#[cfg(feature = "kafka")]
mod pace;
#[cfg(feature = "kafka")]
mod peers;
#[cfg(feature = "kafka")]
pub mod processor;
#[cfg(feature = "kafka")]
mod route;
#[cfg(feature = "kafka")]
mod route_assignment;
#[cfg(feature = "kafka")]
mod route_output;
#[cfg(feature = "kafka")]
mod route_positions;
#[cfg(feature = "kafka")]
pub mod scan;
#[cfg(feature = "kafka")]
mod settings;

#[cfg(feature = "kafka")]
pub use processor::Error;
#[cfg(feature = "kafka")]
use processor::Instance;

#[cfg(feature = "kafka")]
use std::sync::Arc;

#[cfg(feature = "kafka")]
use crate::kafka::delivery::{Flight, Outgoing, Sender};
#[cfg(feature = "kafka")]
use crate::sink::dead_letter::DeadLetter;

/// Sends a dead letter, waiting for room as long as `goes_on` says so; whether it was sent. One that would pass the size limit is cut,
/// and says so: its headers still tell where the original is.
#[cfg(feature = "kafka")]
fn send_dead_letter(
    sender: &Sender,
    topic: &str,
    letter: &DeadLetter<'_>,
    message_max_bytes: usize,
    flight: &Arc<Flight>,
    goes_on: &mut dyn FnMut() -> bool,
) -> Result<bool, Error> {
    /// What Kafka's record format adds at the most, with the header that tells of the cut.
    const OVERHEAD: usize = 256;
    let mut headers = letter.headers();
    let beside: usize = headers.iter().map(|(name, value)| name.len() + value.len() + 8).sum();
    let room = message_max_bytes.saturating_sub(beside + OVERHEAD);
    let value = letter.value.get(..room).unwrap_or(&letter.value);
    if value.len() < letter.value.len() {
        headers.push(("alerttrail.truncated", letter.value.len().to_string()));
    }
    let message = Outgoing {
        topic,
        partition: None,
        key: None,
        value,
        headers: &headers,
    };
    Ok(sender.send_when_room(&message, flight, goes_on)?.is_done(topic)?)
}

/// Which dead letter a message was before, where it was sent back through.
#[cfg(feature = "kafka")]
fn redriven(message: &rdkafka::message::BorrowedMessage<'_>) -> Option<String> {
    use rdkafka::message::{Headers as _, Message as _};
    let headers = message.headers()?;
    let header = headers
        .iter()
        .find(|header| header.key == crate::sink::dead_letter::REDRIVEN)?;
    Some(String::from_utf8_lossy(header.value?).into_owned())
}

/// Tells a problem of reading that passes from one that does not.
#[cfg(feature = "kafka")]
fn read_problem(error: rdkafka::error::KafkaError, topics: &str) -> Result<(), Error> {
    let is_fenced = error.rdkafka_error_code() == Some(rdkafka::error::RDKafkaErrorCode::FencedInstanceId);
    if is_fenced || crate::kafka::reading::ends_reading(&error) {
        return Err(Error::Kafka(crate::kafka::Error::Read {
            topics: topics.to_owned(),
            cause: error,
        }));
    }
    tracing::warn!(%error, topics, "reading stumbled; it goes on when the broker allows");
    Ok(())
}
