//! The routes.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::http::header::{CONTENT_TYPE, ETAG};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use metrics_exporter_prometheus::PrometheusHandle;
use serde::Deserialize;
use tower_http::catch_panic::CatchPanicLayer;

use super::app::App;
use super::meters::Outcome;
use super::request::{self, PutQuery, Refusal};
use super::{metrics, resident_bytes};
use crate::entry::{Entry, Key, Moment};
use crate::page;
use crate::status::Status;
use crate::store::Freshness;
use crate::store::faults::{Fault, Mode};

const X_CACHE: HeaderName = HeaderName::from_static("x-cache");

type KeyPath = Result<Path<String>, PathRejection>;
type Answer = Result<Response, Refusal>;

pub(super) fn router(app: Arc<App>, prometheus: PrometheusHandle) -> Router {
    let keys = Router::new()
        .route("/cache/{key}", get(read).put(write).delete(delete))
        .layer(CatchPanicLayer::custom(|_| panicked()))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), watch));
    let mut others = Router::new()
        .merge(page::routes())
        .route("/metrics", get(move |State(app): State<Arc<App>>| async move { render(&app, &prometheus) }))
        .route("/status.json", get(status_json))
        .route("/health", get(|| async { "ok\n" }))
        .route("/ready", get(ready));
    if app.args.faults {
        others = others
            .route("/faults/database", post(fault_database))
            .route("/faults/sweep", post(fault_sweep))
            .route("/faults/panic", post(|| async { panic_on_purpose() }));
    }
    others
        .layer(CatchPanicLayer::custom(|_| panicked()))
        .merge(keys)
        .fallback(|| async { Refusal::new(StatusCode::NOT_FOUND, "no such path; expected /cache/KEY or /status") })
        .method_not_allowed_fallback(|| async {
            Refusal::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "no such method here; expected one that the Allow header names",
            )
        })
        .with_state(app)
}

fn panicked() -> Response {
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the request failed by a mistake of the service").into_response()
}

fn panic_on_purpose() {
    panic!("on purpose");
}

/// Turns requests for keys away unless the service is ready, and measures the others.
async fn watch(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    if !app.ready.load(Relaxed) {
        return Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "not ready; expected /ready to say so before")
            .into_response();
    }
    let begin = Instant::now();
    let response = next.run(request).await;
    let outcome = response.extensions().get().copied().unwrap_or(Outcome::Refused);
    app.meters.request(outcome, begin.elapsed());
    response
}

async fn read(State(app): State<Arc<App>>, key: KeyPath, headers: HeaderMap) -> Answer {
    let key = request::key(key)?;
    let stale = match app.store.freshness() {
        Freshness::Fresh => false,
        Freshness::Stale => true,
        Freshness::Unproven => {
            app.store.proven().await?;
            false
        }
    };
    let now = Moment::now();
    if let Some(entry) = app.cache.get(&key, now) {
        let (outcome, source) = match entry.value {
            Some(_) => (Outcome::Hit, "hit"),
            None => (Outcome::NegativeHit, "negative"),
        };
        return answer(entry, outcome, if stale { "stale" } else { source }, &headers);
    }
    answer(app.load(Key::from(key), now).await?, Outcome::Miss, "miss", &headers)
}

/// `source`: for `x-cache`.
fn answer(entry: Entry, outcome: Outcome, source: &'static str, headers: &HeaderMap) -> Answer {
    let mut response = match entry.value {
        None => Refusal::new(StatusCode::NOT_FOUND, "no such key; expected one that was put and has not expired")
            .into_response(),
        Some(value) => {
            let known = request::is_known(headers, entry.version)?;
            let mut response =
                if known { StatusCode::NOT_MODIFIED.into_response() } else { Body::from(value).into_response() };
            if !known {
                response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
            }
            response.headers_mut().insert(ETAG, request::etag(entry.version));
            response
        }
    };
    response.headers_mut().insert(X_CACHE, HeaderValue::from_static(source));
    response.extensions_mut().insert(outcome);
    Ok(response)
}

