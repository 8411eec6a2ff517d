//! What every thread does, drawn before the measurement.

use crate::{
    keys,
    peers::{Key, Value},
};
use std::sync::Arc;

/// Overwritten values differ from the first one in bits below this.
pub(super) const VARIANTS: u64 = 1 << 8;

/// A key of a workload, and what a stream of operations holds of it.
pub trait LoadKey: Key {
    /// What stands for a key in a stream: for a small key itself, so that finding it costs nothing.
    type Token: Copy + std::fmt::Debug + Send + Sync + 'static;

    /// The `i`th key, see [`keys::nth`]; text begins with `prefix`.
    fn nth(i: u64, prefix: &str) -> Self;

    /// The token of `keys[index]`.
    fn token(keys: &[Self], index: usize) -> Self::Token;

    /// The key that a token stands for.
    fn key<'a>(token: &'a Self::Token, keys: &'a [Self]) -> &'a Self;

    /// What the values of the key are made from.
    fn stamp(token: Self::Token) -> u64;
}

impl LoadKey for u64 {
    type Token = Self;

    #[inline]
    fn nth(i: u64, _prefix: &str) -> Self {
        keys::nth(i)
    }

    fn token(keys: &[Self], index: usize) -> Self {
        keys[index]
    }

    #[inline]
    fn key<'a>(token: &'a Self, _keys: &'a [Self]) -> &'a Self {
        token
    }

    #[inline]
    fn stamp(token: Self) -> u64 {
        keys::value_of(token)
    }
}

impl LoadKey for String {
    type Token = u32;

    #[inline]
    fn nth(i: u64, prefix: &str) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let number = keys::nth(i);
        let mut text = Self::with_capacity(prefix.len() + 16);
        text.push_str(prefix);
        text.extend((0..16).rev().map(|digit| char::from(DIGITS[(number >> (4 * digit) & 15) as usize])));
        text
    }

    fn token(_keys: &[Self], index: usize) -> u32 {
        index as u32
    }

    #[inline]
    fn key<'a>(token: &'a u32, keys: &'a [Self]) -> &'a Self {
        &keys[*token as usize]
    }

    #[inline]
    fn stamp(token: u32) -> u64 {
        keys::value_of(u64::from(token))
    }
}

/// A value of a workload, which shows whose it is.
pub trait Payload: Value {
    /// A value of about `bytes` bytes, where the type leaves a choice.
    fn new(stamp: u64, bytes: usize) -> Self;

    /// The stamp it was made with.
    fn stamp(&self) -> u64;

    /// Whether it is the first value of the key with that stamp or a later variant of it.
    #[inline]
    fn belongs_to(&self, stamp: u64) -> bool {
        self.stamp() ^ stamp < VARIANTS
    }
}

impl Payload for u64 {
    #[inline]
    fn new(stamp: u64, _bytes: usize) -> Self {
        stamp
    }

    #[inline]
    fn stamp(&self) -> u64 {
        *self
    }
}

impl<const N: usize> Payload for [u64; N] {
    #[inline]
    fn new(stamp: u64, _bytes: usize) -> Self {
        [stamp; N]
    }

    #[inline]
    fn stamp(&self) -> u64 {
        self[0]
    }
}

impl Payload for Arc<[u8]> {
    fn new(stamp: u64, bytes: usize) -> Self {
        let stamp = stamp.to_le_bytes();
        let rest = bytes.saturating_sub(stamp.len());
        let mut value: Self = std::iter::repeat_n(0, stamp.len() + rest).collect();
        Self::get_mut(&mut value).expect("nobody else has it yet")[..stamp.len()].copy_from_slice(&stamp);
        value
    }

    #[inline]
    fn stamp(&self) -> u64 {
        self.first_chunk().map_or(0, |stamp| u64::from_le_bytes(*stamp))
    }
}

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Looks a key up.
    Read,
    /// Gives a key, which is meant to be present, a new value.
    Overwrite,
    /// Inserts a key, which may be present.
    Insert,
    /// Removes a key, which may be absent.
    Remove,
    /// By turns inserts a key that was never in the map and removes the oldest of those that this thread inserted so.
    Fresh,
}

/// The operations of one thread, one after the other and then from the start again.
#[derive(Debug)]
pub struct Script<K: LoadKey> {
    /// The key of each operation.
    pub tokens: Vec<K::Token>,
    /// What is done with it.
    pub kinds: Vec<Kind>,
}

/// Everything that the contenders are to do.
#[derive(Debug)]
pub struct Plan<K: LoadKey> {
    /// All keys that the scripts name.
    pub keys: Vec<K>,
    /// What text begins with.
    pub prefix: &'static str,
    /// How many of the keys, from the first on, are in the map at the start.
    pub filled: usize,
    /// The capacity that the map is created with.
    pub capacity: usize,
    /// Whether the map is brought into its best shape for reading after it was filled.
    pub settled: bool,
    /// Whether every turn begins with a new map and without a warm-up.
    pub cold: bool,
    /// The size of values, where their type leaves a choice.
    pub value_bytes: usize,
    /// One per thread.
    pub scripts: Vec<Script<K>>,
}

impl<K: LoadKey> Plan<K> {
    /// The first value of `keys[index]`.
    pub fn value<V: Payload>(&self, index: usize) -> V {
        V::new(K::stamp(K::token(&self.keys, index)), self.value_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shows_whose_it_is<V: Payload>(bytes: usize) {
        let (stamp, other) = (keys::value_of(1), keys::value_of(2));
        let value = V::new(stamp ^ (VARIANTS - 1), bytes);
        assert!(value.belongs_to(stamp));
        assert!(!value.belongs_to(other));
    }

    #[test]
    fn values_show_whose_they_are() {
        shows_whose_it_is::<u64>(8);
        shows_whose_it_is::<[u64; 8]>(64);
        shows_whose_it_is::<Arc<[u8]>>(0);
        shows_whose_it_is::<Arc<[u8]>>(100);
        assert_eq!(<Arc<[u8]> as Payload>::new(1, 100).len(), 100);
    }

    #[test]
    fn text_keys_share_a_prefix_and_differ_after_it() {
        let (first, second) = (String::nth(1, "prefix-"), String::nth(2, "prefix-"));
        assert_eq!(first, format!("prefix-{:016x}", keys::nth(1)));
        assert_ne!(first, second);
    }
}
