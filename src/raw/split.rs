//! Entries in parts that several threads visit at once.

use std::ops::Range;

use crate::reclaim::pin;
use crate::sync::Arc;

use super::owned::{IntoEntries, Rest};
use super::table::SLOTS;
use super::walk::{Entries, Frozen, live_value};

/// An iterator that can give about half of what it has left to another.
pub(crate) trait Split: Iterator + Sized {
    /// The part that this one does without from now on; `None` if it is too small for two.
    fn split(&mut self) -> Option<Self>;
}

/// Takes the upper half of the buckets, if there are two or more.
fn upper_half(buckets: &mut Range<usize>) -> Option<Range<usize>> {
    let half = buckets.len() / 2;
    (half > 0).then(|| {
        let upper = buckets.end - half..buckets.end;
        buckets.end = upper.start;
        upper
    })
}

impl<K, V> Split for Entries<'_, K, V> {
    fn split(&mut self) -> Option<Self> {
        // The slot is one of the first bucket, which stays.
        let buckets = upper_half(&mut self.buckets)?;
        Some(Entries { table: self.table, buckets, slot: 0 })
    }
}

impl<K, V> Split for IntoEntries<K, V> {
    fn split(&mut self) -> Option<Self> {
        let [first, second] = &mut self.tables;
        let part = match first {
            Some(_) if second.is_some() => second.take()?,
            _ => {
                let rest = first.as_mut().or(second.as_mut())?;
                Rest { buckets: upper_half(&mut rest.buckets)?, table: Arc::clone(&rest.table) }
            }
        };
        Some(IntoEntries { tables: [Some(part), None], slot: 0 })
    }
}

/// Clones of the entries of a frozen table. The thread is pinned while those of one bucket are made.
pub(crate) struct Clones<'s, K, V> {
    frozen: Option<&'s Frozen<K, V>>,
    buckets: Range<usize>,
    /// Those of the bucket before the first that is left.
    made: [Option<(K, V)>; SLOTS],
}

impl<'s, K, V> Clones<'s, K, V> {
    pub(crate) fn of(frozen: Option<&'s Frozen<K, V>>) -> Self {
        let buckets = 0..frozen.map_or(0, |frozen| frozen.table.buckets());
        Clones { frozen, buckets, made: [const { None }; SLOTS] }
    }
}

impl<K: Clone, V: Clone> Iterator for Clones<'_, K, V> {
    type Item = (K, V);

    fn next(&mut self) -> Option<(K, V)> {
        loop {
            if let Some(made) = self.made.iter_mut().find_map(Option::take) {
                return Some(made);
            }
            let table = &self.frozen?.table;
            let bucket = self.buckets.next()?;
            let guard = pin();
            for (place, node) in self.made.iter_mut().zip(table.nodes_in(bucket)) {
                *place = live_value(node, &guard).map(|value| (node.key().clone(), value.clone()));
            }
        }
    }
}

impl<K: Clone, V: Clone> Split for Clones<'_, K, V> {
    fn split(&mut self) -> Option<Self> {
        let buckets = upper_half(&mut self.buckets)?;
        Some(Clones { frozen: self.frozen, buckets, made: [const { None }; SLOTS] })
    }
}
