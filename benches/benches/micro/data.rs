//! Keys and values, made when they are first needed.

use readmostly_bench::{
    keys::{self, Order},
    peers::{Key, RENEW, Value},
};
use std::{
    cell::{Cell, OnceCell},
    sync::Arc,
};

/// Where the keys that are in no map start.
const ABSENT: usize = 1 << 40;

/// Lookups in large maps go through so many different keys, more than any cache holds entries.
const LONGEST: usize = 1 << 20;

/// A key made from a number.
pub(crate) trait MadeKey: Key {
    /// What it is called in the name of a benchmark.
    const NAME: &'static str;

    /// Different keys for different numbers, in no order.
    fn nth(number: usize) -> Self;
}

impl MadeKey for u64 {
    const NAME: &'static str = "u64";

    fn nth(number: usize) -> Self {
        keys::nth(number as Self)
    }
}

impl MadeKey for String {
    const NAME: &'static str = "string";

    fn nth(number: usize) -> Self {
        format!("key-{:016x}", keys::nth(number as u64))
    }
}

/// A value of a known size.
pub(crate) trait MadeValue: Value {
    /// What it is called in the name of a benchmark.
    const NAME: &'static str;

    /// A value made of this word.
    fn of(word: u64) -> Self;

    /// That word: what a lookup reads.
    fn word(&self) -> u64;
}

impl MadeValue for u64 {
    const NAME: &'static str = "8B";

    fn of(word: u64) -> Self {
        word
    }

    #[inline]
    fn word(&self) -> u64 {
        *self
    }
}

macro_rules! larger_values {
    ($($value:ty, $name:literal, $make:expr;)*) => {
        $(impl MadeValue for $value {
            const NAME: &'static str = $name;

            fn of(word: u64) -> Self {
                $make(word)
            }

            #[inline]
            fn word(&self) -> u64 {
                self[0]
            }
        })*
    };
}

larger_values! {
    [u64; 8], "64B", |word| [word; 8];
    [u64; 128], "1KiB", |word| [word; 128];
    Arc<[u64; 8]>, "arc", |word| Arc::new([word; 8]);
}

/// What all values are made of.
pub(crate) const WORD: u64 = 42;

/// The keys for maps of one size.
pub(crate) struct Data<K> {
    pub(crate) entries: usize,
    present: OnceCell<Vec<K>>,
    hits: OnceCell<Vec<K>>,
    misses: OnceCell<Vec<K>>,
    /// How many keys have been used.
    used: Cell<usize>,
}

impl<K: MadeKey> Data<K> {
    pub(crate) fn new(entries: usize) -> Self {
        Self { entries, present: OnceCell::new(), hits: OnceCell::new(), misses: OnceCell::new(), used: Cell::new(0) }
    }

    /// The keys of a map.
    pub(crate) fn present(&self) -> &[K] {
        self.present.get_or_init(|| (0..self.entries).map(K::nth).collect())
    }

    /// What to fill a map with.
    pub(crate) fn entries<V: MadeValue>(&self) -> impl ExactSizeIterator<Item = (K, V)> {
        self.present().iter().map(|key| (key.clone(), V::of(WORD)))
    }

    /// Keys of the map in random order, long enough that no branch predictor learns them by heart.
    pub(crate) fn hits(&self) -> &[K] {
        self.hits.get_or_init(|| shuffled(0, self.entries))
    }

    /// Keys that are not in the map.
    pub(crate) fn misses(&self) -> &[K] {
        self.misses.get_or_init(|| shuffled(ABSENT, self.entries))
    }

    /// So many of `keys`, over and over, in portions of at most [`RENEW`], from where the last user of keys has stopped:
    /// a measurement has many parts, and if each began with the same keys, their entries would be in the cache.
    pub(crate) fn portions<'a>(&'a self, keys: &'a [K], count: u64) -> impl Iterator<Item = &'a [K]> {
        let mut left = count as usize;
        std::iter::from_fn(move || {
            let start = if self.used.get() < keys.len() { self.used.get() } else { 0 };
            let portion = &keys[start..keys.len().min(start + RENEW.min(left))];
            self.used.set(start + portion.len());
            left -= portion.len();
            (!portion.is_empty()).then_some(portion)
        })
    }

    /// [`Data::hits`] before they repeat themselves.
    pub(crate) fn distinct(&self) -> &[K] {
        let hits = self.hits();
        &hits[..self.entries.min(hits.len())]
    }
}

fn shuffled<K: MadeKey>(start: usize, count: usize) -> Vec<K> {
    let numbers: Vec<u64> = (start as u64..).take(count).collect();
    let stream = keys::lookups(&numbers, Order::Random, 1);
    stream.into_iter().take(LONGEST).map(|number| K::nth(number as usize)).collect()
}
