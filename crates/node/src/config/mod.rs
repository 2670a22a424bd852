//! The configuration: a TOML file, the environment, and the defaults below them.
//!
//! Reading has two steps. `raw` knows the shape of the file, that is the keys and their types, and reports everything
//! that does not match. The other modules turn it into a [`Config`], whose type permits only valid values. All errors
//! are reported at once, each with its key and the remedy, and none with a secret.
//!
//! Layers, each overriding the previous one: `config/default.toml`, `config/preset-event-hubs.toml` if `kafka.preset`
//! selects it, the file, the environment. A variable `ALERTTRAIL_` + path, with `__` between the levels, sets a key:
//! strings (including durations and sizes) literally, and lists, numbers and booleans as TOML. In tables with free
//! names, `_` represents the character that variable names cannot contain:
//! `ALERTTRAIL_KAFKA__PROPERTIES__SASL_MECHANISM` is `sasl.mechanism`, and `ALERTTRAIL_TENANTS__` is followed by a GUID
//! with `_` for `-`. `${NAME}` in a string of the file is replaced by the value of a variable, and `$${` by `${`.
//!
//! This module does not connect to anything, read a clock, or know what the settings do: other modules check, for
//! example, whether a topic exists. It relies on [`decode::Settings`], [`Format`] and the types of
//! [`time`](crate::time).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::decode;
use crate::open;
use crate::time::WallTime;

mod build;
mod check;
mod correlation;
mod errors;
mod fingerprint;
mod kafka;
mod key_entry;
mod links;
mod merge;
mod names;
mod properties;
mod raw;
mod reader;
mod schema;
#[cfg(test)]
mod tests;
mod units;

pub use crate::emit::Format;
pub use crate::join::{AlertUpdates, Delivery};
pub use errors::{Error, Errors};
pub use fingerprint::StateSettings;
pub use kafka::Property;
pub use key_entry::print as key_entry;
pub use links::preset as link_preset;
pub use properties::property_names;
pub use schema::schema;
pub use units::Secret;

/// The whole configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// `[application]`
    pub application: Application,
    /// `[kafka]`
    pub kafka: Kafka,
    /// `[input]`
    pub input: Input,
    /// `[correlation]`, `[[link]]`, `[alert]`, `[tenants]` and `input.identity`
    pub decode: decode::Settings,
    /// `correlation.presets`, whose links are among those of `decode`.
    pub presets: Vec<String>,
    /// `[repartition]`
    pub repartition: Repartition,
    /// `[watermark]`
    pub watermark: Watermark,
    /// `[state]`
    pub state: State,
    /// `[output]`
    pub output: Output,
    /// `[http]`
    pub http: Http,
    /// Environment variables that look like a setting but are not one, each with the name that was probably meant.
    pub ignored_variables: Vec<(String, String)>,
}

/// Identifies the application.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Application {
    /// The base of the names of consumer groups, transactional ids and internal topics. A valid topic name of at most
    /// 200 characters.
    pub id: String,
}

/// The connection to the brokers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Kafka {
    /// The brokers as `host:port`, comma-separated: as configured, or from the connection string.
    pub bootstrap_servers: String,
    /// The kind of broker.
    pub preset: Preset,
    /// The Event Hubs connection string. The settings derived from it are in the other fields.
    pub connection_string: Option<Secret>,
    /// librdkafka's properties: those of the preset, those derived from the connection string, and the user's. Aliases
    /// are replaced by one name each. Properties that the program sets itself are excluded.
    pub properties: BTreeMap<String, Property>,
}

/// The kind of broker.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Preset {
    /// Apache Kafka, or a compatible broker.
    #[default]
    Kafka,
    /// The Kafka endpoint of Azure Event Hubs.
    EventHubs,
}

/// The input topics, and the places where reading begins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Input {
    /// The input topics, each once.
    pub topics: Vec<String>,
    /// The place to begin in a partition without a committed position.
    pub start: Start,
    /// The reaction if the broker no longer has the records after the committed position.
    pub on_lost_offsets: LostOffsets,
}

/// The place to begin in a partition without a committed position.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Start {
    /// The first record of the partition.
    Earliest,
    /// The end of the partition, after its last record.
    Latest,
    /// The first record with this Kafka timestamp or a later one.
    At(WallTime),
}

/// The reaction if records were lost before they were read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum LostOffsets {
    /// The program stops, so that the user can decide.
    #[default]
    Fail,
    /// The program continues with the first available record.
    Continue,
}

/// The internal topic between the two stages.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Repartition {
    /// Its name. Default: `<application.id>-correlation-repartition`.
    pub topic: String,
    /// Its number of partitions, 1 to 1000.
    pub partitions: u32,
}

/// The settings that determine the watermark.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Watermark {
    /// Minimum interval between watermark updates; not zero.
    pub interval: Duration,
    /// The maximum time by which an activity may be older than the latest one of its partition without being late.
    pub out_of_orderness: Duration,
    /// The time after which a partition without activities no longer holds the watermark back; not zero.
    pub idle_timeout: Duration,
    /// Maximum wall-clock wait before an alert closes regardless of the watermark; not zero.
    pub max_wait: Duration,
    /// The maximum time by which a time may be ahead of its arrival and still move the watermark; not zero.
    pub max_future_skew: Duration,
    /// The maximum time by which an alert's window may end after its arrival for `max_wait` to count from that end;
    /// unlimited if `None`.
    pub max_window_ahead: Option<Duration>,
}

