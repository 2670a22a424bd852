use std::path::Path;
use std::time::Duration;

use super::*;
use crate::config::Preset;

#[test]
fn without_settings_the_defaults_apply() {
    let config = Config::defaults().unwrap();
    assert_eq!(config, Config::load(None, std::iter::empty()).unwrap());
    assert_eq!(config.application.id, "alerttrail");
    assert_eq!(config.kafka.bootstrap_servers, "127.0.0.1:9092");
    assert_eq!(config.repartition.topic, "alerttrail-correlation-repartition");
    assert_eq!(config.repartition.partitions, 8);
    assert_eq!(config.watermark.interval, Duration::from_millis(200));
    assert_eq!(config.watermark.out_of_orderness, Duration::from_secs(300));
    assert_eq!(config.watermark.idle_timeout, Duration::from_secs(60));
    assert_eq!(config.watermark.max_wait, Duration::from_secs(3_600));
    assert_eq!(config.watermark.max_future_skew, Duration::from_secs(600));
    assert_eq!(config.watermark.max_window_ahead, None);
    assert_eq!(config.state.retention, Duration::from_secs(30 * 86_400));
    assert_eq!(config.state.memory, 512_000_000);
    assert_eq!(config.output.topic, "alert-activities");
    assert_eq!(config.output.summary_topic, None);
    assert_eq!(config.output.dead_letter_topic, "alerttrail-dead-letters");
    assert_eq!(config.http.listen, Some("127.0.0.1:8686".parse().unwrap()));
    assert_eq!(config.decode, crate::decode::Settings::default());
    assert!(config.kafka.properties.is_empty());
    assert_eq!(config.warnings(), [""; 0]);
}

#[test]
fn each_layer_overrides_the_one_before() {
    let preset =
        "kafka.preset = \"event-hubs\"\nkafka.bootstrap_servers = \"broker:9093\"\nkafka.properties.sasl.mechanism = \"PLAIN\"\n";
    let with_preset = config(preset);
    assert_eq!(with_preset.watermark.interval, Duration::from_secs(1));
    assert_eq!(with_preset.state.retention, Duration::from_secs(5 * 86_400));
    let file = format!("{preset}watermark.interval = \"2s\"\nstate.retention = \"4d\"");
    let environment = [("ALERTTRAIL_STATE__RETENTION", "3d")];
    let with_all = load(&file, &environment).unwrap();
    assert_eq!(with_all.watermark.interval, Duration::from_secs(2));
    assert_eq!(with_all.state.retention, Duration::from_secs(3 * 86_400));
    assert_eq!(with_all.watermark.idle_timeout, Duration::from_secs(60));
}

#[test]
fn a_variable_may_choose_the_preset() {
    let environment = [
        ("ALERTTRAIL_KAFKA__PRESET", "event-hubs"),
        ("ALERTTRAIL_KAFKA__BOOTSTRAP_SERVERS", "broker"),
        ("ALERTTRAIL_KAFKA__PROPERTIES__SASL_MECHANISM", "PLAIN"),
    ];
    let config = load("", &environment).unwrap();
    assert_eq!(config.kafka.preset, Preset::EventHubs);
    assert_eq!(config.kafka.bootstrap_servers, "broker:9093");
    assert_eq!(config.state.retention, Duration::from_secs(5 * 86_400));
}

