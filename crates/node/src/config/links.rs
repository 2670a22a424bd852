//! `[[link]]` and `correlation.presets`: the links besides the query.

use std::collections::BTreeSet;
use std::time::Duration;

use toml::{Table, Value};

use super::key_entry::{self, print, quoted};
use super::reader::Reader;
use super::units::{parse_duration, print_duration};
use crate::decode::{Condition, KeyEntry, Link, QUERY};
use crate::time::{Bounds, Widening};
use crate::words::{ALIKE, nearest};

/// The built-in links, by the names of their presets.
const PRESETS: [(&str, &str); 2] = [
    ("users", include_str!("../../../../config/links/users.toml")),
    ("dlp", include_str!("../../../../config/links/dlp.toml")),
];

/// Maximum number of links besides the query.
const MAX_LINKS: usize = 31;

/// The names of a link's settings.
pub(super) const SETTINGS: [&str; 12] = [
    "name",
    "from",
    "key",
    "activity_key",
    "from_where",
    "where",
    "bounds",
    "before",
    "after",
    "around",
    "ignore_case",
    "retention",
];

const PRESETS_KEY: &str = "correlation.presets";

/// Reads the links of the presets, followed by those of `[[link]]`.
pub(super) fn read(reader: &mut Reader<'_>) -> Vec<Link> {
    let mut links = Vec::new();
    for name in reader.texts_or_none(PRESETS_KEY) {
        match preset(&name).map(str::parse::<Table>) {
            Some(Ok(preset)) => {
                let tables = preset.get("link").and_then(Value::as_array).into_iter().flatten();
                links.extend(read_all(reader, tables));
            }
            Some(Err(_)) | None => {
                let names: Vec<String> = PRESETS.iter().map(|(name, _)| format!("{name:?}")).collect();
                let problem = format!("has {}, which is no preset", reader.quote(PRESETS_KEY, &name));
                reader.wrong(PRESETS_KEY, problem, format!("use {}", names.join(" or ")));
            }
        }
    }
    let tables = reader.value("link").and_then(Value::as_array).into_iter().flatten();
    links.extend(read_all(reader, tables));
    let mut names = BTreeSet::from([QUERY]);
    for link in links.iter().filter(|link| is_name(&link.name)) {
        if !names.insert(&link.name) {
            let problem = match link.name.as_str() {
                QUERY => format!("is {QUERY:?}, the name of the link that [correlation] configures"),
                name => format!("is the name of two links: {name:?}"),
            };
            reader.wrong("link.name", problem, "give each link a name of its own");
        }
    }
    if links.len() > MAX_LINKS {
        let problem = format!("there are {} links", links.len());
        reader.wrong("link", problem, format!("use at most {MAX_LINKS} beside the query"));
    }
    links
}

/// Returns the links of a preset, as TOML.
pub fn preset(name: &str) -> Option<&'static str> {
    PRESETS.iter().find(|(preset, _)| *preset == name).map(|(_, text)| *text)
}

fn read_all<'t>(reader: &mut Reader<'_>, tables: impl Iterator<Item = &'t Value>) -> Vec<Link> {
    let tables = tables.filter_map(Value::as_table).zip(1..);
    tables.map(|(table, number)| read_one(reader, table, number)).collect()
}

fn is_name(name: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=32).contains(&name.len()) && name.chars().all(is_letter)
}

/// Reads the link with this number, counted from 1.
fn read_one(reader: &mut Reader<'_>, table: &Table, number: usize) -> Link {
    let name = table.get("name").and_then(Value::as_str).unwrap_or_default();
    // In errors, a link without a name is identified by its number.
    let mut label = format!("link.{name}");
    if !is_name(name) {
        label = format!("link {number}");
        let problem = match table.get("name") {
            None => format!("link {number} has none"),
            Some(Value::String(name)) => format!("link {number} has {}", reader.quote("link", name)),
            Some(_) => format!("link {number} has one that is no string"),
        };
        let remedy = "write 1 to 32 of a-z, 0-9 and -, such as name = \"user\"";
        reader.wrong("link.name", problem, remedy);
    }
    let mut link = Reading { reader, table, label };
    link.check_names();
    link.refuse_hops();
    Link {
        name: name.to_owned(),
        key: link.keys("key"),
        activity_key: link.keys("activity_key"),
        alert_where: link.conditions("from_where"),
        activity_where: link.conditions("where"),
        ignore_case: link.boolean("ignore_case"),
        widening: Widening {
            bounds: link.bounds(),
            before: link.duration("before").unwrap_or_default(),
            after: link.duration("after").unwrap_or_default(),
        },
        retention: link.duration("retention"),
    }
}

/// The table of a link.
struct Reading<'r, 'a, 't> {
    reader: &'r mut Reader<'a>,
    table: &'t Table,
    /// The label of the link in errors.
    label: String,
}

