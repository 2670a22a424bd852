//! The paths of the API and their parameters.

use std::error::Error as _;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{OriginalUri, Path, Query, State};
use axum::http::HeaderMap;
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::failure::{ErrorResponses, Failure};
use super::group::ForwardableRequest;
use super::server::Server;
use crate::decode::parse_time;
use crate::query::causes::Explanation;
use crate::query::shapes::{ActivityList, AlertDetail, AlertList, LinkList, ProcessorStatus};
use crate::query::{Filter, StatusFilter, Wanted, shortened};
use crate::time::EventTime;

/// Maximum number of entries on a page.
const MAX_LIMIT: usize = 500;

/// Returns the routes of the alerts and of the status.
pub(super) fn routes() -> Router<Server> {
    Router::new()
        .route("/alerts", get(alerts))
        .route("/alerts/{id}", get(alert))
        .route("/alerts/{id}/links", get(links))
        .route("/alerts/{id}/activities", get(activities))
        .route("/alerts/{id}/explain", get(explain))
        .route("/status", get(status))
}

/// Status of an alert.
#[derive(Deserialize, ToSchema, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum StatusParam {
    Open,
    Closed,
    Matched,
    Unmatched,
}

/// One of the times of an alert.
#[derive(Deserialize, ToSchema, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum TimeParam {
    Generated,
    Window,
}

/// Parameters of the list of alerts.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ListParams {
    /// Only alerts with this status.
    #[param(inline)]
    status: Option<StatusParam>,
    /// Only alerts with this `AlertSeverity`, ignoring case.
    severity: Option<String>,
    /// Only alerts with this text in the ids, the name, the provider, the product or the entities, ignoring case.
    text: Option<String>,
    /// Only alerts at or after this time.
    #[param(format = DateTime)]
    from: Option<String>,
    /// Only alerts before this time.
    #[param(format = DateTime)]
    to: Option<String>,
    /// The time that `from` and `to` refer to. Default: `generated`.
    #[param(inline)]
    time: Option<TimeParam>,
    /// Only alerts of this Entra tenant.
    tenant_id: Option<String>,
    /// The link whose alerts are listed. Default: `query`.
    link: Option<String>,
    /// Maximum number of entries on the page. Default: 50.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 500)]
    limit: Option<String>,
    /// The start of the page: the `next_cursor` of a page or the `cursor` of an alert.
    #[param(pattern = "^[0-9a-f]+$")]
    cursor: Option<String>,
}

/// Parameters of one alert.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct AlertParams {
    /// The Entra tenant id, needed if several tenants have an alert with this id.
    tenant_id: Option<String>,
    /// The link. Default: `query`.
    link: Option<String>,
    /// The key, if the alert has several for the link. Default: the first one in order.
    correlation_id: Option<String>,
}

/// Parameters of an explanation.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ExplainParams {
    /// The Entra tenant id, needed if several tenants have an alert with this id.
    tenant_id: Option<String>,
    /// The link. Default: `query`.
    link: Option<String>,
    /// The key, if the alert has several for the link. Default: the first one in order.
    correlation_id: Option<String>,
    /// Whether to also search the ends of the input topics and of the dead-letter topic, which takes seconds.
    scan: Option<bool>,
}

/// Parameters of the list of activities.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ActivityParams {
    /// The Entra tenant id, needed if several tenants have an alert with this id.
    tenant_id: Option<String>,
    /// The link. Default: `query`.
    link: Option<String>,
    /// The key, if the alert has several for the link. Default: the first one in order.
    correlation_id: Option<String>,
    /// Maximum number of entries on the page. Default: 100.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 500)]
    limit: Option<String>,
    /// The start of the page: the `next_cursor` of a page.
    #[param(pattern = "^[0-9a-f]+$")]
    cursor: Option<String>,
}

/// Accepts no query parameters.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NoParams {}

impl ListParams {
    fn filter(&self) -> Result<Filter, Failure> {
        Ok(Filter {
            status: self.status.map(|status| match status {
                StatusParam::Open => StatusFilter::Open,
                StatusParam::Closed => StatusFilter::Closed,
                StatusParam::Matched => StatusFilter::Matched,
                StatusParam::Unmatched => StatusFilter::Unmatched,
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

/// Lists the stored alerts, latest first.
#[utoipa::path(get, path = "/api/v1/alerts", params(ListParams), tag = "alerts",
    responses((status = 200, description = "A page of alerts", body = AlertList), ErrorResponses))]
async fn alerts(
    State(server): State<Server>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    params: Result<Query<ListParams>, QueryRejection>,
) -> Result<Json<AlertList>, Failure> {
    let params = parse_params(params)?;
    let (filter, limit, request) = (
        params.filter()?,
        limit(params.limit.as_deref(), 50)?,
        ForwardableRequest::new(&uri, &headers),
    );
    let listed = server.run_blocking(move |server| server.list(&filter, params.cursor.as_deref(), limit, &request));
    listed.await.map(Json)
}

/// Returns one alert.
#[utoipa::path(get, path = "/api/v1/alerts/{id}", tag = "alerts",
    params(("id" = String, Path, description = "`SystemAlertId`"), AlertParams),
    responses((status = 200, description = "The alert", body = AlertDetail), ErrorResponses))]
async fn alert(
    State(server): State<Server>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    id: Result<Path<String>, PathRejection>,
    params: Result<Query<AlertParams>, QueryRejection>,
) -> Result<Json<AlertDetail>, Failure> {
    let (id, params, request) = (parse_id(id)?, parse_params(params)?, ForwardableRequest::new(&uri, &headers));
    let wanted = wanted(id, params.tenant_id, params.link, params.correlation_id);
    let links = request.for_links();
    let found = server.run_blocking(move |server| server.alert(&wanted, &request, &links));
    found.await.map(Json)
}

/// Lists the results of an alert by link and key.
#[utoipa::path(get, path = "/api/v1/alerts/{id}/links", tag = "alerts",
    params(("id" = String, Path, description = "`SystemAlertId`"), AlertParams),
    responses((status = 200, description = "The results in the order of links and keys; none for an unknown alert", body = LinkList), ErrorResponses))]
