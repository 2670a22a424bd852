//! What the processor tells over HTTP: the web page at `/`, `/metrics` for Prometheus, `/livez` and `/readyz` for whoever keeps it running (these two need no token). Only reads; it
//! cannot slow the data path, for it shares nothing with it but counters.

mod page;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;

use sha2::{Digest, Sha256};

use crate::config::Secret;
use crate::metrics::Metrics;
use crate::shutdown::Shutdown;

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

#[derive(Clone)]
struct Shared {
    metrics: Arc<Metrics>,
    shutdown: Shutdown,
    token: Option<Secret>,
}

/// Serves on `address` until the runtime ends. Returns once the address is taken.
pub async fn serve(address: SocketAddr, token: Option<Secret>, metrics: Arc<Metrics>, shutdown: Shutdown) -> Result<(), Error> {
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .map_err(|cause| Error::Listen { address, cause })?;
    let routes = Router::new()
        .route("/metrics", get(metrics_text))
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .merge(page::routes())
        .with_state(Shared {
            metrics,
            shutdown,
            token,
        });
    tracing::info!(%address, "metrics and health");
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, routes).await {
            tracing::error!(%error, "the HTTP server ended");
        }
    });
    Ok(())
}

async fn metrics_text(State(shared): State<Shared>, headers: HeaderMap) -> impl IntoResponse {
    if !is_allowed(shared.token.as_ref(), &headers) {
        let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
        return (
            StatusCode::UNAUTHORIZED,
            challenge,
            "send the token of http.token as a bearer token\n",
        )
            .into_response();
    }
    match shared.metrics.text() {
        Ok(text) => (StatusCode::OK, [(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// Whether the request carries the token, where one is configured. Hashes are compared: how long that takes says nothing about the token.
fn is_allowed(token: Option<&Secret>, headers: &HeaderMap) -> bool {
    let Some(token) = token else { return true };
    let given = headers
        .get(header::AUTHORIZATION)
        .map(|value| value.as_bytes())
        .unwrap_or_default();
    let wanted = format!("Bearer {}", token.expose());
    Sha256::digest(given) == Sha256::digest(wanted.as_bytes())
}

/// Ready while it works: from the first assignment of partitions until it is asked to stop.
async fn ready(State(shared): State<Shared>) -> impl IntoResponse {
    match (shared.shutdown.is_requested(), shared.metrics.has_worked()) {
        (false, true) => (StatusCode::OK, "ready\n"),
        (false, false) => (StatusCode::SERVICE_UNAVAILABLE, "waiting for partitions\n"),
        (true, _) => (StatusCode::SERVICE_UNAVAILABLE, "stopping\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configured_token_must_come_with_the_request() {
        let token = Secret::new("s3cret");
        let mut headers = HeaderMap::new();
        assert!(is_allowed(None, &headers));
        assert!(!is_allowed(Some(&token), &headers));
        headers.insert(header::AUTHORIZATION, "Bearer other".parse().unwrap());
        assert!(!is_allowed(Some(&token), &headers));
        headers.insert(header::AUTHORIZATION, "Bearer s3cret".parse().unwrap());
        assert!(is_allowed(Some(&token), &headers));
    }
}
