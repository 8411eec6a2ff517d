//! Figures about a map.

use std::fmt;
use std::time::Duration;

use crate::raw::Figures;

/// What a map has done and what it holds, as [`SyncMap::stats`](crate::SyncMap::stats) reads it off.
///
/// Each figure is right for some moment of the call, not all for the same. Reading them takes no lock. What is counted
/// or timed is so since the map was made; `longest_` is the most of all that time.
///
/// Serialized, with the feature `serde`, times are numbers of seconds, with a fraction.
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
    /// How long the promotions took together, each from the beginning of the copy to the dirty table on. A copy is made
    /// bit by bit by the operations that come, so this tells how fast those are, not how busy.
    #[cfg_attr(feature = "serde", serde(serialize_with = "as_seconds"))]
    pub promotion_time: Duration,
    /// How long the longest of them took.
    #[cfg_attr(feature = "serde", serde(serialize_with = "as_seconds"))]
    pub longest_promotion: Duration,
    /// How many of the promotions were there to leave removed entries behind, or to fit the table to what is left.
    pub compactions: u64,
    /// Lookups that went on from the read table to the dirty one, about: each thread counts them by sixteens.
    pub misses: u64,
    /// How often the writer lock was taken.
    pub slow_path_locks: u64,
    /// How often it was waited for.
    pub slow_path_waits: u64,
    /// How many of these waits took more than 100 us: who held the lock was interrupted by the system, or has keys whose
    /// `Hash` takes long.
    pub long_waits: u64,
    /// How long the longest wait was.
    #[cfg_attr(feature = "serde", serde(serialize_with = "as_seconds"))]
    pub longest_wait: Duration,
    /// Nodes copied, or left behind as tombstones, from a read table to its successor.
    pub copied_slots: u64,
    /// The most of these that one operation handled; `promote`, `compact` and `reserve` count by hold of the lock.
    pub longest_copy: usize,
    /// The longest that such a step of a copy took under the lock, with the hashing of its keys.
    #[cfg_attr(feature = "serde", serde(serialize_with = "as_seconds"))]
    pub longest_copy_time: Duration,
    /// The most destructors of retired values and nodes that one operation ran; `flush` and the map's drop excepted.
    pub longest_free: usize,
    /// The longest that one operation took for these: of all that ran more than two, and of one in sixteen of the others.
    #[cfg_attr(feature = "serde", serde(serialize_with = "as_seconds"))]
    pub longest_free_time: Duration,
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
            promotion_time: figures.promotion_time,
            longest_promotion: figures.longest_promotion,
            compactions: figures.compactions,
            misses: figures.misses as u64,
            slow_path_locks: figures.locks,
            slow_path_waits: figures.waits,
            long_waits: figures.long_waits,
            longest_wait: figures.longest_wait,
            copied_slots: figures.copied_slots,
            longest_copy: figures.longest_copy,
            longest_copy_time: figures.longest_copy_time,
            longest_free: figures.longest_free,
            longest_free_time: figures.longest_free_time,
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
            "promotions {} ({} compactions, at most {:.1?}, {:.1?} in all), misses {}, \
             locks {} ({} waited, {} of these long, at most {:.1?}), copied {} (at most {} at once, {:.1?}), \
             freed at most {} at once ({:.1?}), dirty {}, tombstones {}, pending garbage {}, tables {} bytes",
            self.promotions,
            self.compactions,
            self.longest_promotion,
            self.promotion_time,
            self.misses,
            self.slow_path_locks,
            self.slow_path_waits,
            self.long_waits,
            self.longest_wait,
            self.copied_slots,
            self.longest_copy,
            self.longest_copy_time,
            self.longest_free,
            self.longest_free_time,
            self.dirty_len,
            self.tombstones,
            self.pending_garbage,
            self.table_bytes,
        )
    }
}

#[cfg(feature = "serde")]
fn as_seconds<S: serde::Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_secs_f64())
}
