//! The status page and the library that draws its charts: uPlot, see `uplot/LICENSE`.

use axum::Router;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::routing::{MethodRouter, get};

/// The page asks this server alone, and markup from elsewhere would do nothing.
const POLICY: &str = "default-src 'none'; connect-src 'self'; img-src data:; \
                      script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/status", file("text/html; charset=utf-8", include_str!("status.html")))
        .route("/status/uplot.js", file("text/javascript; charset=utf-8", include_str!("uplot/uPlot.iife.min.js")))
        .route("/status/uplot.css", file("text/css; charset=utf-8", include_str!("uplot/uPlot.min.css")))
}

fn file<S: Clone + Send + Sync + 'static>(kind: &'static str, text: &'static str) -> MethodRouter<S> {
    let headers = [(CONTENT_TYPE, kind), (CONTENT_SECURITY_POLICY, POLICY), (CACHE_CONTROL, "no-cache")];
    get(move || async move { (headers, text) })
}
