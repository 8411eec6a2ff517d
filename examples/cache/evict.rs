//! Eviction of what was not used lately, by one thread at a time.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam_utils::CachePadded;

use crate::maps::Cache;

/// A pass makes room for a tenth of the capacity, so that its walk is paid for by that many inserts.
const ROOM_DIVISOR: usize = 10;
/// Ticks in which as many entries are inserted as the cache holds: how finely "lately" is told apart.
const TICKS_PER_TURNOVER: usize = 128;
/// Marks that are looked at to tell which entries are old.
const SAMPLE: usize = 4096;
/// Other threads go on inserting during a pass; this bounds how long it runs after them.
const MAX_WALKS: usize = 4;
/// Inserts of one thread between two looks at the size, which is not free on every map.
const MAX_CHECK_INTERVAL: usize = 64;

/// Beyond the capacity and a quarter of it, values are not admitted until a pass has caught up. Without this bound, a
/// cache whose evicting thread is not scheduled for a while would grow to many times its capacity.
const CEILING_DIVISOR: usize = 4;

/// What a look at the size led to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    pub(crate) pass: Option<Pass>,
    /// Whether the cache is so full that it should not be given more.
    pub(crate) overfull: bool,
}

/// A finished pass.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pass {
    pub(crate) removed: u64,
    pub(crate) took: Duration,
}

pub(crate) struct Evictor {
    capacity: usize,
    low_water: usize,
    ceiling: usize,
    check_interval: usize,
    tick_length: u64,
    /// Read on every access, written once per tick: apart from what every insert writes.
    now: CachePadded<AtomicU32>,
    inserted: CachePadded<AtomicU64>,
    running: CachePadded<AtomicBool>,
    peak: AtomicUsize,
}

impl Evictor {
    pub(crate) fn new(capacity: usize, threads: usize) -> Self {
        Evictor {
            capacity,
            low_water: capacity - capacity / ROOM_DIVISOR,
            ceiling: capacity + capacity / CEILING_DIVISOR,
            // All threads together exceed the capacity by no more than a 64th before one of them looks.
            check_interval: (capacity / 64 / threads).clamp(1, MAX_CHECK_INTERVAL),
            tick_length: (capacity / TICKS_PER_TURNOVER).max(1) as u64,
            now: CachePadded::new(AtomicU32::new(1)),
            inserted: CachePadded::new(AtomicU64::new(0)),
            running: CachePadded::new(AtomicBool::new(false)),
            peak: AtomicUsize::new(0),
        }
    }

    /// The cache's clock. It counts inserted entries rather than time, so that "lately" means the same whatever the
    /// speed, and stands still while everything hits.
    pub(crate) fn now(&self) -> u32 {
        self.now.load(Ordering::Relaxed)
    }

    /// A thread calls `inserted` after this many new entries.
    pub(crate) fn check_interval(&self) -> usize {
        self.check_interval
    }

    /// Most entries that were seen at once.
    pub(crate) fn peak(&self) -> usize {
        self.peak.load(Ordering::Relaxed)
    }

    /// Tells of `count` new entries; evicts if there are too many now and no other thread is at it.
    pub(crate) fn inserted(&self, count: usize, cache: &impl Cache) -> Look {
        let count = count as u64;
        let total = self.inserted.fetch_add(count, Ordering::Relaxed) + count;
        let tick = 1 + (total / self.tick_length) as u32;
        if tick > self.now() {
            self.now.fetch_max(tick, Ordering::Relaxed);
        }
        let entries = cache.entries();
        if entries > self.peak() {
            self.peak.fetch_max(entries, Ordering::Relaxed);
        }
        let pass = if entries > self.capacity { self.try_evict(cache) } else { None };
        let entries = if pass.is_some() { cache.entries() } else { entries };
        Look { pass, overfull: entries > self.ceiling }
    }

    fn try_evict(&self, cache: &impl Cache) -> Option<Pass> {
        let _turn = Turn::take(&self.running)?;
        let start = Instant::now();
        let removed = self.evict(cache) as u64;
        Some(Pass { removed, took: start.elapsed() })
    }

