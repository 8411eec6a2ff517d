//! Observers are told what happens, with no lock held, and may do anything.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, LazyLock, Mutex};
use std::thread;
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, HistogramFn, KeyName, Metadata, Recorder, SharedString, Unit};
use readmostly::SyncMap;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Dispatch, Event, Level, Subscriber};

use crate::common::within;
use crate::{Key, amended, hold_the_lock, with_hook};

const LIMIT: Duration = Duration::from_secs(300);

/// What an observer was told: the name of a span or a histogram, with its numbers.
#[derive(Clone, Debug, PartialEq)]
struct Told {
    name: String,
    level: Option<Level>,
    numbers: Vec<(&'static str, f64)>,
}

impl Told {
    fn number(&self, field: &str) -> f64 {
        let found = self.numbers.iter().find(|(name, _)| *name == field);
        found.unwrap_or_else(|| panic!("{field} was expected in {self:?}")).1
    }
}

/// A recorder and a subscriber in one, which does something whenever it is called, and remembers what it was told.
#[derive(Clone)]
struct Observer(Arc<Inner>);

struct Inner {
    told: Mutex<Vec<Told>>,
    react: Box<dyn Fn(&str) + Send + Sync>,
    /// The most calls that one thread was in at a time.
    depth: AtomicUsize,
    spans: AtomicU64,
}

thread_local! {
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

impl Observer {
    fn new(react: impl Fn(&str) + Send + Sync + 'static) -> Self {
        let (told, depth, spans) = (Mutex::default(), AtomicUsize::new(0), AtomicU64::new(0));
        Observer(Arc::new(Inner { told, react: Box::new(react), depth, spans }))
    }

    /// Does `work` with this as the thread's recorder and subscriber.
    fn watch<T>(&self, work: impl FnOnce() -> T) -> T {
        // While there is but one subscriber, `tracing` asks that of the thread which comes to a span first whether
        // anybody wants it; a thread without one would answer for all.
        static OTHERS: LazyLock<[Dispatch; 2]> = LazyLock::new(|| [(); 2].map(|()| Observer::new(|_| ()).into()));
        LazyLock::force(&OTHERS);
        tracing::subscriber::with_default(self.clone(), || metrics::with_local_recorder(self, work))
    }

    fn react(&self, name: &str) {
        struct Inside;
        impl Drop for Inside {
            fn drop(&mut self) {
                DEPTH.set(DEPTH.get() - 1);
            }
        }
        DEPTH.set(DEPTH.get() + 1);
        let _inside = Inside;
        self.0.depth.fetch_max(DEPTH.get(), SeqCst);
        (self.0.react)(name);
    }

    fn tell(&self, name: &str, level: Option<Level>, numbers: Vec<(&'static str, f64)>) {
        self.0.told.lock().unwrap().push(Told { name: name.to_owned(), level, numbers });
        self.react(name);
    }

    fn told(&self, name: &str) -> Vec<Told> {
        self.0.told.lock().unwrap().iter().filter(|told| told.name == name).cloned().collect()
    }

    /// Everything, by name and in order.
    fn names(&self) -> Vec<String> {
        self.0.told.lock().unwrap().iter().map(|told| told.name.clone()).collect()
    }
}

struct Watched {
    name: String,
    by: Observer,
}

impl HistogramFn for Watched {
    fn record(&self, value: f64) {
        self.by.tell(&self.name, None, vec![("seconds", value)]);
    }
}

impl Recorder for Observer {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, _: &metrics::Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }

    fn register_gauge(&self, _: &metrics::Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, key: &metrics::Key, _: &Metadata<'_>) -> Histogram {
        self.react(key.name());
        Histogram::from_arc(Arc::new(Watched { name: key.name().to_owned(), by: self.clone() }))
    }
}

#[derive(Default)]
struct Numbers(Vec<(&'static str, f64)>);

impl Visit for Numbers {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.0.push((field.name(), value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.push((field.name(), value as f64));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        panic!("a number was expected in {}, found {value:?}", field.name());
    }
}

impl Subscriber for Observer {
    /// Asks for `enabled` to be called each time. Not the place to use a map: `tracing` holds locks of its own here.
    fn register_callsite(&self, _: &'static tracing::Metadata<'static>) -> Interest {
        Interest::sometimes()
    }

    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        self.react("enabled");
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let metadata = span.metadata();
        assert_eq!(metadata.target(), "readmostly");
        let mut numbers = Numbers::default();
        span.record(&mut numbers);
        self.tell(metadata.name(), Some(*metadata.level()), numbers.0);
        Id::from_u64(self.0.spans.fetch_add(1, SeqCst) + 1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {}

    fn enter(&self, _: &Id) {
        self.react("enter");
    }

    fn exit(&self, _: &Id) {
        self.react("exit");
    }
}

#[test]
fn steps_promotions_and_compactions_are_told() {
    let observer = Observer::new(|_| ());
    let (map, next) = amended();
    let before = map.stats();
    observer.watch(|| {
        map.insert(Key(next), 0);
        assert_eq!(observer.names(), ["copy"]);
        map.promote();
    });
    let copied: f64 = observer.told("copy").iter().map(|told| told.number("slots")).sum();
    let after = map.stats();
    assert_eq!(copied as u64, after.copied_slots - before.copied_slots);
    assert!(observer.told("copy").iter().all(|told| told.number("buckets") >= 1.0 && told.number("duration") > 0.0));
    assert!(observer.told("copy").iter().all(|told| told.level == Some(Level::TRACE)));
    assert_eq!(observer.names().last().map(String::as_str), Some("promotion"));
    let [promotion] = &observer.told("promotion")[..] else { panic!("{:?}", observer.names()) };
    assert_eq!(promotion.level, Some(Level::DEBUG));
    assert_eq!(promotion.number("slots"), map.len() as f64);
    assert!((promotion.number("duration") - after.longest_promotion.as_secs_f64()).abs() < 1e-6, "{after}");
    let [histogram] = &observer.told("readmostly_promotion_seconds")[..] else { panic!("{:?}", observer.names()) };
    assert_eq!(histogram.number("seconds"), promotion.number("duration"));
    assert_eq!((observer.told("compaction"), observer.told("readmostly_writer_wait_seconds")), (vec![], vec![]));

    map.remove(&Key(0));
    observer.watch(|| map.compact());
    let compactions = map.stats().compactions;
    assert!(compactions > 0);
    assert_eq!(observer.told("compaction").len() as u64, compactions);
    assert_eq!(observer.told("promotion").len() as u64, compactions + 1, "each compaction has a promotion in it");
}

#[test]
fn waits_are_told_to_those_who_waited() {
    within(LIMIT, || {
        let observer = Observer::new(|_| ());
        let (map, next) = amended();
        let waiter = observer.clone();
        hold_the_lock(&map, next, Duration::from_millis(50), move |map| {
            waiter.watch(|| drop(map.insert(Key(next + 1), 0)));
        });
        let [wait] = &observer.told("readmostly_writer_wait_seconds")[..] else { panic!("{:?}", observer.names()) };
        assert!((wait.number("seconds") - map.stats().longest_wait.as_secs_f64()).abs() < 1e-6, "{}", map.stats());
    });
}

/// Everything that takes the writer lock, new keys among it.
fn use_fully(map: &SyncMap<Key, u64>, new: u64) {
    map.insert(Key(new), 0);
    map.get(&Key(new / 2));
    map.remove(&Key(new));
    map.range(|_, _| false);
    match new % 8 {
        0 => map.compact(),
        1 => map.promote(),
        2 => map.reserve(100),
        3 => drop(map.snapshot()),
        4 => map.retain(|key, _| key.0 % 7 != new % 7),
        5 => map.flush(),
        _ => {}
    }
}

#[test]
fn observers_may_use_the_map_that_they_are_told_about() {
    let calls = within(LIMIT, || {
        let (map, next) = amended();
        let fresh = Arc::new(AtomicU64::new(next));
        let observer = Observer::new({
            let (map, fresh) = (Arc::clone(&map), Arc::clone(&fresh));
            move |_| use_fully(&map, fresh.fetch_add(1, SeqCst))
        });
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    observer.watch(|| {
                        for n in 0..150 {
                            use_fully(&map, fresh.fetch_add(1, SeqCst));
                            if n % 50 == 49 {
                                map.clear();
                            }
                            map.stats().record("observed");
                        }
                    });
                });
            }
        });
        assert_eq!(observer.0.depth.load(SeqCst), 1, "what an observer does is not told to it");
        ["copy", "promotion", "compaction", "readmostly_promotion_seconds"].map(|name| observer.told(name).len())
    });
    assert!(calls.iter().all(|&calls| calls > 0), "{calls:?}");
}

/// A recorder that promotes whenever it is told of a promotion would never come to an end. (A subscriber would:
/// `tracing` does not call one that is the thread's own below itself.)
#[test]
fn what_an_observer_does_is_not_told() {
    let (map, _) = amended();
    let (reacting, calls) = (Arc::clone(&map), AtomicU64::new(0));
    let observer = Observer::new(move |name| {
        // With an end, so that this fails and does not abort.
        if name == "readmostly_promotion_seconds" && calls.fetch_add(1, SeqCst) < 10 {
            reacting.remove(&Key(calls.load(SeqCst)));
            reacting.compact();
        }
    });
    let before = map.stats().promotions;
    observer.watch(|| map.promote());
    assert_eq!(observer.told("readmostly_promotion_seconds").len(), 1, "{:?}", observer.names());
    assert_eq!(observer.told("promotion").len(), 1, "{:?}", observer.names());
    assert!(map.stats().promotions > before + 1, "what the observer did is counted: {}", map.stats());
}

#[test]
fn a_panic_of_an_observer_leaves_the_map_whole() {
    let observer = Observer::new(|name| assert_ne!(name, "promotion", "an observer that fails"));
    let (map, next) = amended();
    let mut panics = 0;
    observer.watch(|| {
        let mut attempt = |work: &dyn Fn()| panics += usize::from(catch_unwind(AssertUnwindSafe(work)).is_err());
        (next..=2000).for_each(|n| attempt(&|| drop(map.insert(Key(n), n))));
        attempt(&|| drop(map.snapshot()));
        attempt(&|| map.compact());
        attempt(&|| map.reserve(10_000));
    });
    assert!(panics >= 3, "each promotion was told: {panics}");
    assert_eq!(observer.told("promotion").len(), panics);
    assert_eq!((map.len(), map.pin().iter().count()), (2001, 2001));
    assert!((0..=2000).all(|n| map.get(&Key(n)).is_some_and(|value| *value == n)));
    assert!(map.insert(Key(2001), 0).is_none(), "the lock is free and the table takes keys");
}

/// A second panic would abort the process.
#[test]
fn nothing_is_told_during_a_panic() {
    within(LIMIT, || {
        let observer = Observer::new(|name| panic!("{name} was told"));
        let (map, next) = amended();
        hold_the_lock(&map, next, Duration::from_millis(1), move |map| {
            let mut hashes = 0;
            let fails = move || {
                hashes += 1;
                assert!(hashes < 2, "a hash that fails");
            };
            let insert = || with_hook(fails, || map.insert(Key(next + 1), 0).is_none());
            observer.watch(|| catch_unwind(AssertUnwindSafe(insert)).unwrap_err());
            assert_eq!(observer.names(), [""; 0]);
        });
        assert_eq!(map.stats().slow_path_waits, 1);
        assert!(map.get(&Key(next + 1)).is_none());
    });
}