#[test]
fn variables_are_strings_or_toml_depending_on_the_key() {
    let environment = [
        ("ALERTTRAIL_APPLICATION__ID", "42"),
        ("ALERTTRAIL_INPUT__TOPICS", "[\"one\", \"two\"]"),
        ("ALERTTRAIL_INPUT__START", "2026-03-01T10:00:00Z"),
        ("ALERTTRAIL_REPARTITION__PARTITIONS", "3"),
        ("ALERTTRAIL_CORRELATION__IGNORE_CASE", "true"),
        (
            "ALERTTRAIL_CORRELATION__ALERT_KEY",
            "[{ path = \"VendorOriginalId\", strip_prefix = \"dl\" }]",
        ),
        ("ALERTTRAIL_STATE__MEMORY", "64MB"),
        ("ALERTTRAIL_KAFKA__PROPERTIES__SASL_MECHANISM", "PLAIN"),
        ("ALERTTRAIL_TENANTS__1111_22_33", "Workspace"),
        ("ALERTTRAIL_OUTPUT__SUMMARY_TOPIC", ""),
        ("ALERTTRAIL_HTTP__LISTEN", ""),
    ];
    let config = load("[output]\nsummary_topic = \"summaries\"", &environment).unwrap();
    assert_eq!(config.application.id, "42");
    assert_eq!(config.input.topics, ["one", "two"]);
    assert_eq!(config.repartition.partitions, 3);
    assert!(config.decode.ignore_case);
    assert_eq!(config.decode.alert_key[0].paths()[0].strip_prefix, ["dl"]);
    assert_eq!(config.state.memory, 64_000_000);
    assert_eq!(config.kafka.properties["sasl.mechanism"].expose(), "PLAIN");
    assert_eq!(
        config.decode.tenants.unwrap().with_workspace_id("workspace"),
        Some("1111-22-33")
    );
    assert_eq!(config.output.summary_topic, None);
    assert_eq!(config.http.listen, None);
}

#[test]
fn a_table_with_free_names_may_be_set_by_one_variable() {
    let environment = [("ALERTTRAIL_KAFKA__PROPERTIES", "{ \"client.rack\" = \"one\" }")];
    assert_eq!(
        load("", &environment).unwrap().kafka.properties["client.rack"].expose(),
        "one"
    );
}

#[test]
fn a_variable_of_the_wrong_type_is_named() {
    assert_eq!(
        errors_with(
            "",
            &[
                ("ALERTTRAIL_INPUT__TOPICS", "one,two"),
                ("ALERTTRAIL_REPARTITION__PARTITIONS", "many")
            ]
        ),
        [
            "input.topics (set by ALERTTRAIL_INPUT__TOPICS): is a string; write a list of strings, such as [\"one\", \"two\"]",
            "repartition.partitions (set by ALERTTRAIL_REPARTITION__PARTITIONS): is a string; write a whole number",
        ]
    );
    assert_eq!(
        errors_with("", &[("ALERTTRAIL_STATE__RETENTION", "long")]),
        [
            "state.retention (set by ALERTTRAIL_STATE__RETENTION): \"long\" is not a duration of at most a hundred years; \
             write a number with a unit, such as \"200ms\", \"5m\" or \"30d\""
        ]
    );
}

#[test]
fn the_error_for_an_unknown_variable_names_the_nearest() {
    assert_eq!(
        errors_with(
            "",
            &[("ALERTTRAIL_KAFKA__BOOTSTRAP_SERVER", "x"), ("ALERTTRAIL_STAT__DIR", "x")]
        ),
        [
            "ALERTTRAIL_KAFKA__BOOTSTRAP_SERVER: unknown setting; the nearest is ALERTTRAIL_KAFKA__BOOTSTRAP_SERVERS",
            "ALERTTRAIL_STAT__DIR: unknown setting; the nearest is ALERTTRAIL_STATE__DIR",
        ]
    );
}

#[test]
fn variables_that_are_no_settings_are_ignored() {
    let environment = [
        ("ALERTTRAIL_LOG", "debug"),
        ("ALERTTRAIL_TOKEN", "x"),
        ("ALERTTRAIL_TEST_KAFKA", "x"),
        ("ALERTTRAIL_TEST_KAFKA__BROKER", "x"),
        ("ALERTTRAIL_SERVICE_HOST", "10.0.0.1"),
        ("ALERTTRAIL_PORT_8686_TCP", "tcp://10.0.0.1:8686"),
        ("OTHER__STATE__DIR", "x"),
    ];
    assert_eq!(load("", &environment).unwrap(), Config::defaults().unwrap());
}

