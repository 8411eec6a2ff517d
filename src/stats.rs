//! Figures about a map.

use std::fmt;

use crate::raw::Figures;

/// What a map has done and what it holds, as [`SyncMap::stats`](crate::SyncMap::stats) reads it off.
///
/// Each figure is right for some moment of the call, not all for the same. Reading them takes no lock.
///
/// ```
/// let map: readmostly::SyncMap<u64, u64> = (0..1000).map(|n| (n, n)).collect();
/// let stats = map.stats();
/// assert!(stats.longest_copy <= 14);
/// println!("{stats}");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Stats {
    /// How often a dirty table became the read table.
    pub promotions: u64,
    /// Lookups that went on from the read table to the dirty one, about: each thread counts them by sixteens.
    pub misses: u64,
    /// How often the writer lock was taken.
    pub slow_path_locks: u64,
    /// How often it was waited for.
    pub slow_path_waits: u64,
    /// Nodes copied, or left behind as tombstones, from a read table to its successor.
    pub copied_slots: u64,
    /// The most of these that one operation handled; `promote`, `compact` and `reserve` count by hold of the lock.
    pub longest_copy: usize,
    /// The most destructors of retired values and nodes that one operation ran; `flush` and the map's drop excepted.
    pub longest_free: usize,
    /// Nodes in the dirty table; 0 if the map is not amended.
    pub dirty_len: usize,
    /// Removed entries whose keys still take a slot.
    pub tombstones: usize,
    /// Retired things that are not freed yet.
    pub pending_garbage: usize,
    /// Size of the read table and the dirty table, without the nodes, in bytes.
    pub table_bytes: usize,
}

impl From<Figures> for Stats {
    fn from(figures: Figures) -> Self {
        Stats {
            promotions: figures.promotions,
            misses: figures.misses as u64,
            slow_path_locks: figures.locks,
            slow_path_waits: figures.waits,
            copied_slots: figures.copied_slots,
            longest_copy: figures.longest_copy,
            longest_free: figures.longest_free,
            dirty_len: figures.dirty_len,
            tombstones: figures.tombstones,
            pending_garbage: figures.pending,
            table_bytes: figures.table_bytes,
        }
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "promotions {}, misses {}, locks {} ({} waited), copied {} (at most {} at once), freed at most {} at once, \
             dirty {}, tombstones {}, pending garbage {}, tables {} bytes",
            self.promotions,
            self.misses,
            self.slow_path_locks,
            self.slow_path_waits,
            self.copied_slots,
            self.longest_copy,
            self.longest_free,
            self.dirty_len,
            self.tombstones,
            self.pending_garbage,
            self.table_bytes,
        )
    }
}
