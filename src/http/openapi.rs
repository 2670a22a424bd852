//! The API as an OpenAPI document, made from the handlers and the shapes.

use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{IntoResponses, Modify, OpenApi};

use super::api;
use crate::query::shapes::Problem;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "alerttrail",
        description = "Security alerts and the activities that belong to them, as a running processor holds them. Read only."
    ),
    paths(api::alerts, api::alert, api::links, api::activities, api::explain, api::status, api::document),
    modifiers(&Token)
)]
struct Api;

/// The document.
pub fn document() -> utoipa::openapi::OpenApi {
    Api::openapi()
}

/// Why a request has no answer.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "it is there to be described")]
pub(super) enum Refusals {
    /// A parameter is unknown or cannot be used.
    #[response(status = 400)]
    Parameter(#[to_schema] Problem),
    /// The token is missing or wrong.
    #[response(status = 401)]
    Token(#[to_schema] Problem),
    /// The host or the origin is not let in.
    #[response(status = 403)]
    Host(#[to_schema] Problem),
    /// There is no such alert.
    #[response(status = 404)]
    Missing(#[to_schema] Problem),
    /// Only GET is answered.
    #[response(status = 405)]
    Method(#[to_schema] Problem),
    /// Several tenants have an alert of this id.
    #[response(status = 409)]
    Ambiguous(#[to_schema] Problem),
    /// Too many questions at once.
    #[response(status = 429)]
    Busy(#[to_schema] Problem),
    /// The state cannot be read now, or another instance does not answer.
    #[response(status = 503)]
    Unavailable(#[to_schema] Problem),
}

/// The token, where one is configured.
struct Token;

impl Modify for Token {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let token = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        let components = document.components.get_or_insert_with(Default::default);
        components.add_security_scheme("token", SecurityScheme::Http(token));
    }
}
