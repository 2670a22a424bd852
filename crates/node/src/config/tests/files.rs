use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::*;
use crate::config::raw::KEYS;

const DEFAULTS: &str = include_str!("../../../../../config/default.toml");

/// Returns the setting that a comment contains: `# key = value` or `# [section]`.
fn commented_setting(line: &str) -> Option<&str> {
    let setting = line.strip_prefix("# ")?;
    let key = setting.split(" = ").next()?;
    let is_key = setting.contains(" = ") && key.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    let is_entry = setting.contains(" = ") && key.starts_with('"') && key.ends_with('"') && !key.contains('<');
    (is_key || is_entry || setting.starts_with('[') && setting.ends_with(']')).then_some(setting)
}

fn uncommented() -> String {
    let lines = DEFAULTS.lines().map(|line| commented_setting(line).unwrap_or(line));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_defaults_have_exactly_the_known_keys() {
    let table: toml::Table = uncommented().parse().unwrap();
    let mut named = BTreeSet::new();
    for (section, value) in &table {
        if section == "tenants" || section == "link" {
            named.insert(section.clone());
        } else {
            named.extend(value.as_table().unwrap().keys().map(|key| format!("{section}.{key}")));
        }
    }
    let known: BTreeSet<String> = KEYS.iter().map(|(key, _)| (*key).to_owned()).collect();
    assert_eq!(named, known);
}

#[test]
fn every_default_is_commented_in_the_order_of_the_keys() {
    let lines: Vec<&str> = DEFAULTS.lines().collect();
    let mut position = 0;
    for (key, _) in KEYS {
        let name = key.rsplit('.').next().unwrap();
        let is_key = |line: &&str| {
            let line = commented_setting(line).unwrap_or(line);
            line.starts_with(&format!("{name} = ")) || line == format!("[{key}]") || line == format!("[[{key}]]")
        };
        let found = lines[position..].iter().position(is_key);
        position += found.unwrap_or_else(|| panic!("{key} is missing or out of order"));
        assert!(lines[position - 1].starts_with("# "), "{key} has no comment");
        position += 1;
    }
}

#[test]
fn the_page_lists_every_key_with_its_default_and_marks_what_state_depends_on() {
    let page = include_str!("../../../../../docs/configuration.md");
    let defaults: toml::Table = DEFAULTS.parse().unwrap();
    let settings = Config::defaults().unwrap().state_fingerprint();
    for (path, _) in KEYS {
        let Some((section, name)) = path.split_once('.') else {
            continue;
        };
        let heading = format!("[{section}]");
        let part = page.split("\n## ").find(|part| part.starts_with(&heading)).unwrap();
        let is_row = |line: &&str| line.starts_with("| ") && line.split(" | ").next().unwrap().contains(&format!("`{name}`"));
        let row = part.lines().find(is_row);
        let row = row.unwrap_or_else(|| panic!("{path} is not in docs/configuration.md"));
        let cells: Vec<&str> = row.split(" | ").collect();
        let default = defaults.get(section).and_then(|keys| keys.get(name));
        let default = default.filter(|default| !default.is_table());
        assert_eq!(
            cells[1],
            default.map_or("none".to_owned(), |default| format!("`{default}`")),
            "{path}"
        );
        // Presets are part of the state as the links that they are.
        let depends = *path == "correlation.presets" || settings.iter().any(|(setting, _)| setting == *path);
        assert_eq!(cells[0].contains("(S)"), depends, "{path}");
    }
}

#[test]
fn commented_out_settings_are_valid() {
    let file = uncommented().replace("preset = \"kafka\"", "preset = \"event-hubs\"");
    let string = "Endpoint=sb://contoso.servicebus.windows.net/;SharedAccessKeyName=n;SharedAccessKey=k";
    let environment = [("EVENTHUBS_CONNECTION_STRING", string), ("ALERTTRAIL_TOKEN", CANARY)];
    let config = load(&file, &environment).unwrap();
    assert_eq!(config.decode.links[0].name, "user");
    assert!(config.decode.tenants.is_some() && config.http.token.is_some() && config.output.summary_topic.is_some());
}

#[test]
fn every_file_in_the_folder_is_valid() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config");
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        // The folder also contains the dashboard, the alert rules and the emulator's own settings.
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let mut environment = variables(&[
            (
                "EVENTHUBS_CONNECTION_STRING",
                "Endpoint=sb://contoso.servicebus.windows.net/;SharedAccessKeyName=n;SharedAccessKey=k",
            ),
            ("EVENTHUBS_NAMESPACE", "contoso"),
            ("AZURE_TENANT_ID", "tenant"),
            ("AZURE_CLIENT_ID", "client"),
            ("AZURE_CLIENT_SECRET", CANARY),
            ("ALERTTRAIL_TOKEN", "more-than-sixteen-characters"),
        ]);
        if name == "preset-event-hubs.toml" {
            environment.insert("ALERTTRAIL_KAFKA__BOOTSTRAP_SERVERS".to_owned(), "contoso:9093".to_owned());
            environment.insert("ALERTTRAIL_KAFKA__PROPERTIES__SASL_MECHANISM".to_owned(), "PLAIN".to_owned());
        }
        let config = Config::load(Some(&path), environment.into_iter()).unwrap_or_else(|errors| panic!("{name}: {errors}"));
        // Containers of one machine communicate without TLS, which causes a warning.
        let expected = usize::from(matches!(name.as_str(), "compose.toml" | "event-hubs-emulator.toml"));
        assert_eq!(config.warnings().len(), expected, "{name}: {:?}", config.warnings());
        assert!(!format!("{config:?}").contains(CANARY), "{name}");
        found.push(name);
    }
    found.sort();
    let expected = [
        "default.toml",
        "event-hubs-entra.toml",
        "event-hubs-managed-identity.toml",
        "event-hubs.toml",
        "local.toml",
        "preset-event-hubs.toml",
    ];
    assert!(
        expected.iter().all(|name| found.iter().any(|found| found == name)),
        "{found:?}"
    );
}

