//! Reads values out of the settings and collects what is wrong with them.

use std::str::FromStr;
use std::time::Duration;

use toml::Value;

use super::errors::{Error, Errors};
use super::raw::{self, Raw, Setting};
use super::units::{self, Secret};

/// Reads settings. A value that is wrong is reported, and a stand-in returned: it never gets out, as a configuration with errors is
/// none.
pub(super) struct Reader<'a> {
    raw: &'a Raw,
    errors: Errors,
}

impl<'a> Reader<'a> {
    /// Reads `raw` and adds to `errors`.
    pub(super) fn new(raw: &'a Raw, errors: Errors) -> Self {
        Self { raw, errors }
    }

    /// Everything that was wrong.
    pub(super) fn into_errors(self) -> Errors {
        self.errors
    }

    /// Reports that the key's value cannot be used.
    pub(super) fn wrong(&mut self, key: &str, problem: impl Into<String>, remedy: impl Into<String>) {
        let setting = self.raw.0.get(key);
        self.errors.push(Error::Value {
            key: key.to_owned(),
            variable: setting.and_then(|setting| raw::variable(&setting.origin)),
            problem: problem.into(),
            remedy: remedy.into(),
        });
    }

    /// Whether something wrong with the key, or an entry of the table at it, has been reported.
    pub(super) fn is_wrong(&self, key: &str) -> bool {
        self.errors.concern(key)
    }

    /// Whether the user has set the key, in the file or by a variable.
    pub(super) fn is_set(&self, key: &str) -> bool {
        self.raw
            .0
            .get(key)
            .is_some_and(|setting| setting.origin != raw::Origin::BuiltIn)
    }

    /// `text`, a part of the key's value, for an error: in quotation marks, or hidden when it could be a secret.
    pub(super) fn quote(&self, key: &str, text: &str) -> String {
        const MOST: usize = 100;
        let hidden = self.raw.0.get(key).is_none_or(|setting| setting.hidden);
        if hidden || text.contains("SharedAccess") {
            "\"***\"".to_owned()
        } else if text.chars().count() > MOST {
            format!("{:?}...", text.chars().take(MOST).collect::<String>())
        } else {
            format!("{text:?}")
        }
    }

    /// The value, if the key has one.
    pub(super) fn value(&self, key: &str) -> Option<&'a Value> {
        self.raw.0.get(key).map(|setting| &setting.value)
    }

    /// The entries of the table of free names at the key.
    pub(super) fn entries(&self, key: &str) -> Vec<(&'a str, &'a Setting)> {
        let prefix = format!("{key}.");
        let entries = self.raw.0.iter();
        entries
            .filter_map(|(path, setting)| Some((path.strip_prefix(&prefix)?, setting)))
            .collect()
    }

    /// A string; empty where there is none.
    pub(super) fn text(&self, key: &str) -> &'a str {
        self.value(key).and_then(Value::as_str).unwrap_or_default()
    }

    /// The strings of a list, of which there must be one at least.
    pub(super) fn texts(&mut self, key: &str) -> Vec<String> {
        let list = self
            .value(key)
            .and_then(Value::as_array)
            .map(Vec::as_slice)
            .unwrap_or_default();
        let texts: Vec<String> = list.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        if texts.is_empty() {
            self.wrong(key, "is an empty list", "name one at least");
        }
        texts
    }

    /// The strings of a list, which may be empty or missing.
    pub(super) fn texts_or_none(&self, key: &str) -> Vec<String> {
        let list = self
            .value(key)
            .and_then(Value::as_array)
            .map(Vec::as_slice)
            .unwrap_or_default();
        list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// A secret that may be missing, but not empty: an empty variable is a mistake that would otherwise be found much later.
    pub(super) fn secret(&mut self, key: &str) -> Option<Secret> {
        let text = self.value(key).and_then(Value::as_str)?;
        if text.trim().is_empty() {
            self.wrong(key, "is empty", "give it a value, or leave the key out");
        }
        Some(Secret::new(text.trim()))
    }

    /// One of the words, and what it means.
    pub(super) fn choice<T: Copy + Default>(&mut self, key: &str, words: &[(&str, T)]) -> T {
        let text = self.text(key);
        if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == text) {
            return *meaning;
        }
        let all: Vec<String> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
        let problem = format!("is {}", self.quote(key, text));
        self.wrong(key, problem, format!("use {}", all.join(" or ")));
        T::default()
    }

    /// A duration, `least` or longer.
    pub(super) fn duration(&mut self, key: &str, least: Duration) -> Duration {
        let text = self.text(key);
        match units::parse_duration(text) {
            None => {
                let problem = format!("{} is no duration of at most a hundred years", self.quote(key, text));
                self.wrong(
                    key,
                    problem,
                    "write a number with a unit, such as \"200ms\", \"5m\" or \"30d\"",
                );
                least
            }
            Some(duration) if duration < least => {
                let problem = format!("{} is too short", self.quote(key, text));
                self.wrong(key, problem, format!("use {:?} or longer", units::print_duration(least)));
                least
            }
            Some(duration) => duration,
        }
    }

    /// A size in bytes, `least` or more.
    pub(super) fn size(&mut self, key: &str, least: u64) -> u64 {
        let text = self.text(key);
        match units::parse_size(text) {
            None => {
                let problem = format!("{} is no size", self.quote(key, text));
                self.wrong(key, problem, "write a number with a unit, such as \"512MB\"");
                least
            }
            Some(size) if size < least => {
                let problem = format!("{} is too little", self.quote(key, text));
                self.wrong(
                    key,
                    problem,
                    format!("use {} or more, with the unit", units::print_size(least)),
                );
                least
            }
            Some(size) => size,
        }
    }

    /// A whole number from `least` to `most`.
    pub(super) fn integer(&mut self, key: &str, least: u32, most: u32) -> u32 {
        let number = self.value(key).and_then(Value::as_integer).unwrap_or_default();
        match u32::try_from(number) {
            Ok(number) if (least..=most).contains(&number) => number,
            Ok(_) | Err(_) => {
                self.wrong(key, format!("is {number}"), format!("use a number from {least} to {most}"));
                least
            }
        }
    }

    /// `true` or `false`.
    pub(super) fn boolean(&self, key: &str) -> bool {
        self.value(key).and_then(Value::as_bool).unwrap_or_default()
    }

    /// A string as another type, of which `remedy` says how it is written.
    pub(super) fn parsed<T: FromStr>(&mut self, key: &str, what: &str, remedy: &str) -> Option<T> {
        let text = self.text(key);
        let parsed = text.parse().ok();
        if parsed.is_none() {
            let problem = format!("{} is no {what}", self.quote(key, text));
            self.wrong(key, problem, remedy);
        }
        parsed
    }
}
