//! `[correlation]`, `[[link]]`, `[alert]`, `[tenants]`, `input.identity` and `input.ignore`: the settings of
//! [`decode`](crate::decode).

use std::collections::BTreeSet;
use std::time::Duration;

use toml::Value;

use super::key_entry::{self, path};
use super::links;
use super::reader::Reader;
use crate::decode::{AlertColumns, Identity, Ignore, KeyEntry, Path, Settings, Tenants};
use crate::time::{Bounds, Widening};

/// Reads the settings that determine what is joined.
pub(super) fn read(reader: &mut Reader<'_>) -> Settings {
    Settings {
        activity_key: key_paths(reader, "correlation.activity_key"),
        activity_time: paths(reader, "correlation.activity_time"),
        alert_key: key_paths(reader, "correlation.alert_key"),
        alert: AlertColumns {
            id: paths(reader, "alert.id"),
            version: paths(reader, "alert.version"),
            start: paths(reader, "alert.start"),
            end: paths(reader, "alert.end"),
        },
        ignore_case: reader.boolean("correlation.ignore_case"),
        widening: Widening {
            bounds: reader.choice(
                "correlation.bounds",
                &[("exclusive", Bounds::Exclusive), ("inclusive", Bounds::Inclusive)],
            ),
            before: reader.duration("correlation.before", Duration::ZERO),
            after: reader.duration("correlation.after", Duration::ZERO),
        },
        links: links::read(reader),
        identity: reader.choice(
            "input.identity",
            &[("content", Identity::Content), ("report_id", Identity::ReportId)],
        ),
        tenants: tenants(reader),
        ignore: ignore(reader),
    }
}

fn paths(reader: &mut Reader<'_>, key: &str) -> Vec<Path> {
    let texts = reader.texts(key);
    texts.iter().map(|text| path(reader, key, text)).collect()
}

/// Reads `[[input.ignore]]`.
fn ignore(reader: &mut Reader<'_>) -> Vec<Ignore> {
    const KEY: &str = "input.ignore";
    const EXAMPLE: &str = "write { path = \"type\", values = [\"heartbeat\"] }";
    let list = reader
        .value(KEY)
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    let mut read = Vec::with_capacity(list.len());
    for entry in list.iter().filter_map(Value::as_table) {
        if let Some(name) = entry.keys().find(|name| !matches!(name.as_str(), "path" | "values")) {
            reader.wrong(KEY, format!("an entry has {name:?}, which there is not"), EXAMPLE);
        }
        let texts = |value: &Value| -> Option<Vec<String>> {
            value
                .as_array()?
                .iter()
                .map(|text| text.as_str().map(str::to_owned))
                .collect()
        };
        let values = entry.get("values").and_then(texts).unwrap_or_default();
        match entry.get("path").and_then(Value::as_str) {
            Some(text) if !values.is_empty() => read.push(Ignore {
                path: path(reader, KEY, text),
                values,
            }),
            Some(_) => reader.wrong(KEY, "an entry has no values, which are a list of strings", EXAMPLE),
            None => reader.wrong(KEY, "an entry has no path", EXAMPLE),
        }
    }
    read
}

fn key_paths(reader: &mut Reader<'_>, key: &str) -> Vec<KeyEntry> {
    let list = reader
        .value(key)
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    key_entry::read_all(reader, key, list)
}

/// Reads `[tenants]`. A row identifies its tenant by either id, so neither id may belong to two tenants.
fn tenants(reader: &mut Reader<'_>) -> Option<Tenants> {
    let entries = reader.entries("tenants");
    let mut seen = (BTreeSet::new(), BTreeSet::new());
    for (entra, setting) in &entries {
        let key = format!("tenants.{entra}");
        let workspace = setting.value.as_str().unwrap_or_default().trim();
        if entra.trim().is_empty() || workspace.is_empty() {
            reader.wrong(&key, "an id is empty", "write \"<entra tenant id>\" = \"<workspace id>\"");
        } else if !seen.0.insert(entra.to_ascii_lowercase()) {
            reader.wrong(&key, "is listed twice, in other letters", "list each tenant once");
        } else if !seen.1.insert(workspace.to_ascii_lowercase()) {
            let problem = format!("has the workspace {} of another tenant", reader.quote(&key, workspace));
            reader.wrong(&key, problem, "give each tenant a workspace of its own");
        }
    }
    let pairs = entries.iter().map(|(entra, setting)| {
        let workspace = setting.value.as_str().unwrap_or_default();
        (entra.trim().to_owned(), workspace.trim().to_owned())
    });
    (!entries.is_empty()).then(|| Tenants::new(pairs))
}
