//! Access control: requests need the token, a `Host` that belongs to this processor, and no foreign `Origin`.
//!
//! A browser on this machine lets any page reach loopback addresses. A page may point its own name at 127.0.0.1 (DNS
//! rebinding), which the `Host` header reveals, or send cross-origin requests, which the `Origin` header reveals.

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::Response;
use sha2::{Digest, Sha256};

use super::failure::Failure;
use super::server::Server;
use crate::config::{Http, Secret};

/// Passes a request on, or refuses it with a reason.
pub(super) async fn guard(State(server): State<Server>, request: Request, next: Next) -> Result<Response, Failure> {
    check(server.http(), request.headers())?;
    if !has_token(server.token(), request.headers()) {
        return Err(Failure::new(
            StatusCode::UNAUTHORIZED,
            "send the token of http.token as `Authorization: Bearer <token>`",
        ));
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, header::HeaderValue::from_static("nosniff"));
    Ok(response)
}

/// Returns whether the request carries the configured token, or no token is configured. Compares hashes, so the
/// duration reveals nothing about the token.
pub(super) fn has_token(token: Option<&Secret>, headers: &HeaderMap) -> bool {
    let Some(token) = token else { return true };
    let given = headers
        .get(header::AUTHORIZATION)
        .map(|value| value.as_bytes())
        .unwrap_or_default();
    let expected = format!("Bearer {}", token.expose());
    Sha256::digest(given) == Sha256::digest(expected.as_bytes())
}

fn check(http: &Http, headers: &HeaderMap) -> Result<(), Failure> {
    let refuse = |what: &str| {
        Failure::new(
            StatusCode::FORBIDDEN,
            format!("{what} is not allowed; if it belongs to this API, add it to http.allowed_hosts"),
        )
    };
    let text = |name| headers.get(name).and_then(|value: &header::HeaderValue| value.to_str().ok());
    let host: Option<Authority> = text(header::HOST).and_then(|host| host.parse().ok());
    let Some(host) = host.filter(|host| is_host_allowed(http, host.host())) else {
        return Err(refuse("the Host of the request"));
    };
    let Some(origin) = headers.get(header::ORIGIN) else {
        return Ok(());
    };
    let origin: Option<Uri> = origin.to_str().ok().and_then(|origin| origin.parse().ok());
    let authority = origin.as_ref().and_then(Uri::authority);
    let is_same = |origin: &Authority| origin.as_str().eq_ignore_ascii_case(host.as_str());
    match authority {
        Some(origin) if is_same(origin) || is_named(http, origin.host()) => Ok(()),
        _ => Err(refuse("the Origin of the request")),
    }
}

fn is_host_allowed(http: &Http, host: &str) -> bool {
    let listens_on_loopback = http.listen.is_none_or(|address| address.ip().to_canonical().is_loopback());
    let anything = !listens_on_loopback && http.allowed_hosts.is_empty();
    anything || is_loopback(host) || is_named(http, host)
}

fn is_named(http: &Http, host: &str) -> bool {
    http.allowed_hosts.iter().any(|named| named.eq_ignore_ascii_case(host))
}

fn is_loopback(host: &str) -> bool {
    let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let address = inner.parse::<std::net::IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http(listen: &str, allowed: &[&str]) -> Http {
        Http {
            listen: Some(listen.parse().unwrap()),
            token: None,
            insecure: false,
            allowed_hosts: allowed.iter().map(|host| (*host).to_owned()).collect(),
            advertise: None,
        }
    }

    fn passes(http: &Http, host: &str, origin: Option<&str>) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        check(http, &headers).is_ok()
    }

    #[test]
    fn a_request_must_carry_the_configured_token() {
        let token = Secret::new("s3cret");
        let mut headers = HeaderMap::new();
        assert!(has_token(None, &headers));
        assert!(!has_token(Some(&token), &headers));
        headers.insert(header::AUTHORIZATION, "Bearer other".parse().unwrap());
        assert!(!has_token(Some(&token), &headers));
        headers.insert(header::AUTHORIZATION, "Bearer s3cret".parse().unwrap());
        assert!(has_token(Some(&token), &headers));
    }

    #[test]
    fn on_loopback_only_loopback_hosts_are_accepted() {
        let local = http("127.0.0.1:8686", &[]);
        for host in ["127.0.0.1:8686", "localhost:8686", "LOCALHOST", "[::1]:8686", "127.9.9.9"] {
            assert!(passes(&local, host, None), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:8686",
            "localhost.evil.example",
            "10.0.0.1",
            "",
            "a b",
        ] {
            assert!(!passes(&local, host, None), "{host}");
        }
        assert!(check(&local, &HeaderMap::new()).is_err(), "no Host at all");
        let proxied = http("127.0.0.1:8686", &["alerts.example"]);
        assert!(passes(&proxied, "alerts.example", None) && !passes(&proxied, "evil.example", None));
    }

    #[test]
    fn beyond_loopback_every_host_is_accepted_unless_hosts_are_listed() {
        assert!(passes(&http("0.0.0.0:8686", &[]), "any.example:8686", None));
        let listed = http("0.0.0.0:8686", &["alerts.example"]);
        assert!(passes(&listed, "Alerts.example:8686", None) && passes(&listed, "127.0.0.1:8686", None));
        assert!(!passes(&listed, "any.example:8686", None));
    }

    #[test]
    fn other_origins_are_refused() {
        let local = http("127.0.0.1:8686", &["alerts.example"]);
        assert!(passes(&local, "localhost:8686", Some("http://localhost:8686")));
        assert!(passes(&local, "localhost:8686", Some("https://alerts.example")));
        for origin in [
            "http://evil.example",
            "http://localhost:9999",
            "null",
            "http://127.0.0.1:8686",
        ] {
            assert!(!passes(&local, "localhost:8686", Some(origin)), "{origin}");
        }
    }
}