#[test]
fn a_variable_with_a_missing_underscore_causes_a_warning() {
    let config = load("", &[("ALERTTRAIL_STATE_DIR", "/data")]).unwrap();
    assert_eq!(
        config.warnings(),
        [
            "the environment variable ALERTTRAIL_STATE_DIR is ignored; if it is meant as a setting, rename it to ALERTTRAIL_STATE__DIR"
        ]
    );
    let used = load(
        "state.dir = \"${ALERTTRAIL_STATE_DIR}\"",
        &[("ALERTTRAIL_STATE_DIR", "/data")],
    )
    .unwrap();
    assert_eq!(used.state.dir, Path::new("/data"));
    assert_eq!(used.warnings(), [""; 0]);
}

#[test]
fn variables_are_expanded_in_strings_of_the_file() {
    let file = r#"
        input.topics = ["${A}-one", "$two$"]
        state.dir = "/x/$${A}/${A}${B_2}/$"
        correlation.alert_key = [{ path = "${A}.b" }]
    "#;
    let topics = errors_with(file, &[("A", "a"), ("B_2", "b")]);
    assert_eq!(
        topics.len(),
        1,
        "a lone $ stands for itself, which is not valid in a topic name: {topics:?}"
    );
    let config = load(&file.replace("$two$", "two"), &[("A", "a"), ("B_2", "b")]).unwrap();
    assert_eq!(config.input.topics, ["a-one", "two"]);
    assert_eq!(config.state.dir, Path::new("/x/${A}/ab/$"));
    assert_eq!(config.decode.alert_key[0].paths()[0].path.names(), ["a", "b"]);
}

#[test]
fn values_of_variables_are_not_expanded() {
    let config = load("state.dir = \"${A}\"", &[("A", "${B}")]).unwrap();
    assert_eq!(config.state.dir, Path::new("${B}"));
    let config = load("", &[("ALERTTRAIL_STATE__DIR", "${B}")]).unwrap();
    assert_eq!(config.state.dir, Path::new("${B}"));
}

#[test]
fn a_missing_variable_is_named_with_its_key() {
    assert_eq!(
        error("state.dir = \"/x/${NOWHERE}\""),
        "state.dir: uses the environment variable NOWHERE, which is not set; set NOWHERE, or write $${NOWHERE} for a literal ${NOWHERE}"
    );
    for wrong in ["${", "${}", "${A", "${A-B}", "a${ b}"] {
        let error = error(&format!("state.dir = \"{wrong}\""));
        assert!(
            error.starts_with("state.dir: contains a ${ that does not begin a ${NAME}"),
            "{wrong}: {error}"
        );
    }
}

#[test]
fn secrets_are_never_printed() {
    let environment = [("SECRET", CANARY)];
    let everywhere = r#"
        input.topics = ["${SECRET} "]
        input.start = "${SECRET}"
        input.identity = "${SECRET}"
        output.topic = "${SECRET}!"
        output.dead_letter_topic = "${SECRET}!"
        watermark.interval = "${SECRET}"
        state.memory = "${SECRET}"
        state.retention = "${SECRET}"
        kafka.preset = "${SECRET}"
        kafka.bootstrap_servers = "${SECRET}:x"
        kafka.connection_string = "${SECRET}"
        http.listen = "${SECRET}"
        http.token = "${SECRET} "
        correlation.alert_key = ["${SECRET}..x"]
        tenants = { a = "${SECRET}", b = "${SECRET}" }
        application.id = "${SECRET}!"
    "#;
    let found = load(everywhere, &environment).unwrap_err();
    assert!(found.len() >= 14, "{found}");
    assert!(!found.to_string().contains(CANARY), "{found}");
    assert!(!format!("{found:?}").contains(CANARY), "{found:?}");

    let typed = [
        ("ALERTTRAIL_KAFKA__CONNECTION_STRING", CANARY),
        ("ALERTTRAIL_HTTP__TOKEN", "S3CR3T-canary with space"),
    ];
    let found = load("", &typed).unwrap_err();
    assert!(found.len() == 2 && !found.to_string().contains(CANARY), "{found}");

    let good = "[kafka.properties]\nclient.rack = \"${SECRET}\"\n\"ssl.key.password\" = \"S3CR3T-canary\"\n[http]\ntoken = \"${SECRET}\"";
    let config = load(good, &environment).unwrap();
    assert_eq!(config.kafka.properties["client.rack"].expose(), CANARY);
    let printed = format!(
        "{config:?} {} {:?}",
        config.kafka.properties["client.rack"],
        config.warnings()
    );
    assert!(!printed.contains(CANARY), "{printed}");
}

