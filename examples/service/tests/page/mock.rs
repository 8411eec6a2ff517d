//! A server of the status page that says what a test wants it to say.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::page;

#[derive(Clone, Default)]
struct Answer {
    text: String,
    delay: Duration,
}

pub(crate) struct Mock {
    host: String,
    answer: Arc<Mutex<Answer>>,
    _runtime: Runtime,
}

impl Mock {
    pub(crate) fn start() -> Mock {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))).expect("a port");
        let host = listener.local_addr().expect("an address").to_string();
        let answer = Arc::default();
        let router = page::routes().route("/status.json", get(status_json)).with_state(Arc::clone(&answer));
        runtime.spawn(async { axum::serve::<_, Router, _>(listener, router).await });
        Mock { host, answer, _runtime: runtime }
    }

    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.host)
    }

    pub(crate) fn say(&self, status: &Value) {
        self.say_text(&status.to_string());
    }

    /// An empty text is answered with 500.
    pub(crate) fn say_text(&self, text: &str) {
        *self.answer.lock().expect("no panic") = Answer { text: text.into(), delay: Duration::ZERO };
    }

    pub(crate) fn stall(&self) {
        self.answer.lock().expect("no panic").delay = Duration::from_secs(60);
    }
}

async fn status_json(State(answer): State<Arc<Mutex<Answer>>>) -> (StatusCode, String) {
    let Answer { text, delay } = answer.lock().expect("no panic").clone();
    tokio::time::sleep(delay).await;
    if text.is_empty() { (StatusCode::INTERNAL_SERVER_ERROR, text) } else { (StatusCode::OK, text) }
}

/// The status after `seconds`, each of which `second` describes.
pub(crate) fn status(seconds: u32, second: fn(f64) -> Second) -> Value {
    let series: Vec<_> = (1..=seconds).map(|t| (t, second(t.into()))).collect();
    let last = &series.last().expect("at least one second").1;
    let requests: f64 = series.iter().map(|(_, second)| second.rate).sum();
    let hits: f64 = series.iter().map(|(_, second)| second.rate * second.hit_rate).sum();
    let [p50, p99, p999] = last.latency_us;
    json!({
        "instance": "mock", "map": "readmostly", "uptime_seconds": f64::from(seconds) + 0.5, "ready": true,
        "entries": last.entries as u64, "negative_entries": 12, "requests": requests as u64, "hits": hits as u64,
        "negative_hits": 340, "misses": (requests - hits) as u64, "loads": (requests - hits) as u64, "load_failures": 0, "loading": 2,
        "latency_us": { "p50": p50, "p99": p99, "p999": p999, "max": 3.0 * p999 },
        "map_stats": {
            "promotions": 1234, "misses": 56_789, "slow_path_waits": 3, "longest_wait": 0.000_131_072,
            "longest_copy": 14, "table_bytes": 16_777_216,
        },
        "resident_bytes": last.resident_bytes as u64,
        "sweeps": { "count": seconds, "expired": 98_765, "last_ms": 31.25, "longest_slice_us": 1043.5, "breaker": "closed" },
        "near_cache": null,
        "series": series.iter().map(|(t, second)| second.json(*t)).collect::<Vec<_>>(),
    })
}

pub(crate) struct Second {
    rate: f64,
    hit_rate: f64,
    latency_us: [f64; 3],
    promotions: u32,
    resident_bytes: f64,
    entries: f64,
}

impl Second {
    fn json(&self, t: u32) -> Value {
        let [p50, p99, p999] = self.latency_us;
        json!({
            "t": t, "rate": self.rate, "hit_rate": self.hit_rate, "p50_us": p50, "p99_us": p99, "p999_us": p999,
            "promotions": self.promotions, "resident_bytes": self.resident_bytes as u64, "entries": self.entries as u64,
        })
    }
}

/// Up and down a little, growing slowly.
pub(crate) fn steady(t: f64) -> Second {
    let uneven = (t * 12.9898).sin();
    Second {
        rate: 18_000.0 + 1_500.0 * (t / 25.0).sin() + 400.0 * uneven,
        hit_rate: 0.951 + 0.01 * (t / 40.0).sin(),
        latency_us: [11.0 + uneven, 150.0 + 10.0 * uneven, 1_200.0 + 300.0 * uneven],
        promotions: u32::from(t % 17.0 == 0.0),
        resident_bytes: 3.1e8 + 4e5 * t,
        entries: 700_000.0 + 990.0 * t,
    }
}

fn spike(t: f64) -> Second {
    let usual = steady(t);
    if !(180.0..185.0).contains(&t) {
        return usual;
    }
    let [p50, p99, p999] = usual.latency_us;
    Second { rate: 6.0 * usual.rate, latency_us: [20.0 * p50, 40.0 * p99, 200.0 * p999], promotions: 12, ..usual }
}

fn zeros(_: f64) -> Second {
    Second { rate: 0.0, hit_rate: 0.0, latency_us: [0.0; 3], promotions: 0, resident_bytes: 0.0, entries: 0.0 }
}

fn huge(t: f64) -> Second {
    let usual = steady(t);
    Second {
        rate: 150.0 * usual.rate,
        latency_us: [45_000.0, 1.2e6, 4.3e6],
        promotions: 4_321,
        resident_bytes: 2.7e11,
        entries: 123_456_789.0,
        ..usual
    }
}

/// What the page must look well with, by name.
pub(crate) fn situations() -> Vec<(&'static str, Value)> {
    let mut trouble = status(300, spike);
    trouble["sweeps"]["breaker"] = "open".into();
    trouble["near_cache"] = json!({ "connected": false, "invalidations": 33_201, "flushes": 1 });
    let mut other_map = status(40, zeros);
    other_map["map"] = "dashmap".into();
    other_map["map_stats"] = Value::Null;
    vec![
        ("second", status(1, steady)),
        ("few", status(4, steady)),
        ("minutes", status(300, steady)),
        ("spike", trouble),
        ("zeros", other_map),
        ("huge", status(300, huge)),
    ]
}
