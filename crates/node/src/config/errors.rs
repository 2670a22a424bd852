use std::fmt;

use super::names::{PREFIX, is_alike, path_of};

/// One problem of the configuration. The text is a sentence with the key, the cause and the remedy. It never contains a
/// secret.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read the configuration file {path}: {cause}; name a file that exists and that this user may read")]
    Unreadable {
        /// The file, as given by the user.
        path: String,
        /// The operating system's error.
        cause: String,
    },
    /// The file is not valid TOML. Its text is not quoted, because the line may contain a secret.
    #[error("{file}, line {line}, column {column}: {problem}; correct the TOML there")]
    Syntax {
        /// The file, as given by the user.
        file: String,
        /// The line, counted from 1.
        line: usize,
        /// The column in characters, counted from 1.
        column: usize,
        /// The parser's description of the problem.
        problem: String,
    },
    /// The key is unknown.
    #[error("{key}: unknown setting; {}", suggestion(key, nearest))]
    Unknown {
        /// The path of the key, or the name of the environment variable.
        key: String,
        /// The known key, or environment variable, with the most similar spelling.
        nearest: String,
    },
    /// The value of a key is invalid.
    #[error("{key}{}: {problem}; {remedy}", variable.as_ref().map(|name| format!(" (set by {name})")).unwrap_or_default())]
    Value {
        /// The path of the key.
        key: String,
        /// The environment variable that set the value, if one did.
        variable: Option<String>,
        /// The problem.
        problem: String,
        /// The remedy.
        remedy: String,
    },
}

impl Error {
    /// Returns the key that the error is about: its path, or the name of an unknown environment variable.
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::Unknown { key, .. } | Self::Value { key, .. } => Some(key),
            Self::Unreadable { .. } | Self::Syntax { .. } => None,
        }
    }
}

/// All errors of the configuration, so that they can be corrected at once.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Errors {
    errors: Vec<Error>,
    /// Warnings that are worth printing with the errors.
    warnings: Vec<String>,
}

impl Errors {
    /// Returns the errors, in the order in which they were found.
    pub fn iter(&self) -> impl Iterator<Item = &Error> {
        self.errors.iter()
    }

    /// Returns the number of errors.
    pub fn len(&self) -> usize {
        self.errors.len()
    }

    /// Returns whether there are no errors.
    pub fn is_empty(&self) -> bool {
        self.errors.is_empty()
    }

    pub(super) fn push(&mut self, error: Error) {
        if !self.errors.contains(&error) {
            self.errors.push(error);
        }
    }

    /// Returns these errors together with the warnings.
    pub(super) fn with_warnings(self, warnings: Vec<String>) -> Self {
        Self { warnings, ..self }
    }

    /// Returns the errors about this table, and those about the file as a whole.
    pub(super) fn about(self, table: &str) -> Self {
        let variable = format!("ALERTTRAIL_{}__", table.to_ascii_uppercase());
        let is_about = |error: &Error| {
            error.key().is_none_or(|key| {
                let within = key
                    .strip_prefix(table)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
                within || key.starts_with(&variable)
            })
        };
        Self {
            errors: self.errors.into_iter().filter(is_about).collect(),
            warnings: self.warnings,
        }
    }

    /// Returns whether an error is about this key, or about an entry of the table at this key.
    pub(super) fn concern(&self, key: &str) -> bool {
        let within = |found: &str| {
            found
                .strip_prefix(key)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.iter().filter_map(Error::key).any(within)
    }
}

impl From<Error> for Errors {
    fn from(error: Error) -> Self {
        Self {
            errors: vec![error],
            warnings: Vec::new(),
        }
    }
}

/// Prints one error as its sentence, and several errors as a list with one sentence per line. Warnings follow on
/// separate lines.
impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.errors.as_slice() {
            [only] => only.fmt(f)?,
            all => {
                write!(f, "the configuration has {} errors:", all.len())?;
                all.iter().try_for_each(|error| write!(f, "\n  {error}"))?;
            }
        }
        self.warnings.iter().try_for_each(|warning| write!(f, "\nwarning: {warning}"))
    }
}

impl std::error::Error for Errors {}

/// Returns the remedy for an unknown key: the nearest known one, which is only a guess if the two are unlike.
fn suggestion(key: &str, nearest: &str) -> String {
    let path = |name: &str| name.strip_prefix(PREFIX).map_or_else(|| name.to_owned(), path_of);
    match is_alike(&path(key), &path(nearest)) {
        true => format!("the nearest is {nearest}"),
        false => format!("no known setting is spelled like it (the nearest is {nearest}); docs/configuration.md lists all"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unknown(key: &str) -> Error {
        Error::Unknown {
            key: key.to_owned(),
            nearest: "state.dir".to_owned(),
        }
    }

    #[test]
    fn one_error_is_a_sentence_and_several_are_a_list() {
        let mut errors = Errors::from(unknown("state.dri"));
        assert_eq!(errors.to_string(), "state.dri: unknown setting; the nearest is state.dir");
        errors.push(unknown("state.dri"));
        assert_eq!(errors.len(), 1);
        errors.push(unknown("state.dire"));
        assert_eq!(
            errors.to_string(),
            "the configuration has 2 errors:\n  state.dri: unknown setting; the nearest is state.dir\n  \
             state.dire: unknown setting; the nearest is state.dir"
        );
    }

    #[test]
    fn a_setting_that_is_spelled_differently_is_no_suggestion() {
        let text = |key: &str, nearest: &str| {
            let (key, nearest) = (key.to_owned(), nearest.to_owned());
            Error::Unknown { key, nearest }.to_string()
        };
        for (key, nearest) in [
            ("http.lissen", "http.listen"),
            ("output.retention", "state.retention"),
            ("partitons", "repartition.partitions"),
            ("[kafak]", "[kafka]"),
            ("ALERTTRAIL_STAT__DIR", "ALERTTRAIL_STATE__DIR"),
        ] {
            assert_eq!(
                text(key, nearest),
                format!("{key}: unknown setting; the nearest is {nearest}")
            );
        }
        for (key, nearest) in [
            ("http.colour", "http.token"),
            ("[xyzzy]", "[tenants]"),
            ("ALERTTRAIL_FOO", "ALERTTRAIL_LINK"),
        ] {
            assert_eq!(
                text(key, nearest),
                format!(
                    "{key}: unknown setting; no known setting is spelled like it (the nearest is {nearest}); \
                     docs/configuration.md lists all"
                )
            );
        }
    }

    #[test]
    fn an_entry_concerns_its_table_but_a_longer_name_does_not() {
        let errors = Errors::from(unknown("kafka.properties.acks"));
        assert!(errors.concern("kafka.properties"));
        assert!(!errors.concern("kafka.prop"));
    }

    #[test]
    fn a_value_names_the_variable_it_came_from() {
        let error = Error::Value {
            key: "state.dir".to_owned(),
            variable: Some("ALERTTRAIL_STATE__DIR".to_owned()),
            problem: "is empty".to_owned(),
            remedy: "name a folder".to_owned(),
        };
        assert_eq!(
            error.to_string(),
            "state.dir (set by ALERTTRAIL_STATE__DIR): is empty; name a folder"
        );
    }
}