async fn write(
    State(app): State<Arc<App>>,
    key: KeyPath,
    query: Result<Query<PutQuery>, QueryRejection>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let key = request::key(key)?;
    let condition = request::condition(&headers)?;
    // Looked at before the body is waited for, and again afterwards for its moment.
    let Query(query) = query.map_err(|_| request::bad_ttl())?;
    request::expiry(&query)?;
    let value = request::body(&headers, body, app.args.body_limit, app.args.client_timeout).await?;
    let expires = request::expiry(&query)?;
    let written = app.in_time(app.store.put(Key::from(key), value, expires, condition)).await?;
    let status = if written.created { StatusCode::CREATED } else { StatusCode::NO_CONTENT };
    let mut response = status.into_response();
    response.headers_mut().insert(ETAG, request::etag(written.version));
    response.extensions_mut().insert(Outcome::Write);
    Ok(response)
}

async fn delete(State(app): State<Arc<App>>, key: KeyPath, headers: HeaderMap) -> Answer {
    let key = request::key(key)?;
    let condition = request::condition(&headers)?;
    if !app.in_time(app.store.delete(Key::from(key), condition)).await? {
        return Err(Refusal::new(StatusCode::NOT_FOUND, "no such key; expected one that was put and has not expired"));
    }
    let mut response = StatusCode::NO_CONTENT.into_response();
    response.extensions_mut().insert(Outcome::Write);
    Ok(response)
}

async fn ready(State(app): State<Arc<App>>) -> Result<&'static str, Refusal> {
    if app.ready.load(Relaxed) {
        Ok("ready\n")
    } else {
        Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "not ready; expected the cache to be warm"))
    }
}

fn render(app: &App, prometheus: &PrometheusHandle) -> Response {
    metrics::refresh(app);
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], prometheus.render()).into_response()
}

async fn status_json(State(app): State<Arc<App>>) -> Json<Status> {
    Json(Status {
        instance: app.args.instance.clone(),
        map: app.args.map.name(),
        uptime_seconds: app.uptime().as_secs_f64(),
        ready: app.ready.load(Relaxed),
        entries: app.cache.len(),
        negative_entries: app.sweeps.negative_entries(),
        totals: app.meters.totals(),
        loading: app.cache.loading(),
        latency_us: app.meters.latency(),
        map_stats: app.cache.stats(),
        resident_bytes: resident_bytes(),
        sweeps: app.sweeps.sweeps(),
        near_cache: app.store.near_cache(),
        series: app.meters.series(),
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultQuery {
    mode: Mode,
    millis: Option<u64>,
    key: Option<String>,
}

async fn fault_database(
    State(app): State<Arc<App>>,
    query: Result<Query<FaultQuery>, QueryRejection>,
) -> Result<StatusCode, Refusal> {
    let expected = "bad fault; expected ?mode=ok|stall|gone, and &millis=N and &key=KEY if wanted";
    let Query(query) = query.map_err(|_| Refusal::new(StatusCode::BAD_REQUEST, expected))?;
    let time = query.millis.map(Duration::from_millis);
    app.faults.set(Fault { mode: query.mode, time, key: query.key });
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Debug, Deserialize)]
struct SweepQuery {
    millis: u64,
}

async fn fault_sweep(
    State(app): State<Arc<App>>,
    query: Result<Query<SweepQuery>, QueryRejection>,
) -> Result<StatusCode, Refusal> {
    let expected = "bad fault; expected ?millis=N, by which each slice of a sweep is to take longer";
    let Query(query) = query.map_err(|_| Refusal::new(StatusCode::BAD_REQUEST, expected))?;
    app.sweeps.slow_down(Duration::from_millis(query.millis));
    Ok(StatusCode::NO_CONTENT)
}
