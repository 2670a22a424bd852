//! The processor: checks what it needs, starts the stages, and stops when one of them does.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::exposed::Exposed;
use super::join::Join;
use super::next_close::NextClose;
use super::outputs::{self, Outputs};
use super::pace::Pace;
use super::route::Route;
use super::settings;
use crate::config::{Config, Property};
use crate::kafka::clients;
use crate::kafka::topics::{Log, Topics};
use crate::metrics::Metrics;
use crate::shutdown::Shutdown;
use crate::store::StateDir;
use crate::{clock, kafka, log, store};

/// Which stages an instance runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stages {
    /// Both.
    All,
    /// Only ROUTE.
    Route,
    /// Only JOIN.
    Join,
}

/// Why the processor stops.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The broker.
    #[error(transparent)]
    Kafka(#[from] kafka::Error),
    /// The state.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A log record that cannot be read.
    #[error("the repartition log at partition {partition}, offset {offset}: {cause}")]
    Log {
        /// Its partition.
        partition: i32,
        /// Its offset.
        offset: i64,
        /// What is wrong with it.
        cause: log::Error,
    },
    /// A log record that cannot be written.
    #[error("cannot encode a record for the repartition log: {0}")]
    Encode(#[from] log::Error),
    /// State that was made under other settings.
    #[error(
        "the state in {path} was made under other settings ({differences}): set them back, or use another application.id, or begin anew with `alerttrail reset`"
    )]
    StoredSettings {
        /// Where the state is.
        path: PathBuf,
        /// The settings, in words.
        differences: String,
    },
    /// A log that was written under other settings.
    #[error(
        "{topic}/{partition} at offset {offset}: the log was written under other [correlation], [tenants], input.identity, state.retention or repartition.partitions; set them back, or use another application.id, or begin anew with `alerttrail reset`"
    )]
    OtherSettings {
        /// The repartition topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The offset.
        offset: i64,
    },
    /// The operating system gives no thread.
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
    /// A stage ended in a way it never should.
    #[error("the {0} stage ended unexpectedly; this is a fault of the program, its last words stand above")]
    Panicked(&'static str),
}

/// A member whose session is lost may be fenced by its own return; one that is fenced again and again has a double.
const MOST_FENCED: u32 = 3;

impl Error {
    /// Whether another member has, or had, the instance id.
    fn is_fenced(&self) -> bool {
        use rdkafka::error::RDKafkaErrorCode as Code;
        matches!(self, Self::Kafka(kafka::Error::Read { cause, .. }) if cause.rdkafka_error_code() == Some(Code::FencedInstanceId))
    }

    /// Whether the same work may succeed when it is begun again: brokers come back, rights are given, producers can be made anew.
    fn may_pass(&self) -> bool {
        use rdkafka::error::RDKafkaErrorCode as Code;
        match self {
            Self::Kafka(kafka::Error::Read { cause, .. }) => !matches!(
                cause.rdkafka_error_code(),
                Some(Code::AutoOffsetReset | Code::OffsetOutOfRange)
            ),
            Self::Kafka(error) => matches!(
                error,
                kafka::Error::Delivery { .. }
                    | kafka::Error::Transaction { .. }
                    | kafka::Error::NotAssigned { .. }
                    | kafka::Error::Stalled { .. }
                    | kafka::Error::Recreated { .. }
                    | kafka::Error::Unreachable { .. }
            ),
            _ => false,
        }
    }
}

/// Runs the stages until `shutdown` is requested or one of them fails. Topics are checked first, and the repartition topic is made if it
/// is not there.
pub fn run(
    config: &Config,
    stages: Stages,
    shutdown: &Shutdown,
    metrics: &Arc<Metrics>,
    exposed: &Arc<Exposed>,
) -> Result<(), Error> {
    let mut instance = Instance::new(config, stages, exposed)?;
    instance.asks_for_limits = true;
    let topics = match Topics::until(config, shutdown) {
        // Nothing has begun yet.
        Err(kafka::Error::Stopped) => return Ok(()),
        topics => topics?,
    };
    let log = match topics.prepare() {
        Err(kafka::Error::Stopped) => return Ok(()),
        prepared => prepared?,
    };
    for topic in outputs::topics(config) {
        if let Some(count) = topics.partitions(topic)? {
            instance.outputs.look(topic, count, &instance.dir);
        }
    }
    // Before anything is written: marks of other settings in the log could not be taken back.
    settings::check_state(config, &instance.dir)?;
    if log == Log::Old {
        settings::check_log(config, instance.settings)?;
    }
    start(&instance, stages, shutdown, metrics)
}

/// One running copy of the application, with its folder.
pub struct Instance<'c> {
    pub(super) config: &'c Config,
    pub(super) dir: StateDir,
    /// What state depends on, as a hash that travels in the log.
    pub(super) settings: [u8; 32],
    /// How much goes into a transaction. It outlives the stage: a transaction that was too large ends that.
    pub(super) pace: Pace,
    /// What JOIN waits for, said to ROUTE.
    pub(super) next_close: NextClose,
    /// How many partitions the output topics have.
    pub(super) outputs: Outputs,
    /// What others may look at.
    pub(super) exposed: Arc<Exposed>,
    /// Whether the topics are asked how large a message may be.
    asks_for_limits: bool,
}

