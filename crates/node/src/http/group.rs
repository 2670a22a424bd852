//! Forwards requests to the other instances of the group.
//!
//! Forwarded requests carry a header and are processed only locally, which prevents forwarding loops.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, StatusCode, Uri};
use serde::de::DeserializeOwned;

use super::failure::Failure;
use crate::config::{Config, Secret};
use crate::pipeline::exposed::{Exposed, Member};
use crate::query::shapes::Problem;

/// The header of forwarded requests.
const HOP_HEADER: &str = "alerttrail-hop";
/// How long to wait for another instance.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(3);

/// The other instances.
pub(super) struct Group {
    exposed: Arc<Exposed>,
    agent: ureq::Agent,
    token: Option<Secret>,
}

/// A request that can be forwarded.
pub(super) struct ForwardableRequest {
    path: String,
    is_first: bool,
}

impl ForwardableRequest {
    /// Returns whether the request was not forwarded by another instance.
    pub(super) fn is_first(&self) -> bool {
        self.is_first
    }

    /// Returns the request for the links of the alert in the path of this request.
    pub(super) fn for_links(&self) -> Self {
        let (path, parameters) = self.path.split_once('?').unwrap_or((&self.path, ""));
        let separator = if parameters.is_empty() { "" } else { "?" };
        Self {
            path: format!("{path}/links{separator}{parameters}"),
            is_first: self.is_first,
        }
    }

    pub(super) fn new(uri: &Uri, headers: &HeaderMap) -> Self {
        Self {
            path: uri.path_and_query().map_or_else(String::new, ToString::to_string),
            is_first: !headers.contains_key(HOP_HEADER),
        }
    }
}

impl Group {
    pub(super) fn new(config: &Config, exposed: Arc<Exposed>) -> Self {
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(RESPONSE_TIMEOUT))
            .http_status_as_error(false)
            .proxy(None)
            .build();
        Self {
            exposed,
            agent: agent.into(),
            token: config.http.token.clone(),
        }
    }

    /// Returns the other instances, as the broker last reported them.
    pub(super) fn others(&self) -> Vec<Member> {
        let own = self.exposed.instance();
        let members = self.exposed.members();
        members.into_iter().filter(|member| member.instance != own).collect()
    }

    /// Returns the response of each other instance, or no responses if this request was forwarded.
    pub(super) fn forward<T: DeserializeOwned + Send>(&self, request: &ForwardableRequest) -> Vec<(Member, Result<T, Failure>)> {
        if !request.is_first {
            return Vec::new();
        }
        std::thread::scope(|scope| {
            let requests: Vec<_> = self
                .others()
                .into_iter()
                .map(|member| {
                    let address = member.address.clone();
                    let handle = scope.spawn(move || self.forward_to(address.as_deref(), &request.path));
                    (member, handle)
                })
                .collect();
            let fault = || unreachable("it", "the request ended unexpectedly");
            requests
                .into_iter()
                .map(|(member, handle)| (member, handle.join().unwrap_or_else(|_| Err(fault()))))
                .collect()
        })
    }

    fn forward_to<T: DeserializeOwned>(&self, address: Option<&str>, path: &str) -> Result<T, Failure> {
        let Some(address) = address else {
            return Err(unreachable("an instance", "its http.listen is empty"));
        };
        let mut request = self.agent.get(format!("http://{address}{path}")).header(HOP_HEADER, "1");
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {}", token.expose()));
        }
        let failed = |cause: ureq::Error| unreachable(address, &cause.to_string());
        let mut response = request.call().map_err(failed)?;
        let text = response
            .body_mut()
            .with_config()
            .limit(64 << 20)
            .read_to_string()
            .map_err(failed)?;
        if response.status() != 200 {
            let message = serde_json::from_str::<Problem>(&text).map_or_else(|_| "no reason".to_owned(), |problem| problem.error);
            let status = StatusCode::from_u16(response.status().as_u16()).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
            return Err(match status {
                StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST | StatusCode::CONFLICT => Failure::new(status, message),
                _ => unreachable(address, &message),
            });
        }
        serde_json::from_str(&text).map_err(|cause| unreachable(address, &format!("its response is invalid: {cause}")))
    }
}

fn unreachable(address: &str, cause: &str) -> Failure {
    Failure::new(
        StatusCode::SERVICE_UNAVAILABLE,
        format!("cannot reach {address}, another instance of the group: {cause}; the partitions of that instance are missing"),
    )
}