#[test]
fn the_entra_example_requests_tokens() {
    let file = include_str!("../../../../../config/event-hubs-entra.toml");
    let environment = [
        ("EVENTHUBS_NAMESPACE", "contoso"),
        ("AZURE_TENANT_ID", "tenant"),
        ("AZURE_CLIENT_ID", "client"),
        ("AZURE_CLIENT_SECRET", CANARY),
    ];
    let kafka = load(file, &environment).unwrap().kafka;
    assert_eq!(kafka.bootstrap_servers, "contoso.servicebus.windows.net:9093");
    assert_eq!(kafka.properties["security.protocol"].expose(), "SASL_SSL");
    assert_eq!(kafka.properties["sasl.mechanism"].expose(), "OAUTHBEARER");
    let endpoint = "https://login.microsoftonline.com/tenant/oauth2/v2.0/token";
    assert_eq!(kafka.properties["sasl.oauthbearer.token.endpoint.url"].expose(), endpoint);
}

#[test]
fn the_example_for_managed_identities_uses_the_metadata_endpoint() {
    let file = include_str!("../../../../../config/event-hubs-managed-identity.toml");
    let environment = [("EVENTHUBS_NAMESPACE", "contoso"), ("AZURE_CLIENT_ID", CANARY)];
    let kafka = load(file, &environment).unwrap().kafka;
    assert_eq!(kafka.bootstrap_servers, "contoso.servicebus.windows.net:9093");
    assert_eq!(kafka.properties["security.protocol"].expose(), "SASL_SSL");
    assert_eq!(kafka.properties["sasl.mechanism"].expose(), "OAUTHBEARER");
    assert_eq!(kafka.properties["sasl.oauthbearer.method"].expose(), "oidc");
    assert_eq!(
        kafka.properties["sasl.oauthbearer.metadata.authentication.type"].expose(),
        "azure_imds"
    );
    // librdkafka treats the text before the first "=" as the name; a comma would begin another pair.
    let expected = format!("query=api-version=2018-02-01&resource=https://contoso.servicebus.windows.net&client_id={CANARY}");
    assert_eq!(kafka.properties["sasl.oauthbearer.config"].expose(), expected);
    for name in [
        "sasl.oauthbearer.client.id",
        "sasl.oauthbearer.client.secret",
        "sasl.oauthbearer.token.endpoint.url",
    ] {
        assert!(!kafka.properties.contains_key(name), "{name}");
    }
}
