//! Reads values of settings and collects errors.

use std::str::FromStr;
use std::time::Duration;

use toml::Value;

use super::errors::{Error, Errors};
use super::raw::{self, Raw, Setting};
use super::units::{self, Secret};

/// Reads settings. For an invalid value it reports an error and returns a placeholder. The placeholder is never used,
/// because a configuration with errors is refused.
pub(super) struct Reader<'a> {
    raw: &'a Raw,
    errors: Errors,
}

impl<'a> Reader<'a> {
    /// Creates a reader of `raw` that adds to `errors`.
    pub(super) fn new(raw: &'a Raw, errors: Errors) -> Self {
        Self { raw, errors }
    }

    /// Returns all errors.
    pub(super) fn into_errors(self) -> Errors {
        self.errors
    }

    /// Reports that the key's value is invalid.
    pub(super) fn wrong(&mut self, key: &str, problem: impl Into<String>, remedy: impl Into<String>) {
        self.errors.push(Error::Value {
            key: key.to_owned(),
            variable: self.setting(key).and_then(|setting| raw::variable(&setting.origin)),
            problem: problem.into(),
            remedy: remedy.into(),
        });
    }

    /// Returns whether an error about the key, or an entry of the table at the key, has been reported.
    pub(super) fn is_wrong(&self, key: &str) -> bool {
        self.errors.concern(key)
    }

    /// Returns whether the user has set the key, in the file or with a variable.
    pub(super) fn is_set(&self, key: &str) -> bool {
        self.raw
            .0
            .get(key)
            .is_some_and(|setting| setting.origin != raw::Origin::BuiltIn)
    }

    /// Quotes `text`, a part of the key's value, for an error. Hides it if it could be a secret.
    pub(super) fn quote(&self, key: &str, text: &str) -> String {
        const MAX_QUOTED: usize = 100;
        let hidden = self.setting(key).is_none_or(|setting| setting.hidden);
        if hidden || text.contains("SharedAccess") {
            "\"***\"".to_owned()
        } else if text.chars().count() > MAX_QUOTED {
            format!("{:?}...", text.chars().take(MAX_QUOTED).collect::<String>())
        } else {
            format!("{text:?}")
        }
    }

    /// Returns the setting of the key. The settings of a link are part of the setting of all links.
    fn setting(&self, key: &str) -> Option<&'a Setting> {
        let link = || key.starts_with("link").then(|| self.raw.0.get("link"));
        self.raw.0.get(key).or_else(|| link().flatten())
    }

    /// Returns the value, if the key has one.
    pub(super) fn value(&self, key: &str) -> Option<&'a Value> {
        self.raw.0.get(key).map(|setting| &setting.value)
    }

    /// Returns the entries of the table with free names at the key.
    pub(super) fn entries(&self, key: &str) -> Vec<(&'a str, &'a Setting)> {
        let prefix = format!("{key}.");
        let entries = self.raw.0.iter();
        entries
            .filter_map(|(path, setting)| Some((path.strip_prefix(&prefix)?, setting)))
            .collect()
    }

    /// Returns a string, or an empty one if there is no value.
    pub(super) fn text(&self, key: &str) -> &'a str {
        self.value(key).and_then(Value::as_str).unwrap_or_default()
    }

    /// Returns the strings of a list, which must have at least one.
    pub(super) fn texts(&mut self, key: &str) -> Vec<String> {
        let list = self
            .value(key)
            .and_then(Value::as_array)
            .map(Vec::as_slice)
            .unwrap_or_default();
        let texts: Vec<String> = list.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        if texts.is_empty() {
            self.wrong(key, "is an empty list", "list at least one");
        }
        texts
    }

    /// Returns the strings of a list, which may be empty or missing.
    pub(super) fn texts_or_none(&self, key: &str) -> Vec<String> {
        let list = self
            .value(key)
            .and_then(Value::as_array)
            .map(Vec::as_slice)
            .unwrap_or_default();
        list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// Returns a secret, if there is one. It must not be empty: an empty variable is a mistake that would otherwise be
    /// noticed much later.
    pub(super) fn secret(&mut self, key: &str) -> Option<Secret> {
        let text = self.value(key).and_then(Value::as_str)?;
        if text.trim().is_empty() {
            self.wrong(key, "is empty", "give it a value, or leave the key out");
        }
        Some(Secret::new(text.trim()))
    }

    /// Returns the meaning of the value, which must be one of `words`.
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

    /// Returns a duration, which must be `least` or longer.
    pub(super) fn duration(&mut self, key: &str, least: Duration) -> Duration {
        let text = self.text(key);
        match units::parse_duration(text) {
            None => {
                let problem = format!("{} is not a duration of at most a hundred years", self.quote(key, text));
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

    /// Returns a size in bytes, which must be `least` or more.
    pub(super) fn size(&mut self, key: &str, least: u64) -> u64 {
        let text = self.text(key);
        match units::parse_size(text) {
            None => {
                let problem = format!("{} is not a size", self.quote(key, text));
                self.wrong(key, problem, "write a number with a unit, such as \"512MB\"");
                least
            }
            Some(size) if size < least => {
                let problem = format!("{} is too small", self.quote(key, text));
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

    /// Returns a whole number, which must be from `min` to `max`.
    pub(super) fn integer(&mut self, key: &str, min: u32, max: u32) -> u32 {
        let number = self.value(key).and_then(Value::as_integer).unwrap_or_default();
        match u32::try_from(number) {
            Ok(number) if (min..=max).contains(&number) => number,
            Ok(_) | Err(_) => {
                self.wrong(key, format!("is {number}"), format!("use a number from {min} to {max}"));
                min
            }
        }
    }

    /// Returns `true` or `false`.
    pub(super) fn boolean(&self, key: &str) -> bool {
        self.value(key).and_then(Value::as_bool).unwrap_or_default()
    }

    /// Parses a string as another type. `remedy` describes how to write it.
    pub(super) fn parsed<T: FromStr>(&mut self, key: &str, what: &str, remedy: &str) -> Option<T> {
        let text = self.text(key);
        let parsed = text.parse().ok();
        if parsed.is_none() {
            let problem = format!("{} is not an {what}", self.quote(key, text));
            self.wrong(key, problem, remedy);
        }
        parsed
    }
}
