//! Errors of requests: a status and a sentence, as JSON.

use axum::Json;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::decode::QUERY;
use crate::query::{self, Wanted, shapes::Problem, shortened};

/// The error of a request that failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Failure {
    pub(super) status: StatusCode,
    pub(super) sentence: String,
}

impl Failure {
    pub(super) fn new(status: StatusCode, sentence: impl Into<String>) -> Self {
        Self {
            status,
            sentence: sentence.into(),
        }
    }

    /// Creates the error for an invalid parameter.
    pub(super) fn parameter(sentence: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, sentence)
    }

    pub(super) fn no_such_alert(wanted: &Wanted) -> Self {
        let id = shortened(&wanted.system_alert_id);
        let key = wanted.correlation_id.as_deref().map(shortened);
        let by_link = match (&wanted.link, key) {
            (None, None) => String::new(),
            (Some(link), None) => format!(" with a key by the link {link:?}"),
            (link, Some(key)) => format!(" with the key {key:?} by the link {:?}", link.as_deref().unwrap_or(QUERY)),
        };
        let hint = match by_link.is_empty() {
            true => "its explain endpoint (alerttrail query explain) lists possible reasons",
            false => "/api/v1/alerts/{id}/links (alerttrail query alert) lists the keys of an alert",
        };
        Self::new(
            StatusCode::NOT_FOUND,
            format!("no alert with the id {id:?}{by_link} is stored; {hint}"),
        )
    }

    pub(super) fn no_such_path(path: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            format!(
                "there is no resource at {}; /api/v1/openapi.json lists the paths",
                shortened(path)
            ),
        )
    }

    pub(super) fn no_such_method() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "only GET is supported")
    }
}

impl From<query::Error> for Failure {
    fn from(error: query::Error) -> Self {
        let status = match error {
            query::Error::Cursor | query::Error::NoTenants | query::Error::NoLink { .. } => StatusCode::BAD_REQUEST,
            query::Error::Ambiguous { .. } => StatusCode::CONFLICT,
            query::Error::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::new(status, error.to_string())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let problem = Json(Problem { error: self.sentence });
        let challenge: [(HeaderName, &str); 1] = [(header::WWW_AUTHENTICATE, "Bearer")];
        match self.status {
            StatusCode::UNAUTHORIZED => (self.status, challenge, problem).into_response(),
            status => (status, problem).into_response(),
        }
    }
}
