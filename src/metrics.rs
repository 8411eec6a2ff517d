//! Figures for the recorder of the crate `metrics`. The feature `metrics` turns it on.

use std::ptr;
use std::time::Duration;

use metrics::{Recorder, SharedString, Unit, counter, gauge};

use crate::raw::histograms;
use crate::stats::Stats;
use crate::sync::Ordering;
use crate::sync::figure::AtomicUsize;

/// A figure as recorders know it: its name, what it is, and how it is read off.
type Figure<T> = (&'static str, &'static str, fn(&Stats) -> T);

const COUNTERS: [Figure<u64>; 7] = [
    ("readmostly_promotions_total", "Dirty tables that became the read table", |stats| stats.promotions),
    ("readmostly_compactions_total", "Promotions that left removed entries behind", |stats| stats.compactions),
    ("readmostly_misses_total", "Lookups that went on to the dirty table", |stats| stats.misses),
    ("readmostly_writer_locks_total", "How often the writer lock was taken", |stats| stats.slow_path_locks),
    ("readmostly_writer_waits_total", "How often the writer lock was waited for", |stats| stats.slow_path_waits),
    ("readmostly_writer_long_waits_total", "Waits for the writer lock of more than 100 us", |stats| stats.long_waits),
    ("readmostly_copied_slots_total", "Nodes copied from a read table to the next", |stats| stats.copied_slots),
];

const TIMES: [Figure<Duration>; 5] = [
    ("readmostly_promotion_time_seconds", "Time that all promotions took together", |stats| stats.promotion_time),
    ("readmostly_longest_promotion_seconds", "The longest promotion, its copy included", |stats| {
        stats.longest_promotion
    }),
    ("readmostly_longest_wait_seconds", "The longest wait for the writer lock", |stats| stats.longest_wait),
    ("readmostly_longest_copy_seconds", "The longest step of a copy", |stats| stats.longest_copy_time),
    ("readmostly_longest_free_seconds", "The longest an operation took to free things", |stats| {
        stats.longest_free_time
    }),
];

const SIZES: [Figure<usize>; 5] = [
    ("readmostly_longest_copy_slots", "The most nodes that one operation copied", |stats| stats.longest_copy),
    ("readmostly_longest_free_items", "The most retired things that one operation freed", |stats| stats.longest_free),
    ("readmostly_dirty_nodes", "Nodes in the dirty table", |stats| stats.dirty_len),
    ("readmostly_tombstones", "Removed entries whose keys still take a slot", |stats| stats.tombstones),
    ("readmostly_pending_garbage", "Retired things that are not freed yet", |stats| stats.pending_garbage),
];

const BYTES: [Figure<usize>; 1] =
    [("readmostly_table_bytes", "Size of the tables, without the nodes", |stats| stats.table_bytes)];

const HISTOGRAMS: [(&str, &str); 2] = [
    (histograms::WRITER_WAIT, "Waits for the writer lock, of all maps"),
    (histograms::PROMOTION, "Times from the beginning of a copy to its promotion, of all maps"),
];

impl Stats {
    /// Gives the figures to the recorder of the crate `metrics`, with the label `map` set to `name`. To be called every
    /// so often, or when the recorder is asked for its figures. The feature `metrics` turns it on.
    ///
    /// | name | kind | field |
    /// |---|---|---|
    /// | `readmostly_promotions_total` | counter | [`promotions`](Self::promotions) |
    /// | `readmostly_compactions_total` | counter | [`compactions`](Self::compactions) |
    /// | `readmostly_misses_total` | counter | [`misses`](Self::misses) |
    /// | `readmostly_writer_locks_total` | counter | [`slow_path_locks`](Self::slow_path_locks) |
    /// | `readmostly_writer_waits_total` | counter | [`slow_path_waits`](Self::slow_path_waits) |
    /// | `readmostly_writer_long_waits_total` | counter | [`long_waits`](Self::long_waits) |
    /// | `readmostly_copied_slots_total` | counter | [`copied_slots`](Self::copied_slots) |
    /// | `readmostly_promotion_time_seconds` | gauge | [`promotion_time`](Self::promotion_time) |
    /// | `readmostly_longest_promotion_seconds` | gauge | [`longest_promotion`](Self::longest_promotion) |
    /// | `readmostly_longest_wait_seconds` | gauge | [`longest_wait`](Self::longest_wait) |
    /// | `readmostly_longest_copy_seconds` | gauge | [`longest_copy_time`](Self::longest_copy_time) |
    /// | `readmostly_longest_copy_slots` | gauge | [`longest_copy`](Self::longest_copy) |
    /// | `readmostly_longest_free_seconds` | gauge | [`longest_free_time`](Self::longest_free_time) |
    /// | `readmostly_longest_free_items` | gauge | [`longest_free`](Self::longest_free) |
    /// | `readmostly_dirty_nodes` | gauge | [`dirty_len`](Self::dirty_len) |
    /// | `readmostly_tombstones` | gauge | [`tombstones`](Self::tombstones) |
    /// | `readmostly_pending_garbage` | gauge | [`pending_garbage`](Self::pending_garbage) |
    /// | `readmostly_table_bytes` | gauge | [`table_bytes`](Self::table_bytes) |
    /// | `readmostly_writer_wait_seconds` | histogram | each wait for the writer lock, of all maps, as it ends; no label |
    /// | `readmostly_promotion_seconds` | histogram | the same for each promotion |
    ///
    /// Each recorder is given the units and a description of these once. Counters are set to what they are, and never
    /// back: a map that takes the place and the name of another is seen when it has counted further than that.
    ///
    /// The histograms are written to by operations on maps, after they have released every lock. So the recorder may use
    /// maps itself; what it does to them while it is called from there is counted, but not told to it again.
    ///
    /// Two maps need two names. With no recorder installed this does nothing.
    ///
    /// ```
    /// let map = readmostly::SyncMap::from([("ada", 1)]);
    /// map.stats().record("sessions");
    /// ```
    pub fn record(&self, name: impl Into<SharedString>) {
        let name = name.into();
        metrics::with_recorder(describe);
        for (figure, _, value) in COUNTERS {
            counter!(figure, "map" => name.clone()).absolute(value(self));
        }
        for (figure, _, value) in TIMES {
            gauge!(figure, "map" => name.clone()).set(value(self).as_secs_f64());
        }
        for (figure, _, value) in SIZES.into_iter().chain(BYTES) {
            gauge!(figure, "map" => name.clone()).set(value(self) as f64);
        }
    }
}

/// Says what the figures are, unless `recorder` is the one that was told last.
fn describe(recorder: &dyn Recorder) {
    static TOLD: AtomicUsize = AtomicUsize::new(0);
    let address = ptr::from_ref(recorder).addr();
    // Relaxed: a hint. Who is told twice, or not at all because another was here before, counts all the same.
    if TOLD.swap(address, Ordering::Relaxed) == address {
        return;
    }
    for (name, description, _) in COUNTERS {
        recorder.describe_counter(name.into(), Some(Unit::Count), description.into());
    }
    for (name, description, _) in TIMES {
        recorder.describe_gauge(name.into(), Some(Unit::Seconds), description.into());
    }
    for (name, description, _) in SIZES {
        recorder.describe_gauge(name.into(), Some(Unit::Count), description.into());
    }
    for (name, description, _) in BYTES {
        recorder.describe_gauge(name.into(), Some(Unit::Bytes), description.into());
    }
    for (name, description) in HISTOGRAMS {
        recorder.describe_histogram(name.into(), Some(Unit::Seconds), description.into());
    }
}
