//! Serialization as a map and as a sequence. The feature `serde` turns it on.
//!
//! Entry by entry both ways, with one exception: binary formats want the number of entries ahead (some take none, and
//! refuse), and other threads may change it while they are written. So for these, references are collected first, under
//! one guard.

use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

use crate::map::SyncMap;
use crate::reclaim::pin;
use crate::set::SyncSet;
use crate::snapshot::Snapshot;

/// The most entries to make room for on the word of the input.
const TRUSTED_CAPACITY: usize = 1 << 16;

/// As a map.
impl<K, V> Serialize for Snapshot<K, V>
where
    K: Serialize,
    V: Serialize,
{
    /// Writes the entries that [`Snapshot::for_each`] would visit: one by one into a text format, however slow the
    /// serializer is; into a binary one from a list of references, under one guard.
    fn serialize<Z: Serializer>(&self, serializer: Z) -> Result<Z::Ok, Z::Error> {
        if serializer.is_human_readable() {
            let mut map = serializer.serialize_map(None)?;
            self.try_for_each(|key, value| map.serialize_entry(key, value))?;
            return map.end();
        }
        let guard = pin();
        let entries: Vec<_> = self.frozen().map_or_else(Vec::new, |frozen| frozen.entries(&guard).collect());
        serializer.collect_map(entries)
    }
}

/// As a map.
impl<K, V, S> Serialize for SyncMap<K, V, S>
where
    K: Hash + Eq + Serialize,
    V: Serialize,
    S: BuildHasher,
{
    /// Writes the entries of a [`Snapshot`] of this moment.
    fn serialize<Z: Serializer>(&self, serializer: Z) -> Result<Z::Ok, Z::Error> {
        self.snapshot().serialize(serializer)
    }
}

/// From a map, whose claims about its length are believed up to 65,536 entries. The last of equal keys wins.
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

/// As a sequence.
impl<T, S> Serialize for SyncSet<T, S>
where
    T: Hash + Eq + Serialize,
    S: BuildHasher,
{
    /// Writes the members, as [`SyncMap`] does its entries.
    fn serialize<Z: Serializer>(&self, serializer: Z) -> Result<Z::Ok, Z::Error> {
        if serializer.is_human_readable() {
            let mut members = serializer.serialize_seq(None)?;
            self.snapshot().try_for_each(|member, ()| members.serialize_element(member))?;
            return members.end();
        }
        serializer.collect_seq(self.pin().iter().collect::<Vec<_>>())
    }
}

/// From a sequence, whose claims about its length are believed up to 65,536 members. The first of equal ones stays.
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
