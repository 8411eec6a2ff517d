//! `/metrics`.

use std::sync::atomic::Ordering::Relaxed;

use ::metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge};
use anyhow::Context as _;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use super::app::App;
use super::resident_bytes;
use crate::status;

pub(super) const LATENCY: &str = "cache_request_duration_seconds";
pub(super) const SLICE: &str = "cache_sweep_slice_duration_seconds";

/// Upper bounds in seconds: from 2 us to 10 s, three to a decade.
const BUCKETS: [f64; 21] = [
    2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0,
    10.0,
];

/// Makes all metrics of this process go to the answer of `/metrics`.
pub(super) fn install(instance: &str) -> anyhow::Result<PrometheusHandle> {
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_duration_seconds".into()), &BUCKETS)?
        .add_global_label("instance_name", instance)
        .build_recorder();
    let handle = recorder.handle();
    ::metrics::set_global_recorder(recorder).context("expected to be the only recorder of metrics")?;
    describe_histogram!(LATENCY, Unit::Seconds, "From a request's head to its answer, by what became of it");
    describe_histogram!(SLICE, Unit::Seconds, "A slice of a sweep");
    describe_counter!("cache_requests_total", "Requests for keys");
    describe_counter!("cache_hits_total", "Reads answered from the cache, negative answers not among them");
    describe_counter!("cache_negative_hits_total", "Reads of keys that the cache knew to be absent");
    describe_counter!("cache_misses_total", "Reads that waited for a load");
    describe_counter!("cache_loads_total", "Reads of the database");
    describe_counter!("cache_load_failures_total", "Reads of the database that failed or were given up");
    describe_counter!("cache_sweeps_total", "Sweeps that were finished");
    describe_counter!("cache_expired_total", "Expired entries that sweeps removed");
    describe_gauge!("cache_entries", "Entries, expired ones among them");
    describe_gauge!("cache_negative_entries", "Negative entries, as the last sweep counted them");
    describe_gauge!("cache_loading", "Loads under way");
    describe_gauge!("cache_breaker", "The sweeper's circuit breaker: 0 closed, 1 half-open, 2 open");
    describe_gauge!("cache_ready", "1 while the cache is served");
    describe_gauge!("cache_near_connected", "1 while the server tells of what others change");
    describe_counter!("cache_near_connections_total", "Times that the server was connected to");
    describe_counter!("cache_near_invalidations_total", "Keys that the server said had changed");
    describe_counter!("cache_near_flushes_total", "Times that the cache was cleared, as any of it may have changed");
    describe_gauge!("process_resident_memory_bytes", Unit::Bytes, "Resident memory");
    Ok(handle)
}

/// Brings what is counted elsewhere up to date.
pub(super) fn refresh(app: &App) {
    let totals = app.meters.totals();
    counter!("cache_requests_total").absolute(totals.requests);
    counter!("cache_hits_total").absolute(totals.hits);
    counter!("cache_negative_hits_total").absolute(totals.negative_hits);
    counter!("cache_misses_total").absolute(totals.misses);
    counter!("cache_loads_total").absolute(totals.loads);
    counter!("cache_load_failures_total").absolute(totals.load_failures);
    let sweeps = app.sweeps.sweeps();
    counter!("cache_sweeps_total").absolute(sweeps.count);
    counter!("cache_expired_total").absolute(sweeps.expired);
    gauge!("cache_entries").set(app.cache.len() as f64);
    gauge!("cache_negative_entries").set(app.sweeps.negative_entries() as f64);
    gauge!("cache_loading").set(app.cache.loading() as f64);
    gauge!("cache_breaker").set(match sweeps.breaker {
        status::Breaker::Closed => 0.0,
        status::Breaker::HalfOpen => 1.0,
        status::Breaker::Open => 2.0,
    });
    gauge!("cache_ready").set(if app.ready.load(Relaxed) { 1.0 } else { 0.0 });
    gauge!("process_resident_memory_bytes").set(resident_bytes() as f64);
    if let Some(near) = app.store.near_cache() {
        gauge!("cache_near_connected").set(if near.connected { 1.0 } else { 0.0 });
        counter!("cache_near_connections_total").absolute(near.connections);
        counter!("cache_near_invalidations_total").absolute(near.invalidations);
        counter!("cache_near_flushes_total").absolute(near.flushes);
    }
    record_map(app);
}

/// The figures of the map, a gauge each.
fn record_map(app: &App) {
    let Some(Ok(serde_json::Value::Object(figures))) = app.cache.stats().map(serde_json::to_value) else { return };
    for (name, figure) in figures {
        if let Some(figure) = figure.as_f64() {
            gauge!(format!("cache_map_{name}")).set(figure);
        }
    }
}