impl<'c> Instance<'c> {
    /// Takes the folder for this process. One that only routes has no state, and a folder of its own for its id.
    pub fn new(config: &'c Config, stages: Stages, exposed: &Arc<Exposed>) -> Result<Self, Error> {
        let dir = config.state.dir.join(&config.application.id);
        let dir = StateDir::open(match stages {
            Stages::Route => dir.join("route"),
            Stages::All | Stages::Join => dir,
        })?;
        exposed.is(dir.instance_id());
        let outputs = Outputs::new(config, &dir);
        Ok(Self {
            config,
            dir,
            exposed: Arc::clone(exposed),
            settings: settings_hash(config),
            pace: Pace::default(),
            next_close: NextClose::default(),
            outputs,
            asks_for_limits: false,
        })
    }
}

impl Instance<'_> {
    /// The configuration with the size of messages that all topics take.
    fn limited(&self) -> Result<Config, Error> {
        let mut config = self.config.clone();
        if self.asks_for_limits {
            let limit = Topics::new(self.config)?.message_limit();
            let name = clients::MESSAGE_MAX_BYTES.to_owned();
            config.kafka.properties.insert(name, Property::Plain(limit.to_string()));
        }
        Ok(config)
    }
}

/// The same for topics that are known to be as they must.
pub fn start(instance: &Instance<'_>, stages: Stages, shutdown: &Shutdown, metrics: &Arc<Metrics>) -> Result<(), Error> {
    let mut threads: Vec<&'static str> = Vec::new();
    if stages != Stages::Route {
        threads.push("join");
    }
    if stages != Stages::Join {
        threads.push("route");
    }
    let stage = |name: &str, shutdown: &Shutdown| {
        let config = instance.limited()?;
        match name {
            "join" => Join::new(&config, instance, shutdown.clone(), Arc::clone(metrics))?.run(),
            _ => Route::new(&config, instance, shutdown.clone(), Arc::clone(metrics))?.run(),
        }
    };
    std::thread::scope(|scope| {
        let spawn = |name: &'static str| {
            let run = move || {
                // When a stage ends, for whatever reason, all are asked to stop.
                let _guard = StopAll(shutdown);
                let shutdown = shutdown.taking(&instance.exposed.pulse(name));
                supervise(name, &shutdown, || stage(name, &shutdown))
            };
            let thread = std::thread::Builder::new().name(name.to_owned()).spawn_scoped(scope, run);
            thread.map(|thread| (name, thread)).map_err(Error::Thread)
        };
        if instance.config.http.listen.is_some() {
            let watch = || super::peers::watch(instance.config, &instance.exposed, shutdown);
            std::thread::Builder::new()
                .name("peers".to_owned())
                .spawn_scoped(scope, watch)
                .map_err(Error::Thread)?;
        }
        let started: Vec<_> = threads.into_iter().map(spawn).collect();
        let mut result = Ok(());
        for thread in started {
            let ended = thread.and_then(|(name, thread)| thread.join().unwrap_or(Err(Error::Panicked(name))));
            if ended.is_err() {
                shutdown.request();
            }
            // The first failure is the cause; what follows from it is not.
            result = result.and(ended);
        }
        result
    })
}

struct StopAll<'s>(&'s Shutdown);

impl Drop for StopAll<'_> {
    fn drop(&mut self) {
        self.0.request();
    }
}

/// How long a stage that failed waits at first before it starts again; twice as long at every further time.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// How long it waits at the most; and for how long it must have run for the next failure to be a first one.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Runs a stage, and starts it again when what ended it may pass. Beginning anew is what it does after a crash too: there is one way
/// back to work, and it is the one that the tests kill processes for.
fn supervise(name: &str, shutdown: &Shutdown, stage: impl Fn() -> Result<(), Error>) -> Result<(), Error> {
    let mut wait = FIRST_WAIT;
    let mut fenced = 0;
    loop {
        let began = clock::start();
        match stage() {
            Err(error) if error.may_pass() && !shutdown.is_requested() => {
                if began.elapsed() > LONGEST_WAIT {
                    (wait, fenced) = (FIRST_WAIT, 0);
                }
                fenced += u32::from(error.is_fenced());
                if fenced > MOST_FENCED {
                    return Err(error);
                }
                tracing::error!(stage = name, seconds = wait.as_secs(), "{error}; the stage starts again");
                shutdown.sleep(wait);
                wait = (wait * 2).min(LONGEST_WAIT);
            }
            result => return result,
        }
    }
}

/// What state depends on, as a hash that travels in the log.
fn settings_hash(config: &Config) -> [u8; 32] {
    let mut hash = Sha256::new();
    for (name, value) in config.state_fingerprint().iter() {
        for part in [name, value] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
    }
    hash.finalize().into()
}
