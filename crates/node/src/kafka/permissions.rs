//! Probes whether the broker lets this program write, without writing anything.
//!
//! The probe is a record with an invalid number of required acknowledgements (`acks=2`). The broker always refuses it,
//! but checks the permission first, so its error shows whether the permission is granted (TOPIC_AUTHORIZATION_FAILED or
//! INVALID_REQUIRED_ACKS of <https://kafka.apache.org/protocol#protocol_error_codes>).

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
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);

/// Result of the write-permission probe.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum WritePermission {
    /// Writing is allowed.
    Granted,
    /// Writing is not allowed.
    Denied,
    /// The probe record was unexpectedly accepted, so probing must stop.
    ProbeAccepted,
    /// Another error, or no response.
    Unknown(String),
}

/// Probes whether this program may write to `topic`, which must exist.
pub fn probe_write(config: &Config, topic: &str) -> Result<WritePermission, Error> {
    let producer: BaseProducer<ProbeContext> = clients::probe_producer(config, ProbeContext::default())?;
    let record = BaseRecord::<(), ()>::to(topic).partition(0);
    if let Err((error, _)) = producer.send(record) {
        return Ok(from_probe_result(Err(&error)));
    }
    // Messages that time out are also reported to the context.
    drop(producer.flush(RESPONSE_TIMEOUT + Duration::from_secs(1)));
    let result = producer.context().0.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(result
        .clone()
        .unwrap_or_else(|| WritePermission::Unknown("the broker did not respond".to_owned())))
}

/// Probes whether transactions may be used under the ids of JOIN. The only trace is a separate transactional id, which
/// the broker expires.
pub fn probe_transactions(config: &Config) -> Result<(), Error> {
    transactions::Transactions::open_as(config, "check", None).map(drop)
}

#[derive(Default)]
struct ProbeContext(Mutex<Option<WritePermission>>);

impl ClientContext for ProbeContext {
    /// Logs at debug level only, because a refusal is expected.
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        clients::log(RDKafkaLogLevel::Debug, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "problem while probing the write permission");
    }
}

impl ProducerContext for ProbeContext {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let result = from_probe_result(result.as_ref().map(drop).map_err(|(error, _)| error));
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
    }
}

/// Returns what the result of the probe record shows about the permission.
fn from_probe_result(result: Result<(), &KafkaError>) -> WritePermission {
    match result.map_err(|error| (error.rdkafka_error_code(), error)) {
        Ok(()) => WritePermission::ProbeAccepted,
        Err((Some(Code::InvalidRequiredAcks), _)) => WritePermission::Granted,
        Err((Some(Code::TopicAuthorizationFailed), _)) => WritePermission::Denied,
        Err((_, error)) => WritePermission::Unknown(error.to_string()),
    }
}
