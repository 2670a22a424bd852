//! Runs the stages. Only this module starts threads and performs effects.
//!
//! `processor` runs ROUTE and JOIN over Kafka, each on its own thread: `route` from the input topics to the repartition
//! topic, `join` from there to the output topics. The other files are their parts. For ROUTE: the assigned partitions
//! and their starting positions (`route_assignment`, `route_positions`), sending (`route_output`), counts for the
//! metrics (`route_counts`), log-end offsets (`log_ends`), and source partitions that are idle already when they are
//! assigned (`idle_sources`). For JOIN: the assigned partitions (`join_assignment`), their state (`partition_tasks`),
//! one batch with its sending (`join_batch`), the size of transactions (`batch_size`), and the window that closes next
//! (`next_close`). For both: staying in the group during a wait (`poll_keep_alive`), the partition counts of the output
//! topics (`outputs`), what other threads may look at (`exposed`), the other members of the group (`peers`), a search
//! in the input for one alert (`scan`), and checks of the settings against the end of the log before anything is
//! written (`log_tail`). The module relies on the pure stages for the effects of a record and on `kafka` for
//! communication with a broker.

mod batch_size;
pub mod exposed;
mod idle_sources;
mod join;
mod join_assignment;
mod join_batch;
mod log_ends;
mod log_tail;
mod next_close;
mod outputs;
mod partition_tasks;
mod peers;
mod poll_keep_alive;
pub mod processor;
mod route;
mod route_assignment;
mod route_counts;
mod route_output;
mod route_positions;
pub mod scan;

pub use processor::Error;
use processor::Instance;

/// Returns which dead letter a message was before, if it was redriven.
fn redriven(message: &rdkafka::message::BorrowedMessage<'_>) -> Option<String> {
    use rdkafka::message::{Headers as _, Message as _};
    let headers = message.headers()?;
    let header = headers
        .iter()
        .find(|header| header.key == crate::sink::dead_letter::REDRIVEN)?;
    Some(String::from_utf8_lossy(header.value?).into_owned())
}

/// Logs a transient problem of reading, and returns an error for a permanent one.
fn read_problem(error: rdkafka::error::KafkaError, topics: &str) -> Result<(), Error> {
    let is_fenced = error.rdkafka_error_code() == Some(rdkafka::error::RDKafkaErrorCode::FencedInstanceId);
    if is_fenced || crate::kafka::reading::ends_reading(&error) {
        return Err(Error::Kafka(crate::kafka::Error::read(topics, error)));
    }
    tracing::warn!(%error, topics, "transient consumer error; retrying");
    Ok(())
}
