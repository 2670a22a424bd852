//! A context that remembers why a client cannot connect: librdkafka's answer to a question is only that there was none.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::{Error, clients};

/// Remembers the last problem of each kind.
#[derive(Debug, Default)]
pub(super) struct Asking {
    problems: Mutex<Problems>,
}

#[derive(Debug, Default)]
struct Problems {
    login: Option<String>,
    security: Option<String>,
    connection: Option<String>,
}

impl Asking {
    /// A problem that lies in the settings of one side, if there was one.
    pub(super) fn refusal(&self, servers: &str) -> Option<Error> {
        let problems = self.problems.lock().unwrap_or_else(PoisonError::into_inner);
        let servers = servers.to_owned();
        if let Some(reason) = problems.login.clone() {
            return Some(Error::Login { servers, reason });
        }
        let reason = problems.security.clone()?;
        Some(Error::Insecure { servers, reason })
    }

    /// Why there is no connection, if that is known.
    pub(super) fn reason(&self) -> Option<String> {
        self.problems
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .connection
            .clone()
    }

    fn remember(&self, code: Option<RDKafkaErrorCode>, reason: &str) {
        use RDKafkaErrorCode as Code;
        let mut problems = self.problems.lock().unwrap_or_else(PoisonError::into_inner);
        let place = match code {
            Some(Code::Authentication | Code::SaslAuthenticationFailed | Code::UnsupportedSASLMechanism) => &mut problems.login,
            Some(Code::SSL) => &mut problems.security,
            // Says only that all the others said something.
            Some(Code::AllBrokersDown) => return,
            _ => &mut problems.connection,
        };
        *place = Some(reason.to_owned());
    }
}

impl ClientContext for Asking {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        if facility == "FAIL" {
            // Most of these come as errors too, but not that of a client that speaks plaintext to a port for TLS.
            let reason = message.split_once("]: ").map_or(message, |(_thread, reason)| reason);
            self.remember(None, reason);
        } else {
            clients::log(level, facility, message);
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.remember(error.rdkafka_error_code(), reason);
    }
}

impl ConsumerContext for Asking {}

/// Takes in what the client has to say.
pub(super) fn listen(consumer: &BaseConsumer<Asking>) {
    /// More than a client says about a few brokers.
    const MOST: usize = 1_000;
    for _ in 0..MOST {
        // Events of other kinds end a poll too, so that a second one is needed to know that there is nothing more.
        if consumer.poll(Duration::from_millis(1)).is_none() && consumer.poll(Duration::ZERO).is_none() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_settings_can_mend_is_told_from_what_time_can() {
        let asking = Asking::default();
        let hears = |code, reason: &str| asking.error(KafkaError::Global(code), reason);
        hears(RDKafkaErrorCode::BrokerTransportFailure, "Connection refused");
        hears(RDKafkaErrorCode::AllBrokersDown, "1/1 brokers are down");
        assert!(asking.refusal("b:1").is_none());
        assert_eq!(asking.reason().as_deref(), Some("Connection refused"));
        hears(RDKafkaErrorCode::SSL, "certificate verify failed");
        let text = asking.refusal("b:1").map(|error| error.to_string()).unwrap_or_default();
        assert!(
            text.starts_with("no secure connection to b:1: certificate verify failed;"),
            "{text}"
        );
        hears(RDKafkaErrorCode::Authentication, "wrong password");
        let text = asking.refusal("b:1").map(|error| error.to_string()).unwrap_or_default();
        assert!(text.starts_with("b:1 refuses the login: wrong password;"), "{text}");
    }
}
