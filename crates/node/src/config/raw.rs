//! The shape of the configuration: the keys and the TOML type of each.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::errors::{Error, Errors};

/// The type of a key's value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// A string.
    Text,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A string that is never printed.
    Secret,
    /// A keyword, or a time as a string or in TOML's own notation.
    Time,
    /// A string such as `5m`.
    Duration,
    /// A string such as `512MB`.
    Size,
    /// A whole number.
    Integer,
    /// `true` or `false`.
    Boolean,
    /// A list of strings.
    Texts,
    /// A list of strings and of tables `{ path, match, strip_prefix, decode }` or `{ parts }`.
    KeyPaths,
    /// A list of the tables that `[[link]]` creates.
    Links,
    /// A list of tables `{ path, values }`.
    Ignore,
    /// A table of librdkafka's properties. Names may be quoted, or dotted keys of nested tables.
    Properties,
    /// A table of Entra tenant ids and workspace ids.
    Tenants,
}

impl Kind {
    /// Returns what the user should write instead of a value of the wrong type.
    fn remedy(self) -> &'static str {
        match self {
            Self::Text | Self::Choice(_) | Self::Secret => "write a string in quotation marks",
            Self::Time => "write \"earliest\", \"latest\" or a time such as \"2026-03-01T10:00:00Z\"",
            Self::Duration => "write a string with a unit, such as \"200ms\", \"5m\" or \"30d\"",
            Self::Size => "write a string with a unit, such as \"512MB\"",
            Self::Integer => "write a whole number",
            Self::Boolean => "write true or false",
            Self::Texts => "write a list of strings, such as [\"one\", \"two\"]",
            Self::KeyPaths => "write a list such as [\"AlertType\", { path = \"VendorOriginalId\", strip_prefix = \"dl\" }]",
            Self::Links => "write [[link]] on a line of its own for each, and its keys below",
            Self::Ignore => "write a list of tables, such as [{ path = \"type\", values = [\"heartbeat\"] }]",
            Self::Properties => "write a table of librdkafka's properties, such as { \"security.protocol\" = \"SSL\" }",
            Self::Tenants => "write a table of \"<entra tenant id>\" = \"<workspace id>\"",
        }
    }

    /// Returns whether the value of an environment variable is the string itself, and not TOML.
    pub(super) fn is_string(self) -> bool {
        matches!(
            self,
            Self::Text | Self::Choice(_) | Self::Secret | Self::Time | Self::Duration | Self::Size
        )
    }

    /// Returns whether the key is a table with free names.
    pub(super) fn is_table(self) -> bool {
        matches!(self, Self::Properties | Self::Tenants)
    }
}

/// All keys, in the order of `config/default.toml`.
pub(super) const KEYS: &[(&str, Kind)] = &[
    ("application.id", Kind::Text),
    ("kafka.bootstrap_servers", Kind::Text),
    ("kafka.preset", Kind::Choice(&["kafka", "event-hubs"])),
    ("kafka.connection_string", Kind::Secret),
    ("kafka.properties", Kind::Properties),
    ("input.topics", Kind::Texts),
    ("input.start", Kind::Time),
    ("input.identity", Kind::Choice(&["content", "report_id"])),
    ("input.on_lost_offsets", Kind::Choice(&["fail", "continue"])),
    ("input.ignore", Kind::Ignore),
    ("correlation.activity_key", Kind::KeyPaths),
    ("correlation.activity_time", Kind::Texts),
    ("correlation.alert_key", Kind::KeyPaths),
    ("correlation.ignore_case", Kind::Boolean),
    ("correlation.bounds", Kind::Choice(&["exclusive", "inclusive"])),
    ("correlation.before", Kind::Duration),
    ("correlation.after", Kind::Duration),
    ("correlation.presets", Kind::Texts),
    ("link", Kind::Links),
    ("alert.id", Kind::Texts),
    ("alert.version", Kind::Texts),
    ("alert.start", Kind::Texts),
    ("alert.end", Kind::Texts),
    ("tenants", Kind::Tenants),
    ("repartition.topic", Kind::Text),
    ("repartition.partitions", Kind::Integer),
    ("watermark.interval", Kind::Duration),
    ("watermark.out_of_orderness", Kind::Duration),
    ("watermark.idle_timeout", Kind::Duration),
    ("watermark.max_wait", Kind::Duration),
    ("watermark.max_future_skew", Kind::Duration),
    ("watermark.max_window_ahead", Kind::Duration),
    ("state.dir", Kind::Text),
    ("state.retention", Kind::Duration),
    ("state.memory", Kind::Size),
    ("output.topic", Kind::Text),
    ("output.summary_topic", Kind::Text),
    ("output.unmatched", Kind::Choice(&["omit", "emit"])),
    ("output.alert_updates", Kind::Choice(&["summary", "rows"])),
    ("output.format", Kind::Choice(&["native", "kql", "ocsf", "ecs"])),
    ("output.delivery", Kind::Choice(&["at_least_once", "exactly_once"])),
    ("output.dead_letter_topic", Kind::Text),
    ("http.listen", Kind::Text),
    ("http.token", Kind::Secret),
    ("http.insecure", Kind::Boolean),
    ("http.allowed_hosts", Kind::Texts),
    ("http.advertise", Kind::Text),
];

