//! The HTTP server: the web page at `/`, the API, `/metrics` for Prometheus, and the health checks `/livez` and
//! `/readyz`, which need no token.
//!
//! `connections` accepts connections, `guard` controls access, `api` defines the paths and their parameters, `server`
//! responds from the state of this instance, `group` forwards requests to the other instances, `status` reports the
//! state of the processor, `trace` creates a span for each request, `openapi` builds the OpenAPI document, and `page`
//! serves the files of the page.
//!
//! The server only reads. It cannot slow down the data path: it shares with it only counters and the stores, which it
//! reads through snapshots, a few at a time, on separate threads. It relies on [`query`](crate::query) for the content
//! of responses.

mod api;
mod connections;
mod failure;
mod group;
mod guard;
pub mod openapi;
mod page;
mod samples;
mod scan;
mod server;
mod status;
mod trace;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{OriginalUri, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware;
use axum::response::IntoResponse;
use axum::routing::get;

use crate::config::Config;
use crate::metrics::Metrics;
use crate::pipeline::exposed::{Exposed, HEARTBEAT_TIMEOUT};
use crate::shutdown::Shutdown;
use failure::Failure;
use server::Server;

/// The reason why the server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is in use, or does not belong to this machine.
    #[error("cannot listen on {address}: {cause}; change http.listen, or set it to \"\" to disable the HTTP server")]
    Listen {
        /// The configured address.
        address: SocketAddr,
        /// The system's error.
        cause: std::io::Error,
    },
    /// The operating system starts no threads.
    #[error(transparent)]
    Threads(std::io::Error),
}

/// Binds the address to serve on.
pub fn listen(address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address).map_err(|cause| Error::Listen { address, cause })
}

/// Serves on `listener`, on separate threads, until the returned value is dropped.
pub fn start(
    listener: TcpListener,
    config: &Config,
    metrics: &Arc<Metrics>,
    exposed: &Arc<Exposed>,
    shutdown: &Shutdown,
) -> Result<tokio::runtime::Runtime, Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(8)
        .enable_all()
        .build()
        .map_err(Error::Threads)?;
    let serving = serve(listener, config, Arc::clone(metrics), Arc::clone(exposed), shutdown.clone());
    runtime.block_on(serving)?;
    Ok(runtime)
}

/// Serves on `listener` until the runtime ends.
pub async fn serve(
    listener: TcpListener,
    config: &Config,
    metrics: Arc<Metrics>,
    exposed: Arc<Exposed>,
    shutdown: Shutdown,
) -> Result<(), Error> {
    let (address, listener) = asynchronous(listener)?;
    let server = Server::new(config, metrics, exposed, shutdown);
    let routes = routes(server.clone());
    tracing::info!(%address, "serving the API, metrics and health checks");
    tokio::spawn(async move { server.sample_counters().await });
    tokio::spawn(connections::serve(listener, routes, connections::REQUEST_TIMEOUT));
    Ok(())
}

fn asynchronous(listener: TcpListener) -> Result<(SocketAddr, tokio::net::TcpListener), Error> {
    let address = listener.local_addr().unwrap_or_else(|_| ([0, 0, 0, 0], 0).into());
    let failed = |cause| Error::Listen { address, cause };
    listener.set_nonblocking(true).map_err(failed)?;
    Ok((address, tokio::net::TcpListener::from_std(listener).map_err(failed)?))
}

/// Returns the routes under `/api/v1`, all of which need the token, as do paths that do not exist.
fn api_routes(server: &Server) -> Router<Server> {
    api::routes()
        .merge(openapi::routes())
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(middleware::from_fn_with_state(server.clone(), guard::guard))
}

async fn no_such_path(uri: OriginalUri) -> Failure {
    Failure::no_such_path(uri.path())
}

async fn no_such_method() -> Failure {
    Failure::no_such_method()
}

fn routes(server: Server) -> Router {
    Router::new()
        .route("/metrics", get(metrics_text))
        .route("/livez", get(alive))
        .route("/readyz", get(ready))
        .nest("/api/v1", api_routes(&server))
        .merge(page::routes())
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(middleware::from_fn(trace::traced))
        .with_state(server)
}

async fn metrics_text(State(server): State<Server>, headers: HeaderMap) -> impl IntoResponse {
    if !guard::has_token(server.token(), &headers) {
        let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
        return (
            StatusCode::UNAUTHORIZED,
            challenge,
            "send the token of http.token as a bearer token\n",
        )
            .into_response();
    }
    match server.metrics().text() {
        Ok(text) => (StatusCode::OK, [(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// Handles `/livez`: the process is alive while every stage sends heartbeats.
async fn alive(State(server): State<Server>) -> (StatusCode, String) {
    liveness(server.exposed().oldest_heartbeat())
}

fn liveness(oldest: Option<(&str, Duration)>) -> (StatusCode, String) {
    match oldest {
        Some((stage, age)) if age > HEARTBEAT_TIMEOUT => {
            let seconds = age.as_secs();
            let sentence = format!("the {stage} stage has sent no heartbeat for {seconds} s; restart the process\n");
            (StatusCode::SERVICE_UNAVAILABLE, sentence)
        }
        _ => (StatusCode::OK, "ok\n".to_owned()),
    }
}

/// Handles `/readyz`: the processor is ready after the first assignment of partitions, as soon as the records that
/// their part of the repartition topic had at that time have been applied, and until a shutdown is requested.
async fn ready(State(server): State<Server>) -> (StatusCode, String) {
    let reason = match (
        server.is_stopping(),
        server.metrics().has_worked(),
        server.metrics().left_to_replay(),
    ) {
        (true, ..) => "stopping\n".to_owned(),
        (false, false, _) => "waiting for partitions\n".to_owned(),
        (false, true, left @ 1..) => format!("replaying the repartition topic: {left} records left\n"),
        (false, true, _) => return (StatusCode::OK, "ready\n".to_owned()),
    };
    (StatusCode::SERVICE_UNAVAILABLE, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_without_heartbeats_is_not_alive() {
        for alive in [None, Some(("join", Duration::from_secs(299)))] {
            assert_eq!(liveness(alive), (StatusCode::OK, "ok\n".to_owned()));
        }
        let stuck = "the join stage has sent no heartbeat for 301 s; restart the process\n";
        let response = liveness(Some(("join", Duration::from_secs(301))));
        assert_eq!(response, (StatusCode::SERVICE_UNAVAILABLE, stuck.to_owned()));
    }
}
