//! Errors of requests: a status and a sentence, as JSON.

use axum::Json;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use utoipa::IntoResponses;

use crate::decode::QUERY;
use crate::query::{self, Wanted, shapes::Problem, shortened};

/// The error responses.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "it only describes the responses")]
pub(super) enum ErrorResponses {
    /// A parameter is unknown or invalid.
    #[response(status = 400)]
    Parameter(#[to_schema] Problem),
    /// The token is missing or wrong.
    #[response(status = 401)]
    Token(#[to_schema] Problem),
    /// The host or the origin is not allowed.
    #[response(status = 403)]
    Host(#[to_schema] Problem),
    /// There is no such alert.
    #[response(status = 404)]
    Missing(#[to_schema] Problem),
    /// Only GET is supported.
    #[response(status = 405)]
    Method(#[to_schema] Problem),
    /// Several tenants have an alert with this id.
    #[response(status = 409)]
    Ambiguous(#[to_schema] Problem),
    /// Too many requests at once.
    #[response(status = 429)]
    Busy(#[to_schema] Problem),
    /// The state cannot be read now, or another instance does not respond.
    #[response(status = 503)]
    Unavailable(#[to_schema] Problem),
}

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
