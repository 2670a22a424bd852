//! Logging: text on standard error, or JSON with `ALERTTRAIL_LOG_FORMAT=json`; `ALERTTRAIL_LOG` sets the level (`info`,
//! `alerttrail=debug`, …). A processor also sends logs to an OpenTelemetry collector if one is configured (`otlp`).

use std::io::IsTerminal as _;

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

use super::mask;

/// A destination of events and spans.
pub type Destination = Box<dyn Layer<Registry> + Send + Sync>;

/// Starts to log to standard error.
pub fn begin(default: &str) {
    begin_with(vec![lines(default)]);
}

/// Starts to log to all these destinations.
pub fn begin_with(destinations: Vec<Destination>) {
    // Only a second call fails. Then the first one stays in effect.
    drop(tracing_subscriber::registry().with(destinations).try_init());
}

/// Returns the filter of log levels.
pub fn filter(default: &str) -> EnvFilter {
    EnvFilter::try_from_env("ALERTTRAIL_LOG").unwrap_or_else(|_| EnvFilter::new(default))
}

/// Returns standard error as a destination.
pub fn lines(default: &str) -> Destination {
    let is_terminal = std::io::stderr().is_terminal();
    let lines = match is_terminal {
        true => mask::Lines::Coloured,
        false => mask::Lines::One,
    };
    let layer = fmt::layer()
        .with_writer(move || mask::Masked(std::io::stderr(), lines))
        .with_target(false)
        .with_ansi(is_terminal);
    match std::env::var("ALERTTRAIL_LOG_FORMAT").as_deref() {
        Ok("json") => layer.json().with_filter(filter(default)).boxed(),
        _ => layer.with_filter(filter(default)).boxed(),
    }
}
