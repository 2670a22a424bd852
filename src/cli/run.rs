//! `alerttrail run`: the processor.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::ValueEnum;

use super::{Failure, configuration_of_clients, limits, service, signals};
use crate::check::topics::Role;
use crate::config::Config;
use crate::emit::Links;
use crate::kafka;
use crate::metrics::Metrics;
use crate::pipeline::exposed::Exposed;
use crate::pipeline::processor::{self, Instance, Stages};
use crate::shutdown::Shutdown;

/// What to run.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// The configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Run only one of the two stages in this instance
    #[arg(long, value_name = "STAGE")]
    only: Option<Stage>,
    /// Skip topic checks and creation (the embedded test broker has no admin API)
    #[arg(long, hide = true)]
    as_they_are: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Stage {
    /// Route records from the input topics to the repartition topic
    Route,
    /// Join the records of the repartition topic and write the rows to the output topics
    Join,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let config = configuration_of_clients(&args.config)?;
    let _export = log(&config)?;
    limits::set();
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    let stages = match args.only {
        None => Stages::All,
        Some(Stage::Route) => Stages::Route,
        Some(Stage::Join) => Stages::Join,
    };
    let shutdown = Shutdown::default();
    signals::watch(&shutdown).map_err(Failure::failed)?;
    let metrics = Arc::new(Metrics::new(Links::new(&config.decode)).map_err(Failure::failed)?);
    let exposed = Arc::new(Exposed::default());
    let _http = serve(&config, &metrics, &exposed, &shutdown)?;
    service::watch(&exposed, &shutdown).map_err(Failure::failed)?;
    tracing::info!(
        application = config.application.id,
        version = env!("CARGO_PKG_VERSION"),
        "starting"
    );
    let result = match args.as_they_are {
        false => processor::run(&config, stages, &shutdown, &metrics, &exposed),
        true => {
            Instance::new(&config, stages, &exposed).and_then(|instance| processor::start(&instance, stages, &shutdown, &metrics))
        }
    };
    result.map_err(|error| failure(&error, &args.config))?;
    tracing::info!("stopped");
    Ok(())
}

/// Returns the error as a failure. For missing topics, adds the command that creates them.
fn failure(error: &processor::Error, config: &Path) -> Failure {
    let processor::Error::Kafka(kafka::Error::NoTopics { missing }) = error else {
        return Failure::failed(error);
    };
    let inputs = missing.iter().any(|(role, _)| *role == Role::Input);
    Failure::failed(format!(
        "{error}; create what is missing with `alerttrail topics create --config {}{}`, or correct the settings",
        config.display(),
        if inputs { " --with-inputs" } else { "" }
    ))
}

/// Starts logging, and exporting to a collector until the returned value is dropped.
#[cfg(feature = "otel")]
fn log(config: &Config) -> Result<super::otlp::Export, Failure> {
    const DEFAULT: &str = "info,opentelemetry=warn";
    let (export, mut destinations) = super::otlp::begin(config, DEFAULT)?;
    destinations.push(super::logging::lines(DEFAULT));
    super::logging::begin_with(destinations);
    Ok(export)
}

/// Starts logging. The returned value takes the place of the export, which this build does not have.
#[cfg(not(feature = "otel"))]
fn log(_: &Config) -> Result<impl Sized + use<>, Failure> {
    super::logging::begin("info");
    Ok(Option::<()>::None)
}

/// Runs the HTTP server until the returned value is dropped.
fn serve(
    config: &Config,
    metrics: &Arc<Metrics>,
    exposed: &Arc<Exposed>,
    shutdown: &Shutdown,
) -> Result<Option<tokio::runtime::Runtime>, Failure> {
    let Some(address) = config.http.listen else { return Ok(None) };
    let listener = crate::http::listen(address).map_err(Failure::failed)?;
    let runtime = crate::http::start(listener, config, metrics, exposed, shutdown);
    runtime.map(Some).map_err(Failure::failed)
}