/// Returns the type of the key at `path`, or of the table with free names that it is an entry of.
pub(super) fn kind_of(path: &str) -> Option<Kind> {
    let matching = |(key, kind): &&(&str, Kind)| {
        let rest = path.strip_prefix(key);
        rest.is_some_and(|rest| rest.is_empty() || kind.is_table() && rest.starts_with('.'))
    };
    KEYS.iter().find(matching).map(|(_, kind)| *kind)
}

/// Returns the key with the spelling most similar to `path`, in any section. The last part of the path counts nearly as
/// much as the whole.
pub(super) fn nearest_key(path: &str) -> &'static str {
    fn name(path: &str) -> &str {
        path.rsplit('.').next().unwrap_or(path)
    }
    let likeness = |key: &str| {
        let whole = strsim::normalized_damerau_levenshtein(path, key);
        whole.max(0.9 * strsim::normalized_damerau_levenshtein(name(path), name(key)))
    };
    nearest(KEYS.iter().map(|(key, _)| *key), likeness)
}

/// Returns the section with the spelling most similar to `name`.
fn nearest_section(name: &str) -> &'static str {
    let sections = KEYS.iter().map(|(key, _)| key.split('.').next().unwrap_or(key));
    nearest(sections, |section| strsim::normalized_damerau_levenshtein(name, section))
}

