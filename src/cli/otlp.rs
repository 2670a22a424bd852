//! Traces and logs to an OpenTelemetry collector, by OTLP over HTTP, where the specification's variables name one:
//! <https://opentelemetry.io/docs/specs/otel/protocol/exporter/>.
//!
//! What leaves here is masked as what is printed. It is sent from threads of its own, which drop what they have no room for: a collector that
//! is away slows nothing down.

use std::time::Duration;

use async_trait::async_trait;
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{LogExporter, SpanExporter, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use ureq::tls::{RootCerts, TlsConfig, TlsProvider};

use super::logging::{self, Destination};
use super::{Failure, mask};
use crate::config::Config;

/// What is spoken with the collector, by the specification's name.
const PROTOCOL: &str = "http/protobuf";
/// How long a collector may take to answer, and how long a stopping process waits for it.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is sent, for as long as this is held.
#[derive(Default)]
pub(super) struct Export {
    traces: Option<SdkTracerProvider>,
    logs: Option<SdkLoggerProvider>,
}

/// Begins to send what the environment asks for; `default` is what is logged unless it says otherwise.
pub(super) fn begin(config: &Config, default: &str) -> Result<(Export, Vec<Destination>), Failure> {
    let mut export = Export::default();
    let mut destinations = Vec::new();
    for name in ["", "_TRACES", "_LOGS"].map(|signal| format!("OTEL_EXPORTER_OTLP{signal}_PROTOCOL")) {
        if variable(&name).is_some_and(|protocol| protocol != PROTOCOL) {
            return Err(unusable(&format!("{name} is not {PROTOCOL}")));
        }
    }
    let (resource, collector) = (resource(config), Collector::new());
    if is_asked_for("TRACES") {
        let exporter = SpanExporter::builder().with_http().with_http_client(collector.clone());
        let provider = SdkTracerProvider::builder()
            .with_resource(resource.clone())
            .with_batch_exporter(exporter.build().map_err(|cause| unusable(&cause))?)
            .build();
        let layer = tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("alerttrail"))
            .with_location(false)
            .with_threads(false);
        // Spans are made for a collector alone, whatever is logged.
        let own = Targets::new().with_target("alerttrail", LevelFilter::DEBUG);
        destinations.push(layer.with_filter(own).boxed());
        export.traces = Some(provider);
    }
    if is_asked_for("LOGS") {
        let exporter = LogExporter::builder().with_http().with_http_client(collector);
        let provider = SdkLoggerProvider::builder()
            .with_resource(resource)
            .with_batch_exporter(exporter.build().map_err(|cause| unusable(&cause))?)
            .build();
        let layer = OpenTelemetryTracingBridge::new(&provider);
        // What is said about a collector that cannot be reached is not for the collector.
        let own = Targets::new().with_target("alerttrail", LevelFilter::TRACE);
        destinations.push(layer.with_filter(logging::filter(default)).with_filter(own).boxed());
        export.logs = Some(provider);
    }
    Ok((export, destinations))
}

/// Sends what is left.
impl Drop for Export {
    fn drop(&mut self) {
        if let Some(traces) = &self.traces
            && let Err(error) = traces.shutdown_with_timeout(PATIENCE)
        {
            tracing::warn!(%error, "the last traces did not reach the collector");
        }
        if let Some(logs) = &self.logs
            && let Err(error) = logs.shutdown_with_timeout(PATIENCE)
        {
            tracing::warn!(%error, "the last log records did not reach the collector");
        }
    }
}

/// Whether there is an address for this signal, and nobody says that it is not wanted.
fn is_asked_for(signal: &str) -> bool {
    let has_address =
        variable("OTEL_EXPORTER_OTLP_ENDPOINT").is_some() || variable(&format!("OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")).is_some();
    let is_off = variable("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"))
        || variable(&format!("OTEL_{signal}_EXPORTER")).is_some_and(|value| value == "none");
    has_address && !is_off
}

/// A variable of the environment; to the specification an empty one is none.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Who says it. `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` come before what is known here.
fn resource(config: &Config) -> Resource {
    let named = Resource::builder().build();
    Resource::builder_empty()
        .with_attribute(KeyValue::new("service.name", config.application.id.clone()))
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attributes(
            named
                .iter()
                .filter(|(key, value)| key.as_str() != "service.name" || !value.as_str().starts_with("unknown_service"))
                .map(|(key, value)| KeyValue::new(key.clone(), value.clone())),
        )
        .build()
}

fn unusable(cause: &dyn std::fmt::Display) -> Failure {
    Failure::usage(format!(
        "the variables OTEL_EXPORTER_OTLP_* cannot be used: {cause}; traces and logs go by {PROTOCOL}, not compressed, to an address like http://localhost:4318"
    ))
}

/// The way to a collector: the HTTP client of the rest of the program.
#[derive(Clone, Debug)]
struct Collector {
    agent: ureq::Agent,
}

impl Collector {
    fn new() -> Self {
        let tls = TlsConfig::builder()
            .provider(TlsProvider::NativeTls)
            .root_certs(RootCerts::PlatformVerifier)
            .build();
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .http_status_as_error(false)
            .tls_config(tls)
            .build();
        Self { agent: agent.into() }
    }
}

#[async_trait]
impl HttpClient for Collector {
    /// On the exporter's own thread, which has nothing else to do.
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (head, body) = request.into_parts();
        let mut body = Vec::from(body);
        mask::cover(&mut body);
        let (head, mut body) = self.agent.run(Request::from_parts(head, body))?.into_parts();
        Ok(Response::from_parts(head, body.read_to_vec()?.into()))
    }
}
