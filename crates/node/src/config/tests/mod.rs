use std::collections::BTreeMap;

use super::{Config, Errors, build};

mod files;
mod kafka;
mod layers;
mod links;
mod values;

/// A secret for the tests: no error, warning or printed text may contain it.
const CANARY: &str = "S3CR3T-canary";

fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn load(file: &str, environment: &[(&str, &str)]) -> Result<Config, Errors> {
    build::config(Some(("test.toml", file)), &variables(environment))
}

fn config(file: &str) -> Config {
    load(file, &[]).unwrap()
}

/// Returns the errors of a file, a sentence each.
fn errors(file: &str) -> Vec<String> {
    errors_with(file, &[])
}

fn errors_with(file: &str, environment: &[(&str, &str)]) -> Vec<String> {
    let errors = load(file, environment).unwrap_err();
    errors.iter().map(ToString::to_string).collect()
}

/// Returns the only error of a file.
fn error(file: &str) -> String {
    let errors = errors(file);
    assert_eq!(errors.len(), 1, "{errors:#?}");
    errors[0].clone()
}
