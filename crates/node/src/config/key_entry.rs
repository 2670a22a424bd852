//! The entries of lists of keys: a path, a table around it, or a composite.

use toml::{Table, Value};

use super::reader::Reader;
use crate::decode::{Coding, KeyEntry, KeyPath, Path, Pattern};
use crate::words::{ALIKE, nearest};

/// Reads a list of entries, which must not be empty. `key` is its name in errors.
pub(super) fn read_all(reader: &mut Reader<'_>, key: &str, list: &[Value]) -> Vec<KeyEntry> {
    if list.is_empty() {
        reader.wrong(key, "is an empty list", "name one path at least");
    }
    list.iter().map(|entry| read(reader, key, entry)).collect()
}

fn read(reader: &mut Reader<'_>, key: &str, entry: &Value) -> KeyEntry {
    let parts = entry.as_table().and_then(|entry| Some((entry, entry.get("parts")?)));
    let Some((entry, parts)) = parts else {
        return KeyEntry::Path(read_path(reader, key, entry));
    };
    for name in entry.keys().filter(|name| *name != "parts") {
        let problem = format!("an entry has {name:?} beside parts");
        reader.wrong(
            key,
            problem,
            "write it inside a part: { parts = [{ path = \"…\", match = \"…\" }, …] }",
        );
    }
    let parts = parts.as_array().map(Vec::as_slice).unwrap_or_default();
    if parts.is_empty() {
        reader.wrong(
            key,
            "an entry has no parts",
            "write { parts = [\"AlertType\", \"Entities[].AadUserId\"] }",
        );
    }
    KeyEntry::Parts(parts.iter().map(|part| read_path(reader, key, part)).collect())
}

fn read_path(reader: &mut Reader<'_>, key: &str, entry: &Value) -> KeyPath {
    match entry {
        Value::String(text) => KeyPath::from(path(reader, key, text)),
        Value::Table(entry) => read_table(reader, key, entry),
        _ => {
            reader.wrong(
                key,
                "has an entry that is neither a path nor a table",
                "write \"Entities[].AadUserId\"",
            );
            KeyPath::from(Path::new([""]))
        }
    }
}

fn read_table(reader: &mut Reader<'_>, key: &str, entry: &Table) -> KeyPath {
    known(reader, key, entry);
    let Some(found) = entry.get("path").and_then(Value::as_str) else {
        reader.wrong(
            key,
            "an entry has no path",
            "write { path = \"VendorOriginalId\", strip_prefix = \"dl\" }",
        );
        return KeyPath::from(Path::new([""]));
    };
    let path = path(reader, key, found);
    let pattern = entry.get("match").and_then(|expression| {
        let expression = text(reader, key, "match", expression)?;
        let pattern = Pattern::new(expression);
        if let Err(problem) = &pattern {
            reader.wrong(key, format!("match {problem}"), "write one such as match = \"^([^@]+)@\"");
        }
        pattern.ok()
    });
    let strip_prefix = match entry.get("strip_prefix") {
        None => Vec::new(),
        Some(Value::Array(list)) => list
            .iter()
            .filter_map(|prefix| text(reader, key, "strip_prefix", prefix))
            .map(str::to_owned)
            .collect(),
        Some(prefix) => text(reader, key, "strip_prefix", prefix)
            .map(str::to_owned)
            .into_iter()
            .collect(),
    };
    let coding = match entry.get("decode") {
        None => Coding::Plain,
        Some(Value::String(coding)) if coding == "url" => Coding::Url,
        Some(_) => {
            reader.wrong(key, "decode is not \"url\"", "write decode = \"url\", or leave it out");
            Coding::Plain
        }
    };
    KeyPath {
        path,
        pattern,
        strip_prefix: strip_prefix.into_iter().filter(|prefix| !prefix.is_empty()).collect(),
        coding,
    }
}

/// Reads a path.
pub(super) fn path(reader: &mut Reader<'_>, key: &str, text: &str) -> Path {
    Path::parse(text).unwrap_or_else(|error| {
        let problem = format!("{} is no path: it {error}", reader.quote(key, text));
        reader.wrong(
            key,
            problem,
            "write names with dots between, such as \"RawEventData.Data.cid\" or \"Entities[].AadUserId\"",
        );
        Path::new([""])
    })
}

/// Reports every unknown name in an entry.
fn known(reader: &mut Reader<'_>, key: &str, entry: &Table) {
    const NAMES: [&str; 4] = ["path", "match", "strip_prefix", "decode"];
    for name in entry.keys().filter(|name| !NAMES.contains(&name.as_str())) {
        let remedy = match nearest(name, NAMES, ALIKE) {
            Some(nearest) => format!("the nearest is {nearest:?}"),
            None => format!("use {}", NAMES.join(", ")),
        };
        reader.wrong(key, format!("an entry has {name:?}, which there is not"), remedy);
    }
}

fn text<'v>(reader: &mut Reader<'_>, key: &str, name: &str, value: &'v Value) -> Option<&'v str> {
    let text = value.as_str();
    if text.is_none() {
        reader.wrong(key, format!("{name} is no string"), "write it in quotation marks");
    }
    text
}

/// Formats an entry as TOML.
pub fn print(entry: &KeyEntry) -> String {
    match entry {
        KeyEntry::Path(path) => print_path(path),
        KeyEntry::Parts(parts) => {
            let parts: Vec<String> = parts.iter().map(print_path).collect();
            format!("{{ parts = [{}] }}", parts.join(", "))
        }
    }
}

fn print_path(entry: &KeyPath) -> String {
    let path = quoted(&entry.path.to_string());
    let mut more = String::new();
    if let Some(pattern) = &entry.pattern {
        more += &format!(", match = {}", quoted(pattern.as_str()));
    }
    match entry.strip_prefix.as_slice() {
        [] => {}
        [prefix] => more += &format!(", strip_prefix = {}", quoted(prefix)),
        prefixes => {
            let prefixes: Vec<String> = prefixes.iter().map(|prefix| quoted(prefix)).collect();
            more += &format!(", strip_prefix = [{}]", prefixes.join(", "));
        }
    }
    if entry.coding == Coding::Url {
        more += ", decode = \"url\"";
    }
    match more.is_empty() {
        true => path,
        false => format!("{{ path = {path}{more} }}"),
    }
}

/// Formats a string as TOML. A library is not used, because its spelling could change with its version.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
