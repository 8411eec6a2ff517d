//! Every map behind the same traits, so that one loop, compiled once per map, measures them all.
//!
//! A map that threads share is a [`Map`]; what each of its threads works through is a [`Handle`]. Operations that not
//! every map has are traits of their own. Which map to use can be decided at run time, see [`Peer::with`].

mod arc_swap;
mod dashmap;
mod evmap;
mod flurry;
mod hashbrown;
mod locks;
mod moka;
mod papaya;
mod quick_cache;
mod readmostly;
mod scc;
mod versions;

pub use self::{
    arc_swap::{CopyOnWrite, CopyOnWriteCached},
    dashmap::Dashmap,
    evmap::Evmap,
    flurry::Flurry,
    hashbrown::{Plain, plain},
    locks::{ParkingLotMutex, ParkingLotRwLock, StdMutex, StdRwLock},
    moka::Moka,
    papaya::{Papaya, PapayaAccess, PapayaPinned},
    quick_cache::QuickCache,
    readmostly::{Readmostly, ReadmostlyPinned},
    scc::{SccHeld, SccIndex, SccMap},
    versions::versions,
};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::hash::Hash;

/// The hasher of all maps in a comparison. Its seed is drawn once per process, so all hash alike.
pub type Hasher = ::readmostly::DefaultHashBuilder;

/// Callers of [`Handle::renew`] do so every so many operations.
pub const RENEW: usize = 64;

/// Everything a key needs to fit in all of the maps. Only flurry asks for an order.
///
/// The hash and equality of a key, and so of its clones, must never change: evmap relies on it.
pub trait Key: Hash + Ord + Clone + Send + Sync + 'static {}
impl<K: Hash + Ord + Clone + Send + Sync + 'static> Key for K {}

/// Everything a value needs to fit in all of the maps. Caches and copy-on-write maps clone, evmap hashes.
///
/// The hash and equality of a value must never change: evmap relies on it.
pub trait Value: Clone + Eq + Hash + Send + Sync + 'static {}
impl<V: Clone + Eq + Hash + Send + Sync + 'static> Value for V {}

/// A map that threads share.
pub trait Map<K: Key, V: Value>: Send + Sync + Sized + 'static {
    /// What the map is called: the name of its [`Peer`].
    const NAME: &'static str;

    /// What one thread works through; made once per thread.
    type Handle<'a>: Handle<K, V>
    where
        Self: 'a;

    /// An empty map with room for `capacity` entries; with none, as its users would create it.
    fn empty(capacity: usize, hasher: Hasher) -> Self;

    /// The calling thread's access to the map.
    fn handle(&self) -> Self::Handle<'_>;

    /// Inserts many entries, as one change if the map makes them visible together. For a map that is not in use yet.
    fn load(&self, entries: impl Iterator<Item = (K, V)>) {
        let mut handle = self.handle();
        for (done, (key, value)) in (1..).zip(entries) {
            handle.insert(key, value);
            if done % RENEW == 0 {
                handle.renew();
            }
        }
    }

    /// Brings the map into its best shape for reading after a bulk load, if it has an operation for that.
    fn settle(&self) {}

    /// A settled map with room for `entries` from the start and filled with them.
    fn filled(hasher: Hasher, entries: impl ExactSizeIterator<Item = (K, V)>) -> Self {
        let map = Self::empty(entries.len(), hasher);
        map.load(entries);
        map.settle();
        map
    }

    /// A settled map that grew from nothing to these entries.
    fn grown(hasher: Hasher, entries: impl Iterator<Item = (K, V)>) -> Self {
        let map = Self::empty(0, hasher);
        map.load(entries);
        map.settle();
        map
    }
}

/// One thread's access to a map. The methods take `&mut self` since some maps' handles do.
pub trait Handle<K, V> {
    /// Calls `f` with the value of `key`, in the cheapest way this map has for one lookup.
    fn read<R>(&mut self, key: &K, f: impl FnOnce(&V) -> R) -> Option<R>;

    /// Inserts or overwrites, and drops the replaced value as soon as the map allows.
    fn insert(&mut self, key: K, value: V);

    /// Removes; whether the key was present.
    fn remove(&mut self, key: &K) -> bool;

    /// Lets go of what a guard held over several calls keeps alive. Callers do this every [`RENEW`] operations.
    #[inline]
    fn renew(&mut self) {}
}

