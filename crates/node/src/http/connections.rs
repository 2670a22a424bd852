//! Accepts and serves connections, and closes those that send no complete request.
//!
//! This replaces `axum::serve`, which gives hyper no timer, so that a client that sends half a request would keep its
//! connection forever.

use std::io::ErrorKind;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};

/// How long the head of a request may take, and how long a connection may be idle between requests.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// How long to pause when a connection cannot be accepted because the process has no free file descriptor.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_secs(1);

/// Serves all connections until the runtime ends.
pub(super) async fn serve(listener: TcpListener, routes: Router, timeout: Duration) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(serve_one(stream, routes.clone(), timeout))),
            // The client closed the connection before it was accepted.
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection to the API");
                tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
            }
        }
    }
}

async fn serve_one(stream: TcpStream, routes: Router, timeout: Duration) {
    let service = TowerToHyperService::new(routes);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(timeout)
        .serve_connection(TokioIo::new(stream), service);
    // The client caused the early end of the connection: it disconnected, did not send HTTP, or was too slow.
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a connection to the API ended early");
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use axum::routing::get;

    use super::*;

    #[test]
    fn an_incomplete_request_times_out_and_a_complete_one_gets_a_response() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let routes = Router::new().route("/", get(|| async { "whole" }));
        runtime.spawn(serve(listener, routes, Duration::from_millis(300)));
        let mut client = std::net::TcpStream::connect(address).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let mut response = vec![0; 1024];
        let read = client.read(&mut response).unwrap();
        assert!(response[..read].ends_with(b"whole"));
        client.write_all(b"GET / HTTP/1.1\r\nHo").unwrap();
        // An error here would be the timeout of the client, which would mean that the connection is still open.
        client.read_to_end(&mut response).unwrap();
    }
}
