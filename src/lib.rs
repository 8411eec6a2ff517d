//! Concurrent collections for data that is read far more often than it is written.
//!
//! [`SyncMap`] is Go's `sync.Map` for Rust, without its cliffs: a lookup follows an atomically swapped table that no
//! lock guards, and costs about what a lookup in an unsynchronised `HashMap` does. [`SyncSet`] is the set to go with
//! it, [`LoadingMap`] loads what is absent once for all who ask for it.
//!
//! ```
//! use readmostly::SyncMap;
//!
//! static SESSIONS: SyncMap<String, u64> = SyncMap::new();
//!
//! SESSIONS.insert("ada".into(), 1);
//! if let Some(session) = SESSIONS.get("ada") {
//!     assert_eq!(*session, 1);
//! }
//! ```
//!
//! # Trade-offs
//!
//! - New keys go through one mutex. It is held briefly, but a workload that mostly inserts new keys scales better in a
//!   sharded map.
//! - Values are not changed in place: an overwrite allocates, and there is no `get_mut`. Use atomics or a lock inside
//!   the value, or [`SyncMap::update`].
//! - A removed key takes memory until a compaction, which starts when two thirds of the keys are removed ones.
//! - A replaced value is dropped a little later than it is replaced, when no reader can be looking at it, by a later
//!   write or [`SyncMap::flush`].
//! - A [`Ref`] or [`Pinned`] that is kept for long keeps that memory from being freed, for all maps of the process; so
//!   does a closure that takes long in an operation on one key. (`range` and snapshots let go between entries.)
//!   [`Stats::pending_garbage`] shows it.
//!
//! # Consistency
//!
//! - Operations on one key are linearizable: each takes effect at one moment between call and return, in an order that
//!   all threads agree on. So a lookup that begins after an insert has returned finds it, and of two racing removes one
//!   gets the value. What a write did before it happens before what a reader does after seeing it.
//! - A key that is present throughout a lookup is found by it, whatever copying and promoting goes on.
//! - [`SyncMap::clear`] takes effect at one moment for all operations on keys: what runs at the same time comes before
//!   it or after it. An iteration that runs at the same time may show entries until `clear` returns.
//! - [`SyncMap::range`] and [`Snapshot`] visit a frozen set of keys with live values: no key joins that was new to the
//!   map, and each shows the value that it has when visited. It is not a consistent view of several values at one
//!   moment.
//! - [`SyncMap::len`] is exact when nothing else runs.
//!
//! # What blocks
//!
//! Reads never do. Overwrites, removes and re-inserts of known keys never do. Inserts of new keys, and the beginning of
//! an iteration, take the writer lock, which is never held for more than a bounded step and never while a closure of
//! yours runs. So nothing here can deadlock, whatever is called inside whichever closure. (A `Hash` or `Eq` that uses
//! the map it belongs to is the exception: it may be called with the lock held.)
//!
//! Callers of [`LoadingMap::get_or_load`] wait for the loader of their key that runs already, and for nothing else. Two loaders
//! that wait for each other's keys wait for ever.
//!
//! # Odd places
//!
//! - *`fork`*: fork while no other thread uses a map, or `exec` afterwards; else locks that such a thread held stay
//!   locked in the child, and if it was pinned nothing is freed there but by dropping maps.
//! - *Signal handlers*: on Linux lookups alone are allowed, on a thread that has looked something up before, in a map
//!   that keys have neither been added to nor removed from since [`SyncMap::promote`].
//! - *Destructors of thread-locals* may use maps. *`exit`* waits for nobody, and drops no map in a static.
//! - *`dlclose`*: no reference or guard may outlive the library; a thread's record goes when the thread ends.
//!
//! `docs/reclamation.md` in the repository has the reasons.
//!
//! # Features
//!
//! None is on by default.
//!
//! | feature | gives | costs | depends on |
//! |---|---|---|---|
//! | `metrics` | `Stats::record` for the recorder of the crate `metrics`, and histograms of waits for the writer lock and of promotions | a clock read where a promotion ends | metrics |
//! | `rayon` | parallel iterators over [`Pinned`] and [`Snapshot`], parallel collecting: the module `parallel` | | rayon |
//! | `serde` | `Serialize` and `Deserialize` for [`SyncMap`] and [`SyncSet`], `Serialize` for [`Snapshot`] and [`Stats`] | a list of references where a binary format is written | serde |
//! | `tracing` | spans with the target `readmostly`: see below | a clock read per step of a copy | tracing |
//!
//! (`loom` and `shuttle` are for models of this crate.)
//!
//! With `tracing`, operations tell of what they have done for the map beside their own, after they have released every lock:
//!
//! | span | level | when | fields |
//! |---|---|---|---|
//! | `copy` | TRACE | an operation has copied a little to a new table | `slots`, `buckets`: how many it went through |
//! | `promotion` | DEBUG | it has completed a copy | `slots`, `buckets` of the table that is the read table now |
//! | `compaction` | DEBUG | around `promotion`, if the copy was made to leave removed entries behind | as `promotion` |
//!
//! Each has a field `duration` besides, in seconds: how long the step took under the lock, or how long ago the copy began. The
//! span itself is opened when all that is over and closed at once, so its own length says nothing.
//!
//! A subscriber, like a recorder, may use the map that it is told about; what it does to maps then is not told again.

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(all(readmostly_loom, not(feature = "loom")))]
compile_error!("`--cfg readmostly_loom` needs the feature `loom`: models are run from `loom-tests`");
#[cfg(all(readmostly_shuttle, not(feature = "shuttle")))]
compile_error!("`--cfg readmostly_shuttle` needs the feature `shuttle`: models are run from `loom-tests`");
#[cfg(all(readmostly_contract, not(any(readmostly_loom, readmostly_shuttle))))]
compile_error!(
    "`--cfg readmostly_contract` is for models, under `--cfg readmostly_loom` or `--cfg readmostly_shuttle`"
);

