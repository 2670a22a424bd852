//! The processor: checks what it needs, starts the stages, and stops when one of them does.

use std::path::PathBuf;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::join::Join;
use super::route::Route;
use super::settings;
use crate::config::Config;
use crate::kafka::topics::{Log, Topics};
use crate::metrics::Metrics;
use crate::shutdown::Shutdown;
use crate::{kafka, log, store};

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
    #[error("the state in {path} was made under other settings ({differences}): set them back, or use another application.id")]
    StoredSettings {
        /// Where the state is.
        path: PathBuf,
        /// The settings, in words.
        differences: String,
    },
    /// A log that was written under other settings.
    #[error(
        "{topic}/{partition} at offset {offset}: the log was written under other [correlation], [tenants], input.identity, state.retention or repartition.partitions; set them back, or use another application.id"
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

/// Runs the stages until `shutdown` is requested or one of them fails. Topics are checked first, and the repartition topic is made if it
/// is not there.
pub fn run(config: &Config, stages: Stages, shutdown: &Shutdown, metrics: &Arc<Metrics>) -> Result<(), Error> {
    let log = Topics::new(config)?.prepare()?;
    // Before anything is written: marks of other settings in the log could not be taken back.
    settings::check_state(config)?;
    if log == Log::Old {
        settings::check_log(config, settings_hash(config))?;
    }
    start(config, stages, shutdown, metrics)
}

/// The same for topics that are known to be as they must.
pub fn start(config: &Config, stages: Stages, shutdown: &Shutdown, metrics: &Arc<Metrics>) -> Result<(), Error> {
    let settings = settings_hash(config);
    let mut threads = Vec::new();
    if stages != Stages::Route {
        let join = Join::new(config, settings, shutdown.clone(), Arc::clone(metrics))?;
        threads.push(("join", spawn("join", shutdown, move || join.run())?));
    }
    if stages != Stages::Join {
        match Route::new(config, settings, shutdown.clone(), Arc::clone(metrics)) {
            Ok(route) => threads.push(("route", spawn("route", shutdown, move || route.run())?)),
            Err(error) => {
                shutdown.request();
                for (_, thread) in threads {
                    drop(thread.join());
                }
                return Err(error);
            }
        }
    }
    let mut result = Ok(());
    for (name, thread) in threads {
        let ended = thread.join().unwrap_or(Err(Error::Panicked(name)));
        // The first failure is the cause; what follows from it is not.
        result = result.and(ended);
    }
    result
}

/// Runs a stage on a thread of its own; when it ends, for whatever reason, all are asked to stop.
fn spawn(
    name: &str,
    shutdown: &Shutdown,
    stage: impl FnOnce() -> Result<(), Error> + Send + 'static,
) -> Result<std::thread::JoinHandle<Result<(), Error>>, Error> {
    struct StopAll(Shutdown);
    impl Drop for StopAll {
        fn drop(&mut self) {
            self.0.request();
        }
    }
    let guard = StopAll(shutdown.clone());
    let run = move || {
        let _guard = guard;
        stage()
    };
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .map_err(Error::Thread)
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
