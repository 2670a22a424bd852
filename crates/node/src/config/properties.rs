//! Asks librdkafka whether it knows a property and accepts its value. The library checks one property at a time and
//! connects to nothing. Whether the properties are compatible with each other is checked when clients are created.

use crate::words::nearest;

/// The names of librdkafka's properties that a file may contain, one per line, from the library's CONFIGURATION.md.
const NAMES: &str = include_str!("librdkafka-2.12.1.txt");

/// The similarity from which on a property may be meant by another name. Many properties have parts in common.
const ALIKE: f64 = 0.6;

/// Returns the names of librdkafka's properties.
pub fn property_names() -> impl Iterator<Item = &'static str> {
    NAMES.lines()
}

/// A problem with a property, and its remedy.
pub(super) struct Fault {
    /// The problem.
    pub(super) problem: String,
    /// The remedy.
    pub(super) remedy: String,
}

/// Returns the problem with a property, if there is one. `quoted` is its value as it may be printed.
pub(super) fn fault(name: &str, value: &str, quoted: &str) -> Option<Fault> {
    use rdkafka::config::ClientConfig;
    use rdkafka::error::KafkaError;
    use rdkafka::types::RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN;

    let fault = |problem: String, remedy: &str| {
        Some(Fault {
            problem,
            remedy: remedy.to_owned(),
        })
    };
    let mut config = ClientConfig::new();
    config.set(name, value);
    match config.create_native_config() {
        Ok(native) => {
            let read = native.get(name).unwrap_or_default();
            is_cut(value, &read).then(|| Fault {
                problem: format!("{quoted} would be read as {read}"),
                remedy: "write only the number, in the unit given by the property's name".to_owned(),
            })
        }
        Err(KafkaError::ClientConfig(RD_KAFKA_CONF_UNKNOWN, ..)) => {
            let problem = "is not a property of librdkafka".to_owned();
            match nearest(name, property_names(), ALIKE) {
                Some(nearest) => fault(problem, &format!("the nearest is {nearest}")),
                None => fault(problem, "leave it out, or look its name up in librdkafka's CONFIGURATION.md"),
            }
        }
        Err(KafkaError::ClientConfig(_, message, ..)) => {
            let (problem, remedy) = explain(&message, quoted);
            fault(problem, remedy)
        }
        Err(_) => fault(format!("{quoted} is not a valid value"), "write a string without zero bytes"),
    }
}

/// Returns whether only the beginning of a value was parsed as a number: for example, `"30s"` as 30.
fn is_cut(value: &str, read: &str) -> bool {
    let value = value.trim();
    let begins = value.starts_with(|c: char| c.is_ascii_digit());
    begins && value.parse::<f64>().is_err() && read.parse::<f64>().is_ok() && !value.to_ascii_lowercase().starts_with("0x")
}

/// Returns librdkafka's message about a value in other words, which never contain a secret value.
fn explain(message: &str, quoted: &str) -> (String, &'static str) {
    if message.contains("not supported in this build") {
        return (
            "needs a feature that is not compiled into this program".to_owned(),
            "leave it out",
        );
    }
    if message.starts_with("Unsupported value") {
        let remedy = match message.contains("OpenSSL") {
            true => "use PLAINTEXT, or a program that has the feature tls, as the whole program does",
            false => "use another value",
        };
        return (format!("{quoted} is not compiled into this program"), remedy);
    }
    if message.starts_with("Expected bool value") {
        return (format!("{quoted} is neither true nor false"), "use true or false");
    }
    if let Some((_, range)) = message.split_once("is outside allowed range ") {
        return (
            format!("{quoted} is not within {}", range.trim()),
            "use a number within this range",
        );
    }
    if message.starts_with("Invalid value") {
        return (
            format!("{quoted} is not a valid value"),
            "use a value that librdkafka's CONFIGURATION.md lists for this property",
        );
    }
    // The remaining messages are about the name, for example of a property that only Java clients have.
    (
        format!("librdkafka refuses it: {}", message.trim().trim_end_matches('.')),
        "leave it out",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem_of(name: &str, value: &str) -> Option<String> {
        fault(name, value, &format!("{value:?}")).map(|fault| format!("{}; {}", fault.problem, fault.remedy))
    }

    #[test]
    fn librdkafka_knows_every_listed_name() {
        let native = rdkafka::config::ClientConfig::new().create_native_config().unwrap();
        for name in property_names() {
            // A property without a default is known but has no value.
            let unknown = matches!(
                native.get(name),
                Err(rdkafka::error::KafkaError::ClientConfig(
                    rdkafka::types::RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN,
                    ..
                ))
            );
            let refused = problem_of(name, "1").is_some_and(|message| message.contains("not a property of librdkafka"));
            assert!(!(unknown && refused), "{name}");
        }
    }

    #[test]
    fn names_and_values_are_checked_as_librdkafka_does() {
        for (name, value, expected) in [
            ("session.timeout.ms", "30000", None),
            ("linger.ms", "1.5", None),
            ("fetch.min.bytes", "0x10", None),
            ("compression.type", "lz4", None),
            ("compression.type", "zstd", None),
            ("foo.bar", "1", Some("is not a property of librdkafka; leave it out")),
            (
                "session.timeout",
                "1",
                Some("is not a property of librdkafka; the nearest is session.timeout.ms"),
            ),
            ("session.timeout.ms", "abc", Some("\"abc\" is not a valid value")),
            ("session.timeout.ms", "30s", Some("\"30s\" would be read as 30")),
            ("session.timeout.ms", "0", Some("\"0\" is not within 1..3600000")),
            ("check.crcs", "maybe", Some("\"maybe\" is neither true nor false")),
            ("security.protocol", "TLS", Some("\"TLS\" is not a valid value")),
            ("compression.type", "best", Some("\"best\" is not a valid value")),
            ("sasl.jaas.config", "x", Some("librdkafka refuses it: ")),
        ] {
            let message = problem_of(name, value);
            match expected {
                None => assert_eq!(message, None, "{name} = {value}"),
                Some(begin) => assert!(
                    message.as_ref().is_some_and(|message| message.starts_with(begin)),
                    "{name} = {value}: {message:?}"
                ),
            }
        }
    }

    #[test]
    fn errors_do_not_mention_how_librdkafka_was_built() {
        for message in [
            "Configuration property \"https.ca.pem\" not supported in this build: libcurl not available at build time",
            "Unsupported value \"zstd\" for configuration property \"compression.type\": libzstd not available at build time",
            "Unsupported value \"ssl\" for configuration property \"security.protocol\": OpenSSL not available at build time",
        ] {
            let (problem, remedy) = explain(message, "\"v\"");
            assert_eq!(remedy.contains("feature tls"), message.contains("ssl"), "{remedy}");
            assert!(problem.contains("not compiled into this program"), "{problem}");
            assert!(!format!("{problem} {remedy}").contains("build"), "{problem}; {remedy}");
        }
    }

    #[test]
    fn errors_do_not_quote_masked_values() {
        for (name, value) in [
            ("security.protocol", "S3CR3T"),
            ("session.timeout.ms", "S3CR3T"),
            ("debug", "S3CR3T"),
        ] {
            let fault = fault(name, value, "\"***\"").unwrap();
            assert!(
                !format!("{} {}", fault.problem, fault.remedy).contains(value),
                "{name}: {}",
                fault.problem
            );
        }
    }
}
