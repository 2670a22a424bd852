//! The settings on which the state depends, as text: a state that was built with other settings gives other results.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Config;
use super::key_entry::{print, quoted};
use super::links;
use super::units::print_duration;
use crate::decode::{AlertColumns, Identity, Path};

/// The settings on which the state depends: the path of each key and its value, formatted so that equal settings are
/// equal strings.
///
/// They are stored with the state, so the keys and the format must never change.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StateSettings(BTreeMap<String, String>);

impl StateSettings {
    /// Returns pairs of key and value, in the order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Returns a sentence for each key whose value in these settings, those of the configuration, differs from `other`,
    /// those of the state. Returns an empty list if they agree.
    pub fn difference(&self, other: &Self) -> Vec<String> {
        let keys: std::collections::BTreeSet<&String> = self.0.keys().chain(other.0.keys()).collect();
        let sentence = |key: &String| {
            let (here, there) = (self.0.get(key), other.0.get(key));
            let spelled = |value: Option<&String>| value.map_or_else(|| "not set".to_owned(), String::clone);
            (here != there).then(|| format!("{key} is {} here and {} in the state", spelled(here), spelled(there)))
        };
        keys.into_iter().filter_map(sentence).collect()
    }
}

/// Returns the settings on which the state of a processor with this configuration depends.
pub(super) fn of(config: &Config) -> StateSettings {
    let decode = &config.decode;
    let bounds = decode.widening.bounds.as_str();
    let identity = match decode.identity {
        Identity::Content => "content",
        Identity::ReportId => "report_id",
    };
    let mut entries = BTreeMap::from(
        [
            ("correlation.activity_key", list(decode.activity_key.iter().map(print))),
            ("correlation.activity_time", list(decode.activity_time.iter().map(path))),
            ("correlation.alert_key", list(decode.alert_key.iter().map(print))),
            ("correlation.ignore_case", decode.ignore_case.to_string()),
            ("correlation.bounds", quoted(bounds)),
            ("correlation.before", quoted(&print_duration(decode.widening.before))),
            ("correlation.after", quoted(&print_duration(decode.widening.after))),
            ("input.identity", quoted(identity)),
            ("state.retention", quoted(&print_duration(config.state.retention))),
            ("repartition.partitions", config.repartition.partitions.to_string()),
        ]
        .map(|(key, value)| (key.to_owned(), value)),
    );
    // Default values are left out, so that states from before these keys existed remain valid.
    let (alert, default) = (&decode.alert, AlertColumns::default());
    for (key, paths, default) in [
        ("alert.id", &alert.id, default.id),
        ("alert.version", &alert.version, default.version),
        ("alert.start", &alert.start, default.start),
        ("alert.end", &alert.end, default.end),
    ] {
        if *paths != default {
            entries.insert(key.to_owned(), list(paths.iter().map(path)));
        }
    }
    // The number of a link is part of the state.
    for (link, number) in decode.links.iter().zip(1..) {
        entries.insert(format!("link.{number}.{}", link.name), links::fingerprint(link));
    }
    for (entra, workspace) in decode.tenants.iter().flat_map(|tenants| tenants.iter()) {
        entries.insert(format!("tenants.{entra}"), quoted(workspace));
    }
    StateSettings(entries)
}

fn path(path: &Path) -> String {
    quoted(&path.to_string())
}

fn list(entries: impl Iterator<Item = String>) -> String {
    format!("[{}]", entries.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::build;

    fn settings(file: &str) -> StateSettings {
        build::config(Some(("test.toml", file)), &BTreeMap::new())
            .unwrap()
            .state_fingerprint()
    }

    #[test]
    fn alert_columns_count_unless_they_are_the_default() {
        let default = settings("alert.end = [\"EndTime\", \"EndTimeUtc\"]");
        assert_eq!(default, settings(""));
        let other = settings("alert.end = [\"EndTime\"]\nalert.id = [\"Alert.Id\"]");
        assert_eq!(
            settings("").difference(&other),
            [
                "alert.end is not set here and [\"EndTime\"] in the state",
                "alert.id is not set here and [\"Alert.Id\"] in the state"
            ]
        );
    }

    #[test]
    fn the_spelling_of_the_settings_never_changes() {
        let found = settings(
            "correlation.alert_key = [{ path = \"VendorOriginalId\", strip_prefix = \"d\\\"l\" }, \"AlertType\"]\ntenants.AA = \"BB\"",
        );
        let expected = [
            ("correlation.activity_key", "[\"RawEventData.Data.cid\"]"),
            ("correlation.activity_time", "[\"RawEventData.CreationTime\"]"),
            ("correlation.after", "\"0s\""),
            (
                "correlation.alert_key",
                "[{ path = \"VendorOriginalId\", strip_prefix = \"d\\\"l\" }, \"AlertType\"]",
            ),
            ("correlation.before", "\"0s\""),
            ("correlation.bounds", "\"exclusive\""),
            ("correlation.ignore_case", "false"),
            ("input.identity", "\"content\""),
            ("repartition.partitions", "8"),
            ("state.retention", "\"30d\""),
            ("tenants.aa", "\"bb\""),
        ];
        assert_eq!(found.iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn settings_are_read_back_from_the_state() {
        let here = settings("");
        let json = serde_json::to_string(&here).unwrap();
        assert_eq!(serde_json::from_str::<StateSettings>(&json).unwrap(), here);
        let bytes = postcard::to_allocvec(&here).unwrap();
        assert_eq!(postcard::from_bytes::<StateSettings>(&bytes).unwrap(), here);
    }

    #[test]
    fn a_difference_names_the_key_and_both_values() {
        let here = settings("tenants.a = \"b\"\nstate.retention = \"720h\"");
        assert_eq!(here.difference(&here), [""; 0]);
        assert_eq!(
            here.difference(&settings("tenants.a = \"b\"")),
            [""; 0],
            "720h and 30d are one retention"
        );
        let there = settings("state.retention = \"5d\"\ncorrelation.bounds = \"inclusive\"");
        assert_eq!(
            here.difference(&there),
            [
                "correlation.bounds is \"exclusive\" here and \"inclusive\" in the state",
                "state.retention is \"30d\" here and \"5d\" in the state",
                "tenants.a is \"b\" here and not set in the state",
            ]
        );
    }

    #[test]
    fn settings_that_state_does_not_depend_on_are_left_out() {
        let other = settings("output.topic = \"other\"\nwatermark.interval = \"1s\"\nstate.dir = \"/x\"");
        assert_eq!(other, settings(""));
    }
}
