//! The processor: checks its topics, starts the stages, and stops all of them when one stops.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::batch_size::AdaptiveBatchSize;
use super::exposed::Exposed;
use super::idle_sources::IdleSources;
use super::join::Join;
use super::log_tail;
use super::next_close::NextClose;
use super::outputs::{self, OutputTopics};
use super::route::Route;
use crate::config::{Config, Property};
use crate::heartbeat::Heartbeat;
use crate::kafka::clients;
use crate::kafka::topics::{RepartitionTopic, Topics};
use crate::metrics::Metrics;
use crate::shutdown::Shutdown;
use crate::store::StateDir;
use crate::{clock, kafka, repartition, store};

/// The stages that an instance runs.
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
    /// An error of the broker.
    #[error(transparent)]
    Kafka(#[from] kafka::Error),
    /// An error of the state.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A repartition record that cannot be decoded.
    #[error("cannot decode the record of the repartition topic at partition {partition}, offset {offset}: {cause}")]
    Log {
        /// Its partition.
        partition: i32,
        /// Its offset.
        offset: i64,
        /// What is wrong with it.
        cause: repartition::Error,
    },
    /// A repartition record that cannot be encoded.
    #[error("cannot encode a record for the repartition topic: {0}")]
    Encode(#[from] repartition::Error),
    /// State that was built with other settings.
    #[error(
        "the state in {path} was built with other settings ({differences}); restore the settings, use another application.id, or start over with `alerttrail reset`"
    )]
    StoredSettings {
        /// The path of the state.
        path: PathBuf,
        /// The settings, in words.
        differences: String,
    },
    /// A repartition topic that was written with other settings.
    #[error(
        "{topic}/{partition} at offset {offset}: the repartition topic was written with other [correlation], [[link]], [alert], [tenants], input.identity, state.retention or repartition.partitions; restore the settings, use another application.id, or start over with `alerttrail reset`"
    )]
    OtherSettings {
        /// The repartition topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The offset.
        offset: i64,
    },
    /// The operating system cannot start a thread.
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
    /// A stage panicked.
    #[error("the {0} stage ended unexpectedly; this is a bug in alerttrail, please report it with the message above")]
    Panicked(&'static str),
}

/// A member that lost its session may be fenced once by its own return. One that is fenced repeatedly shares its id
/// with another process.
const MAX_FENCED: u32 = 3;

impl Error {
    /// Returns whether another member has, or had, the instance id.
    fn is_fenced(&self) -> bool {
        use rdkafka::error::RDKafkaErrorCode as Code;
        matches!(self, Self::Kafka(kafka::Error::Read { cause, .. }) if cause.rdkafka_error_code() == Some(Code::FencedInstanceId))
    }