impl Reading<'_, '_, '_> {
    fn wrong(&mut self, name: &str, problem: impl Into<String>, remedy: impl Into<String>) {
        self.reader.wrong(&format!("{}.{name}", self.label), problem, remedy);
    }

    fn check_names(&mut self) {
        for name in self.table.keys().filter(|name| !SETTINGS.contains(&name.as_str())) {
            let remedy = match nearest(name, SETTINGS, ALIKE) {
                Some(nearest) => format!("the nearest is {nearest}"),
                None => format!("use {}", SETTINGS.join(", ")),
            };
            self.wrong(name, "there is no such setting", remedy);
        }
    }

    /// Refuses links that begin at another link: keys are always taken from the alert, and the window is always around
    /// it.
    fn refuse_hops(&mut self) {
        for name in ["from", "around"] {
            if self.table.get(name).is_some_and(|value| value.as_str() != Some("alert")) {
                self.wrong(
                    name,
                    "is not \"alert\": links that begin at the activities of another link are not supported yet",
                    "write \"alert\", or leave it out",
                );
            }
        }
    }

    fn keys(&mut self, name: &str) -> Vec<KeyEntry> {
        let label = format!("{}.{name}", self.label);
        let problem = match self.table.get(name) {
            Some(Value::Array(list)) => return key_entry::read_all(self.reader, &label, list),
            Some(_) => "is no list",
            None => "is missing",
        };
        let example = match name {
            "key" => "Entities[].AadUserId",
            _ => "AccountObjectId",
        };
        self.wrong(name, problem, format!("write a list such as [{example:?}]"));
        Vec::new()
    }

    fn conditions(&mut self, name: &str) -> Vec<Condition> {
        const EXAMPLE: &str = "write { ActionType = [\"FileDownloaded\"] }";
        let mut conditions = Vec::new();
        let table = match self.table.get(name) {
            None => return conditions,
            Some(Value::Table(table)) => table,
            Some(_) => {
                self.wrong(name, "is no table", EXAMPLE);
                return conditions;
            }
        };
        let label = format!("{}.{name}", self.label);
        for (path, values) in table {
            let values = match values {
                Value::Array(values) => values.as_slice(),
                Value::Table(_) => {
                    let problem = format!("{path} is followed by a dot outside of quotation marks");
                    self.wrong(name, problem, "write { \"RawEventData.Operation\" = [\"FileDownloaded\"] }");
                    continue;
                }
                value => std::slice::from_ref(value),
            };
            let text = |value: &Value| match value {
                Value::String(text) => Some(text.clone()),
                Value::Integer(_) | Value::Boolean(_) => Some(value.to_string()),
                _ => None,
            };
            let texts: Option<Vec<String>> = values.iter().map(text).collect();
            match texts.filter(|texts| !texts.is_empty()) {
                Some(values) => conditions.push(Condition {
                    path: key_entry::path(self.reader, &label, path),
                    values,
                }),
                None => self.wrong(name, format!("{path} has no list of values"), EXAMPLE),
            }
        }
        conditions
    }

    fn boolean(&mut self, name: &str) -> bool {
        match self.table.get(name) {
            None => false,
            Some(Value::Boolean(value)) => *value,
            Some(_) => {
                self.wrong(name, "is no boolean", "write true or false");
                false
            }
        }
    }

    fn bounds(&mut self) -> Bounds {
        match self.table.get("bounds").map(Value::as_str) {
            None | Some(Some("exclusive")) => Bounds::Exclusive,
            Some(Some("inclusive")) => Bounds::Inclusive,
            Some(text) => {
                let problem = match text {
                    Some(text) => format!("is {}", self.reader.quote("link", text)),
                    None => "is no string".to_owned(),
                };
                self.wrong("bounds", problem, "use \"exclusive\" or \"inclusive\"");
                Bounds::Exclusive
            }
        }
    }

    fn duration(&mut self, name: &str) -> Option<Duration> {
        let value = self.table.get(name)?;
        let duration = value.as_str().and_then(parse_duration);
        if duration.is_none() {
            self.wrong(
                name,
                "is no duration of at most a hundred years",
                "write a number with a unit, such as \"1h\" or \"7d\"",
            );
        }
        duration
    }
}

/// Formats a link as one line of TOML, so that equal links are equal lines.
pub(super) fn fingerprint(link: &Link) -> String {
    let keys = |entries: &[KeyEntry]| {
        let entries: Vec<String> = entries.iter().map(print).collect();
        format!("[{}]", entries.join(", "))
    };
    let conditions = |conditions: &[Condition]| {
        let condition = |condition: &Condition| {
            let values: Vec<String> = condition.values.iter().map(|value| quoted(value)).collect();
            format!("{} = [{}]", quoted(&condition.path.to_string()), values.join(", "))
        };
        let conditions: Vec<String> = conditions.iter().map(condition).collect();
        format!("{{ {} }}", conditions.join(", "))
    };
    let mut settings = vec![
        format!("key = {}", keys(&link.key)),
        format!("activity_key = {}", keys(&link.activity_key)),
        format!("ignore_case = {}", link.ignore_case),
        format!("bounds = {}", quoted(link.widening.bounds.as_str())),
        format!("before = {}", quoted(&print_duration(link.widening.before))),
        format!("after = {}", quoted(&print_duration(link.widening.after))),
    ];
    if !link.alert_where.is_empty() {
        settings.push(format!("from_where = {}", conditions(&link.alert_where)));
    }
    if !link.activity_where.is_empty() {
        settings.push(format!("where = {}", conditions(&link.activity_where)));
    }
    if let Some(retention) = link.retention {
        settings.push(format!("retention = {}", quoted(&print_duration(retention))));
    }
    format!("{{ {} }}", settings.join(", "))
}
