//! The configuration: a TOML file, the environment, and the defaults below them.
//!
//! It is parsed twice: `raw` knows the file's shape, that is which keys there are and of which type, and reports everything that does
//! not fit; what the rest makes of it is [`Config`], a type that cannot be wrong. All errors are reported at once, each with its key
//! and the way out, and none with a secret.
//!
//! Layers, each over the one before: `config/default.toml`, `config/preset-event-hubs.toml` when `kafka.preset` asks for it, the file,
//! the environment. A variable `ALERTTRAIL_` + path, `__` between the levels, sets a key: strings (durations and sizes among them) as
//! they are, lists, numbers and booleans as TOML. In the tables of free names `_` stands for the character that variables cannot
//! have: `ALERTTRAIL_KAFKA__PROPERTIES__SASL_MECHANISM` is `sasl.mechanism`, and `ALERTTRAIL_TENANTS__` takes a GUID with `_` for `-`.
//! `${NAME}` in a string of the file takes a variable, `$${` stands for `${`.
//!
//! Nothing here connects, reads a clock or knows what the settings do: whether a topic exists is found out elsewhere. It relies on
//! [`decode::Settings`], [`Format`] and the types of [`time`](crate::time).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::decode;
use crate::source;
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
mod properties;
mod raw;
mod reader;
#[cfg(test)]
mod tests;
mod units;

pub use crate::emit::{AlertUpdates, Format};
pub use errors::{Error, Errors};
pub use fingerprint::StateSettings;
pub use kafka::Property;
pub use key_entry::print as key_entry;
pub use links::preset as link_preset;
pub use properties::property_names;
pub use units::Secret;

/// Everything that can be set.
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
    /// Environment variables that look like a setting and are none, each with the name that was probably meant.
    pub ignored_variables: Vec<(String, String)>,
}

/// Which application this is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Application {
    /// What consumer groups, transactional ids and internal topics are named after. Legal in a topic's name, at most 200 characters.
    pub id: String,
}

/// How brokers are reached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Kafka {
    /// `host:port`, comma-separated: as set, or as the connection string says.
    pub bootstrap_servers: String,
    /// What kind of broker it is.
    pub preset: Preset,
    /// The Event Hubs connection string. What follows from it is in the other fields.
    pub connection_string: Option<Secret>,
    /// librdkafka's properties: the preset's, those that follow from the connection string, and the user's. Aliases are replaced by
    /// one name each. Never one that the program sets itself.
    pub properties: BTreeMap<String, Property>,
}

/// What kind of broker it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Preset {
    /// Apache Kafka, or what behaves like it.
    #[default]
    Kafka,
    /// The Kafka endpoint of Azure Event Hubs.
    EventHubs,
}

/// What is read, and from where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Input {
    /// The input topics, each once.
    pub topics: Vec<String>,
    /// Where a partition without a committed position is begun.
    pub start: Start,
    /// What happens when the broker no longer has the records behind the committed position.
    pub on_lost_offsets: LostOffsets,
}

/// Where a partition without a committed position is begun.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Start {
    /// At its first record.
    Earliest,
    /// Behind its last record.
    Latest,
    /// At the first record with this Kafka timestamp or a later one.
    At(WallTime),
}

/// What happens when records were lost before they were read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum LostOffsets {
    /// The program stops, so that somebody decides.
    #[default]
    Fail,
    /// It goes on with the first record there is.
    Continue,
}

/// The internal topic between the two stages.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Repartition {
    /// Its name, `<application.id>-correlation-repartition` unless set.
    pub topic: String,
    /// How many partitions it has, 1 to 1000.
    pub partitions: u32,
}

/// How event time is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Watermark {
    /// How often marks travel at the most; not zero.
    pub interval: Duration,
    /// How far an activity may be behind the latest one of its partition without coming late.
    pub out_of_orderness: Duration,
    /// After how long a partition without activities no longer holds the watermark back; not zero.
    pub idle_timeout: Duration,
    /// After how much wall time an alert is answered whatever the watermark says; not zero.
    pub max_wait: Duration,
    /// How far ahead of its arrival a time may lie and still move the watermark; not zero.
    pub max_future_skew: Duration,
    /// How far ahead of its arrival an alert's window may end for `max_wait` to be counted from that end; any distance
    /// when `None`.
    pub max_window_ahead: Option<Duration>,
}

