use super::*;
use crate::load::plan::{Workload, tests::workload};
use axum::{
    Router,
    body::Bytes,
    extract::{Path, State},
    response::{IntoResponse, Response},
    routing::get,
};
use socket2::{Domain, Socket, Type};
use std::{
    collections::{BTreeMap, HashMap},
    net::{SocketAddr, TcpListener},
    sync::Mutex,
    time::Instant,
};

/// A cache that makes mistakes.
#[derive(Default)]
struct Cache {
    values: Mutex<HashMap<String, Bytes>>,
    fault: Fault,
    requests: AtomicU64,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Fault {
    #[default]
    None,
    /// The 200th request takes 2 s, and all others wait for it.
    Stalls,
    /// Writes are acknowledged and forgotten once there is a value.
    ForgetsWrites,
    /// Every value is that of one key.
    MixesKeys,
    /// Values lose their last byte.
    Truncates,
    /// Every third answer is an error.
    Fails,
}

impl Cache {
    fn stumble(&self) -> Result<(), StatusCode> {
        let number = self.requests.fetch_add(1, Relaxed);
        if self.fault == Fault::Fails && number.is_multiple_of(3) {
            return Err(StatusCode::SERVICE_UNAVAILABLE);
        }
        if self.fault == Fault::Stalls && number == 200 {
            let _values = self.values.lock().unwrap();
            thread::sleep(Duration::from_secs(2));
        }
        Ok(())
    }

    fn name(&self, key: String) -> String {
        if self.fault == Fault::MixesKeys { String::new() } else { key }
    }

    async fn read(Path(key): Path<String>, State(cache): State<Arc<Self>>) -> Result<Response, StatusCode> {
        cache.stumble()?;
        let value = cache.values.lock().unwrap().get(&cache.name(key)).cloned().ok_or(StatusCode::NOT_FOUND)?;
        let end = value.len() - usize::from(cache.fault == Fault::Truncates);
        Ok(([("x-cache", "hit")], value.slice(..end)).into_response())
    }

    async fn write(
        Path(key): Path<String>,
        State(cache): State<Arc<Self>>,
        value: Bytes,
    ) -> Result<StatusCode, StatusCode> {
        cache.stumble()?;
        let mut values = cache.values.lock().unwrap();
        let key = cache.name(key);
        if cache.fault != Fault::ForgetsWrites || !values.contains_key(&key) {
            values.insert(key, value);
        }
        Ok(StatusCode::NO_CONTENT)
    }

    async fn delete(Path(key): Path<String>, State(cache): State<Arc<Self>>) -> Result<StatusCode, StatusCode> {
        cache.stumble()?;
        cache.values.lock().unwrap().remove(&cache.name(key));
        Ok(StatusCode::NO_CONTENT)
    }
}

fn serve(fault: Fault) -> Target {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let cache = Arc::new(Cache { fault, ..Cache::default() });
    let routes = get(Cache::read).put(Cache::write).delete(Cache::delete);
    let router = Router::new().route("/cache/{key}", routes).with_state(cache);
    thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async { axum::serve(tokio::net::TcpListener::from_std(listener).unwrap(), router).await })
    });
    url.parse().unwrap()
}

fn load(target: Target, pace: Pace, requests: usize) -> Outcome {
    let workload = Workload { expiring: 0.0, ..workload(20) };
    let plan = Arc::new(Plan::draw(workload, true, requests, 1).unwrap());
    let timeout = Duration::from_secs(20);
    let driver = Driver { targets: vec![target], threads: 2, connections: 16, timeout, clock: Clock::new(), run: 1 };
    let ledger = Some(Arc::new(Ledger::new(plan.clone(), driver.run, Duration::ZERO)));
    let fill = Turn { steps: plan.filling(), plan: plan.clone(), pace: Pace::Saturated(Duration::MAX), ledger };
    driver.play(&fill, &ProgressBar::hidden()).unwrap();
    driver.play(&Turn { steps: plan.requests(), pace, ..fill }, &ProgressBar::hidden()).unwrap()
}

/// What was wrong under some load, and in how many answers.
fn wrong(fault: Fault) -> BTreeMap<Violation, u64> {
    load(serve(fault), Pace::Saturated(Duration::MAX), 2_000).violations
}

#[test]
fn requests_are_sent_at_their_rate_and_all_are_answered() {
    let start = Instant::now();
    let outcome = load(serve(Fault::None), Pace::Rate(200.0), 400);
    assert!(start.elapsed() >= Duration::from_millis(1_990), "{:?}", start.elapsed());
    assert_eq!((outcome.answered(), outcome.failed(), outcome.given_up), (400, 0, 0));
    assert!(outcome.rate() < 250.0, "{}", outcome.rate());
    assert!(outcome.violations.is_empty(), "{:?}", outcome.violations);
}

#[test]
fn a_stall_is_felt_by_all_requests_that_were_due_meanwhile() {
    // 400 requests in 4 s, and a stall of 2 s after the first 180 of them: all connections wait, while 200 are due, of
    // which 150 wait for longer than half a second.
    let outcome = load(serve(Fault::Stalls), Pace::Rate(100.0), 400);
    let late = 1.0 - outcome.all.quantile_below(500_000_000);
    let slow = 1.0 - outcome.service.quantile_below(500_000_000);
    assert!(late > 0.25, "{late} of the requests were late");
    assert!(slow < late / 2.0, "{slow} of the requests took long once they were sent, when {late} were late");
}

#[test]
fn without_a_rate_requests_are_sent_until_the_time_is_over() {
    let outcome = load(serve(Fault::None), Pace::Saturated(Duration::from_secs(1)), 300_000);
    assert!((1_000..30_000).contains(&outcome.wall.as_millis()), "{:?}", outcome.wall);
    assert!(outcome.answered() > 0 && outcome.answered() < 300_000, "{}", outcome.answered());
    assert!(outcome.violations.is_empty(), "{:?}", outcome.violations);
}

#[test]
fn wrong_answers_are_found() {
    assert!(wrong(Fault::None).is_empty());
    assert_eq!(wrong(Fault::ForgetsWrites).into_keys().collect::<Vec<_>>(), [Violation::Outdated]);
    assert!(wrong(Fault::MixesKeys).contains_key(&Violation::OtherKey));
    assert_eq!(wrong(Fault::Truncates).into_keys().collect::<Vec<_>>(), [Violation::Torn]);
}

#[test]
fn errors_are_counted_by_kind() {
    let outcome = load(serve(Fault::Fails), Pace::Saturated(Duration::MAX), 3_000);
    assert_eq!(outcome.errors.keys().collect::<Vec<_>>(), ["503 Service Unavailable"]);
    assert!((990..=1_010).contains(&outcome.failed()), "{:?}", outcome.errors);
    assert_eq!(outcome.answered() + outcome.failed(), 3_000);
    assert!(outcome.violations.is_empty(), "{:?}", outcome.violations);
}

#[test]
fn a_service_that_is_not_there_is_an_error_and_no_panic() {
    // Bound, so that nobody else gets the port, but not listening.
    let unused = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    unused.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = unused.local_addr().unwrap().as_socket().unwrap();
    let target = format!("http://{address}").parse().unwrap();
    let outcome = load(target, Pace::Saturated(Duration::MAX), 50);
    assert_eq!(outcome.errors, BTreeMap::from([("no connection".to_owned(), 50)]));
}
