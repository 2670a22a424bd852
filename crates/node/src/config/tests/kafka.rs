use super::*;

const STRING: &str = "Endpoint=sb://contoso.servicebus.windows.net/;SharedAccessKeyName=listen;SharedAccessKey=S3CR3T-canary=";

fn event_hubs(more: &str) -> Result<Config, Errors> {
    let file = format!("kafka.preset = \"event-hubs\"\nkafka.connection_string = \"${{EH}}\"\n{more}");
    load(&file, &[("EH", STRING)])
}

fn property<'a>(config: &'a Config, name: &str) -> &'a str {
    config.kafka.properties[name].expose()
}

#[test]
fn the_connection_string_sets_server_and_login() {
    let config = event_hubs("").unwrap();
    assert_eq!(config.kafka.bootstrap_servers, "contoso.servicebus.windows.net:9093");
    assert_eq!(property(&config, "security.protocol"), "SASL_SSL");
    assert_eq!(property(&config, "sasl.mechanism"), "PLAIN");
    assert_eq!(property(&config, "sasl.username"), "$ConnectionString");
    assert_eq!(property(&config, "sasl.password"), STRING);
    assert_eq!(property(&config, "connections.max.idle.ms"), "180000");
    assert_eq!(property(&config, "socket.keepalive.enable"), "true");
    assert_eq!(config.kafka.connection_string.as_ref().unwrap().expose(), STRING);
    assert!(!format!("{config:?}").contains(CANARY));
    assert_eq!(config.warnings(), [""; 0]);
}

#[test]
fn servers_and_protocol_override_the_connection_string() {
    let more = "kafka.bootstrap_servers = \"localhost:9092\"\nkafka.properties.security.protocol = \"SASL_PLAINTEXT\"";
    let config = event_hubs(more).unwrap();
    assert_eq!(config.kafka.bootstrap_servers, "localhost:9092");
    assert_eq!(property(&config, "security.protocol"), "SASL_PLAINTEXT");
    assert_eq!(property(&config, "sasl.mechanism"), "PLAIN");
}

#[test]
fn a_connection_string_is_complete_and_excludes_other_logins() {
    let with = |string: &str| {
        load(
            "kafka = { preset = \"event-hubs\", connection_string = \"${EH}\" }",
            &[("EH", string)],
        )
    };
    for wrong in [
        "contoso.servicebus.windows.net",
        "Endpoint=sb://contoso/",
        "Endpoint=;SharedAccessKeyName=n;SharedAccessKey=k",
        "Endpoint=sb:///;SharedAccessKeyName=n;SharedAccessKey=k",
        "Endpoint=sb://contoso/;SharedAccessKeyName=n;SharedAccessKey=",
        "Endpoint=sb://contoso/;SharedAccessSignature=s",
    ] {
        let errors = with(wrong).unwrap_err().to_string();
        assert!(errors.starts_with("kafka.connection_string: must have the form "), "{errors}");
    }
    assert!(
        with(" ")
            .unwrap_err()
            .to_string()
            .starts_with("kafka.connection_string: is empty")
    );
    let trimmed = with(&format!("{STRING}\n")).unwrap();
    assert_eq!(property(&trimmed, "sasl.password"), STRING);
    let port = with("Endpoint=sb://localhost:5672;SharedAccessKeyName=n;SharedAccessKey=k").unwrap();
    assert_eq!(port.kafka.bootstrap_servers, "localhost:9093");

    let without_preset = load("", &[("ALERTTRAIL_KAFKA__CONNECTION_STRING", STRING)])
        .unwrap_err()
        .to_string();
    assert!(
        without_preset.starts_with(
            "kafka.connection_string (set by ALERTTRAIL_KAFKA__CONNECTION_STRING): is for Event Hubs only; set kafka.preset"
        ),
        "{without_preset}"
    );
    let twice = event_hubs("kafka.properties.sasl.password = \"x\"").unwrap_err().to_string();
    assert!(
        twice.starts_with("kafka.properties.sasl.password: is set together with"),
        "{twice}"
    );
}

#[test]
fn event_hubs_has_no_default_server() {
    assert!(
        error("kafka.preset = \"event-hubs\"").starts_with("kafka.bootstrap_servers: is missing, and Event Hubs has no default")
    );
    let missing = error("kafka = { preset = \"event-hubs\", connection_string = \"${NOWHERE}\" }");
    assert!(missing.starts_with("kafka.connection_string: uses the environment variable NOWHERE"));
}

#[test]
fn servers_are_hosts_and_ports() {
    let servers = |text: &str| {
        config(&format!("kafka.bootstrap_servers = \"{text}\""))
            .kafka
            .bootstrap_servers
    };
    assert_eq!(servers("one:9092, two:9092"), "one:9092,two:9092");
    assert_eq!(servers("SSL://one"), "SSL://one");
    assert_eq!(servers("[::1]:9092"), "[::1]:9092");
    assert_eq!(servers("[::1]"), "[::1]");
    for wrong in [
        "",
        "one:9092,",
        "one:x",
        "one:0",
        "one:99999",
        ":9092",
        "one two:9092",
        "::1:9092",
        "one/two",
        "a=b",
    ] {
        let error = error(&format!("kafka.bootstrap_servers = \"{wrong}\""));
        assert!(error.contains("is not a list of servers"), "{wrong}: {error}");
    }
}