/// Returns the first of the most similar names.
fn nearest(names: impl Iterator<Item = &'static str>, likeness: impl Fn(&str) -> f64) -> &'static str {
    let better = |best: (&'static str, f64), name: &'static str| {
        let likeness = likeness(name);
        if likeness > best.1 { (name, likeness) } else { best }
    };
    names.fold(("", -1.0), better).0
}

/// The layer of a value. A later layer overrides an earlier one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Origin {
    /// `config/default.toml` or a preset.
    BuiltIn,
    /// The user's file.
    File,
    /// The environment variable of this name.
    Variable(String),
}

/// The value of a key, of the right type. Not `Debug`, because it may be a secret.
pub(super) struct Setting {
    /// The value.
    pub(super) value: Value,
    /// Its layer.
    pub(super) origin: Origin,
    /// Whether it must not be printed.
    pub(super) hidden: bool,
}

/// The settings by path. The path of an entry in a table with free names consists of the table's path and the name.
#[derive(Default)]
pub(super) struct Raw(pub(super) BTreeMap<String, Setting>);

impl Raw {
    /// Returns the settings of a TOML document. Unknown keys and values of the wrong type are omitted and reported.
    pub(super) fn from_table(table: Table, origin: &Origin, errors: &mut Errors) -> Self {
        let mut raw = Self::default();
        for (section, value) in table {
            let keys_begin = format!("{section}.");
            match value {
                value if kind_of(&section).is_some() => raw.add(&section, value, origin, errors),
                Value::Table(keys) if KEYS.iter().any(|(key, _)| key.starts_with(&keys_begin)) => {
                    for (key, value) in keys {
                        raw.add(&format!("{section}.{key}"), value, origin, errors);
                    }
                }
                Value::Table(_) => errors.push(Error::Unknown {
                    nearest: format!("[{}]", nearest_section(&section)),
                    key: format!("[{section}]"),
                }),
                _ if KEYS.iter().any(|(key, _)| key.starts_with(&keys_begin)) => errors.push(Error::Value {
                    problem: "is a section, not a value".to_owned(),
                    remedy: format!("write [{section}] on a line of its own and its keys below"),
                    key: section,
                    variable: None,
                }),
                _ => errors.push(Error::Unknown {
                    nearest: nearest_key(&section).to_owned(),
                    key: section,
                }),
            }
        }
        raw
    }

    /// Adds the value of one key after checking its type. Reports what cannot be added.
    pub(super) fn add(&mut self, path: &str, value: Value, origin: &Origin, errors: &mut Errors) {
        let Some(kind) = kind_of(path) else {
            errors.push(Error::Unknown {
                key: path.to_owned(),
                nearest: nearest_key(path).to_owned(),
            });
            return;
        };
        let is_entry = KEYS.iter().all(|(key, _)| *key != path);
        match (kind, value) {
            (Kind::Tenants, Value::Table(entries)) if !is_entry && entries.is_empty() => errors.push(Error::Value {
                key: path.to_owned(),
                variable: variable(origin),
                problem: "lists no tenant, so every record would have an unknown tenant".to_owned(),
                remedy: "list \"<entra tenant id>\" = \"<workspace id>\", or leave the table out".to_owned(),
            }),
            (Kind::Properties | Kind::Tenants, Value::Table(entries)) if kind == Kind::Properties || !is_entry => {
                for (name, value) in entries {
                    self.add(&format!("{path}.{name}"), value, origin, errors);
                }
            }
            (_, value) if has_shape(kind, is_entry, &value) => {
                let value = match value {
                    // librdkafka accepts only strings.
                    value if kind == Kind::Properties && !value.is_str() => Value::String(value.to_string()),
                    value => value,
                };
                self.put(path, kind, value, origin, errors);
            }
            (_, value) => errors.push(wrong_type(path, kind, is_entry, &value, origin)),
        }
    }

    /// Stores a setting, and reports one that is set twice, which TOML does not prevent: `"a.b"` is also `b` below `a`,
    /// and two variables may differ in case only.
    fn put(&mut self, path: &str, kind: Kind, value: Value, origin: &Origin, errors: &mut Errors) {
        let setting = Setting {
            value,
            origin: origin.clone(),
            hidden: kind == Kind::Secret || kind == Kind::Properties && is_secret_name(path),
        };
        if self.0.insert(path.to_owned(), setting).is_some() {
            errors.push(Error::Value {
                key: path.to_owned(),
                variable: variable(origin),
                problem: "is set twice".to_owned(),
                remedy: "keep one of the two".to_owned(),
            });
        }
    }
}

/// Returns the environment variable that a value came from.
pub(super) fn variable(origin: &Origin) -> Option<String> {
    match origin {
        Origin::Variable(name) => Some(name.clone()),
        Origin::BuiltIn | Origin::File => None,
    }
}

fn has_shape(kind: Kind, is_entry: bool, value: &Value) -> bool {
    let is_path = |entry: &Value| match entry {
        // The contents of the table are checked when they are read.
        Value::Table(_) => true,
        entry => entry.is_str(),
    };
    match kind {
        Kind::Text | Kind::Choice(_) | Kind::Secret | Kind::Duration | Kind::Size => value.is_str(),
        Kind::Time => value.is_str() || value.is_datetime(),
        Kind::Integer => value.is_integer(),
        Kind::Boolean => value.is_bool(),
        Kind::Texts => value.as_array().is_some_and(|list| list.iter().all(Value::is_str)),
        Kind::KeyPaths => value.as_array().is_some_and(|list| list.iter().all(is_path)),
        Kind::Ignore | Kind::Links => value.as_array().is_some_and(|list| list.iter().all(Value::is_table)),
        Kind::Properties => is_entry && (value.is_str() || value.is_integer() || value.is_float() || value.is_bool()),
        Kind::Tenants => is_entry && value.is_str(),
    }
}

/// Returns an error with the type of the value, but not the value, which may be a secret.
fn wrong_type(path: &str, kind: Kind, is_entry: bool, value: &Value, origin: &Origin) -> Error {
    let problem = match value {
        Value::String(_) => "is a string",
        Value::Integer(_) => "is a whole number",
        Value::Float(_) => "is a number with a fraction",
        Value::Boolean(_) => "is a boolean",
        Value::Datetime(_) => "is a time",
        Value::Array(_) if matches!(kind, Kind::Texts | Kind::KeyPaths | Kind::Ignore | Kind::Links) => {
            "is a list with an entry of another type"
        }
        Value::Array(_) => "is a list",
        Value::Table(_) => "is a table",
    };
    Error::Value {
        key: path.to_owned(),
        variable: variable(origin),
        problem: problem.to_owned(),
        remedy: if is_entry { Kind::Text.remedy() } else { kind.remedy() }.to_owned(),
    }
}

/// Returns whether librdkafka's property with this name contains a secret. It is better to hide too many values than
/// too few.
pub(super) fn is_secret_name(name: &str) -> bool {
    const PARTS: [&str; 6] = ["password", "secret", "key", "token", "sasl.jaas", "sasl.oauthbearer.config"];
    let name = name.to_ascii_lowercase();
    PARTS.iter().any(|part| name.contains(part))
}
