//! What the processor tells over HTTP: the web page at `/`, the API, `/metrics` for Prometheus, `/livez` and `/readyz` for whoever keeps it running (these two
//! need no token).
//!
//! `api` has the paths and their parameters, `answers` what they say of this instance, `group` what the others say, `status` the processor's
//! own state, `guard` who is let in, `openapi` the document of all that, `page` the page's files. Only reads. It cannot slow the data path: it shares nothing with
//! it but counters and the stores, which it reads by snapshots, a few at a time, on threads of its own. It relies on
//! [`query`](crate::query) for what state says.

mod answers;
mod api;
mod failure;
mod group;
mod guard;
pub mod openapi;
mod page;
#[cfg(feature = "kafka")]
mod scan;
mod status;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;

use crate::config::Config;
use crate::metrics::Metrics;
use crate::pipeline::exposed::Exposed;
use crate::shutdown::Shutdown;
use answers::Server;

/// Why nothing can be told.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is taken, or not this machine's.
    #[error("cannot listen on {address}: {cause}; change http.listen, or set it to \"\" to go without")]
    Listen {
        /// The configured address.
        address: SocketAddr,
        /// The system's word.
        cause: std::io::Error,
    },
}

/// Serves on `address` until the runtime ends. Returns once the address is taken.
pub async fn serve(
    address: SocketAddr,
    config: &Config,
    metrics: Arc<Metrics>,
    exposed: Arc<Exposed>,
    shutdown: Shutdown,
) -> Result<(), Error> {
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .map_err(|cause| Error::Listen { address, cause })?;
    let server = Server::new(config, metrics, exposed, shutdown);
    let routes = routes(server.clone());
    tracing::info!(%address, "API, metrics and health");
    tokio::spawn(async move { server.watch().await });
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, routes).await {
            tracing::error!(%error, "the HTTP server ended");
        }
    });
    Ok(())
}

fn routes(server: Server) -> Router {
    Router::new()
        .route("/metrics", get(metrics_text))
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .nest("/api/v1", api::routes(&server))
        .merge(page::routes())
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

/// Ready while it works: from the first assignment of partitions until it is asked to stop.
async fn ready(State(server): State<Server>) -> impl IntoResponse {
    match (server.is_stopping(), server.metrics().has_worked()) {
        (false, true) => (StatusCode::OK, "ready\n"),
        (false, false) => (StatusCode::SERVICE_UNAVAILABLE, "waiting for partitions\n"),
        (true, _) => (StatusCode::SERVICE_UNAVAILABLE, "stopping\n"),
    }
}
