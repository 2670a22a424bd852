//! Whether librdkafka has a property and takes a value for it, asked of the library itself. It looks at one property at
//! a time and connects to nothing; which properties go together is found out where clients are made.

/// The names of librdkafka's properties that a file may hold, one a line, from the library's CONFIGURATION.md.
const NAMES: &str = include_str!("librdkafka-2.12.1.txt");

/// Returns the names of librdkafka's properties.
pub fn property_names() -> impl Iterator<Item = &'static str> {
    NAMES.lines()
}

/// What is wrong with a property, and what to do.
#[cfg(feature = "kafka")]
pub(super) struct Fault {
    /// What is wrong.
    pub(super) problem: String,
    /// What to do.
    pub(super) remedy: String,
}

/// Finds what is wrong with a property; `quoted` is its value as it may be printed.
#[cfg(feature = "kafka")]
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
                remedy: "write the number alone, in the unit that the property's name says".to_owned(),
            })
        }
        Err(KafkaError::ClientConfig(RD_KAFKA_CONF_UNKNOWN, ..)) => {
            let problem = "is no property of librdkafka".to_owned();
            match nearest(name) {
                Some(nearest) => fault(problem, &format!("the nearest is {nearest}")),
                None => fault(problem, "leave it out, or look its name up in librdkafka's CONFIGURATION.md"),
            }
        }
        Err(KafkaError::ClientConfig(_, said, ..)) => {
            let (problem, remedy) = in_words(&said, quoted);
            fault(problem, remedy)
        }
        Err(_) => fault(format!("{quoted} is no value for it"), "write a string without zero bytes"),
    }
}

/// Whether only the beginning of a value was read as a number: `"30s"` as 30.
#[cfg(feature = "kafka")]
fn is_cut(value: &str, read: &str) -> bool {
    let value = value.trim();
    let begins = value.starts_with(|c: char| c.is_ascii_digit());
    begins && value.parse::<f64>().is_err() && read.parse::<f64>().is_ok() && !value.to_ascii_lowercase().starts_with("0x")
}

/// Puts what librdkafka says of a value into words of ours, which never hold a value that may not be printed.
#[cfg(feature = "kafka")]
fn in_words(said: &str, quoted: &str) -> (String, &'static str) {
    if said.contains("not supported in this build") {
        return ("sets up what is not compiled into this program".to_owned(), "leave it out");
    }
    if said.starts_with("Unsupported value") {
        let remedy = match said.contains("OpenSSL") {
            true => "use PLAINTEXT, or a program that has the feature tls, as the whole program does",
            false => "use another value",
        };
        return (format!("{quoted} is not compiled into this program"), remedy);
    }
    if said.starts_with("Expected bool value") {
        return (format!("{quoted} is neither true nor false"), "use true or false");
    }
    if let Some((_, range)) = said.split_once("is outside allowed range ") {
        return (
            format!("{quoted} is not within {}", range.trim()),
            "use a number within these",
        );
    }
    if said.starts_with("Invalid value") {
        return (
            format!("{quoted} is no value for it"),
            "use one that librdkafka's CONFIGURATION.md lists for it",
        );
    }
    // What is left is about the name, such as that of a property that only Java clients have.
    (
        format!("librdkafka refuses it: {}", said.trim().trim_end_matches('.')),
        "leave it out",
    )
}

/// Returns the name that is spelled most alike, if any is alike.
#[cfg(feature = "kafka")]
fn nearest(name: &str) -> Option<&'static str> {
    const ALIKE: f64 = 0.6;
    let likeness = |known: &&str| strsim::normalized_damerau_levenshtein(name, known);
    let nearest = property_names().max_by(|one, other| likeness(one).total_cmp(&likeness(other)))?;
    (likeness(&nearest) >= ALIKE).then_some(nearest)
}

#[cfg(all(test, feature = "kafka"))]
mod tests {
    use super::*;

    fn said(name: &str, value: &str) -> Option<String> {
        fault(name, value, &format!("{value:?}")).map(|fault| format!("{}; {}", fault.problem, fault.remedy))
    }

    #[test]
    fn every_listed_name_is_known_to_the_library() {
        let native = rdkafka::config::ClientConfig::new().create_native_config().unwrap();
        for name in property_names() {
            // One without a default is known and has no value.
            let unknown = matches!(
                native.get(name),
                Err(rdkafka::error::KafkaError::ClientConfig(
                    rdkafka::types::RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN,
                    ..
                ))
            );
            let refused = said(name, "1").is_some_and(|said| said.contains("no property of librdkafka"));
            assert!(!(unknown && refused), "{name}");
        }
    }

    #[test]
    fn names_and_values_are_judged_as_the_library_does() {
        for (name, value, expected) in [
            ("session.timeout.ms", "30000", None),
            ("linger.ms", "1.5", None),
            ("fetch.min.bytes", "0x10", None),
            ("compression.type", "lz4", None),
            ("compression.type", "zstd", None),
            ("foo.bar", "1", Some("is no property of librdkafka; leave it out")),
            (
                "session.timeout",
                "1",
                Some("is no property of librdkafka; the nearest is session.timeout.ms"),
            ),
            ("session.timeout.ms", "abc", Some("\"abc\" is no value for it")),
            ("session.timeout.ms", "30s", Some("\"30s\" would be read as 30")),
            ("session.timeout.ms", "0", Some("\"0\" is not within 1..3600000")),
            ("check.crcs", "maybe", Some("\"maybe\" is neither true nor false")),
            ("security.protocol", "TLS", Some("\"TLS\" is no value for it")),
            ("compression.type", "best", Some("\"best\" is no value for it")),
            ("sasl.jaas.config", "x", Some("librdkafka refuses it: ")),
        ] {
            let said = said(name, value);
            match expected {
                None => assert_eq!(said, None, "{name} = {value}"),
                Some(begin) => assert!(
                    said.as_ref().is_some_and(|said| said.starts_with(begin)),
                    "{name} = {value}: {said:?}"
                ),
            }
        }
    }

    #[test]
    fn nobody_is_told_how_the_library_was_built() {
        for said in [
            "Configuration property \"https.ca.pem\" not supported in this build: libcurl not available at build time",
            "Unsupported value \"zstd\" for configuration property \"compression.type\": libzstd not available at build time",
            "Unsupported value \"ssl\" for configuration property \"security.protocol\": OpenSSL not available at build time",
        ] {
            let (problem, remedy) = in_words(said, "\"v\"");
            assert_eq!(remedy.contains("feature tls"), said.contains("ssl"), "{remedy}");
            assert!(problem.contains("not compiled into this program"), "{problem}");
            assert!(!format!("{problem} {remedy}").contains("build"), "{problem}; {remedy}");
        }
    }

    #[test]
    fn no_sentence_repeats_a_hidden_value() {
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
