//! `[correlation]`, `[tenants]` and `input.identity`: what [`decode`](crate::decode) reads.

use std::collections::BTreeSet;
use std::time::Duration;

use toml::{Table, Value};

use super::reader::Reader;
use crate::decode::{Identity, KeyPath, Path, Settings, Tenants};
use crate::time::{Bounds, Widening};

/// Reads the settings that say what joins with what.
pub(super) fn read(reader: &mut Reader<'_>) -> Settings {
    let times = reader.texts("correlation.activity_time");
    Settings {
        activity_key: key_paths(reader, "correlation.activity_key"),
        activity_time: times
            .iter()
            .map(|text| path(reader, "correlation.activity_time", text))
            .collect(),
        alert_key: key_paths(reader, "correlation.alert_key"),
        ignore_case: reader.boolean("correlation.ignore_case"),
        widening: Widening {
            bounds: reader.choice(
                "correlation.bounds",
                &[("exclusive", Bounds::Exclusive), ("inclusive", Bounds::Inclusive)],
            ),
            before: reader.duration("correlation.before", Duration::ZERO),
            after: reader.duration("correlation.after", Duration::ZERO),
        },
        identity: reader.choice(
            "input.identity",
            &[("content", Identity::Content), ("report_id", Identity::ReportId)],
        ),
        tenants: tenants(reader),
    }
}

fn key_paths(reader: &mut Reader<'_>, key: &str) -> Vec<KeyPath> {
    let list = reader
        .value(key)
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    if list.is_empty() {
        reader.wrong(key, "is an empty list", "name one path at least");
    }
    let read = |entry: &Value| match entry {
        Value::Table(entry) => key_path(reader, key, entry),
        entry => KeyPath::from(path(reader, key, entry.as_str().unwrap_or_default())),
    };
    list.iter().map(read).collect()
}

fn key_path(reader: &mut Reader<'_>, key: &str, entry: &Table) -> KeyPath {
    for name in entry.keys().filter(|name| !matches!(name.as_str(), "path" | "strip_prefix")) {
        let likeness = |known| strsim::damerau_levenshtein(name, known);
        let nearest = if likeness("path") <= likeness("strip_prefix") {
            "path"
        } else {
            "strip_prefix"
        };
        let problem = format!("an entry has {name:?}, which there is not");
        reader.wrong(key, problem, format!("the nearest is {nearest:?}"));
    }
    let text = |name| entry.get(name).and_then(Value::as_str);
    let Some(found) = text("path") else {
        reader.wrong(
            key,
            "an entry has no path",
            "write { path = \"VendorOriginalId\", strip_prefix = \"dl\" }",
        );
        return KeyPath::from(Path::new([""]));
    };
    KeyPath {
        path: path(reader, key, found),
        strip_prefix: text("strip_prefix").filter(|prefix| !prefix.is_empty()).map(str::to_owned),
    }
}

fn path(reader: &mut Reader<'_>, key: &str, text: &str) -> Path {
    if text.split('.').any(str::is_empty) {
        let problem = format!("{} is no path", reader.quote(key, text));
        reader.wrong(
            key,
            problem,
            "write names with dots between, such as \"RawEventData.Data.cid\"",
        );
    }
    Path::new(text.split('.'))
}

/// A row tells its tenant by either id, so neither may stand for two.
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