/// A map that can be iterated over.
pub trait Range<K, V>: Handle<K, V> {
    /// Calls `f` with every entry.
    fn range(&mut self, f: impl FnMut(&K, &V));
}

/// A map that can be emptied.
pub trait Clear<K, V>: Handle<K, V> {
    /// Removes all entries.
    fn clear(&mut self);
}

/// A map that inserts only what is not there yet.
pub trait GetOrInsert<K, V>: Handle<K, V> {
    /// Whether `value` was inserted, because the key was absent.
    fn get_or_insert(&mut self, key: K, value: V) -> bool;
}

/// A map that replaces a value on condition of what it was.
pub trait CompareAndSwap<K, V>: Handle<K, V> {
    /// Whether the value of `key` was `old`, and so became `new`.
    fn compare_and_swap(&mut self, key: &K, old: &V, new: V) -> bool;
}

/// A map that gives out a frozen copy of itself, which no writer waits for.
pub trait Snapshot<K, V>: Handle<K, V> {
    /// Takes a snapshot and counts its entries one by one.
    fn snapshot_len(&mut self) -> usize;
}

/// Something to do with a map whose type is known only at run time.
pub trait PerMap<K: Key, V: Value> {
    /// What comes of it.
    type Output;

    /// Does it with maps of type `M`.
    fn run<M: Map<K, V>>(self) -> Self::Output;
}

macro_rules! peers {
    ($($(#[$about:meta])* $peer:ident, $name:literal, $map:ident;)*) => {
        /// Which peer, chosen at run time.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ValueEnum)]
        pub enum Peer {
            $($(#[$about])* #[value(name = $name)] #[serde(rename = $name)] $peer,)*
        }

        impl Peer {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$peer),*];

            /// What it is called in reports and options.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$peer => $name,)*
                }
            }

            /// Does `what` with maps of this peer's type.
            pub fn with<K: Key, V: Value, F: PerMap<K, V>>(self, what: F) -> F::Output {
                match self {
                    $(Self::$peer => what.run::<$map<K, V>>(),)*
                }
            }
        }
    };
}

peers! {
    /// `readmostly::SyncMap`, each operation pinning for itself
    Readmostly, "readmostly", Readmostly;
    /// `readmostly::SyncMap` with a guard held over several operations
    ReadmostlyPinned, "readmostly-pinned", ReadmostlyPinned;
    /// `dashmap::DashMap`
    Dashmap, "dashmap", Dashmap;
    /// `papaya::HashMap`, each operation pinning for itself
    Papaya, "papaya", Papaya;
    /// `papaya::HashMap` with a guard held over several operations
    PapayaPinned, "papaya-pinned", PapayaPinned;
    /// `scc::HashMap`
    SccMap, "scc-map", SccMap;
    /// `scc::HashIndex`
    SccIndex, "scc-index", SccIndex;
    /// `flurry::HashMap`, each operation pinning for itself
    Flurry, "flurry", Flurry;
    /// `hashbrown::HashMap` in a `std::sync::RwLock`
    StdRwLock, "std-rwlock", StdRwLock;
    /// `hashbrown::HashMap` in a `std::sync::Mutex`
    StdMutex, "std-mutex", StdMutex;
    /// `hashbrown::HashMap` in a `parking_lot::RwLock`
    ParkingLotRwLock, "parking-lot-rwlock", ParkingLotRwLock;
    /// `hashbrown::HashMap` in a `parking_lot::Mutex`
    ParkingLotMutex, "parking-lot-mutex", ParkingLotMutex;
    /// `hashbrown::HashMap` in an `arc_swap::ArcSwap`, copied by every write
    ArcSwap, "arc-swap", CopyOnWrite;
    /// the same, read through an `arc_swap::Cache` per thread
    ArcSwapCache, "arc-swap-cache", CopyOnWriteCached;
    /// `evmap`, its writer in a mutex, every write published at once
    Evmap, "evmap", Evmap;
    /// `moka::sync::Cache` that neither evicts nor expires
    Moka, "moka", Moka;
    /// `quick_cache::sync::Cache` that never evicts
    QuickCache, "quick-cache", QuickCache;
}

impl Peer {
    /// This map and its closest competitors.
    pub const MAIN: &'static [Self] = &[Self::Readmostly, Self::Dashmap, Self::Papaya, Self::SccIndex, Self::SccMap];
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests;
