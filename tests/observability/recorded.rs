//! `Stats::record`: what a recorder gets, against what the documentation says.

use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use metrics_util::{CompositeKey, MetricKind};
use readmostly::SyncMap;

use crate::{Key, amended, hold_the_lock};

type Recorded = Vec<(CompositeKey, Option<metrics::Unit>, Option<metrics::SharedString>, DebugValue)>;

/// What a recorder has got when `work` is done.
fn recorded(work: impl FnOnce()) -> Recorded {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    metrics::with_local_recorder(&recorder, work);
    snapshotter.snapshot().into_vec()
}

fn value<'r>(recorded: &'r Recorded, name: &str, map: &str) -> &'r DebugValue {
    let is_it = |key: &CompositeKey| {
        key.key().name() == name && key.key().labels().any(|label| (label.key(), label.value()) == ("map", map))
    };
    let found = recorded.iter().find(|(key, ..)| is_it(key));
    &found.unwrap_or_else(|| panic!("{name} of {map} was expected among {recorded:?}")).3
}

#[test]
fn figures_have_the_values_of_the_stats() {
    let (map, _) = amended();
    map.promote();
    map.remove(&Key(0));
    map.compact();
    let (stats, empty) = (map.stats(), SyncMap::<u64, u64>::new().stats());
    let recorded = recorded(|| {
        stats.record("sessions");
        empty.record(String::from("users"));
    });
    let expected = [
        ("readmostly_promotions_total", DebugValue::Counter(stats.promotions)),
        ("readmostly_compactions_total", DebugValue::Counter(stats.compactions)),
        ("readmostly_misses_total", DebugValue::Counter(stats.misses)),
        ("readmostly_writer_locks_total", DebugValue::Counter(stats.slow_path_locks)),
        ("readmostly_writer_waits_total", DebugValue::Counter(stats.slow_path_waits)),
        ("readmostly_writer_long_waits_total", DebugValue::Counter(stats.long_waits)),
        ("readmostly_copied_slots_total", DebugValue::Counter(stats.copied_slots)),
        ("readmostly_promotion_time_seconds", DebugValue::Gauge(stats.promotion_time.as_secs_f64().into())),
        ("readmostly_longest_promotion_seconds", DebugValue::Gauge(stats.longest_promotion.as_secs_f64().into())),
        ("readmostly_longest_wait_seconds", DebugValue::Gauge(stats.longest_wait.as_secs_f64().into())),
        ("readmostly_longest_copy_seconds", DebugValue::Gauge(stats.longest_copy_time.as_secs_f64().into())),
        ("readmostly_longest_copy_slots", DebugValue::Gauge((stats.longest_copy as f64).into())),
        ("readmostly_longest_free_seconds", DebugValue::Gauge(stats.longest_free_time.as_secs_f64().into())),
        ("readmostly_longest_free_items", DebugValue::Gauge((stats.longest_free as f64).into())),
        ("readmostly_dirty_nodes", DebugValue::Gauge((stats.dirty_len as f64).into())),
        ("readmostly_tombstones", DebugValue::Gauge((stats.tombstones as f64).into())),
        ("readmostly_pending_garbage", DebugValue::Gauge((stats.pending_garbage as f64).into())),
        ("readmostly_table_bytes", DebugValue::Gauge((stats.table_bytes as f64).into())),
    ];
    assert_eq!(recorded.len(), 2 * expected.len(), "{recorded:?}");
    for (name, expected) in &expected {
        assert_eq!(value(&recorded, name, "sessions"), expected, "{name}");
        let nothing = match expected {
            DebugValue::Counter(_) => DebugValue::Counter(0),
            _ => DebugValue::Gauge(0.0.into()),
        };
        assert_eq!(value(&recorded, name, "users"), &nothing, "{name} of a new map");
    }
}

/// Names and kinds are those of the table in the documentation; units are those that the names say.
#[test]
fn figures_are_those_of_the_table() {
    let recorded = recorded(|| {
        let (map, next) = amended();
        wait_here(&map, next);
        map.promote();
        map.stats().record("sessions");
    });
    let mut found: Vec<_> = recorded
        .iter()
        .map(|(key, unit, description, _)| {
            let name = key.key().name();
            let expected = match name {
                _ if name.ends_with("_seconds") => metrics::Unit::Seconds,
                _ if name.ends_with("_bytes") => metrics::Unit::Bytes,
                _ => metrics::Unit::Count,
            };
            assert_eq!(*unit, Some(expected), "{name}");
            assert!(description.as_ref().is_some_and(|description| !description.is_empty()), "{name} is described");
            let kind = match key.kind() {
                MetricKind::Counter => "counter",
                MetricKind::Gauge => "gauge",
                MetricKind::Histogram => "histogram",
            };
            (name.to_owned(), kind.to_owned())
        })
        .collect();
    let mut documented: Vec<_> = include_str!("../../src/metrics.rs")
        .lines()
        .filter_map(|line| line.trim().strip_prefix("/// | `"))
        .filter_map(|row| row.split_once("` | "))
        .map(|(name, rest)| (name.to_owned(), rest.split(' ').next().unwrap_or_default().to_owned()))
        .collect();
    found.sort();
    documented.sort();
    assert_eq!(found, documented);
}

/// Has this thread wait for the writer lock, so that it is its recorder that is told.
fn wait_here(map: &Arc<SyncMap<Key, u64>>, next: u64) {
    thread::scope(|scope| {
        let (send, receive) = mpsc::channel();
        let other = Arc::clone(map);
        scope.spawn(move || {
            hold_the_lock(&other, next, Duration::from_millis(1), move |_| send.send(()).unwrap());
        });
        receive.recv().unwrap();
        map.insert(Key(next + 1), 0);
    });
}
