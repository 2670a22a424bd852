//! The HTTP client of a processor's API.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::super::{Failure, mask};
use crate::config::{self, Http};
use crate::query::shapes::Problem;

/// How long to wait for a response.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(60);
/// Maximum bytes of a response.
const MAX_RESPONSE: u64 = 256 << 20;
/// Maximum bytes of a URL: servers refuse longer ones without an explanation.
const MAX_URL: usize = 60_000;
/// The variable with the URL.
const SERVER: &str = "ALERTTRAIL_SERVER";
/// The variables with the token.
const TOKENS: [&str; 2] = ["ALERTTRAIL_TOKEN", "ALERTTRAIL_HTTP__TOKEN"];

/// A processor's API.
pub(super) struct Server {
    url: String,
    token: Option<String>,
    agent: ureq::Agent,
}

impl Server {
    /// Determines the URL and the token.
    pub(super) fn new(server: Option<&str>, config: Option<&Path>) -> Result<Self, Failure> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let named = server.map(str::to_owned);
        let named = named.or_else(|| variable(SERVER).filter(|_| config.is_none()));
        let tokens = || TOKENS.into_iter().find_map(variable);
        let (url, token) = match (named, config) {
            (Some(url), None) => (url, tokens()),
            (named, config) => {
                let http = Http::load(config, config::environment()).map_err(Failure::usage)?;
                let url = named.map_or_else(|| url_of(&http), Ok)?;
                let configured = http.token.map(|token| token.expose().to_owned());
                match config {
                    Some(_) => (url, configured.or_else(tokens)),
                    None => (url, tokens().or(configured)),
                }
            }
        };
        mask::hide(token.as_deref().into_iter());
        let url = url.trim_end_matches('/');
        if !url.starts_with("http://") {
            return Err(Failure::usage(format!(
                "the server is {url}: use a URL such as http://127.0.0.1:8686; if a proxy adds TLS, run this command on the proxy's side"
            )));
        }
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(RESPONSE_TIMEOUT))
            .http_status_as_error(false)
            .proxy(None)
            .build();
        Ok(Self {
            url: url.to_owned(),
            token,
            agent: agent.into(),
        })
    }

    /// Returns the body of a response.
    pub(super) fn get(&self, path: &str, parameters: &[(&str, Option<&str>)]) -> Result<String, Failure> {
        let mut url = format!("{}{path}", self.url);
        let mut separator = '?';
        for (name, value) in parameters {
            if let Some(value) = value {
                url += &format!("{separator}{name}={}", encoded(value));
                separator = '&';
            }
        }
        if url.len() > MAX_URL {
            return Err(Failure::usage(format!(
                "the id or text is too long for a request: its URL would have {} bytes, and the limit is {MAX_URL}; \
                 `query alerts --text` finds an alert by a part of its id",
                url.len()
            )));
        }
        let mut request = self.agent.get(url);
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let failed = |cause: ureq::Error| {
            Failure::failed(format!(
                "cannot reach {}: {cause}; start a processor with http.listen set, or pass its address with --server or --config",
                self.url
            ))
        };
        let mut response = request.call().map_err(failed)?;
        let text = response
            .body_mut()
            .with_config()
            .limit(MAX_RESPONSE)
            .read_to_string()
            .map_err(failed)?;
        match response.status().as_u16() {
            200 => Ok(text),
            401 => Err(Failure::failed(format!(
                "{} requires a token, or another one; set it as ALERTTRAIL_TOKEN in the environment, or pass the processor's --config",
                self.url
            ))),
            status => {
                let message = serde_json::from_str::<Problem>(&text);
                let message = message.map_or_else(
                    |_| format!("{} responded with status {status}", self.url),
                    |problem| problem.error,
                );
                let message = mask::printable(&message, mask::Lines::One);
                Err(match status {
                    400 => Failure::usage(message),
                    _ => Failure::failed(message),
                })
            }
        }
    }
}

/// Returns the URL of the API of a processor with this configuration, as seen from the same machine.
fn url_of(http: &Http) -> Result<String, Failure> {
    let Some(listen) = http.listen else {
        return Err(Failure::usage(
            "http.listen is \"\", so the processor has no API; set it, or pass the address of another one with --server",
        ));
    };
    if listen.port() == 0 {
        return Err(Failure::usage(
            "http.listen has port 0, so the system chooses the port; pass the address in the processor's log with --server",
        ));
    }
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    Ok(format!("http://{}", SocketAddr::new(ip, listen.port())))
}

pub(super) fn parsed<T: DeserializeOwned>(text: &str) -> Result<T, Failure> {
    let other = |cause| {
        Failure::failed(format!(
            "the response cannot be parsed: {cause}; check that the server is an alerttrail of this version"
        ))
    };
    serde_json::from_str(text).map_err(other)
}

/// Percent-encodes a text for a URL.
pub(super) fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            _ => encoded += &format!("%{byte:02X}"),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_taken_from_the_configuration() {
        let url = |listen: &str| {
            let text = format!("http.listen = \"{listen}\"\nhttp.token = \"sixteen-characters\"\nhttp.insecure = true");
            let config = config::Config::from_text("test", &text, std::iter::empty()).unwrap();
            url_of(&config.http).map_err(|failure| failure.message)
        };
        assert_eq!(url("127.0.0.1:9000").unwrap(), "http://127.0.0.1:9000");
        assert_eq!(url("0.0.0.0:9000").unwrap(), "http://127.0.0.1:9000");
        assert_eq!(url("[::]:9000").unwrap(), "http://[::1]:9000");
        assert_eq!(url("192.0.2.7:9000").unwrap(), "http://192.0.2.7:9000");
        assert!(url("").unwrap_err().contains("no API"));
        assert!(url("127.0.0.1:0").unwrap_err().contains("port 0"));
    }

    #[test]
    fn ids_are_encoded_in_the_path() {
        assert_eq!(encoded("a/..?b=c&d#é %"), "a%2F..%3Fb%3Dc%26d%23%C3%A9%20%25");
    }
}
