//! The JSON Schema of a configuration file, for editors. The keys and their types come from `raw`, the defaults and
//! descriptions from `config/default.toml`.
//!
//! The schema accepts everything that [`Config::load`](super::Config::load) accepts. It does not contain rules that
//! concern several keys, for example that a token is required beyond loopback. It conforms to draft 7, which the TOML
//! language servers support.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use toml::Table;

use super::merge::DEFAULTS;
use super::raw::{KEYS, Kind};

/// `${NAME}` in a string. Its value is known only when the program starts.
const VARIABLE: &str = r"\$\{[A-Za-z0-9_]+\}";

/// Returns the JSON Schema of a configuration file.
pub fn schema() -> Value {
    let descriptions = descriptions();
    let defaults: Table = DEFAULTS.parse().unwrap_or_default();
    let mut sections = Map::new();
    for (path, kind) in KEYS {
        let schema = key_schema(*kind, default_of(&defaults, path), descriptions.get(*path));
        let Some((section, key)) = path.split_once('.') else {
            sections.insert((*path).to_owned(), schema);
            continue;
        };
        let entry = sections
            .entry(section)
            .or_insert_with(|| section_schema(descriptions.get(section)));
        entry["properties"][key] = schema;
    }
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Configuration of alerttrail",
        "type": "object",
        "properties": sections,
        "additionalProperties": false,
        "definitions": {
            "property": {
                "anyOf": [
                    { "type": ["string", "number", "boolean"] },
                    { "type": "object", "additionalProperties": { "$ref": "#/definitions/property" } },
                ],
            },
        },
    })
}

fn section_schema(description: Option<&String>) -> Value {
    let mut schema = json!({ "type": "object", "properties": {}, "additionalProperties": false });
    if let Some(description) = description {
        schema["description"] = json!(description);
    }
    schema
}

fn key_schema(kind: Kind, default: Option<Value>, description: Option<&String>) -> Value {
    let mut schema = value_schema(kind);
    if let Some(description) = description {
        schema["description"] = json!(description);
    }
    if let Some(default) = default {
        // If the default is an empty string, an empty string is allowed.
        if default == "" && schema.get("anyOf").is_some() {
            schema["anyOf"] = json!([{ "const": "" }, { "anyOf": schema["anyOf"] }]);
        }
        schema["default"] = default;
    }
    schema
}

/// Returns the schema of values of this kind.
fn value_schema(kind: Kind) -> Value {
    match kind {
        Kind::Text => json!({ "type": "string" }),
        Kind::Choice(words) => text(&json!({ "enum": words })),
        Kind::Secret => json!({ "type": "string", "minLength": 1, "writeOnly": true }),
        Kind::Time => {
            let time = json!({ "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]" });
            text(&json!({ "anyOf": [{ "enum": ["earliest", "latest"] }, time] }))
        }
        Kind::Duration => text(&json!({ "pattern": r"^\s*(0|[0-9].*[A-Za-zµ])\s*$" })),
        Kind::Size => text(&json!({ "pattern": r"^\s*[0-9]" })),
        Kind::Integer => json!({ "type": "integer" }),
        Kind::Boolean => json!({ "type": "boolean" }),
        Kind::Texts => json!({ "type": "array", "items": { "type": "string" } }),
        Kind::KeyPaths => key_paths(),
        Kind::Links => links(),
        Kind::Ignore => {
            let values = json!({ "type": "array", "items": { "type": "string" }, "minItems": 1 });
            json!({ "type": "array", "items": table(&json!({ "path": path(), "values": values }), &["path", "values"]) })
        }
        Kind::Properties => json!({ "type": "object", "additionalProperties": { "$ref": "#/definitions/property" } }),
        Kind::Tenants => json!({ "type": "object", "additionalProperties": { "type": "string" }, "minProperties": 1 }),
    }
}

/// Returns the schema of a string of this form, or with a variable in it.
fn text(form: &Value) -> Value {
    json!({ "type": "string", "anyOf": [form, { "pattern": VARIABLE }] })
}

fn path() -> Value {
    json!({ "type": "string", "minLength": 1 })
}

