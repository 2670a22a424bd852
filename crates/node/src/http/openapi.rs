//! The OpenAPI document of the API, built from the handlers and the response types.

use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::routing::get;
use axum::{Json, Router};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::api::{self, NoParams, parse_params};
use super::failure::{ErrorResponses, Failure};
use super::server::Server;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "alerttrail",
        description = "Security alerts and their activities, as a running processor has joined them. Read-only."
    ),
    paths(api::alerts, api::alert, api::links, api::activities, api::explain, api::status, respond),
    modifiers(&Token)
)]
struct Api;

/// Returns the document.
pub fn document() -> utoipa::openapi::OpenApi {
    Api::openapi()
}

/// Returns the route of the document.
pub(super) fn routes() -> Router<Server> {
    Router::new().route("/openapi.json", get(respond))
}

/// Returns the OpenAPI document.
#[utoipa::path(get, operation_id = "document", path = "/api/v1/openapi.json", tag = "processor",
    responses((status = 200, description = "The OpenAPI document", body = serde_json::Value), ErrorResponses))]
async fn respond(params: Result<Query<NoParams>, QueryRejection>) -> Result<Json<utoipa::openapi::OpenApi>, Failure> {
    let NoParams {} = parse_params(params)?;
    Ok(Json(document()))
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