/// What is kept, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct State {
    /// The folder; one below it for each application id.
    pub dir: PathBuf,
    /// How far back an alert finds activities, in event time. Longer than `out_of_orderness`.
    pub retention: Duration,
    /// What the store may take of memory, in bytes, over all partitions.
    pub memory: u64,
}

/// What is written, and where to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Output {
    /// The topic of joined rows.
    pub topic: String,
    /// The topic of summaries; none when `None`.
    pub summary_topic: Option<String>,
    /// Whether an alert without activities gets a summary.
    pub unmatched: Unmatched,
    /// What a newer version of an answered alert brings.
    pub alert_updates: AlertUpdates,
    /// What a record looks like.
    pub format: Format,
    /// How often a record may come.
    pub delivery: Delivery,
    /// The topic of what could not be used.
    pub dead_letter_topic: String,
}

/// Whether an alert that closes with no activity gets a summary.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Unmatched {
    /// It gets none.
    #[default]
    Omit,
    /// It gets one.
    Emit,
}

/// How often a record may come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Delivery {
    /// After a crash perhaps twice, with one id.
    #[default]
    AtLeastOnce,
    /// Once, by Kafka's transactions.
    ExactlyOnce,
}

/// The API, the web page and the metrics.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Http {
    /// Where to listen; nowhere when `None`.
    pub listen: Option<SocketAddr>,
    /// What a caller must show. Never `None` when `listen` is not a loopback address.
    pub token: Option<Secret>,
    /// Whether other machines may ask without TLS.
    pub insecure: bool,
    /// Names under which the API may be asked, besides those of this machine's loopback.
    pub allowed_hosts: Vec<String>,
    /// Where the other instances reach this one, as `host:port`; derived from `listen` when `None`.
    pub advertise: Option<String>,
}

/// The largest configuration file, in bytes. A file with every setting has a few thousand.
const LONGEST: usize = 1 << 20;

impl Http {
    /// Reads `[http]` as [`Config::load`] does, and lets pass what is wrong in other tables: whoever only asks a processor need not have
    /// the secrets it has. Fails with everything that is wrong in this one.
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
    match source::text(path, LONGEST) {
        Ok(text) => Ok(Some((name, text))),
        Err(cause) => Err(Errors::from(Error::Unreadable {
            path: name,
            cause: cause.to_string(),
        })),
    }
}

impl Config {
    /// Reads the file, if there is one, and the variables of `environment`, which should be all there are: the file may take any of
    /// them. Fails with everything that is wrong.
    pub fn load(path: Option<&Path>, environment: impl Iterator<Item = (String, String)>) -> Result<Self, Errors> {
        let file = read(path)?;
        let file = file.as_ref().map(|(name, text)| (name.as_str(), text.as_str()));
        build::config(file, &environment.collect())
    }

    /// The same with a file that has been read already: its name, for errors, and its text.
    pub fn of_text(name: &str, text: &str, environment: impl Iterator<Item = (String, String)>) -> Result<Self, Errors> {
        build::config(Some((name, text)), &environment.collect())
    }

    /// The configuration without a file and without variables. The defaults are compiled in, so this fails in a broken build only.
    pub fn defaults() -> Result<Self, Errors> {
        build::config(None, &BTreeMap::new())
    }

    /// What is allowed but probably not meant, a sentence each.
    pub fn warnings(&self) -> Vec<String> {
        check::warnings(self)
    }

    /// Where other instances reach this one's API, as `host:port`; `None` when it is off.
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

    /// Every value that must never be printed.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        self.kafka.secrets().chain(self.http.token.iter().map(Secret::expose))
    }

    /// What state depends on.
    pub fn state_fingerprint(&self) -> StateSettings {
        fingerprint::of(self)
    }
}

/// The process's environment, for [`Config::load`], without the variables that are no Unicode: no setting can be one of them.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}
