//! The layers of the configuration, each overriding the previous one: defaults, preset, file, environment.

use std::collections::{BTreeMap, BTreeSet};

use toml::{Table, Value};

use super::errors::{Error, Errors};
use super::names::{PREFIX, path_of, variable_of};
use super::raw::{self, Origin, Raw};

/// Every setting with its default, and a comment on each.
pub(super) const DEFAULTS: &str = include_str!("../../../../config/default.toml");
const EVENT_HUBS: &str = include_str!("../../../../config/preset-event-hubs.toml");

/// Prefix of the environment variables that only tests read.
const TESTS: &str = "ALERTTRAIL_TEST_";
/// The name of the only setting whose variable has no levels.
const LINKS: &str = "LINK";

/// The merged layers.
pub(super) struct Merged {
    /// The settings.
    pub(super) raw: Raw,
    /// Variables that look like a setting but are not one, each with the name that was probably meant.
    pub(super) ignored: Vec<(String, String)>,
}

/// Merges the layers. `file` consists of its name, for errors, and its text. Errors in a layer are reported, and the
/// value of the layer below is used instead.
pub(super) fn merge(file: Option<(&str, &str)>, environment: &BTreeMap<String, String>, errors: &mut Errors) -> Merged {
    let mut used = BTreeSet::new();
    let file = match file.map(|(name, text)| parse(name, text)) {
        Some(Ok(table)) => {
            let mut layer = Raw::from_table(table, &Origin::File, errors);
            interpolate(&mut layer, environment, &mut used, errors);
            layer
        }
        Some(Err(error)) => {
            errors.push(error);
            Raw::default()
        }
        None => Raw::default(),
    };
    let variables = from_environment(environment, &used, errors);
    let mut raw = built_in("config/default.toml", DEFAULTS, errors);
    let preset = [&variables, &file].into_iter().find_map(|layer| layer.0.get("kafka.preset"));
    if preset.is_some_and(|preset| preset.value.as_str() == Some("event-hubs")) {
        raw.0.extend(built_in("config/preset-event-hubs.toml", EVENT_HUBS, errors).0);
    }
    raw.0.extend(file.0);
    raw.0.extend(variables.0);
    Merged {
        raw,
        ignored: ignored(environment, &used),
    }
}

fn built_in(name: &str, text: &str, errors: &mut Errors) -> Raw {
    match parse(name, text) {
        Ok(table) => Raw::from_table(table, &Origin::BuiltIn, errors),
        Err(error) => {
            errors.push(error);
            Raw::default()
        }
    }
}

/// Parses TOML. Errors do not quote the line, as the parser's own error would.
fn parse(name: &str, text: &str) -> Result<Table, Error> {
    text.parse::<Table>().map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.rsplit('\n').next().unwrap_or_default();
        Error::Syntax {
            file: name.to_owned(),
            line: before.matches('\n').count() + 1,
            column: line.chars().count() + 1,
            problem: error.message().lines().next().unwrap_or("this is not valid TOML").to_owned(),
        }
    })
}

/// Replaces `${NAME}` in the strings of the file by the values of environment variables.
fn interpolate(layer: &mut Raw, environment: &BTreeMap<String, String>, used: &mut BTreeSet<String>, errors: &mut Errors) {
    layer.0.retain(|path, setting| {
        let mut names = BTreeSet::new();
        let result = fill(&mut setting.value, environment, &mut names);
        setting.hidden |= !names.is_empty();
        used.append(&mut names);
        if let Err((problem, remedy)) = &result {
            errors.push(Error::Value {
                key: path.clone(),
                variable: None,
                problem: problem.clone(),
                remedy: remedy.clone(),
            });
        }
        result.is_ok()
    });
}

/// A problem and its remedy.
type Wrong = (String, String);

fn fill(value: &mut Value, environment: &BTreeMap<String, String>, names: &mut BTreeSet<String>) -> Result<(), Wrong> {
    match value {
        Value::String(text) => {
            *text = expand(text, environment, names)?;
            Ok(())
        }
        Value::Array(list) => list.iter_mut().try_for_each(|entry| fill(entry, environment, names)),
        Value::Table(table) => table.iter_mut().try_for_each(|(_, entry)| fill(entry, environment, names)),
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => Ok(()),
    }
}

/// Returns `text` with every `${NAME}` replaced. `$${` represents `${` itself, and any other `$` represents itself.
fn expand(text: &str, environment: &BTreeMap<String, String>, names: &mut BTreeSet<String>) -> Result<String, Wrong> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("${") {
        if let Some(before) = before.strip_suffix('$') {
            expanded.push_str(before);
            expanded.push_str("${");
            rest = behind;
            continue;
        }
        let unreadable = || {
            (
                "contains a ${ that does not begin a ${NAME}".to_owned(),
                "close it with } around a name of letters, digits and _, or write $${ for a literal ${".to_owned(),
            )
        };
        let (name, behind) = behind.split_once('}').ok_or_else(unreadable)?;
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(unreadable());
        }
        let value = environment.get(name).ok_or_else(|| {
            (
                format!("uses the environment variable {name}, which is not set"),
                format!("set {name}, or write $${{{name}}} for a literal ${{{name}}}"),
            )
        })?;
        names.insert(name.to_owned());
        expanded.push_str(before);
        expanded.push_str(value);
        rest = behind;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

/// Returns the settings from environment variables. A variable that the file uses as `${NAME}` need not be a setting.
fn from_environment(environment: &BTreeMap<String, String>, used: &BTreeSet<String>, errors: &mut Errors) -> Raw {
    let mut layer = Raw::default();
    for (name, value) in environment {
        let is_setting = |levels: &&str| levels.contains("__") || *levels == LINKS;
        let Some(levels) = name.strip_prefix(PREFIX).filter(is_setting) else {
            continue;
        };
        if name.starts_with(TESTS) {
            continue;
        }
        let path = path_of(levels);
        match raw::kind_of(&path) {
            None if used.contains(name) => {}
            None => errors.push(Error::Unknown {
                key: name.clone(),
                nearest: variable_of(raw::nearest_key(&path)),
            }),
            Some(kind) => {
                let is_entry = kind.is_table() && path != "tenants" && path != "kafka.properties";
                let origin = Origin::Variable(name.clone());
                let value = if kind.is_string() || is_entry {
                    Value::String(value.clone())
                } else {
                    // A value that is not TOML stays a string, and is reported as one of the wrong type.
                    value.parse().unwrap_or_else(|_| Value::String(value.clone()))
                };
                layer.add(&path, value, &origin, errors);
            }
        }
    }
    layer
}

/// Returns variables such as `ALERTTRAIL_STATE_DIR`, which lack the second `_` between the levels. They are not errors,
/// because container platforms generate names with the same prefix.
fn ignored(environment: &BTreeMap<String, String>, used: &BTreeSet<String>) -> Vec<(String, String)> {
    let meant = |name: &String| {
        let flat = name.strip_prefix(PREFIX)?.to_ascii_lowercase();
        let is_meant = |(key, _): &&(&str, raw::Kind)| key.contains('.') && key.replace('.', "_") == flat;
        raw::KEYS.iter().find(is_meant).map(|(key, _)| variable_of(key))
    };
    let names = environment.keys().filter(|name| !used.contains(*name));
    names.filter_map(|name| Some((name.clone(), meant(name)?))).collect()
}
