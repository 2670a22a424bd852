//! Probes whether the broker lets this program write, without writing anything.
//!
//! The probe is a record with an invalid number of required acknowledgements (`acks=2`). The broker refuses it in any
//! case, but checks the permission first, so its error tells whether the permission is granted
//! (TOPIC_AUTHORIZATION_FAILED or INVALID_REQUIRED_ACKS of <https://kafka.apache.org/protocol#protocol_error_codes>).

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};

use super::clients;
use super::{Error, transactions};
use crate::config::Config;

/// How long to wait for the broker's response.
const PATIENCE: Duration = Duration::from_secs(10);

/// Result of the write-permission probe.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Right {
    /// Writing is allowed.
    Given,
    /// Writing is not allowed.
    Denied,
    /// The probe record was unexpectedly accepted; stop probing.
    Taken,
    /// Another error, or no response.
    Unknown(String),
}

/// Probes whether this program may write to `topic`, which must exist.
pub fn to_write(config: &Config, topic: &str) -> Result<Right, Error> {
    let producer: BaseProducer<Said> = clients::refused_producer(config, Said::default())?;
    let record = BaseRecord::<(), ()>::to(topic).partition(0);
    if let Err((error, _)) = producer.send(record) {
        return Ok(of(Err(&error)));
    }
    // Messages that time out are also reported to the context.
    drop(producer.flush(PATIENCE + Duration::from_secs(1)));
    let said = producer.context().0.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(said
        .clone()
        .unwrap_or_else(|| Right::Unknown("the broker did not respond".to_owned())))
}

/// Probes whether transactions may be used under the ids of JOIN. The only trace is a transactional id of its own,
/// which the broker expires.
pub fn to_transactions(config: &Config) -> Result<(), Error> {
    transactions::Transactions::open_as(config, "check").map(drop)
}

#[derive(Default)]
struct Said(Mutex<Option<Right>>);

impl ClientContext for Said {
    /// Logs at debug level only, because a refusal is expected.
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        clients::log(RDKafkaLogLevel::Debug, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "problem while probing the write permission");
    }
}

impl ProducerContext for Said {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let said = of(result.as_ref().map(drop).map_err(|(error, _)| error));
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(said);
    }
}

fn of(result: Result<(), &KafkaError>) -> Right {
    match result.map_err(|error| (error.rdkafka_error_code(), error)) {
        Ok(()) => Right::Taken,
        Err((Some(Code::InvalidRequiredAcks), _)) => Right::Given,
        Err((Some(Code::TopicAuthorizationFailed), _)) => Right::Denied,
        Err((_, error)) => Right::Unknown(error.to_string()),
    }
}
