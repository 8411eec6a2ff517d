//! Key sets and access patterns, the same in every run.

mod choice;
mod trace;

pub use choice::{Choice, Picker};
pub use trace::Trace;

use rand::{RngExt, SeedableRng, rngs::SmallRng, seq::SliceRandom};

/// Lookup streams are at least this long, so that the branch predictor can't learn a small map's stream by heart.
pub const STREAM: usize = 1 << 16;

/// Where the keys that are never inserted start in the sequence of [`nth`].
pub const ABSENT: u64 = 1 << 40;

/// Where the keys that are inserted and removed again start in the sequence of [`nth`].
pub const FRESH: u64 = 1 << 42;

/// The `i`th pseudo-random key. A bijection (the finaliser of SplitMix64), so different `i` give different keys.
pub fn nth(i: u64) -> u64 {
    let z = i.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The value that belongs to a key, so that a measured loop can be checked for having found what it looked for.
pub fn value_of(key: u64) -> u64 {
    key.rotate_left(32) ^ 0x5555
}

/// What the keys look like and in which order they are looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Random keys in random order.
    Random,
    /// `0, 1, 2, ...` in that order.
    Sequential,
}

impl Order {
    /// The word for it in a report.
    pub fn name(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Sequential => "sequential",
        }
    }
}

/// `count` keys to fill a map with.
pub fn present(order: Order, count: usize) -> Vec<u64> {
    let indices = 0..count as u64;
    match order {
        Order::Random => indices.map(nth).collect(),
        Order::Sequential => indices.collect(),
    }
}

/// `count` random keys, none of which [`present`] makes with [`Order::Random`].
pub fn absent(count: usize) -> Vec<u64> {
    (ABSENT..ABSENT + count as u64).map(nth).collect()
}

/// A stream of lookups in which every key occurs equally often, at least [`STREAM`] long.
pub fn lookups(keys: &[u64], order: Order, seed: u64) -> Vec<u64> {
    assert!(!keys.is_empty(), "lookups need at least one key");
    let mut rng = rng(seed);
    let mut turn = keys.to_vec();
    let mut stream = Vec::with_capacity(STREAM + keys.len());
    while stream.len() < STREAM {
        if order == Order::Random {
            turn.shuffle(&mut rng);
        }
        stream.extend_from_slice(&turn);
    }
    stream
}

/// A stream of operations on uniformly drawn keys: which key, and whether it is overwritten instead of read.
#[derive(Debug)]
pub struct Mix {
    /// The keys, in the order of the operations.
    pub keys: Vec<u64>,
    /// Whether the operation with the same index is an overwrite.
    pub overwrites: Vec<bool>,
}

impl Mix {
    /// [`STREAM`] operations on `keys`, of which about `overwrites` (0 to 1) are overwrites.
    pub fn uniform(keys: &[u64], overwrites: f64, seed: u64) -> Self {
        let mut rng = rng(seed);
        Self {
            keys: (0..STREAM).map(|_| keys[rng.random_range(0..keys.len())]).collect(),
            overwrites: (0..STREAM).map(|_| rng.random_bool(overwrites)).collect(),
        }
    }
}

/// A generator that always starts alike.
pub(crate) fn rng(seed: u64) -> SmallRng {
    SmallRng::seed_from_u64(seed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn absent_keys_are_not_present() {
        let present: HashSet<u64> = present(Order::Random, 100_000).into_iter().collect();
        assert_eq!(present.len(), 100_000);
        assert!(absent(100_000).iter().all(|key| !present.contains(key)));
    }

    #[test]
    fn every_key_is_looked_up_equally_often() {
        let keys = present(Order::Random, 1_000);
        let stream = lookups(&keys, Order::Random, 1);
        assert!(stream.len() >= STREAM);
        for key in &keys[..10] {
            assert_eq!(stream.iter().filter(|&k| k == key).count(), stream.len() / keys.len());
        }
        assert_ne!(stream[..1_000], keys);
        assert_eq!(lookups(&keys, Order::Sequential, 1)[..1_000], keys);
    }

    #[test]
    fn a_mix_has_the_share_of_overwrites_it_was_asked_for() {
        let mix = Mix::uniform(&[1, 2, 3], 0.05, 7);
        let share = mix.overwrites.iter().filter(|&&w| w).count() as f64 / STREAM as f64;
        assert!((0.045..0.055).contains(&share), "share of overwrites: {share}");
    }
}
