//! What the processor tells over HTTP: the web page at `/`, the API, `/metrics` for Prometheus, `/livez` and `/readyz` for whoever keeps it
//! running (these two need no token).
//!
//! `connections` takes the callers' connections, `api` has the paths and their parameters, `answers` what they say of this instance, `group` what the others say, `status` the
//! processor's own state, `guard` who is let in, `trace` the span of each request, `openapi` the document of all that, `page` the page's files. Only reads. It cannot slow
//! the data path: it shares nothing with it but counters and the stores, which it reads by snapshots, a few at a time, on threads of its
//! own. It relies on [`query`](crate::query) for what state says.

mod answers;
mod api;
mod connections;
mod failure;
mod group;
mod guard;
pub mod openapi;
mod page;
#[cfg(feature = "kafka")]
mod scan;
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
use crate::pipeline::exposed::Exposed;
use crate::shutdown::Shutdown;
use answers::Server;
use failure::Failure;

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

/// Takes an address to serve on.
pub fn listen(address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address).map_err(|cause| Error::Listen { address, cause })
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
    tracing::info!(%address, "API, metrics and health");
    tokio::spawn(async move { server.watch().await });
    tokio::spawn(connections::serve(listener, routes, connections::PATIENCE));
    Ok(())
}

fn asynchronous(listener: TcpListener) -> Result<(SocketAddr, tokio::net::TcpListener), Error> {
    let address = listener.local_addr().unwrap_or_else(|_| ([0, 0, 0, 0], 0).into());
    let failed = |cause| Error::Listen { address, cause };
    listener.set_nonblocking(true).map_err(failed)?;
    Ok((address, tokio::net::TcpListener::from_std(listener).map_err(failed)?))
}

fn routes(server: Server) -> Router {
    Router::new()
        .route("/metrics", get(metrics_text))
        .route("/livez", get(alive))
        .route("/readyz", get(ready))
        .nest("/api/v1", api::routes(&server))
        .merge(page::routes())
        .fallback(|uri: OriginalUri| async move { Failure::no_such_path(uri.path()) })
        .method_not_allowed_fallback(|| async { Failure::no_such_method() })
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

/// A stage that has not gone round for so long is stuck, and only a restart helps. What a stage waits for, such as a broker that is away,
/// it waits for going round.
const LONGEST_SILENCE: Duration = Duration::from_secs(5 * 60);

/// Alive while every stage moves.
async fn alive(State(server): State<Server>) -> (StatusCode, String) {
    life(server.exposed().most_silent())
}

fn life(most_silent: Option<(&str, Duration)>) -> (StatusCode, String) {
    match most_silent {
        Some((stage, silence)) if silence > LONGEST_SILENCE => {
            let seconds = silence.as_secs();
            let sentence = format!("the {stage} stage has not moved for {seconds} s; restart the process\n");
            (StatusCode::SERVICE_UNAVAILABLE, sentence)
        }
        _ => (StatusCode::OK, "ok\n".to_owned()),
    }
}

/// Ready while it works: from the first assignment of partitions, and when what their log held then has been applied, until it is asked to
/// stop.
async fn ready(State(server): State<Server>) -> (StatusCode, String) {
    let waits = match (
        server.is_stopping(),
        server.metrics().has_worked(),
        server.metrics().left_to_replay(),
    ) {
        (true, ..) => "stopping\n".to_owned(),
        (false, false, _) => "waiting for partitions\n".to_owned(),
        (false, true, left @ 1..) => format!("replaying the log: {left} records are left\n"),
        (false, true, _) => return (StatusCode::OK, "ready\n".to_owned()),
    };
    (StatusCode::SERVICE_UNAVAILABLE, waits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_that_does_not_move_is_no_life() {
        for alive in [None, Some(("join", Duration::from_secs(299)))] {
            assert_eq!(life(alive), (StatusCode::OK, "ok\n".to_owned()));
        }
        let stuck = "the join stage has not moved for 301 s; restart the process\n";
        let said = life(Some(("join", Duration::from_secs(301))));
        assert_eq!(said, (StatusCode::SERVICE_UNAVAILABLE, stuck.to_owned()));
    }
}