    /// Returns whether the same work may succeed when it is restarted: brokers recover, permissions are granted,
    /// producers can be recreated.
    fn is_transient(&self) -> bool {
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

/// Runs the stages until `shutdown` is requested or one of them fails. Checks the topics first, and creates the
/// repartition topic if it does not exist.
pub fn run(
    config: &Config,
    stages: Stages,
    shutdown: &Shutdown,
    metrics: &Arc<Metrics>,
    exposed: &Arc<Exposed>,
) -> Result<(), Error> {
    let mut instance = Instance::new(config, stages, exposed)?;
    instance.requests_limits = true;
    let topics = match Topics::until(config, shutdown) {
        // Nothing has been started yet.
        Err(kafka::Error::Stopped) => return Ok(()),
        topics => topics?,
    };
    let log = match topics.prepare() {
        Err(kafka::Error::Stopped) => return Ok(()),
        prepared => prepared?,
    };
    for topic in outputs::topics(config) {
        if let Some(count) = topics.partitions(topic)? {
            instance.outputs.update(topic, count, &instance.dir);
        }
    }
    // This comes before anything is written: watermark updates of other settings could not be removed from the log.
    log_tail::check_state(config, &instance.dir)?;
    if log == RepartitionTopic::Existing {
        log_tail::check_log(config, instance.settings)?;
    }
    start(&instance, stages, shutdown, metrics)
}

/// A running instance of the application with its state directory.
pub struct Instance<'c> {
    pub(super) config: &'c Config,
    pub(super) dir: StateDir,
    /// A hash of the settings that state depends on. It is sent in the log.
    pub(super) settings: [u8; 32],
    /// The adaptive size of transactions. It outlives the stage, because a transaction that is too large ends the
    /// stage.
    pub(super) batch_size: AdaptiveBatchSize,
    /// The window that JOIN closes next, for ROUTE.
    pub(super) next_close: NextClose,
    /// What the watermark updates say about idle source partitions, from JOIN for ROUTE.
    pub(super) idle_sources: Arc<IdleSources>,
    /// The partition counts of the output topics.
    pub(super) outputs: OutputTopics,
    /// What other threads may look at.
    pub(super) exposed: Arc<Exposed>,
    /// Whether to request the message limits of the topics.
    requests_limits: bool,
}

impl<'c> Instance<'c> {
    /// Opens the state directory for this process. An instance that only routes has no state and uses a directory of
    /// its own for its id.
    pub fn new(config: &'c Config, stages: Stages, exposed: &Arc<Exposed>) -> Result<Self, Error> {
        let dir = config.state.dir.join(&config.application.id);
        let dir = StateDir::open(match stages {
            Stages::Route => dir.join("route"),
            Stages::All | Stages::Join => dir,
        })?;
        exposed.set_instance(dir.instance_id());
        let outputs = OutputTopics::new(config, &dir);
        Ok(Self {
            config,
            dir,
            exposed: Arc::clone(exposed),
            settings: settings_hash(config),
            batch_size: AdaptiveBatchSize::default(),
            next_close: NextClose::default(),
            idle_sources: Arc::default(),
            outputs,
            requests_limits: false,
        })
    }
}

impl Instance<'_> {
    /// Returns the configuration with the message size that all topics accept.
    fn limited(&self) -> Result<Config, Error> {
        let mut config = self.config.clone();
        if self.requests_limits {
            let limit = Topics::new(self.config)?.message_limit();
            let name = clients::MESSAGE_MAX_BYTES.to_owned();
            config.kafka.properties.insert(name, Property::Plain(limit.to_string()));
        }
        Ok(config)
    }
}

/// Runs the stages without checking the topics.
pub fn start(instance: &Instance<'_>, stages: Stages, shutdown: &Shutdown, metrics: &Arc<Metrics>) -> Result<(), Error> {
    let mut threads: Vec<&'static str> = Vec::new();
    if stages != Stages::Route {
        threads.push("join");
    }
    if stages != Stages::Join {
        threads.push("route");
    }
    let stage = |name: &str, heartbeat: Heartbeat| {
        let config = instance.limited()?;
        match name {
            "join" => Join::new(&config, instance, shutdown.clone(), heartbeat, Arc::clone(metrics))?.run(),
            _ => Route::new(&config, instance, shutdown.clone(), heartbeat, Arc::clone(metrics))?.run(),
        }
    };
    std::thread::scope(|scope| {
        let spawn = |name: &'static str| {
            let run = move || {
                // When a stage ends, for whatever reason, all stages are stopped.
                let _guard = StopAll(shutdown);
                let heartbeat = instance.exposed.heartbeat(name);
                supervise(name, shutdown, || {
                    heartbeat.record();
                    stage(name, heartbeat.clone())
                })
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
            // The first failure is the cause; later ones are its consequences.
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

/// How long a stage that failed waits before its first restart. The wait doubles with each further failure.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
/// The longest wait, and how long a stage must have run for its next failure to count as the first.
const MAX_BACKOFF: Duration = Duration::from_secs(30);

/// Runs a stage, and restarts it after an error that may be temporary. A restart does the same as a start after a
/// crash: there is one recovery path, and it is the one that the tests exercise by killing processes.
fn supervise(name: &str, shutdown: &Shutdown, stage: impl Fn() -> Result<(), Error>) -> Result<(), Error> {
    let mut wait = FIRST_BACKOFF;
    let mut fenced = 0;
    loop {
        let began = clock::start();
        match stage() {
            Err(error) if error.is_transient() && !shutdown.is_requested() => {
                if began.elapsed() > MAX_BACKOFF {
                    (wait, fenced) = (FIRST_BACKOFF, 0);
                }
                fenced += u32::from(error.is_fenced());
                if fenced > MAX_FENCED {
                    return Err(error);
                }
                tracing::error!(stage = name, seconds = wait.as_secs(), "{error}; restarting the stage");
                shutdown.sleep(wait);
                wait = (wait * 2).min(MAX_BACKOFF);
            }
            result => return result,
        }
    }
}

/// Returns a hash of the settings that state depends on. It is sent in the log.
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
