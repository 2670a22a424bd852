//! The paths of the API and their parameters.

use std::error::Error as _;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{OriginalUri, Path, Query, State};
use axum::http::HeaderMap;
use axum::routing::get;
use axum::{Json, Router, middleware};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::answers::Server;
use super::failure::Failure;
use super::group::Ask;
use super::guard::guard;
use super::openapi::{self, Refusals};
use crate::decode::timestamp;
use crate::query::shapes::{ActivityList, AlertDetail, AlertList, Explanation, LinkList, ProcessorStatus};
use crate::query::{Filter, Wanted, Which, shortened};
use crate::time::EventTime;

/// Entries on a page, at the most.
const MOST: usize = 500;

/// Everything under `/api/v1`.
pub(super) fn routes(server: &Server) -> Router<Server> {
    Router::new()
        .route("/alerts", get(alerts))
        .route("/alerts/{id}", get(alert))
        .route("/alerts/{id}/links", get(links))
        .route("/alerts/{id}/activities", get(activities))
        .route("/alerts/{id}/explain", get(explain))
        .route("/status", get(status))
        .route("/openapi.json", get(document))
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(middleware::from_fn_with_state(server.clone(), guard))
}

/// Where an alert must stand.
#[derive(Deserialize, ToSchema, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum StatusParam {
    Open,
    Closed,
    Matched,
    Unmatched,
}

/// Which of an alert's times is meant.
#[derive(Deserialize, ToSchema, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum TimeParam {
    Generated,
    Window,
}

/// Which alerts are asked for.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ListParams {
    /// Where they stand.
    #[param(inline)]
    status: Option<StatusParam>,
    /// `AlertSeverity`, whatever its case.
    severity: Option<String>,
    /// A text in the ids, the name, the provider, the product or the entities, whatever its case.
    text: Option<String>,
    /// Not before this time.
    #[param(format = DateTime)]
    from: Option<String>,
    /// Before this time.
    #[param(format = DateTime)]
    to: Option<String>,
    /// Which time the two are about: `generated` unless given.
    #[param(inline)]
    time: Option<TimeParam>,
    /// The Entra tenant id.
    tenant_id: Option<String>,
    /// The link whose answers are listed: `query` unless given.
    link: Option<String>,
    /// Entries on a page; 50 unless given.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 500)]
    limit: Option<String>,
    /// Where to go on: what a page gave as `next_cursor`, or an alert as `cursor`.
    #[param(pattern = "^[0-9a-f]+$")]
    cursor: Option<String>,
}

/// Which alert is asked for.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct AlertParams {
    /// The Entra tenant id, where several have an alert of this id.
    tenant_id: Option<String>,
    /// The link: `query` unless given.
    link: Option<String>,
    /// The key, where the alert has several by the link; the first in order unless given.
    correlation_id: Option<String>,
}

/// What is to be explained.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ExplainParams {
    /// The Entra tenant id, where several have an alert of this id.
    tenant_id: Option<String>,
    /// The link: `query` unless given.
    link: Option<String>,
    /// The key, where the alert has several by the link; the first in order unless given.
    correlation_id: Option<String>,
    /// Whether the ends of the input topics and of the dead letters are read too: seconds.
    scan: Option<bool>,
}

/// Which activities are asked for.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ActivityParams {
    /// The Entra tenant id, where several have an alert of this id.
    tenant_id: Option<String>,
    /// The link: `query` unless given.
    link: Option<String>,
    /// The key, where the alert has several by the link; the first in order unless given.
    correlation_id: Option<String>,
    /// Entries on a page; 100 unless given.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 500)]
    limit: Option<String>,
    /// Where to go on: what a page gave as `next_cursor`.
    #[param(pattern = "^[0-9a-f]+$")]
    cursor: Option<String>,
}

/// Nothing can be said.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NoParams {}