/// The settings of the state: its place, retention and memory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct State {
    /// The state directory, with a subdirectory for each application id.
    pub dir: PathBuf,
    /// How far back an alert finds activities, in event time. It is longer than `out_of_orderness`.
    pub retention: Duration,
    /// The maximum memory of the store in bytes, over all partitions.
    pub memory: u64,
}

/// The outputs and their topics.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Output {
    /// The topic of joined rows.
    pub topic: String,
    /// The topic of summaries, if any.
    pub summary_topic: Option<String>,
    /// Whether an alert without activities gets a summary.
    pub unmatched: Unmatched,
    /// The effect of a newer version of a closed alert.
    pub alert_updates: AlertUpdates,
    /// The format of output records.
    pub format: Format,
    /// The delivery guarantee.
    pub delivery: Delivery,
    /// The topic of dead-letter records.
    pub dead_letter_topic: String,
}

/// Whether an alert that closes without activities gets a summary.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Unmatched {
    /// The alert gets no summary.
    #[default]
    Omit,
    /// The alert gets a summary.
    Emit,
}

/// The API, the web page and the metrics.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Http {
    /// The address to listen on. With `None`, the server is off.
    pub listen: Option<SocketAddr>,
    /// The token that clients must send. Never `None` if `listen` is not a loopback address.
    pub token: Option<Secret>,
    /// Whether other machines may connect without TLS.
    pub insecure: bool,
    /// Host names that the API accepts in addition to those of this machine's loopback interface.
    pub allowed_hosts: Vec<String>,
    /// The address at which other instances reach this one, as `host:port`. With `None`, it is derived from `listen`.
    pub advertise: Option<String>,
}

/// Maximum size of a configuration file, in bytes. A file with every setting has a few thousand.
const MAX_FILE: usize = 1 << 20;

impl Http {
    /// Reads `[http]` as [`Config::load`] does, but ignores errors in other tables, because a client of a processor
    /// need not have the processor's secrets. Fails with all errors in this table.
    pub fn load(path: Option<&Path>, environment: impl Iterator<Item = (String, String)>) -> Result<Self, Errors> {
        let file = read(path)?;
        let file = file.as_ref().map(|(name, text)| (name.as_str(), text.as_str()));
        build::only_http(file, &environment.collect())
    }
}

/// Returns the name of a file, for errors, and its text.
fn read(path: Option<&Path>) -> Result<Option<(String, String)>, Errors> {
    let Some(path) = path else { return Ok(None) };
    let name = path.display().to_string();
    match open::text(path, MAX_FILE) {
        Ok(text) => Ok(Some((name, text))),
        Err(cause) => Err(Errors::from(Error::Unreadable {
            path: name,
            cause: cause.to_string(),
        })),
    }
}

impl Config {
    /// Reads the file, if there is one, and the variables of `environment`, which should be complete because the file
    /// may use any of them. Fails with all errors.
    pub fn load(path: Option<&Path>, environment: impl Iterator<Item = (String, String)>) -> Result<Self, Errors> {
        let file = read(path)?;
        let file = file.as_ref().map(|(name, text)| (name.as_str(), text.as_str()));
        build::config(file, &environment.collect())
    }

    /// Loads the configuration from a file that has already been read, given its name, for errors, and its text. Fails
    /// with all errors.
    pub fn from_text(name: &str, text: &str, environment: impl Iterator<Item = (String, String)>) -> Result<Self, Errors> {
        build::config(Some((name, text)), &environment.collect())
    }

    /// Returns the configuration without a file and without variables. The defaults are compiled in, so this fails only
    /// in a broken build.
    pub fn defaults() -> Result<Self, Errors> {
        build::config(None, &BTreeMap::new())
    }

    /// Returns warnings about settings that are allowed but probably not intended, a sentence each.
    pub fn warnings(&self) -> Vec<String> {
        check::warnings(self)
    }

    /// Returns the address at which other instances reach this one's API, as `host:port`, or `None` if it is off.
    pub fn http_address(&self) -> Option<String> {
        let listen = self.http.listen?;
        let named = || match listen.ip().is_unspecified() {
            false => listen.to_string(),
            true => {
                let name = rustix::system::uname();
                format!("{}:{}", name.nodename().to_string_lossy(), listen.port())
            }
        };
        Some(self.http.advertise.clone().unwrap_or_else(named))
    }

    /// Returns every value that must not be printed.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        self.kafka.secrets().chain(self.http.token.iter().map(Secret::expose))
    }

    /// Returns the settings on which the state depends.
    pub fn state_fingerprint(&self) -> StateSettings {
        fingerprint::of(self)
    }
}

/// Returns the text of the default configuration: every setting, with a comment on each.
pub fn default_text() -> &'static str {
    merge::DEFAULTS
}

/// Returns the process's environment, for [`Config::load`], without variables that are not Unicode, because no setting
/// can be one of them.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}
