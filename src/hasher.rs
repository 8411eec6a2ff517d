//! The default hasher.

use std::hash::BuildHasher;

use foldhash::SharedSeed;
use foldhash::fast::FoldHasher;

/// The hasher that maps use unless told otherwise: foldhash, seeded at random once per process.
///
/// Fast, and hard to attack for who cannot see the hashes; for keys chosen by an adversary who can, use a hasher made
/// to withstand that, such as [`std::hash::RandomState`]. One seed serves all maps of a process, which is what lets
/// [`SyncMap::new`](crate::SyncMap::new) be a `const fn`.
///
/// ```
/// use std::hash::BuildHasher;
/// use readmostly::DefaultHashBuilder;
///
/// let hasher = DefaultHashBuilder::new();
/// assert_eq!(hasher.hash_one("key"), DefaultHashBuilder::default().hash_one("key"));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct DefaultHashBuilder(());

impl DefaultHashBuilder {
    /// The one there is.
    ///
    /// ```
    /// const HASHER: readmostly::DefaultHashBuilder = readmostly::DefaultHashBuilder::new();
    /// ```
    #[must_use]
    pub const fn new() -> Self {
        DefaultHashBuilder(())
    }
}

impl BuildHasher for DefaultHashBuilder {
    type Hasher = FoldHasher<'static>;

    #[inline(always)]
    fn build_hasher(&self) -> FoldHasher<'static> {
        /// Any number will do: the randomness is in the shared seed.
        const PER_HASHER: u64 = 0x243f_6a88_85a3_08d3;
        FoldHasher::with_seed(PER_HASHER, SharedSeed::global_random())
    }
}