async fn links(
    State(server): State<Server>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    id: Result<Path<String>, PathRejection>,
    params: Result<Query<AlertParams>, QueryRejection>,
) -> Result<Json<LinkList>, Failure> {
    let (id, params, request) = (parse_id(id)?, parse_params(params)?, ForwardableRequest::new(&uri, &headers));
    let wanted = wanted(id, params.tenant_id, params.link, params.correlation_id);
    server
        .run_blocking(move |server| server.wanted_links(&wanted, &request))
        .await
        .map(Json)
}

/// Lists an alert's activities in order of time.
#[utoipa::path(get, path = "/api/v1/alerts/{id}/activities", tag = "alerts",
    params(("id" = String, Path, description = "`SystemAlertId`"), ActivityParams),
    responses((status = 200, description = "A page of activities", body = ActivityList), ErrorResponses))]
async fn activities(
    State(server): State<Server>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    id: Result<Path<String>, PathRejection>,
    params: Result<Query<ActivityParams>, QueryRejection>,
) -> Result<Json<ActivityList>, Failure> {
    let (id, params, request) = (parse_id(id)?, parse_params(params)?, ForwardableRequest::new(&uri, &headers));
    let limit = limit(params.limit.as_deref(), 100)?;
    let wanted = wanted(id, params.tenant_id, params.link, params.correlation_id);
    let found = server.run_blocking(move |server| server.activities(&wanted, params.cursor.as_deref(), limit, &request));
    found.await.map(Json)
}

/// Explains the status of an alert and the number of its activities. Also explains ids without a stored alert.
#[utoipa::path(get, path = "/api/v1/alerts/{id}/explain", tag = "alerts",
    params(("id" = String, Path, description = "`SystemAlertId`"), ExplainParams),
    responses((status = 200, description = "The explanation", body = Explanation), ErrorResponses))]
async fn explain(
    State(server): State<Server>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    id: Result<Path<String>, PathRejection>,
    params: Result<Query<ExplainParams>, QueryRejection>,
) -> Result<Json<Explanation>, Failure> {
    let (id, params, request) = (parse_id(id)?, parse_params(params)?, ForwardableRequest::new(&uri, &headers));
    let wanted = wanted(id, params.tenant_id, params.link, params.correlation_id);
    let found = server.run_blocking(move |server| server.explain(&wanted, params.scan == Some(true), &request));
    found.await.map(Json)
}

/// Returns the status of the processor.
#[utoipa::path(get, path = "/api/v1/status", tag = "processor",
    responses((status = 200, description = "The status of the group", body = ProcessorStatus), ErrorResponses))]
async fn status(
    State(server): State<Server>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    params: Result<Query<NoParams>, QueryRejection>,
) -> Result<Json<ProcessorStatus>, Failure> {
    let NoParams {} = parse_params(params)?;
    let request = ForwardableRequest::new(&uri, &headers);
    server.run_blocking(move |server| server.status(&request)).await.map(Json)
}

/// Returns the parameters of the query, or the error that they are invalid.
pub(super) fn parse_params<T>(params: Result<Query<T>, QueryRejection>) -> Result<T, Failure> {
    let failed = |problem: QueryRejection| {
        // The source error is shown without the framework's prefix.
        let cause = problem.source().map_or_else(|| problem.body_text(), ToString::to_string);
        Failure::parameter(format!(
            "invalid parameter: {cause}; /api/v1/openapi.json lists the parameters"
        ))
    };
    params.map(|Query(params)| params).map_err(failed)
}

/// Returns the id in the path, or the error that it is invalid.
fn parse_id(id: Result<Path<String>, PathRejection>) -> Result<String, Failure> {
    id.map(|Path(id)| id)
        .map_err(|_| Failure::parameter("the id in the path is not valid UTF-8 after percent-decoding"))
}

fn wanted(system_alert_id: String, tenant_id: Option<String>, link: Option<String>, correlation_id: Option<String>) -> Wanted {
    Wanted {
        system_alert_id,
        tenant_id,
        link,
        correlation_id,
    }
}

fn limit(given: Option<&str>, default: usize) -> Result<usize, Failure> {
    let Some(text) = given else { return Ok(default) };
    let limit = text.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
    limit.ok_or_else(|| {
        let given = shortened(text);
        Failure::parameter(format!("limit is {given:?}; it must be a whole number from 1 to {MAX_LIMIT}"))
    })
}

fn time(name: &str, given: Option<&str>) -> Result<Option<EventTime>, Failure> {
    let Some(text) = given else { return Ok(None) };
    // In a query, a plus represents a space. In a time, a space can only be the sign of an offset.
    let parsed = parse_time(text).or_else(|| parse_time(&text.replace(' ', "+")));
    let wrong = || {
        let given = shortened(text);
        Failure::parameter(format!("{name} is {given:?}; it must be a time such as 2026-03-01T10:00:00Z"))
    };
    parsed.ok_or_else(wrong).map(Some)
}
