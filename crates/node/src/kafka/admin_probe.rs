//! A client context that remembers why a connection failed. A failed librdkafka request reports only that there was no
//! response.

use std::sync::{Mutex, PoisonError, mpsc};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};

use super::{Error, clients};
use crate::config::Config;
use crate::shutdown::Shutdown;

/// Remembers the last problem of each kind.
#[derive(Debug)]
pub(super) struct AdminProbe {
    /// The configured security protocol, in capitals.
    protocol: String,
    problems: Mutex<Problems>,
}

/// A probable mistake in the settings, if the other side closes the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mismatch {
    /// The other side seems to expect TLS.
    Tls,
    /// The other side seems not to use TLS.
    Plaintext,
    /// The other side seems to expect a login.
    Login,
    /// The other side accepted the login and then refused the first request.
    Permissions,
}

impl Mismatch {
    /// Derives the mistake from librdkafka's message about a closed connection.
    fn from_reason(reason: &str, protocol: &str) -> Option<Self> {
        // A listener with TLS treats the first request of a client without TLS as noise and closes the connection.
        let is_plain = !protocol.ends_with("SSL");
        if reason.contains("connecting to a SSL listener?") || (is_plain && reason.contains("in state APIVERSION_QUERY")) {
            return Some(Self::Tls);
        }
        if reason.contains("connecting to a PLAINTEXT broker listener?") {
            return Some(Self::Plaintext);
        }
        if reason.contains("broker might require SASL authentication") {
            return Some(Self::Login);
        }
        // The maximum lifetime of a connection that counts as closed right after the login.
        const MAX_LIFETIME_MS: u64 = 2_000;
        let lifetime = reason.split_once("(after ")?.1.split_once("ms in state UP")?.0;
        let is_short = lifetime.parse::<u64>().is_ok_and(|millis| millis < MAX_LIFETIME_MS);
        (is_short && protocol.starts_with("SASL_")).then_some(Self::Permissions)
    }
}

#[derive(Debug, Default)]
struct Problems {
    login: Option<String>,
    security: Option<String>,
    connection: Option<String>,
}

impl AdminProbe {
    /// Creates the context of a client with this configuration.
    pub(super) fn new(config: &Config) -> Self {
        Self {
            protocol: config.kafka.security_protocol(),
            problems: Mutex::default(),
        }
    }

    /// Returns the error that repeated closing of the connection indicates about the settings. The cause may be
    /// temporary, so callers use this only after some time.
    pub(super) fn mismatch(&self, servers: &str) -> Option<Error> {
        let reason = self.reason()?;
        let servers = servers.to_owned();
        let protocol = self.protocol.clone();
        Some(match Mismatch::from_reason(&reason, &protocol)? {
            Mismatch::Tls => Error::TlsExpected { servers, protocol },
            Mismatch::Plaintext => Error::Insecure { servers, reason },
            Mismatch::Login => Error::LoginExpected { servers, protocol },
            Mismatch::Permissions => Error::ClosedAfterLogin { servers, reason },
        })
    }

    /// Returns the problem with the settings of one side, if there was one.
    pub(super) fn refusal(&self, servers: &str) -> Option<Error> {
        let problems = self.problems.lock().unwrap_or_else(PoisonError::into_inner);
        let servers = servers.to_owned();
        if let Some(reason) = problems.login.clone() {
            return Some(Error::Login { servers, reason });
        }
        let reason = problems.security.clone()?;
        Some(Error::Insecure { servers, reason })
    }

    /// Returns the reason why there is no connection, if it is known.
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
            // This event only repeats that all brokers reported a problem.
            Some(Code::AllBrokersDown) => return,
            _ => &mut problems.connection,
        };
        *place = Some(reason.to_owned());
    }
}

impl ClientContext for AdminProbe {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        if facility == "FAIL" {
            // Most of these messages also arrive as errors. The message about a plaintext client on a TLS port does
            // not.
            let reason = message.split_once("]: ").map_or(message, |(_thread, reason)| reason);
            self.remember(None, reason);
        } else if !matches!(level, RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info) {
            // This client has a more detailed log level than others, in order to receive the reasons for closed
            // connections.
            clients::log(level, facility, message);
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.remember(error.rdkafka_error_code(), reason);
    }
}

impl ConsumerContext for AdminProbe {}

/// Runs a request and waits for its result, or until `shutdown` is requested. librdkafka's calls cannot be interrupted,
/// so the request runs on another thread if a shutdown may end the wait.
pub(super) fn run<T: Send + 'static>(
    shutdown: Option<&Shutdown>,
    request: impl FnOnce() -> KafkaResult<T> + Send + 'static,
) -> KafkaResult<T> {
    /// How often the shutdown flag is checked.
    const CHECK_INTERVAL: Duration = Duration::from_millis(100);
    let Some(shutdown) = shutdown else {
        return request();
    };
    let (response, responses) = mpsc::sync_channel(1);
    let thread = std::thread::Builder::new().name("admin-probe".into());
    let thread = thread.spawn(move || drop(response.send(request())));
    thread.map_err(|error| KafkaError::ClientCreation(error.to_string()))?;
    loop {
        match responses.recv_timeout(CHECK_INTERVAL) {
            Ok(response) => return response,
            Err(mpsc::RecvTimeoutError::Timeout) if !shutdown.is_requested() => {}
            Err(_) => return Err(KafkaError::Canceled),
        }
    }
}

