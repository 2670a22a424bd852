//! Names of settings: as a path, such as `state.dir`, and as an environment variable, such as `ALERTTRAIL_STATE__DIR`.

use crate::words::ALIKE;

/// Prefix of the environment variables that are settings.
pub(super) const PREFIX: &str = "ALERTTRAIL_";

/// Returns the path for the name of a variable. In tables with free names, `_` represents the character that variable
/// names cannot contain: the dot in librdkafka's properties, the hyphen in a tenant's GUID.
pub(super) fn path_of(levels: &str) -> String {
    let levels = levels.to_ascii_lowercase();
    if let Some(name) = levels.strip_prefix("kafka__properties__") {
        return format!("kafka.properties.{}", name.replace('_', "."));
    }
    if let Some(name) = levels.strip_prefix("tenants__") {
        return format!("tenants.{}", name.replace('_', "-"));
    }
    levels.replace("__", ".")
}

/// Returns the variable that sets the key at `path`.
pub(super) fn variable_of(path: &str) -> String {
    match path {
        "tenants" => format!("{PREFIX}TENANTS__<ENTRA_TENANT_ID>"),
        path => format!("{PREFIX}{}", path.to_ascii_uppercase().replace('.', "__")),
    }
}

/// Returns whether the last parts of two paths, or the whole of them, are so similar that one may be meant by the
/// other.
pub(super) fn is_alike(path: &str, other: &str) -> bool {
    /// The similarity of whole paths. It is greater, because paths often have a section in common.
    const WHOLE: f64 = 0.75;
    let name = |path: &str| {
        path.rsplit(['.', '[', ']'])
            .find(|part| !part.is_empty())
            .unwrap_or_default()
            .to_owned()
    };
    strsim::normalized_damerau_levenshtein(&name(path), &name(other)) >= ALIKE
        || strsim::normalized_damerau_levenshtein(path, other) >= WHOLE
}