mod budget;
mod guard;
mod hasher;
mod impls;
#[cfg(not(readmostly_loom))] // Made of the map's public operations alone; shuttle tries its schedules.
mod loading;
mod map;
#[cfg(feature = "metrics")]
mod metrics;
#[cfg(feature = "rayon")]
pub mod parallel;
pub mod pinned;
mod raw;
mod reclaim;
#[cfg(feature = "serde")]
mod serde;
mod set;
mod snapshot;
mod stats;
mod sync;

pub use budget::Budget;
pub use guard::{Compute, MappedRef, OccupiedError, Ref};
pub use hasher::DefaultHashBuilder;
pub use impls::IntoIter;
#[cfg(not(readmostly_loom))]
pub use loading::LoadingMap;
pub use map::SyncMap;
pub use pinned::Pinned;
pub use raw::{Cursor, Operation};
pub use set::{IntoMembers, PinnedSet, SyncSet};
pub use snapshot::Snapshot;
pub use stats::Stats;
#[cfg(readmostly_faults)]
pub use sync::faults;
#[cfg(readmostly_loom)]
pub use {reclaim::exposed as epoch, sync::interrupts};

#[cfg(doctest)]
mod compile_fail;

/// Runs the code of the README and of the guides.
#[cfg(doctest)]
mod documents {
    #[doc = include_str!("../README.md")]
    struct Readme;
    #[doc = include_str!("../docs/guides/README.md")]
    struct Guides;
    #[doc = include_str!("../docs/guides/choosing.md")]
    struct Choosing;
    #[doc = include_str!("../docs/guides/dashmap.md")]
    struct Dashmap;
    #[doc = include_str!("../docs/guides/go-sync-map.md")]
    struct GoSyncMap;
    #[doc = include_str!("../docs/guides/moka.md")]
    struct Moka;
    #[doc = include_str!("../docs/guides/papaya.md")]
    struct Papaya;
    #[doc = include_str!("../docs/guides/patterns.md")]
    struct Patterns;
    #[doc = include_str!("../docs/guides/rwlock-hashmap.md")]
    struct RwLockHashMap;
}