impl ListParams {
    fn filter(&self) -> Result<Filter, Failure> {
        Ok(Filter {
            status: self.status.map(|status| match status {
                StatusParam::Open => Which::Open,
                StatusParam::Closed => Which::Closed,
                StatusParam::Matched => Which::Matched,
                StatusParam::Unmatched => Which::Unmatched,
            }),
            severity: self.severity.clone(),
            text: self.text.clone(),
            from: time("from", self.from.as_deref())?,
            to: time("to", self.to.as_deref())?,
            by_window: self.time == Some(TimeParam::Window),
            tenant_id: self.tenant_id.clone(),
            link: self.link.clone(),
        })
    }
}

/// Alerts held, the latest first.
#[utoipa::path(get, path = "/api/v1/alerts", params(ListParams), tag = "alerts",
    responses((status = 200, description = "A page of alerts", body = AlertList), Refusals))]
async fn alerts(
    State(server): State<Server>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    params: Result<Query<ListParams>, QueryRejection>,
) -> Result<Json<AlertList>, Failure> {
    let params = given(params)?;
    let (filter, limit, ask) = (params.filter()?, limit(params.limit.as_deref(), 50)?, Ask::of(&uri, &headers));
    let listed = server.look(move |server| server.list(&filter, params.cursor.as_deref(), limit, &ask));
    listed.await.map(Json)
}

/// One alert.
#[utoipa::path(get, path = "/api/v1/alerts/{id}", tag = "alerts",
    params(("id" = String, Path, description = "`SystemAlertId`"), AlertParams),
    responses((status = 200, description = "The alert", body = AlertDetail), Refusals))]
async fn alert(
    State(server): State<Server>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    id: Result<Path<String>, PathRejection>,
    params: Result<Query<AlertParams>, QueryRejection>,
) -> Result<Json<AlertDetail>, Failure> {
    let (id, params, ask) = (named(id)?, given(params)?, Ask::of(&uri, &headers));
    let wanted = Wanted {
        system_alert_id: id,
        tenant_id: params.tenant_id,
        link: params.link,
        correlation_id: params.correlation_id,
    };
    let links = ask.for_links();
    let found = server.look(move |server| server.alert(&wanted, &ask, &links));
    found.await.map(Json)
}

/// The answers to an alert, by every link and key.
#[utoipa::path(get, path = "/api/v1/alerts/{id}/links", tag = "alerts",
    params(("id" = String, Path, description = "`SystemAlertId`"), AlertParams),
    responses((status = 200, description = "The answers, in the order of links and keys; none of an alert that is not held", body = LinkList), Refusals))]
async fn links(
    State(server): State<Server>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    id: Result<Path<String>, PathRejection>,
    params: Result<Query<AlertParams>, QueryRejection>,
) -> Result<Json<LinkList>, Failure> {
    let (id, params, ask) = (named(id)?, given(params)?, Ask::of(&uri, &headers));
    let wanted = Wanted {
        system_alert_id: id,
        tenant_id: params.tenant_id,
        link: params.link,
        correlation_id: params.correlation_id,
    };
    server.look(move |server| server.links(&wanted, &ask)).await.map(Json)
}

/// An alert's activities, in order of time.
#[utoipa::path(get, path = "/api/v1/alerts/{id}/activities", tag = "alerts",
    params(("id" = String, Path, description = "`SystemAlertId`"), ActivityParams),
    responses((status = 200, description = "A page of activities", body = ActivityList), Refusals))]
async fn activities(
    State(server): State<Server>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    id: Result<Path<String>, PathRejection>,
    params: Result<Query<ActivityParams>, QueryRejection>,
) -> Result<Json<ActivityList>, Failure> {
    let (id, params, ask) = (named(id)?, given(params)?, Ask::of(&uri, &headers));
    let limit = limit(params.limit.as_deref(), 100)?;
    let wanted = Wanted {
        system_alert_id: id,
        tenant_id: params.tenant_id,
        link: params.link,
        correlation_id: params.correlation_id,
    };
    let found = server.look(move |server| server.activities(&wanted, params.cursor.as_deref(), limit, &ask));
    found.await.map(Json)
}

