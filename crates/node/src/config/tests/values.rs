use std::time::Duration;

use super::*;
use crate::config::{AlertUpdates, Delivery, Format, LostOffsets, Start, Unmatched};
use crate::decode::Identity;
use crate::time::{Bounds, WallTime};

#[test]
fn all_errors_are_reported_at_once() {
    let file = r#"
        kafak.preset = "kafka"
        partitons = 5
        application = 5
        [input]
        topics = "one"
        topic = "one"
        [watermark]
        interval = 200
        idle_timeout = "0s"
        [state]
        retension = "1d"
        [http]
        listen = "localhost"
        lissen = true
    "#;
    assert_eq!(
        errors(file),
        [
            "application: is a section, not a value; write [application] on a line of its own and its keys below",
            "http.lissen: unknown setting; the nearest is http.listen",
            "input.topic: unknown setting; the nearest is input.topics",
            "input.topics: is a string; write a list of strings, such as [\"one\", \"two\"]",
            "[kafak]: unknown setting; the nearest is [kafka]",
            "partitons: unknown setting; the nearest is repartition.partitions",
            "state.retension: unknown setting; the nearest is state.retention",
            "watermark.interval: is a whole number; write a string with a unit, such as \"200ms\", \"5m\" or \"30d\"",
            "watermark.idle_timeout: \"0s\" is too short; use \"1ms\" or longer",
            "http.listen: \"localhost\" is not an IP address with a port; write one such as \"127.0.0.1:8686\" or \"[::1]:8686\", or \"\" \
             to disable it",
        ]
    );
}

#[test]
fn the_nearest_key_may_be_in_another_section() {
    let nearest = |file: &str| error(file).rsplit(' ').next().unwrap().to_owned();
    assert_eq!(nearest("bootstrap_servers = \"x\""), "kafka.bootstrap_servers");
    assert_eq!(nearest("[output]\nretention = \"1d\""), "state.retention");
    assert_eq!(nearest("[kafka]\nbootstrap.servers = \"x\""), "kafka.bootstrap_servers");
    assert_eq!(nearest("[corelation]\nbefore = \"1s\""), "[correlation]");
    assert_eq!(nearest("correlation.activity_keys = []"), "correlation.activity_key");
}

#[test]
fn each_type_is_checked() {
    let types = [
        ("application.id = 5", "is a whole number; write a string in quotation marks"),
        (
            "kafka.connection_string = true",
            "is a boolean; write a string in quotation marks",
        ),
        (
            "state.memory = 5",
            "is a whole number; write a string with a unit, such as \"512MB\"",
        ),
        (
            "repartition.partitions = 1.5",
            "is a number with a fraction; write a whole number",
        ),
        ("correlation.ignore_case = \"true\"", "is a string; write true or false"),
        (
            "correlation.activity_time = [5]",
            "is a list with an entry of another type; write a list of strings",
        ),
        (
            "correlation.alert_key = [[\"x\"]]",
            "is a list with an entry of another type; write a list such as",
        ),
        ("input.start = 5", "is a whole number; write \"earliest\""),
        ("state.dir = 2026-03-01", "is a time; write a string"),
        ("output.topic = {}", "is a table; write a string"),
        ("tenants = 5", "is a whole number; write a table"),
        ("tenants.a = 5", "is a whole number; write a string"),
        ("tenants = {}", "lists no tenant"),
        ("tenants.a = {}", "is a table; write a string"),
        ("kafka.properties = \"x\"", "is a string; write a table"),
        ("kafka.properties.acl = [5]", "is a list; write a string"),
    ];
    for (file, expected) in types {
        let error = error(file);
        assert!(error.contains(expected), "{file}: {error}");
    }
}