#[test]
fn a_connection_string_in_the_wrong_place_is_not_printed() {
    let error = error("kafka.bootstrap_servers = \"Endpoint=sb://x/;SharedAccessKeyName=n;SharedAccessKey=S3CR3T-canary\"");
    assert!(
        error.contains("\"***\" is not a list of servers") && !error.contains(CANARY),
        "{error}"
    );
}

#[test]
fn invalid_toml_is_located_but_not_quoted() {
    let cases = [
        "a = 1\nkafka.connection_string = S3CR3T-canary",
        "a = 1\n  token = \"S3CR3T-canary",
        "a = 1\ntoken = \"x\" S3CR3T-canary",
        "a = 1\n[S3CR3T-canary",
        "a = 1\ntoken = \"\\S3CR3T-canary\"",
        "a = 1\ntoken = 'x'\ntoken = 'S3CR3T-canary'",
        "a = 1\ntoken = [S3CR3T-canary]",
        "a = 1\ntoken = 5S3CR3T-canary",
        "a = 1\ntoken = 2026-13-01S3CR3T-canary",
        "a = 1\nS3CR3T-canary",
    ];
    for file in cases {
        let error = error(file);
        assert!(error.starts_with("test.toml, line "), "{error}");
        assert!(!error.contains("canary"), "{error}");
    }
    let error = error("[state]\n  dir = = 5");
    assert!(error.starts_with("test.toml, line 2, column 9: "), "{error}");
}

#[test]
fn files_with_windows_line_ends_are_read() {
    let config = load("\u{feff}[state]\r\ndir = \"x\"\r\n", &[]).unwrap();
    assert_eq!(config.state.dir, Path::new("x"));
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let missing = Path::new("no/such/file.toml");
    let error = Config::load(Some(missing), std::iter::empty()).unwrap_err().to_string();
    assert!(
        error.starts_with("cannot read the configuration file no/such/file.toml: "),
        "{error}"
    );
}

#[test]
fn reading_only_http_reports_only_errors_there() {
    let http = |file: &str, environment: &[(&str, &str)]| {
        let http = build::only_http(Some(("test.toml", file)), &variables(environment));
        http.map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    let other_sections = "state.memory = 5\nkafka.connection_string = \"${NOT_SET}\"\nno_such = 1\n";
    let found = http(
        &format!("{other_sections}http.listen = \"127.0.0.1:9000\"\nhttp.token = \"{CANARY}\""),
        &[],
    )
    .unwrap();
    assert_eq!(found.listen.unwrap().port(), 9000);
    assert_eq!(found.token.unwrap().expose(), CANARY);
    let over = ("ALERTTRAIL_HTTP__LISTEN", "127.0.0.1:9001");
    assert_eq!(http(other_sections, &[over]).unwrap().listen.unwrap().port(), 9001);
    let wrong = http(
        &format!("{other_sections}http.listn = 1\nhttp.listen = \"x\""),
        &[("ALERTTRAIL_HTTP__TOKN", "x")],
    )
    .unwrap_err();
    assert_eq!(wrong.len(), 3, "{wrong:#?}");
    assert_eq!(
        http("[http", &[]).unwrap_err().len(),
        1,
        "a text that is not TOML has no http settings"
    );
}
