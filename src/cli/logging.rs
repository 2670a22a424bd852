//! What the program logs: text for people on standard error, JSON with `ALERTTRAIL_LOG_FORMAT=json`; `ALERTTRAIL_LOG` says what (`info`,
//! `alerttrail=debug`, …). A processor sends the same to an OpenTelemetry collector where one is named (`otlp`).

use std::io::IsTerminal as _;

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

use super::mask;

/// Something that events and spans go to.
pub(super) type Destination = Box<dyn Layer<Registry> + Send + Sync>;

/// Begins to log to standard error.
pub(super) fn begin(default: &str) {
    begin_with(vec![lines(default)]);
}

/// Begins to log to all of these.
pub(super) fn begin_with(destinations: Vec<Destination>) {
    // Only a second call fails, and then the first one holds.
    drop(tracing_subscriber::registry().with(destinations).try_init());
}

/// What is logged.
pub(super) fn filter(default: &str) -> EnvFilter {
    EnvFilter::try_from_env("ALERTTRAIL_LOG").unwrap_or_else(|_| EnvFilter::new(default))
}

/// Standard error.
pub(super) fn lines(default: &str) -> Destination {
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
