//! What is measured: every map that threads share, and one that they don't.

use readmostly_bench::peers::{
    Clear, CompareAndSwap, GetOrInsert, Handle, Hasher, Key, Map, Plain, Range, Value, plain,
};
use std::ops::DerefMut;

/// Access with all operations that every map has.
pub(crate) trait Access<K, V>:
    Handle<K, V> + Range<K, V> + Clear<K, V> + GetOrInsert<K, V> + CompareAndSwap<K, V>
{
}

impl<K, V, H> Access<K, V> for H where
    H: Handle<K, V> + Range<K, V> + Clear<K, V> + GetOrInsert<K, V> + CompareAndSwap<K, V>
{
}

/// A map to measure, by one thread.
pub(crate) trait Subject<K: Key, V: Value>: Sized + 'static {
    const NAME: &'static str;

    type Access<'a>: Access<K, V>;

    fn empty() -> Self;

    fn filled(entries: impl ExactSizeIterator<Item = (K, V)>) -> Self;

    fn access(&mut self) -> impl DerefMut<Target = Self::Access<'_>>;
}

/// A map that threads share.
pub(crate) struct Shared<M>(M);

impl<K: Key, V: Value, M: Map<K, V>> Subject<K, V> for Shared<M>
where
    for<'a> M::Handle<'a>: Access<K, V>,
{
    const NAME: &'static str = M::NAME;

    type Access<'a> = M::Handle<'a>;

    fn empty() -> Self {
        Self(M::empty(0, Hasher::default()))
    }

    fn filled(entries: impl ExactSizeIterator<Item = (K, V)>) -> Self {
        Self(M::filled(Hasher::default(), entries))
    }

    fn access(&mut self) -> impl DerefMut<Target = Self::Access<'_>> {
        Box::new(self.0.handle())
    }
}

/// The map without any synchronisation.
pub(crate) struct Floor<K, V>(Plain<K, V>);

impl<K: Key, V: Value> Subject<K, V> for Floor<K, V> {
    const NAME: &'static str = "hashbrown";

    type Access<'a> = Plain<K, V>;

    fn empty() -> Self {
        Self(Plain::with_hasher(Hasher::default()))
    }

    fn filled(entries: impl ExactSizeIterator<Item = (K, V)>) -> Self {
        Self(plain(Hasher::default(), entries))
    }

    fn access(&mut self) -> impl DerefMut<Target = Plain<K, V>> {
        &mut self.0
    }
}
