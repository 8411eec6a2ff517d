//! Keys of loads under way, with the hash that the map's own hasher gave them.
//!
//! The map of what is loaded has a hasher of the user's, which it alone owns; who chose that to withstand chosen keys
//! needs it for those that are absent too.

use std::hash::{BuildHasherDefault, Hash, Hasher};

use equivalent::Equivalent;

/// A key that owns what [`Lookup`] borrows.
#[derive(Clone)]
pub(super) struct Hashed<K> {
    pub(super) key: K,
    hash: u64,
}

impl<K> Hashed<K> {
    pub(super) fn lookup(&self) -> Lookup<'_, K> {
        Lookup { key: &self.key, hash: self.hash }
    }
}

impl<K> Hash for Hashed<K> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl<K: PartialEq> PartialEq for Hashed<K> {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl<K: Eq> Eq for Hashed<K> {}

/// Something equivalent to a key, and the key's hash.
pub(super) struct Lookup<'a, Q: ?Sized> {
    pub(super) key: &'a Q,
    pub(super) hash: u64,
}

impl<K: Clone> Lookup<'_, K> {
    pub(super) fn to_owned(&self) -> Hashed<K> {
        Hashed { key: self.key.clone(), hash: self.hash }
    }
}

impl<Q: ?Sized> Hash for Lookup<'_, Q> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl<Q: ?Sized + Equivalent<K>, K> Equivalent<Hashed<K>> for Lookup<'_, Q> {
    fn equivalent(&self, key: &Hashed<K>) -> bool {
        self.key.equivalent(&key.key)
    }
}

/// Takes the hash that a key has.
pub(super) type AsHashed = BuildHasherDefault<PassOn>;

#[derive(Default)]
pub(super) struct PassOn(u64);

impl Hasher for PassOn {
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn write(&mut self, _bytes: &[u8]) {
        unreachable!("keys with a hash write nothing else");
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