#[test]
fn choices_accept_only_known_words() {
    let config = config(
        "input = { on_lost_offsets = \"continue\", identity = \"report_id\", start = \"latest\" }
        correlation.bounds = \"inclusive\"
        output = { unmatched = \"emit\", alert_updates = \"rows\", format = \"kql\", delivery = \"exactly_once\" }",
    );
    assert_eq!(config.input.on_lost_offsets, LostOffsets::Continue);
    assert_eq!(config.input.start, Start::Latest);
    assert_eq!(config.decode.identity, Identity::ReportId);
    assert_eq!(config.decode.widening.bounds, Bounds::Inclusive);
    assert_eq!(config.output.unmatched, Unmatched::Emit);
    assert_eq!(config.output.alert_updates, AlertUpdates::Rows);
    assert_eq!(config.output.format, Format::Kql);
    assert_eq!(config.output.delivery, Delivery::ExactlyOnce);
    assert_eq!(
        error("output.format = \"json\""),
        "output.format: is \"json\"; use \"native\" or \"kql\" or \"ocsf\" or \"ecs\""
    );
    for key in [
        "input.on_lost_offsets",
        "input.identity",
        "correlation.bounds",
        "output.unmatched",
        "output.delivery",
    ] {
        assert!(error(&format!("{key} = \"Other\"")).starts_with(&format!("{key}: is \"Other\"; use ")));
    }
    assert!(error("kafka.preset = \"eventhubs\"").ends_with("use \"kafka\" or \"event-hubs\""));
}

#[test]
fn reading_may_start_at_a_time() {
    let start = |value: &str| config(&format!("input.start = {value}")).input.start;
    let expected = Start::At(WallTime(1_772_359_200_000));
    assert_eq!(start("\"2026-03-01T10:00:00Z\""), expected);
    assert_eq!(start("\"2026-03-01T12:00:00+02:00\""), expected);
    assert_eq!(start("2026-03-01T10:00:00Z"), expected);
    for wrong in [
        "\"2026-03-01T10:00:00\"",
        "2026-03-01",
        "\"now\"",
        "\"\"",
        "\"1969-12-31T23:59:59Z\"",
    ] {
        assert!(
            error(&format!("input.start = {wrong}")).starts_with("input.start: "),
            "{wrong}"
        );
    }
}

#[test]
fn durations_and_numbers_have_limits() {
    config("watermark.out_of_orderness = \"0s\"");
    config("correlation = { before = \"0s\", after = \"0s\" }");
    for key in [
        "watermark.interval",
        "watermark.idle_timeout",
        "watermark.max_wait",
        "watermark.max_future_skew",
        "watermark.max_window_ahead",
        "state.retention",
    ] {
        assert!(error(&format!("{key} = \"0s\"")).contains("is too short"), "{key}");
        assert!(error(&format!("{key} = \"-5m\"")).contains("is not a duration"), "{key}");
    }
    assert!(error("state.retention = \"1000y\"").contains("at most a hundred years"));
    for wrong in ["0", "1001", "-1", "9999999999"] {
        let error = error(&format!("repartition.partitions = {wrong}"));
        assert!(
            error.ends_with(&format!("is {wrong}; use a number from 1 to 1000")),
            "{error}"
        );
    }
    assert!(error("state.memory = \"512\"").ends_with("\"512\" is too small; use 1.0 MB or more, with the unit"));
    assert!(error("state.memory = \"much\"").contains("is not a size"));
}

#[test]
fn topic_names_are_checked() {
    let id = "x".repeat(200);
    assert_eq!(
        config(&format!("application.id = \"{id}\"")).repartition.topic,
        format!("{id}-correlation-repartition")
    );
    assert!(error(&format!("application.id = \"{id}x\"")).contains("longer than 200"));
    for key in [
        "application.id",
        "repartition.topic",
        "output.topic",
        "output.summary_topic",
        "output.dead_letter_topic",
    ] {
        for wrong in ["a b", "a/b", "ü", ".", ".."] {
            let error = error(&format!("{key} = \"{wrong}\""));
            assert!(
                error.starts_with(&format!("{key}: ")) && error.contains("is not a valid topic name"),
                "{error}"
            );
        }
        let long = "x".repeat(250);
        assert!(error(&format!("{key} = \"{long}\"")).contains("is longer than"), "{key}");
    }
    for key in ["application.id", "output.topic", "output.dead_letter_topic"] {
        assert!(error(&format!("{key} = \"\"")).contains("a name is empty"), "{key}");
    }
    assert!(error("input.topics = []").contains("is an empty list"));
    assert!(error("input.topics = [\"a\", \"\"]").contains("a name is empty"));
    assert!(error("state.dir = \" \"").contains("is empty"));
    assert!(error("state.dir = \"~/data\"").contains("only shells expand"));
}

#[test]
fn no_topic_is_used_for_two_things() {
    let shared = [
        (
            "input.topics = [\"a\", \"a\"]",
            "input.topics: names \"a\" twice; name each topic once",
        ),
        (
            "repartition.topic = \"securityalert\"",
            "repartition.topic: \"securityalert\" is also in input.topics; use different topics",
        ),
        (
            "output.topic = \"alerttrail-correlation-repartition\"",
            "output.topic: \"alerttrail-correlation-repartition\" is also in repartition.topic; use different topics",
        ),
        (
            "output.dead_letter_topic = \"alert-activities\"",
            "output.dead_letter_topic: \"alert-activities\" is also in output.topic; use different topics",
        ),
        (
            "output.summary_topic = \"alert-activities\"",
            "output.summary_topic: \"alert-activities\" is also in output.topic; use different topics",
        ),
    ];
    for (file, expected) in shared {
        assert_eq!(error(file), expected);
    }
}

#[test]
fn listening_beyond_this_machine_needs_a_token() {
    for loopback in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
        config(&format!("http.listen = \"{loopback}\""));
    }
    for open in ["0.0.0.0:1", "[::]:1", "10.0.0.1:1"] {
        let file = format!("http.listen = \"{open}\"");
        assert_eq!(
            error(&file),
            "http.token: is missing, but http.listen accepts connections from other machines; set a token, or listen on 127.0.0.1"
        );
        let without = format!("{file}\nhttp.token = \"long enough to be one\"").replace(' ', "");
        assert!(error(&without).starts_with("http.insecure: is false, but http.listen accepts connections from other machines"));
        let file = format!("{file}\nhttp.insecure = true");
        let token = load(&format!("{file}\nhttp.token = \"${{T}}\""), &[("T", CANARY)])
            .unwrap()
            .http
            .token
            .unwrap();
        assert_eq!(token.expose(), CANARY);
        assert!(error(&format!("{file}\nhttp.token = \"\"")).starts_with("http.token: is empty"));
    }
}