#[test]
fn properties_may_be_quoted_or_dotted_and_of_any_scalar() {
    let config = config(
        "[kafka.properties]\nsecurity.protocol = \"SSL\"\n\"ssl.ca.location\" = \"/ca\"\nfetch.wait.max.ms = 50\nssl.key.pem = \"k\"
        check.crcs = true\n\"linger.ms\" = 1.5",
    );
    assert_eq!(property(&config, "security.protocol"), "SSL");
    assert_eq!(property(&config, "ssl.ca.location"), "/ca");
    assert_eq!(property(&config, "fetch.wait.max.ms"), "50");
    assert_eq!(property(&config, "check.crcs"), "true");
    assert_eq!(property(&config, "linger.ms"), "1.5");
    assert!(
        error("kafka.properties = { \"check.crcs\" = true, check = { crcs = true } }")
            .contains("kafka.properties.check.crcs: is set twice")
    );
}

#[test]
fn properties_with_secret_names_are_masked() {
    for name in [
        "sasl.password",
        "ssl.key.pem",
        "ssl.key.password",
        "sasl.oauthbearer.client.secret",
        "sasl.oauthbearer.config",
    ] {
        let config = config(&format!("kafka.properties.\"{name}\" = \"{CANARY}\""));
        assert_eq!(property(&config, name), CANARY);
        assert_eq!(config.kafka.properties[name].to_string(), "***");
    }
    for name in ["sasl.jaas.config", "some.token"] {
        assert!(crate::config::raw::is_secret_name(name), "{name}");
    }
    let plain = config("kafka.properties.client.rack = \"r\"");
    assert_eq!(plain.kafka.properties["client.rack"].to_string(), "r");
}

#[test]
fn an_alias_overrides_the_layer_below() {
    let config = event_hubs("kafka.properties.compression.codec = \"gzip\"").unwrap();
    assert_eq!(property(&config, "compression.type"), "gzip");
    assert!(!config.kafka.properties.contains_key("compression.codec"));
    let variable = [("ALERTTRAIL_KAFKA__PROPERTIES__COMPRESSION_CODEC", "lz4")];
    let config = load("kafka.properties.compression.type = \"gzip\"", &variable).unwrap();
    assert_eq!(property(&config, "compression.type"), "lz4");
    let twice = error("kafka.properties.compression = { type = \"gzip\", codec = \"lz4\" }");
    assert!(twice.ends_with("is set under two names; keep one of the two"), "{twice}");
}

#[test]
fn reserved_properties_are_refused_with_the_reason() {
    for name in [
        "bootstrap.servers",
        "metadata.broker.list",
        "enable.auto.commit",
        "enable.auto.offset.store",
        "auto.offset.reset",
        "group.id",
        "transactional.id",
        "enable.idempotence",
        "acks",
        "enable.partition.eof",
    ] {
        let error = error(&format!("kafka.properties.{name} = \"x\""));
        assert!(
            error.starts_with(&format!("kafka.properties.{name}: is set by the program: ")),
            "{error}"
        );
        assert!(error.ends_with("; leave it out"), "{error}");
    }
}

#[test]
fn limits_of_event_hubs_cause_warnings() {
    let warnings = |more: &str| event_hubs(more).unwrap().warnings();
    let warned = [
        (
            "state.retention = \"6d\"",
            "state.retention is 6d, so alerttrail-correlation-repartition must keep its records for 8d",
        ),
        ("repartition.partitions = 33", "repartition.partitions is 33"),
        (
            "output.delivery = \"exactly_once\"",
            "output.delivery = \"exactly_once\" needs transactions",
        ),
    ];
    for (more, expected) in warned {
        let warnings = warnings(more);
        assert!(warnings.len() == 1 && warnings[0].starts_with(expected), "{warnings:?}");
    }
    let one_hub = load(
        "kafka = { preset = \"event-hubs\", connection_string = \"${EH}\" }",
        &[("EH", &format!("{STRING};EntityPath=hub"))],
    );
    assert!(one_hub.unwrap().warnings()[0].starts_with("kafka.connection_string has an EntityPath"));
}

#[test]
fn a_connection_string_is_sent_to_other_machines_only_encrypted() {
    for protocol in ["SASL_PLAINTEXT", "PLAINTEXT", "ssl"] {
        let more = format!("kafka.properties.security.protocol = \"{protocol}\"");
        let errors = event_hubs(&more).unwrap_err().to_string();
        assert!(
            errors.starts_with("kafka.properties.security.protocol: would send the connection string unencrypted"),
            "{errors}"
        );
    }
    assert!(event_hubs("kafka.properties.security.protocol = \"sasl_ssl\"").is_ok());
}

