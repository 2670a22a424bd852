//! Sends traces and logs to an OpenTelemetry collector, with OTLP over HTTP, if the standard variables name one:
//! <https://opentelemetry.io/docs/specs/otel/protocol/exporter/>.
//!
//! All texts are masked like printed ones. They are sent from separate threads, which drop what does not fit in their
//! queues, so an unavailable collector does not slow down the processor.

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

/// The protocol, as the specification names it.
const PROTOCOL: &str = "http/protobuf";
/// How long a collector may take to respond, and how long a shutdown waits for it.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// The exporters. They run until this is dropped.
#[derive(Default)]
pub(super) struct Export {
    traces: Option<SdkTracerProvider>,
    logs: Option<SdkLoggerProvider>,
}

/// Starts the exporters that the environment configures; `default` is the default log level.
pub(super) fn begin(config: &Config, default: &str) -> Result<(Export, Vec<Destination>), Failure> {
    let mut export = Export::default();
    let mut destinations = Vec::new();
    for name in ["", "_TRACES", "_LOGS"].map(|signal| format!("OTEL_EXPORTER_OTLP{signal}_PROTOCOL")) {
        if variable(&name).is_some_and(|protocol| protocol != PROTOCOL) {
            return Err(unusable(&format!("{name} is not {PROTOCOL}")));
        }
    }
    let (resource, collector) = (resource(config), Collector::new());
    if is_enabled("TRACES") {
        let exporter = SpanExporter::builder().with_http().with_http_client(collector.clone());
        let provider = SdkTracerProvider::builder()
            .with_resource(resource.clone())
            .with_batch_exporter(exporter.build().map_err(|cause| unusable(&cause))?)
            .build();
        let layer = tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("alerttrail"))
            .with_location(false)
            .with_threads(false);
        // Spans are created only for the collector, whatever the log level is.
        let own = Targets::new().with_target("alerttrail", LevelFilter::DEBUG);
        destinations.push(layer.with_filter(own).boxed());
        export.traces = Some(provider);
    }
    if is_enabled("LOGS") {
        let exporter = LogExporter::builder().with_http().with_http_client(collector);
        let provider = SdkLoggerProvider::builder()
            .with_resource(resource)
            .with_batch_exporter(exporter.build().map_err(|cause| unusable(&cause))?)
            .build();
        let layer = OpenTelemetryTracingBridge::new(&provider);
        // Messages about a collector that cannot be reached must not be sent to it.
        let own = Targets::new().with_target("alerttrail", LevelFilter::TRACE);
        destinations.push(layer.with_filter(logging::filter(default)).with_filter(own).boxed());
        export.logs = Some(provider);
    }
    Ok((export, destinations))
}

/// Sends the remaining data.
impl Drop for Export {
    fn drop(&mut self) {
        if let Some(traces) = &self.traces
            && let Err(error) = traces.shutdown_with_timeout(EXPORT_TIMEOUT)
        {
            tracing::warn!(%error, "the last traces did not reach the collector");
        }
        if let Some(logs) = &self.logs
            && let Err(error) = logs.shutdown_with_timeout(EXPORT_TIMEOUT)
        {
            tracing::warn!(%error, "the last log records did not reach the collector");
        }
    }
}

/// Returns whether this signal has an address and is not disabled.
fn is_enabled(signal: &str) -> bool {
    let has_address =
        variable("OTEL_EXPORTER_OTLP_ENDPOINT").is_some() || variable(&format!("OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")).is_some();
    let is_off = variable("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"))
        || variable(&format!("OTEL_{signal}_EXPORTER")).is_some_and(|value| value == "none");
    has_address && !is_off
}

/// Returns a variable of the environment. The specification treats an empty one as unset.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Returns the resource attributes. `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` override the defaults.
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
        "the variables OTEL_EXPORTER_OTLP_* cannot be used: {cause}; traces and logs are sent as {PROTOCOL}, uncompressed, to an address like http://localhost:4318"
    ))
}

/// The HTTP client of the exporters, the same as in the rest of the program.
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
            .timeout_global(Some(EXPORT_TIMEOUT))
            .http_status_as_error(false)
            .tls_config(tls)
            .build();
        Self { agent: agent.into() }
    }
}

#[async_trait]
impl HttpClient for Collector {
    /// Sends on the exporter's own thread, which may block.
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (head, body) = request.into_parts();
        let mut body = Vec::from(body);
        mask::cover(&mut body);
        let (head, mut body) = self.agent.run(Request::from_parts(head, body))?.into_parts();
        Ok(Response::from_parts(head, body.read_to_vec()?.into()))
    }
}
