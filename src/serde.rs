//! Serialization as a map and as a sequence. The feature `serde` turns it on.

use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};

use crate::map::SyncMap;
use crate::set::SyncSet;

/// The most entries to make room for on the word of the input.
const TRUSTED_CAPACITY: usize = 1 << 16;

impl<K, V, S> Serialize for SyncMap<K, V, S>
where
    K: Hash + Eq + Serialize,
    V: Serialize,
    S: BuildHasher,
{
    /// Writes the entries that the map has when the call begins, as [`Pinned::iter`](crate::Pinned::iter) finds them.
    fn serialize<Z: Serializer>(&self, serializer: Z) -> Result<Z::Ok, Z::Error> {
        // Collected first: many formats want the number of entries ahead, and other threads may change it.
        serializer.collect_map(self.pin().iter().collect::<Vec<_>>())
    }
}

impl<'de, K, V, S> Deserialize<'de> for SyncMap<K, V, S>
where
    K: Hash + Eq + Deserialize<'de>,
    V: Deserialize<'de>,
    S: BuildHasher + Default,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<K, V, S>(PhantomData<(K, V, S)>);

        impl<'de, K, V, S> Visitor<'de> for Entries<K, V, S>
        where
            K: Hash + Eq + Deserialize<'de>,
            V: Deserialize<'de>,
            S: BuildHasher + Default,
        {
            type Value = SyncMap<K, V, S>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
                let capacity = entries.size_hint().unwrap_or(0).min(TRUSTED_CAPACITY);
                let map = SyncMap::with_capacity_and_hasher(capacity, S::default());
                while let Some((key, value)) = entries.next_entry()? {
                    drop(map.insert(key, value));
                }
                Ok(map)
            }
        }

        deserializer.deserialize_map(Entries(PhantomData))
    }
}

impl<T, S> Serialize for SyncSet<T, S>
where
    T: Hash + Eq + Serialize,
    S: BuildHasher,
{
    /// Writes the members, as [`SyncMap`] does its entries.
    fn serialize<Z: Serializer>(&self, serializer: Z) -> Result<Z::Ok, Z::Error> {
        serializer.collect_seq(self.pin().iter().collect::<Vec<_>>())
    }
}

impl<'de, T, S> Deserialize<'de> for SyncSet<T, S>
where
    T: Hash + Eq + Deserialize<'de>,
    S: BuildHasher + Default,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<T, S>(PhantomData<(T, S)>);

        impl<'de, T, S> Visitor<'de> for Members<T, S>
        where
            T: Hash + Eq + Deserialize<'de>,
            S: BuildHasher + Default,
        {
            type Value = SyncSet<T, S>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a sequence")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
                let capacity = members.size_hint().unwrap_or(0).min(TRUSTED_CAPACITY);
                let set = SyncSet::with_capacity_and_hasher(capacity, S::default());
                while let Some(member) = members.next_element()? {
                    set.insert(member);
                }
                Ok(set)
            }
        }

        deserializer.deserialize_seq(Members(PhantomData))
    }
}