    fn evict(&self, cache: &impl Cache) -> usize {
        let mut removed = 0;
        for walk in 0..MAX_WALKS {
            let entries = cache.entries();
            let excess = entries.saturating_sub(self.low_water);
            if excess == 0 || (walk > 0 && entries <= self.capacity) {
                break;
            }
            let mut newest = newest_to_remove(cache.sample_marks(SAMPLE), excess, entries);
            if walk == 0 {
                // What is in use at this moment goes only if nothing else can.
                newest = newest.min(self.now().saturating_sub(1));
            }
            removed += cache.remove_unused_since(newest, excess);
        }
        removed
    }
}

/// The mark up to which entries must go so that `excess` of `entries` do, by a sample of the marks.
fn newest_to_remove(mut marks: Vec<u32>, excess: usize, entries: usize) -> u32 {
    // A sample errs: aiming a little higher spares a second walk, and the limit of the walk keeps the number exact.
    let share = 1.1 * excess as f64 / entries as f64;
    let rank = (marks.len() as f64 * share) as usize;
    match marks.len() {
        0 => u32::MAX,
        len => *marks.select_nth_unstable(rank.min(len - 1)).1,
    }
}

/// The right to evict, given back on drop.
struct Turn<'a>(&'a AtomicBool);

impl<'a> Turn<'a> {
    fn take(running: &'a AtomicBool) -> Option<Self> {
        let free = !running.load(Ordering::Relaxed) && !running.swap(true, Ordering::Acquire);
        // Not `then_some`: that would make a turn, and end it, where another thread has its own.
        free.then(|| Turn(running))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::maps::{Entry, LockCache};

    fn insert(cache: &impl Cache, evictor: &Evictor, number: u32) -> Option<Pass> {
        let entry = Entry::new(Arc::from([]), evictor.now());
        cache.insert(number.to_string(), entry).then(|| evictor.inserted(1, cache).pass).flatten()
    }

    #[test]
    fn a_pass_goes_down_to_the_low_water_mark_and_no_further() {
        let cache = LockCache::default();
        let evictor = Evictor::new(1000, 1);
        assert!((0..1000).all(|number| insert(&cache, &evictor, number).is_none()));
        let pass = insert(&cache, &evictor, 1000).expect("one entry too many");
        assert_eq!(pass.removed, 101);
        assert_eq!(cache.entries(), 900);
        assert_eq!(evictor.peak(), 1001);
    }

    #[test]
    fn what_is_used_stays_and_what_is_not_goes_oldest_first() {
        let cache = LockCache::default();
        let evictor = Evictor::new(1000, 1);
        for number in 0..5000 {
            insert(&cache, &evictor, number);
            for hot in 0..number.min(10) {
                let hit = cache.get(&hot.to_string(), |entry| entry.touch(evictor.now()).len());
                assert!(hit.is_some(), "{hot} is in use");
            }
        }
        let recent = (4200..5000).filter(|number: &u32| cache.get(&number.to_string(), |_| ()).is_some()).count();
        assert_eq!(recent, 800);
        assert!(cache.entries() <= 1000);
    }

    #[test]
    fn the_smallest_caches_hold_their_capacity() {
        for capacity in 1..30 {
            let cache = LockCache::default();
            let evictor = Evictor::new(capacity, 4);
            for number in 0..100 {
                insert(&cache, &evictor, number);
                assert!((1..=capacity).contains(&cache.entries()));
            }
        }
    }

    #[test]
    fn one_thread_at_a_time_evicts() {
        let cache = LockCache::default();
        let evictor = Evictor::new(1, 1);
        let turn = Turn::take(&evictor.running).expect("nobody evicts");
        assert!((0..5).all(|number| insert(&cache, &evictor, number).is_none()));
        assert_eq!(cache.entries(), 5);
        assert!(evictor.inserted(0, &cache).overfull);
        drop(turn);
        assert_eq!(insert(&cache, &evictor, 5).expect("free again").removed, 5);
    }
}
