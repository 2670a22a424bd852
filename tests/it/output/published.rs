//! The published definitions, and the schemas in `docs`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jsonschema::Validator;
use serde::Deserialize;
use serde_json::Value;

fn read(path: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn validator(path: &str) -> Validator {
    let schema: Value = serde_json::from_str(&read(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    jsonschema::validator_for(&schema).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn errors(validator: &Validator, value: &Value) -> Vec<String> {
    let errors = validator.iter_errors(value);
    errors
        .map(|error| format!("{} at {}", error, error.instance_path()))
        .collect()
}

/// The JSON Schemas: OCSF's classes, and our own formats.
pub(super) struct Schemas {
    ocsf: BTreeMap<u64, Validator>,
    ours: BTreeMap<&'static str, Validator>,
}

impl Schemas {
    pub(super) fn load() -> Self {
        let classes = [(0, "base_event"), (2006, "data_security_finding"), (6003, "api_activity")];
        let class = |(uid, name)| (uid, validator(&format!("tests/definitions/ocsf-1.8.0-{name}.json")));
        let format = |(name, _)| (name, validator(&format!("docs/schemas/{name}.schema.json")));
        Self {
            ocsf: classes.into_iter().map(class).collect(),
            ours: super::FORMATS.into_iter().map(format).collect(),
        }
    }

    /// Returns the errors of a record according to OCSF's definition of its class.
    pub(super) fn ocsf(&self, record: &Value) -> Vec<String> {
        let class = record["class_uid"].as_u64().and_then(|uid| self.ocsf.get(&uid));
        let Some(class) = class else {
            return vec![format!("there is no class {}", record["class_uid"])];
        };
        let mut errors = errors(class, record);
        let number = |name: &str| record[name].as_u64().unwrap_or(u64::MAX / 200);
        // The standard states this rule only in words, in its text on type_uid.
        if number("type_uid") != number("class_uid") * 100 + number("activity_id") {
            errors.push("type_uid does not follow from class_uid and activity_id".into());
        }
        errors
    }

    /// Returns the errors of a record according to the schema in `docs`.
    pub(super) fn ours(&self, name: &str, record: &Value) -> Vec<String> {
        errors(&self.ours[name], record)
    }
}

/// ECS's definition of a field.
#[derive(Deserialize)]
struct Field {
    #[serde(rename = "type")]
    kind: String,
    is_list: bool,
    allowed_values: Option<Vec<String>>,
}

/// ECS has no schema for documents, but it defines every field: each field of a document must be defined and have the
/// defined form.
pub(super) struct Ecs(BTreeMap<String, Field>);

impl Ecs {
    pub(super) fn load() -> Self {
        Self(serde_json::from_str(&read("tests/definitions/ecs-8.17.0.json")).unwrap())
    }

    /// Returns the errors of a document. Custom fields have their own namespace, as ECS requires.
    pub(super) fn errors(&self, document: &Value) -> Vec<String> {
        let mut errors = Vec::new();
        for (name, value) in document.as_object().unwrap() {
            if name != "alerttrail" {
                self.field(name, value, &mut errors);
            }
        }
        for required in ["@timestamp", "ecs"] {
            if document.get(required).is_none() {
                errors.push(format!("there is no {required}"));
            }
        }
        errors
    }

    fn field(&self, name: &str, value: &Value, errors: &mut Vec<String>) {
        match (self.0.get(name), value) {
            (None, Value::Object(fields)) if !fields.is_empty() => {
                for (inner, value) in fields {
                    self.field(&format!("{name}.{inner}"), value, errors);
                }
            }
            (None, _) => errors.push(format!("there is no field {name}")),
            (Some(field), Value::Array(items)) if field.is_list && !items.is_empty() => {
                items.iter().for_each(|item| field.check(name, item, errors));
            }
            (Some(field), _) if field.is_list => errors.push(format!("{name} is no list")),
            (Some(field), value) => field.check(name, value, errors),
        }
    }
}

impl Field {
    fn check(&self, name: &str, value: &Value, errors: &mut Vec<String>) {
        let fits = match self.kind.as_str() {
            "keyword" | "wildcard" | "constant_keyword" | "text" | "match_only_text" => value.is_string(),
            "long" => value.is_i64() || value.is_u64(),
            "date" => value.as_str().is_some_and(is_date),
            "ip" => value.as_str().is_some_and(|text| text.parse::<std::net::IpAddr>().is_ok()),
            other => panic!("nothing is known of the type {other} of {name}"),
        };
        if !fits {
            errors.push(format!("{name} is no {}: {value}", self.kind));
        }
        if let (Some(allowed), Some(text)) = (&self.allowed_values, value.as_str())
            && !allowed.iter().any(|allowed| allowed == text)
        {
            errors.push(format!("{name} may not be {text}"));
        }
    }
}

/// Returns true if the text is a time by Elasticsearch's `strict_date_optional_time`, with a zone.
fn is_date(text: &str) -> bool {
    text.len() <= "2026-03-01T10:00:00.000000000Z".len()
        && text.as_bytes().get(10) == Some(&b'T')
        && text.ends_with('Z')
        && alerttrail::decode::parse_time(text).is_some()
}

#[test]
fn wrong_records_are_found() {
    let (schemas, ecs) = (Schemas::load(), Ecs::load());
    let finding = serde_json::json!({
        "class_uid": 2006, "activity_id": 7, "type_uid": 200607, "category_uid": 2, "severity_id": 1, "time": 0,
        "metadata": { "version": "1.8.0", "product": { "name": "x" } }, "finding_info": {}, "made_up": 1
    });
    let errors = schemas.ocsf(&finding).join("\n");
    for part in ["\"uid\" is a required", "'made_up'", "7 is not one of"] {
        assert!(errors.contains(part), "{part} in {errors}");
    }
    let document = serde_json::json!({
        "@timestamp": "yesterday", "event": { "kind": "hit", "made_up": 1 }, "related": { "ip": "192.0.2.1" }, "source": { "ip": "x" }
    });
    assert_eq!(
        ecs.errors(&document),
        [
            "@timestamp is no date: \"yesterday\"",
            "event.kind may not be hit",
            "there is no field event.made_up",
            "related.ip is no list",
            "source.ip is no ip: \"x\"",
            "there is no ecs",
        ]
    );
}
