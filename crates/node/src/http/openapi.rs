//! The OpenAPI document of the API, built from the handlers and the response types.

use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{IntoResponses, Modify, OpenApi};

use super::api;
use crate::query::shapes::Problem;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "alerttrail",
        description = "Security alerts and their activities, as a running processor has joined them. Read-only."
    ),
    paths(api::alerts, api::alert, api::links, api::activities, api::explain, api::status, api::document),
    modifiers(&Token)
)]
struct Api;

/// Returns the document.
pub fn document() -> utoipa::openapi::OpenApi {
    Api::openapi()
}

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

/// Adds the token as a security scheme.
struct Token;

impl Modify for Token {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let token = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        let components = document.components.get_or_insert_with(Default::default);
        components.add_security_scheme("token", SecurityScheme::Http(token));
    }
}
