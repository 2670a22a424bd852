//! Asking over HTTP.

use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::cli::{Failure, mask};
use crate::query::shapes::Problem;

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes of an answer, at the most.
const MOST: u64 = 256 << 20;
/// Where the token is looked for.
const TOKENS: [&str; 2] = ["ALERTTRAIL_TOKEN", "ALERTTRAIL_HTTP__TOKEN"];

/// A processor's API.
pub(super) struct Server {
    url: String,
    token: Option<String>,
    agent: ureq::Agent,
}

impl Server {
    pub(super) fn new(url: &str) -> Result<Self, Failure> {
        let url = url.trim_end_matches('/');
        if !url.starts_with("http://") {
            return Err(Failure::usage(format!(
                "--server {url}: write a URL such as http://127.0.0.1:8686; for one with TLS, ask from where the proxy before it is"
            )));
        }
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .http_status_as_error(false)
            .proxy(None)
            .build();
        Ok(Self {
            url: url.to_owned(),
            token: TOKENS.iter().find_map(|name| std::env::var(name).ok()),
            agent: agent.into(),
        })
    }

    /// The body of what it answers.
    pub(super) fn get(&self, path: &str, parameters: &[(&str, Option<&str>)]) -> Result<String, Failure> {
        let mut url = format!("{}{path}", self.url);
        let mut separator = '?';
        for (name, value) in parameters {
            if let Some(value) = value {
                url += &format!("{separator}{name}={}", encoded(value));
                separator = '&';
            }
        }
        let mut request = self.agent.get(url);
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let failed = |cause: ureq::Error| {
            Failure::failed(format!(
                "cannot ask {}: {cause}; start a processor with http.listen set, or say where it is with --server",
                self.url
            ))
        };
        let mut response = request.call().map_err(failed)?;
        let text = response
            .body_mut()
            .with_config()
            .limit(MOST)
            .read_to_string()
            .map_err(failed)?;
        match response.status().as_u16() {
            200 => Ok(text),
            401 => Err(Failure::failed(format!(
                "{} wants a token; put it into the environment as ALERTTRAIL_TOKEN",
                self.url
            ))),
            status => {
                let said = serde_json::from_str::<Problem>(&text);
                let said = said.map_or_else(
                    |_| format!("{} answered with status {status}", self.url),
                    |problem| problem.error,
                );
                Err(Failure::failed(mask::printable(&said, mask::Lines::One)))
            }
        }
    }
}

pub(super) fn parsed<T: DeserializeOwned>(text: &str) -> Result<T, Failure> {
    let other = |cause| {
        Failure::failed(format!(
            "the answer cannot be read: {cause}; is it an alerttrail of this version?"
        ))
    };
    serde_json::from_str(text).map_err(other)
}

/// A text as it may stand in a URL.
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
    fn nothing_in_an_id_leaves_its_place_in_the_path() {
        assert_eq!(encoded("a/..?b=c&d#é %"), "a%2F..%3Fb%3Dc%26d%23%C3%A9%20%25");
    }
}