/// Returns the schema of a table that has only these keys.
fn table(properties: &Value, required: &[&str]) -> Value {
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

fn key_paths() -> Value {
    let texts = json!({ "type": "array", "items": { "type": "string" } });
    let properties = json!({
        "path": path(),
        "match": { "type": "string" },
        "strip_prefix": { "anyOf": [{ "type": "string" }, texts] },
        "decode": text(&json!({ "enum": ["url"] })),
    });
    let single = json!({ "anyOf": [path(), table(&properties, &["path"])] });
    let parts = json!({ "type": "array", "items": single, "minItems": 1 });
    let entry = json!({ "anyOf": [path(), table(&properties, &["path"]), table(&json!({ "parts": parts }), &["parts"])] });
    json!({ "type": "array", "items": entry, "minItems": 1 })
}

fn links() -> Value {
    let scalar = json!({ "type": ["string", "integer", "boolean"] });
    let values = json!({ "anyOf": [scalar, { "type": "array", "items": scalar, "minItems": 1 }] });
    let conditions = json!({ "type": "object", "additionalProperties": values });
    let duration = value_schema(Kind::Duration);
    let mut properties = json!({
        "name": text(&json!({ "pattern": "^[a-z0-9-]{1,32}$" })),
        "from": { "type": "string" },
        "key": key_paths(),
        "activity_key": key_paths(),
        "from_where": conditions,
        "where": conditions,
        "bounds": value_schema(Kind::Choice(&["exclusive", "inclusive"])),
        "before": duration,
        "after": duration,
        "around": value_schema(Kind::Choice(&["alert", "activity"])),
        "ignore_case": { "type": "boolean" },
        "retention": duration,
    });
    for (key, description) in link_descriptions() {
        properties[key]["description"] = json!(description);
    }
    json!({ "type": "array", "items": table(&properties, &["name", "key", "activity_key"]) })
}

/// Returns the description of each key of a link. It follows the key on its line in the example in
/// `config/default.toml`.
fn link_descriptions() -> impl Iterator<Item = (&'static str, &'static str)> {
    let lines = DEFAULTS.lines().skip_while(|line| *line != "# [[link]]").skip(1);
    lines.take_while(|line| !line.is_empty()).filter_map(|line| {
        let (key, rest) = line.trim_start_matches("# ").split_once(" = ")?;
        Some((key, rest.split_once(" # ")?.1))
    })
}

fn default_of(defaults: &Table, path: &str) -> Option<Value> {
    let (section, key) = path.split_once('.')?;
    // Values of the types that occur in defaults are the same in JSON.
    serde_json::to_value(defaults.get(section)?.get(key)?).ok()
}

/// Returns the description of each section and key: the comment lines directly above it in `config/default.toml`. The
/// section or key may itself be commented out there.
fn descriptions() -> BTreeMap<String, String> {
    let mut descriptions = BTreeMap::new();
    let (mut section, mut comment) = ("", Vec::new());
    for line in DEFAULTS.lines() {
        let text = line.strip_prefix('#').map(str::trim_start);
        let code = text.unwrap_or(line);
        let name = code
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .map(|name| name.trim_matches(['[', ']']));
        let key = code.split_once(" = ").map(|(key, _)| format!("{section}.{key}"));
        if let Some(name) = name.filter(|name| is_known(name)) {
            section = name.split('.').next().unwrap_or(name);
            descriptions.insert(name.to_owned(), comment.join(" "));
            comment.clear();
        } else if let Some(key) = key.filter(|key| is_known(key)) {
            descriptions.insert(key, comment.join(" "));
            comment.clear();
        } else if let Some(text) = text {
            comment.push(text);
        } else {
            comment.clear();
        }
    }
    descriptions.retain(|_, description| !description.is_empty());
    descriptions
}

/// Returns whether this is a section or the path of a key.
fn is_known(name: &str) -> bool {
    let mut paths = KEYS.iter().map(|(path, _)| *path);
    paths.any(|path| path == name || path.split('.').next() == Some(name))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::Config;
    use super::*;

    #[test]
    fn every_key_has_a_description_and_the_default_of_the_file() {
        let descriptions = descriptions();
        for (path, _) in KEYS {
            assert!(
                descriptions.contains_key(*path),
                "{path} has no comment in config/default.toml"
            );
        }
        let schema = schema();
        let topics = &schema["properties"]["input"]["properties"]["topics"];
        assert_eq!(topics["default"], json!(["cloudappevents", "securityalert"]));
        let token = &schema["properties"]["http"]["properties"]["token"];
        assert_eq!(token.get("default"), None);
        let description = token["description"].as_str().unwrap();
        assert!(description.starts_with("Required when listening beyond"), "{description}");
    }

    #[test]
    fn a_link_has_the_keys_that_are_read() {
        let schema = schema();
        let properties = &schema["properties"]["link"]["items"]["properties"];
        let keys: BTreeSet<&str> = properties.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, BTreeSet::from(super::super::links::SETTINGS));
        assert!(properties["where"]["description"].is_string(), "{properties}");
    }

    #[test]
    fn the_words_of_a_choice_are_those_that_are_taken() {
        let mut count = 0;
        for (path, kind) in KEYS {
            let Kind::Choice(words) = kind else { continue };
            count += 1;
            let (section, key) = path.split_once('.').unwrap();
            let text = format!("[{section}]\n{key} = \"no such word\"\n");
            let errors = Config::from_text("file", &text, std::iter::empty()).unwrap_err().to_string();
            let all: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
            let expected = format!("; use {}", all.join(" or "));
            assert!(errors.ends_with(&expected), "{path}: {errors}");
        }
        assert!(count > 5, "{count}");
    }
}