#[test]
fn the_retention_must_cover_the_longest_wait() {
    assert_eq!(
        error("state.retention = \"5m\""),
        "state.retention: 5m is not longer than watermark.out_of_orderness, 5m; make it longer, or watermark.out_of_orderness shorter"
    );
    assert!(error("correlation.before = \"31d\"").contains("not longer than correlation.before, 31d"));
    assert!(error("correlation.after = \"30d\"").contains("not longer than correlation.after, 30d"));
    assert_eq!(errors("state.retention = \"x\"\ncorrelation.after = \"30d\"").len(), 1);
}

#[test]
fn paths_must_not_be_empty() {
    let config = config(
        "[correlation]\nactivity_key = [\"RawEventData.AlertId\", { path = \"A\", strip_prefix = \"\" }]
        activity_time = [\"Timestamp\"]\nbefore = \"5m\"\nafter = \"1h\"\n[tenants]\n\"AAAA-1\" = \"BBBB-2\"",
    );
    assert_eq!(
        config.decode.activity_key[0].paths()[0].path.names(),
        ["RawEventData", "AlertId"]
    );
    assert_eq!(config.decode.activity_key[1].paths()[0].strip_prefix, [""; 0]);
    assert_eq!(config.decode.activity_time[0].names(), ["Timestamp"]);
    assert_eq!(config.decode.widening.before, Duration::from_secs(300));
    assert_eq!(config.decode.widening.after, Duration::from_secs(3_600));
    assert_eq!(config.decode.tenants.unwrap().with_entra_id("aaaa-1"), Some("aaaa-1"));
    for key in ["activity_key", "activity_time", "alert_key"] {
        assert!(
            error(&format!("correlation.{key} = []")).contains("is an empty list"),
            "{key}"
        );
        for wrong in ["", "a..b", ".a", "a."] {
            assert!(
                error(&format!("correlation.{key} = [\"{wrong}\"]")).contains("is no path"),
                "{key} {wrong}"
            );
        }
    }
    assert!(error("correlation.alert_key = [{ strip_prefix = \"x\" }]").contains("an entry has no path"));
    assert_eq!(
        error("correlation.alert_key = [{ path = \"x\", strip_prefx = \"x\" }]"),
        "correlation.alert_key: an entry has \"strip_prefx\", which there is not; the nearest is \"strip_prefix\""
    );
}

#[test]
fn a_tenant_may_be_named_by_either_id() {
    assert!(error("tenants = { a = \"x\", A = \"y\" }").contains("is listed twice"));
    assert!(error("tenants = { a = \"x\", b = \"X\" }").contains("has the workspace \"X\" of another tenant"));
    assert!(error("tenants = { a = \"\" }").contains("an id is empty"));
}

#[test]
fn every_format_has_a_name() {
    for (word, format) in [
        ("native", Format::Native),
        ("kql", Format::Kql),
        ("ocsf", Format::Ocsf),
        ("ecs", Format::Ecs),
    ] {
        assert_eq!(config(&format!("output.format = \"{word}\"")).output.format, format);
    }
}

#[test]
fn probable_mistakes_cause_warnings() {
    let warned = [
        (
            "watermark.max_wait = \"2m\"",
            "watermark.max_wait (2m) is shorter than watermark.out_of_orderness (5m)",
        ),
        (
            "watermark = { max_wait = \"1h\", idle_timeout = \"2h\" }",
            "watermark.max_wait (1h) is shorter than watermark.idle_timeout (2h)",
        ),
        (
            "watermark.idle_timeout = \"100ms\"",
            "watermark.idle_timeout (100ms) is shorter than watermark.interval (200ms)",
        ),
        ("watermark.interval = \"5s\"", "watermark.interval is 5s"),
        ("state.retention = \"6h\"", "state.retention is 6h: "),
        ("state.memory = \"8MB\"", "state.memory is 8.0 MB: below 32.0 MB"),
        (
            "output.unmatched = \"emit\"",
            "output.unmatched = \"emit\" does nothing without",
        ),
        ("input.start = \"latest\"", "input.start = \"latest\": "),
        ("http.token = \"short\"", "http.token has fewer than 16 characters"),
        (
            "kafka.properties.enable.ssl.certificate.verification = false",
            "kafka.properties.enable.ssl.certificate.verification is false",
        ),
        (
            "kafka.properties.ssl.endpoint.identification.algorithm = \"none\"",
            "kafka.properties.ssl.endpoint.identification.algorithm is none",
        ),
    ];
    for (file, expected) in warned {
        let warnings = config(file).warnings();
        assert!(
            warnings.len() == 1 && warnings[0].starts_with(expected),
            "{file}: {warnings:?}"
        );
    }
}