/// Why an alert has, or has not, been answered as it was. An id that is not held is explained too.
#[utoipa::path(get, path = "/api/v1/alerts/{id}/explain", tag = "alerts",
    params(("id" = String, Path, description = "`SystemAlertId`"), ExplainParams),
    responses((status = 200, description = "What was found", body = Explanation), Refusals))]
async fn explain(
    State(server): State<Server>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    id: Result<Path<String>, PathRejection>,
    params: Result<Query<ExplainParams>, QueryRejection>,
) -> Result<Json<Explanation>, Failure> {
    let (id, params, ask) = (named(id)?, given(params)?, Ask::of(&uri, &headers));
    let wanted = Wanted {
        system_alert_id: id,
        tenant_id: params.tenant_id,
        link: params.link,
        correlation_id: params.correlation_id,
    };
    let found = server.look(move |server| server.explain(&wanted, params.scan == Some(true), &ask));
    found.await.map(Json)
}

/// What the processor is doing.
#[utoipa::path(get, path = "/api/v1/status", tag = "processor",
    responses((status = 200, description = "The status of the group", body = ProcessorStatus), Refusals))]
async fn status(
    State(server): State<Server>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    params: Result<Query<NoParams>, QueryRejection>,
) -> Result<Json<ProcessorStatus>, Failure> {
    let NoParams {} = given(params)?;
    let ask = Ask::of(&uri, &headers);
    server.look(move |server| server.status(&ask)).await.map(Json)
}

/// This document.
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "processor",
    responses((status = 200, description = "The OpenAPI document", body = serde_json::Value), Refusals))]
async fn document(params: Result<Query<NoParams>, QueryRejection>) -> Result<Json<utoipa::openapi::OpenApi>, Failure> {
    let NoParams {} = given(params)?;
    Ok(Json(openapi::document()))
}

async fn no_such_path(uri: OriginalUri) -> Failure {
    Failure::no_such_path(uri.path())
}

async fn no_such_method() -> Failure {
    Failure::no_such_method()
}

fn given<T>(params: Result<Query<T>, QueryRejection>) -> Result<T, Failure> {
    let failed = |problem: QueryRejection| {
        // Without the words that the framework puts before it.
        let cause = problem.source().map_or_else(|| problem.body_text(), ToString::to_string);
        Failure::parameter(format!(
            "a parameter cannot be used: {cause}; /api/v1/openapi.json lists which there are"
        ))
    };
    params.map(|Query(params)| params).map_err(failed)
}

fn named(id: Result<Path<String>, PathRejection>) -> Result<String, Failure> {
    id.map(|Path(id)| id)
        .map_err(|_| Failure::parameter("the id in the path is no UTF-8 when its percent-encoding is taken away"))
}

fn limit(given: Option<&str>, otherwise: usize) -> Result<usize, Failure> {
    let Some(text) = given else { return Ok(otherwise) };
    let limit = text.parse().ok().filter(|limit| (1..=MOST).contains(limit));
    limit.ok_or_else(|| {
        let given = shortened(text);
        Failure::parameter(format!("limit is {given:?}; it must be a whole number from 1 to {MOST}"))
    })
}

fn time(name: &str, given: Option<&str>) -> Result<Option<EventTime>, Failure> {
    let Some(text) = given else { return Ok(None) };
    // In a query a plus stands for a space; in a time it can only have been the sign of an offset.
    let parsed = timestamp::parse(text).or_else(|| timestamp::parse(&text.replace(' ', "+")));
    let wrong = || {
        let given = shortened(text);
        Failure::parameter(format!("{name} is {given:?}, which is no time such as 2026-03-01T10:00:00Z"))
    };
    parsed.ok_or_else(wrong).map(Some)
}