#[test]
fn plaintext_to_another_machine_causes_a_warning() {
    let warned = |servers: &str, protocol: &str| {
        let properties = format!("{{ security.protocol = \"{protocol}\", sasl.mechanism = \"PLAIN\" }}");
        let file = format!("kafka.bootstrap_servers = \"{servers}\"\nkafka.properties = {properties}");
        let warnings = load(&file, &[]).unwrap().warnings();
        warnings.iter().any(|warning| warning.contains("unencrypted"))
    };
    for local in [
        "localhost:9092",
        "127.0.0.1:9092",
        "[::1]:9092",
        "PLAINTEXT://localhost:9092",
        "127.0.0.1:1,127.0.0.2:2",
    ] {
        assert!(!warned(local, "PLAINTEXT"), "{local}");
    }
    for remote in [
        "broker:9092",
        "127.0.0.1:9092,broker:9092",
        "10.0.0.1:9092",
        "[2001:db8::1]:9092",
    ] {
        assert!(warned(remote, "PLAINTEXT") && warned(remote, "sasl_plaintext"), "{remote}");
        assert!(!warned(remote, "SSL") && !warned(remote, "sasl_ssl"), "{remote}");
    }
}

#[test]
fn secrets_include_the_keys_inside_connection_strings() {
    let more = "http.token = \"${T}\"\nkafka.properties.ssl.key.password = \"four\"\nkafka.properties.client.rack = \"${R}\"\n\
                kafka.properties.debug = \"${D}\"\nkafka.properties.client.id = \"plain-and-long\"";
    let file = format!("kafka.preset = \"event-hubs\"\nkafka.connection_string = \"${{EH}}\"\n{more}");
    let variables = [("EH", STRING), ("T", "the-token"), ("R", "long-enough"), ("D", "all")];
    let config = load(&file, &variables).unwrap();
    let secrets: Vec<&str> = config.secrets().collect();
    for secret in [STRING, "S3CR3T-canary=", "the-token", "four", "long-enough"] {
        assert!(secrets.contains(&secret), "{secret}: {secrets:?}");
    }
    assert!(
        !secrets.contains(&"all") && !secrets.contains(&"plain-and-long"),
        "{secrets:?}"
    );
}

#[test]
fn sasl_needs_a_login() {
    let error = error("kafka = { preset = \"event-hubs\", bootstrap_servers = \"contoso.servicebus.windows.net\" }");
    assert!(
        error.starts_with("kafka.connection_string: is missing, and Event Hubs requires a login; set it, or"),
        "{error}"
    );
    assert!(error.contains("\"sasl.mechanism\""), "{error}");
    let with = |more: &str| errors(&format!("[kafka.properties]\nsecurity.protocol = \"sasl_ssl\"\n{more}"));
    assert!(with("")[0].starts_with("kafka.properties.sasl.mechanism: is missing, and a SASL_SSL listener"));
    for kerberos in ["sasl.mechanism = \"gssapi\"", "sasl.mechanisms = \"GSSAPI\""] {
        let errors = with(kerberos);
        assert!(
            errors.len() == 1 && errors[0].contains("is GSSAPI (Kerberos), which this program does not support; use PLAIN"),
            "{errors:?}"
        );
    }
    let plain = "[kafka.properties]\nsecurity.protocol = \"sasl_ssl\"\nsasl = { mechanism = \"PLAIN\", username = \"u\", password = \"p\" }";
    assert!(load(plain, &[]).is_ok());
    assert!(load("kafka.properties.security.protocol = \"ssl\"", &[]).is_ok());
}

#[test]
fn names_of_the_same_hub_are_refused_and_capitals_reported() {
    let names = "application.id = \"SOC-Trail\"\ninput.topics = [\"am-CloudAppEvents\", \"am-SecurityAlert\"]\n\
                 [output]\ntopic = \"Alert-Activities\"\n";
    let twice = format!("{names}dead_letter_topic = \"alert-activities\"");
    let refused = event_hubs(&twice).unwrap_err().to_string();
    assert!(
        refused.starts_with(
            "output.dead_letter_topic: \"alert-activities\" is the same hub as \"Alert-Activities\" of output.topic"
        ),
        "{refused}"
    );
    assert!(
        refused.contains("\nwarning: am-CloudAppEvents (input.topics), "),
        "capitals are named behind errors, too: {refused}"
    );
    assert!(load(&twice, &[]).is_ok(), "to Kafka they are two topics");
    let warnings = event_hubs(names).unwrap().warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    for name in [
        "am-CloudAppEvents (input.topics)",
        "am-SecurityAlert (input.topics)",
        "Alert-Activities (output.topic)",
        "SOC-Trail-correlation-repartition (repartition.topic)",
    ] {
        assert!(warnings[0].contains(name), "{name}: {warnings:?}");
    }
    assert_eq!(load(names, &[]).unwrap().warnings(), [""; 0]);
}
