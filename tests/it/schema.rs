//! The JSON Schema of the configuration accepts what the program accepts, and refuses what editors should mark.

use std::fs;
use std::path::{Path, PathBuf};

use jsonschema::Validator;
use serde_json::Value;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn validator() -> Validator {
    let schema = alerttrail::config::schema();
    jsonschema::draft7::meta::validate(&schema).unwrap();
    jsonschema::validator_for(&schema).unwrap()
}

/// Returns the errors of a TOML document.
fn schema_errors(validator: &Validator, text: &str) -> Vec<String> {
    let document = json(text.parse::<toml::Table>().unwrap().into());
    let errors = validator.iter_errors(&document);
    errors
        .map(|error| format!("{} at {}", error, error.instance_path()))
        .collect()
}

/// Returns the document as language servers see it: a time is a string.
fn json(value: toml::Value) -> Value {
    match value {
        toml::Value::Datetime(time) => time.to_string().into(),
        toml::Value::Array(list) => list.into_iter().map(json).collect(),
        toml::Value::Table(table) => table.into_iter().map(|(key, value)| (key, json(value))).collect(),
        other => serde_json::to_value(other).unwrap(),
    }
}

/// Returns the files of a folder with this extension, with their paths.
fn texts(folder: &Path, ending: &str) -> Vec<(String, String)> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let paths = paths.filter(|path| path.extension().is_some_and(|found| found == ending));
    paths
        .map(|path| (path.display().to_string(), fs::read_to_string(&path).unwrap()))
        .collect()
}

#[test]
fn every_example_fits_the_schema() {
    let validator = validator();
    let mut files = texts(&root().join("config"), "toml");
    files.extend(texts(&root().join("config/links"), "toml"));
    assert!(files.len() >= 4, "{files:?}");
    for (path, text) in files {
        assert_eq!(schema_errors(&validator, &text), [""; 0], "{path}");
    }
    let mut count = 0;
    let mut pages = texts(&root().join("docs"), "md");
    pages.extend(texts(&root().join("docs/guides"), "md"));
    pages.extend(texts(&root(), "md"));
    for (path, text) in pages {
        for block in text.split("```toml\n").skip(1) {
            count += 1;
            let block = block.split("```").next().unwrap();
            assert_eq!(schema_errors(&validator, block), [""; 0], "{path}:\n{block}");
        }
    }
    assert!(count > 10, "{count} blocks");
}

/// Returns the block of text that follows this line in a YAML file, without its indentation.
fn block<'a>(yaml: &'a str, key: &str) -> String {
    let begin = yaml.find(key).unwrap_or_else(|| panic!("there is no {key}")) + key.len();
    let lines: Vec<&'a str> = yaml[begin..].lines().skip(1).collect();
    let indentation = lines[0].len() - lines[0].trim_start().len();
    let inside = |line: &&&str| line.is_empty() || line.len() - line.trim_start().len() >= indentation;
    let lines = lines.iter().take_while(inside);
    lines
        .map(|line| line.get(indentation..).unwrap_or_default().to_owned() + "\n")
        .collect()
}

#[test]
fn deployment_files_are_valid_and_of_this_version() {
    let read = |path: &str| fs::read_to_string(root().join(path)).unwrap();
    let (manifest, values) = (read("deploy/kubernetes.yaml"), read("deploy/helm/alerttrail/values.yaml"));
    let validator = validator();
    for text in [
        block(&manifest, "\n  alerttrail.toml: |"),
        block(&values, "\nconfiguration: |"),
        read("deploy/debian/alerttrail.toml"),
    ] {
        assert!(text.contains("/var/lib/alerttrail"), "{text}");
        assert_eq!(schema_errors(&validator, &text), [""; 0], "{text}");
        let token = ("ALERTTRAIL_TOKEN".to_owned(), "0123456789abcdef".to_owned());
        if let Err(errors) = alerttrail::config::Config::from_text("file", &text, [token].into_iter()) {
            panic!("{errors}\n{text}");
        }
    }
    let version = env!("CARGO_PKG_VERSION");
    let chart = read("deploy/helm/alerttrail/Chart.yaml");
    assert!(
        chart.contains(&format!("\nversion: {version}\nappVersion: {version}\n")),
        "{chart}"
    );
    assert!(manifest.contains(&format!("alerttrail:{version}\n")));
}

#[test]
fn every_valid_form_fits_the_schema() {
    let validator = validator();
    for text in [
        "input.start = 2026-03-01T10:00:00Z",
        "input.start = \"2026-03-01 10:00:00+01:00\"",
        "input.start = \"${START}\"",
        "output.format = \"${FORMAT}\"",
        "state = { retention = \"1h 30m\", memory = \"1000000\" }",
        "watermark = { max_wait = \"${HOURS}h\", max_window_ahead = \"\", idle_timeout = \"2min\" }",
        "[kafka.properties]\nsecurity.protocol = \"SSL\"\n\"check.crcs\" = true\nlinger.ms = 0.5",
        "[[input.ignore]]\npath = \"type\"\nvalues = [\"heartbeat\"]",
        "[tenants]\n\"11111111-2222-3333-4444-555555555555\" = \"w\"",
        "correlation.alert_key = [{ parts = [\"A\", { path = \"B[].C\", match = \"^(.*)$\", strip_prefix = [\"a\", \"b\"] }] }]",
        "[[link]]\nname = \"user\"\nkey = [\"A\"]\nactivity_key = [\"B\"]\nwhere = { C = [1, true, \"d\"], E = \"f\" }\nafter = \"1h\"",
    ] {
        assert_eq!(schema_errors(&validator, text), [""; 0], "{text}");
    }
}

#[test]
fn the_schema_refuses_what_the_program_refuses() {
    let validator = validator();
    for text in [
        "[output]\nformta = \"ecs\"",
        "[outputs]\nformat = \"ecs\"",
        "topics = [\"one\"]",
        "output.format = \"esc\"",
        "input.topics = \"one\"",
        "input.start = \"yesterday\"",
        "state.memory = 512",
        "state.retention = \"\"",
        "watermark.max_wait = \"soon\"",
        "http.insecure = \"true\"",
        "repartition.partitions = 8.5",
        "correlation.alert_key = []",
        "correlation.alert_key = [{ path = \"A\", prefix = \"dl\" }]",
        "input.ignore = [{ path = \"type\" }]",
        "kafka.properties = { \"linger.ms\" = [1] }",
        "tenants = {}",
        "[[link]]\nname = \"user\"\nkey = [\"A\"]",
        "[[link]]\nname = \"user\"\nkey = [\"A\"]\nactivity_key = [\"B\"]\nwhen = \"now\"",
        "[[link]]\nname = \"Us er\"\nkey = [\"A\"]\nactivity_key = [\"B\"]",
        "correlation.alert_key = [{ parts = [] }]",
    ] {
        assert_ne!(schema_errors(&validator, text), [""; 0], "{text}");
        let environment = [("HOURS".to_owned(), "1".to_owned())];
        let loaded = alerttrail::config::Config::from_text("file", text, environment.into_iter());
        assert!(loaded.is_err(), "the program accepts {text}");
    }
}
