//! What several integration tests share: hashers from good to useless, types that count how often they are dropped, a
//! small random number generator, and helpers to start threads together and to notice when one never comes back.

// Each test binary compiles this module for itself and uses a part of it.
#![allow(dead_code, unused_macros)]

use std::any::Any;
use std::borrow::Borrow;
use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Barrier, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use readmostly::DefaultHashBuilder;

// ---------------------------------------------------------------------------------------------------------------------
// Hashers

/// What a test needs of a hasher to be generic over it.
pub(crate) trait TestHasher: BuildHasher + Clone + Default + Send + Sync + 'static {
    /// How many entries a test may use where every one of them may land in the same bucket.
    const MANY: u32;
}

/// The hasher of the crate.
pub(crate) type GoodHash = DefaultHashBuilder;

impl TestHasher for GoodHash {
    const MANY: u32 = 4000;
}

/// Keeps only the bits of a good hash that `MASK` has set: keys then share buckets, tags, or both.
#[derive(Clone, Default)]
pub(crate) struct Masked<const MASK: u64>(GoodHash);

/// Every key has the same hash.
pub(crate) type ZeroHash = Masked<0>;
/// Sixteen different hashes that agree in all high bits, as in Go's `NewTruncHashTrieMap`.
pub(crate) type LowBitsHash = Masked<0xf>;
/// Sixteen different hashes that agree in all low bits.
pub(crate) type HighBitsHash = Masked<{ 0xf << 60 }>;

impl<const MASK: u64> TestHasher for Masked<MASK> {
    const MANY: u32 = 400;
}

impl<const MASK: u64> BuildHasher for Masked<MASK> {
    type Hasher = MaskedHasher<MASK, <GoodHash as BuildHasher>::Hasher>;

    fn build_hasher(&self) -> Self::Hasher {
        MaskedHasher(self.0.build_hasher())
    }
}

pub(crate) struct MaskedHasher<const MASK: u64, H>(H);

impl<const MASK: u64, H: Hasher> Hasher for MaskedHasher<MASK, H> {
    fn write(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    fn finish(&self) -> u64 {
        self.0.finish() & MASK
    }
}

/// Makes one `#[test]` per hasher out of each generic function `fn name<S: TestHasher>()`.
macro_rules! under_all_hashers {
    ($($test:ident),+ $(,)?) => {
        under_all_hashers! { @ good_hash, GoodHash, $($test),+ }
        under_all_hashers! { @ zero_hash, ZeroHash, $($test),+ }
        under_all_hashers! { @ low_bits_hash, LowBitsHash, $($test),+ }
        under_all_hashers! { @ high_bits_hash, HighBitsHash, $($test),+ }
    };
    (@ $module:ident, $hasher:ident, $($test:ident),+) => {
        mod $module {
            $(
                #[test]
                fn $test() {
                    super::$test::<crate::common::$hasher>();
                }
            )+
        }
    };
}

// ---------------------------------------------------------------------------------------------------------------------
// Drop counting

/// Counts the [`Counted`] objects made from it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    live: AtomicI64,
    created: AtomicU64,
}

impl Tally {
    pub(crate) fn make(&self, id: u32) -> Counted {
        self.0.live.fetch_add(1, SeqCst);
        self.0.created.fetch_add(1, SeqCst);
        Counted { id, tally: self.clone() }
    }

    pub(crate) fn live(&self) -> i64 {
        self.0.live.load(SeqCst)
    }

    pub(crate) fn created(&self) -> u64 {
        self.0.created.load(SeqCst)
    }

    /// Whether what was made has been dropped but for a small part. To be waited for: guards of tests that run at the
    /// same time may hold back anything for a moment.
    pub(crate) fn is_mostly_dropped(&self) -> bool {
        self.live() < self.created() as i64 / 4
    }
}

/// A key or value that tells its [`Tally`] when it is made and when it is dropped. Compares and hashes as its id, by
/// which it can be looked up too.
pub(crate) struct Counted {
    id: u32,
    tally: Tally,
}

/// The id of a dropped [`Counted`]; a live one never has it.
const DROPPED: u32 = u32::MAX;

impl Counted {
    /// Panics when called through a reference to something already dropped (as far as its memory was not reused).
    pub(crate) fn id(&self) -> u32 {
        assert_ne!(self.id, DROPPED, "a live object was expected, this one is dropped");
        self.id
    }
}

impl fmt::Debug for Counted {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.id(), out)
    }
}

impl Clone for Counted {
    fn clone(&self) -> Self {
        self.tally.make(self.id())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        assert_ne!(self.id, DROPPED, "an object must be dropped only once");
        self.id = DROPPED;
        let before = self.tally.0.live.fetch_sub(1, SeqCst);
        assert!(before > 0, "more objects were dropped than made");
    }
}

impl PartialEq for Counted {
    fn eq(&self, other: &Self) -> bool {
        self.id() == other.id()
    }
}

impl Eq for Counted {}

impl Hash for Counted {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id().hash(state);
    }
}

impl Borrow<u32> for Counted {
    fn borrow(&self) -> &u32 {
        assert_ne!(self.id, DROPPED, "a live object was expected, this one is dropped");
        &self.id
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Random numbers

/// SplitMix64: short, seeded, and the same on every platform.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Threads

/// Threads for a concurrent test: one per core, but enough that they meet even on a small machine.
pub(crate) fn threads() -> usize {
    thread::available_parallelism().map_or(4, |cores| cores.get().clamp(4, 16))
}

/// Runs `work(0)` to `work(threads - 1)` at the same time and passes on the first panic.
pub(crate) fn race<T: Send>(threads: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let start = Barrier::new(threads);
    let (start, work) = (&start, &work);
    thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|id| {
                scope.spawn(move || {
                    start.wait();
                    work(id)
                })
            })
            .collect();
        running.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume(panic))).collect()
    })
}

fn resume(panic: Box<dyn Any + Send>) -> ! {
    std::panic::resume_unwind(panic)
}

/// Runs `work` on a thread of its own and panics unless it is back in time: a deadlock or an endless loop then fails
/// the test instead of stopping the run.
pub(crate) fn within<T: Send + 'static>(limit: Duration, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, finished) = mpsc::channel();
    let worker = thread::spawn(move || {
        let result = work();
        let _ = done.send(());
        result
    });
    if finished.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Timeout) {
        panic!("the operation was expected to end within {limit:?}");
    }
    worker.join().unwrap_or_else(|panic| resume(panic))
}

/// Retries `condition` for at most a minute: for what other threads' guards may hold back for a while.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "expected within a minute: {what}");
        thread::yield_now();
    }
}
