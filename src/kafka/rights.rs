//! Whether the broker lets this program write, found out without leaving anything behind.
//!
//! A record is sent that asks for a number of acknowledgements that there is not (`acks=2`). The broker refuses it either way, and looks at the right
//! first: what it says tells whether there is one (TOPIC_AUTHORIZATION_FAILED or INVALID_REQUIRED_ACKS of
//! <https://kafka.apache.org/protocol#protocol_error_codes>).

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

/// How long the broker's word is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the broker said to a record that it must not take.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Right {
    /// It would have taken another one.
    Given,
    /// The right to write is missing.
    Denied,
    /// It took it: nothing more may be tried.
    Taken,
    /// Something else, or nothing.
    Unknown(String),
}

/// Tries whether `topic`, which must exist, may be written to.
pub fn to_write(config: &Config, topic: &str) -> Result<Right, Error> {
    let producer: BaseProducer<Said> = clients::refused_producer(config, Said::default())?;
    let record = BaseRecord::<(), ()>::to(topic).partition(0);
    if let Err((error, _)) = producer.send(record) {
        return Ok(of(Err(&error)));
    }
    // What did not come in time is told by the context as well, as timed out.
    drop(producer.flush(PATIENCE + Duration::from_secs(1)));
    let said = producer.context().0.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(said
        .clone()
        .unwrap_or_else(|| Right::Unknown("the broker did not answer".to_owned())))
}

/// Tries whether transactions may be used under the ids of JOIN. Leaves nothing but an id of its own, which the broker forgets.
pub fn to_transactions(config: &Config) -> Result<(), Error> {
    transactions::Transactions::open_as(config, "check").map(drop)
}

#[derive(Default)]
struct Said(Mutex<Option<Right>>);

impl ClientContext for Said {
    /// What is refused here is no news.
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        clients::log(RDKafkaLogLevel::Debug, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "the trial of a right");
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