/// Handles all pending events of the client.
pub(super) fn poll_events(consumer: &BaseConsumer<AdminProbe>) {
    /// A client has fewer events than this about a few brokers.
    const MAX_EVENTS: usize = 1_000;
    for _ in 0..MAX_EVENTS {
        // The return value of a poll does not show whether events are left, because it is `None` after a log line as
        // well.
        drop(consumer.poll(Duration::ZERO));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_settings_are_distinguished_from_transient_errors() {
        let probe = AdminProbe::new(&Config::defaults().unwrap());
        let report = |code, reason: &str| probe.error(KafkaError::Global(code), reason);
        report(RDKafkaErrorCode::BrokerTransportFailure, "Connection refused");
        report(RDKafkaErrorCode::AllBrokersDown, "1/1 brokers are down");
        assert!(probe.refusal("b:1").is_none());
        assert_eq!(probe.reason().as_deref(), Some("Connection refused"));
        report(RDKafkaErrorCode::SSL, "certificate verify failed");
        let text = probe.refusal("b:1").map(|error| error.to_string()).unwrap_or_default();
        assert!(
            text.starts_with("no secure connection to b:1: certificate verify failed;"),
            "{text}"
        );
        report(RDKafkaErrorCode::Authentication, "wrong password");
        let text = probe.refusal("b:1").map(|error| error.to_string()).unwrap_or_default();
        assert!(text.starts_with("b:1 refuses the login: wrong password;"), "{text}");
    }

    #[test]
    fn waiting_ends_with_the_response_or_with_a_shutdown_request() {
        let shutdown = Shutdown::default();
        assert_eq!(run(Some(&shutdown), || Ok(5)).unwrap(), 5);
        assert_eq!(run(None, || Ok(6)).unwrap(), 6);
        shutdown.request();
        let began = crate::clock::start();
        let slow = || {
            std::thread::sleep(Duration::from_secs(30));
            Ok(7)
        };
        assert!(matches!(run(Some(&shutdown), slow), Err(KafkaError::Canceled)));
        assert!(began.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn a_closed_connection_suggests_what_the_listener_may_expect() {
        let message_for = |more: &str, reason: &str| {
            let text = format!("[kafka.properties]\n{more}");
            let probe = AdminProbe::new(&Config::from_text("test", &text, std::iter::empty()).unwrap());
            probe.log(
                RDKafkaLogLevel::Info,
                "FAIL",
                &format!("[thrd:b:1/bootstrap]: b:1/bootstrap: {reason}"),
            );
            assert!(probe.refusal("b:1").is_none());
            probe.mismatch("b:1").map(|error| error.to_string()).unwrap_or_default()
        };
        let login =
            "security.protocol = \"sasl_plaintext\"\nsasl = { mechanism = \"PLAIN\", username = \"u\", password = \"p\" }";
        let tls = message_for(
            "",
            "Disconnected: requesting ApiVersion: might be caused by incorrect security.protocol configuration (connecting to a SSL listener?) or broker version is < 0.10 (see api.version.request) (after 1ms in state APIVERSION_QUERY)",
        );
        assert!(
            tls.contains("expects TLS") && tls.contains("\"security.protocol\" = \"SSL\""),
            "{tls}"
        );
        let tls = message_for(
            "",
            "Disconnected: connection closed by peer: receive 0 after POLLIN (after 1ms in state APIVERSION_QUERY)",
        );
        assert!(tls.contains("expects TLS"), "{tls}");
        let plain = message_for(
            "security.protocol = \"ssl\"",
            "SSL handshake failed: Disconnected: connecting to a PLAINTEXT broker listener? (after 2ms in state SSL_HANDSHAKE)",
        );
        assert!(plain.starts_with("no secure connection to b:1: "), "{plain}");
        let login_expected = message_for(
            "",
            "Disconnected: verify that security.protocol is correctly configured, broker might require SASL authentication (after 9ms in state UP)",
        );
        assert!(login_expected.contains("expects a login"), "{login_expected}");
        let closed = message_for(login, "Disconnected (after 47ms in state UP)");
        assert!(
            closed.contains("accepts the login") && closed.contains("namespace"),
            "{closed}"
        );
        assert_eq!(
            message_for(login, "Disconnected (after 61000ms in state UP)"),
            "",
            "an idle connection"
        );
        assert_eq!(
            message_for(
                "",
                "Connect to ipv4#127.0.0.1:1 failed: Connection refused (after 0ms in state CONNECT)"
            ),
            ""
        );
    }
}
