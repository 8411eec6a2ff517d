use super::{Clear, CompareAndSwap, GetOrInsert, Handle, Hasher, Key, Map, Peer, Range, Value};
use evmap::{
    Options,
    handles::{ReadHandle, WriteHandle},
};
use std::sync::{Mutex, MutexGuard};

/// `evmap`, its one writer in a mutex.
///
/// Every write is published at once, as by users who want to read what they wrote; evmap is made for those who publish
/// many writes together.
pub struct Evmap<K: Key, V: Value>(Mutex<Writer<K, V>>);

type Writer<K, V> = WriteHandle<K, V, (), Hasher>;

impl<K: Key, V: Value> Map<K, V> for Evmap<K, V> {
    const NAME: &'static str = Peer::Evmap.name();

    type Handle<'a> = EvmapAccess<'a, K, V>;

    #[allow(unsafe_code)]
    fn empty(capacity: usize, hasher: Hasher) -> Self {
        let options = Options::default().with_capacity(capacity);
        // SAFETY: the hasher has one seed per process, so it hashes the same input alike every time.
        let options = unsafe { options.with_hasher(hasher) };
        // SAFETY: `Key` and `Value` ask for hashes and an equality that only depend on the value.
        let (mut writer, _) = unsafe { options.assert_stable() };
        // Before the first time, readers would find no map at all.
        writer.publish();
        Self(Mutex::new(writer))
    }

    fn handle(&self) -> EvmapAccess<'_, K, V> {
        EvmapAccess { reader: ReadHandle::clone(&lock(&self.0)), writer: &self.0 }
    }

    fn load(&self, entries: impl Iterator<Item = (K, V)>) {
        let mut writer = lock(&self.0);
        for (key, value) in entries {
            writer.update(key, value);
        }
        // The second time for the other copy, or the next write would have to bring it up to date.
        writer.publish().publish();
    }
}

fn lock<T>(writer: &Mutex<T>) -> MutexGuard<'_, T> {
    writer.lock().expect("a thread panicked while it wrote")
}

/// One thread's access to an [`Evmap`].
pub struct EvmapAccess<'a, K: Key, V: Value> {
    reader: ReadHandle<K, V, (), Hasher>,
    writer: &'a Mutex<Writer<K, V>>,
}

impl<K: Key, V: Value> Handle<K, V> for EvmapAccess<'_, K, V> {
    #[inline]
    fn read<R>(&mut self, key: &K, f: impl FnOnce(&V) -> R) -> Option<R> {
        self.reader.get_one(key).map(|value| f(&value))
    }

    fn insert(&mut self, key: K, value: V) {
        lock(self.writer).update(key, value).publish();
    }

    fn remove(&mut self, key: &K) -> bool {
        let mut writer = lock(self.writer);
        let present = writer.contains_key(key);
        if present {
            writer.remove_entry(key.clone()).publish();
        }
        present
    }
}

impl<K: Key, V: Value> Range<K, V> for EvmapAccess<'_, K, V> {
    fn range(&mut self, mut f: impl FnMut(&K, &V)) {
        let map = self.reader.enter().expect("the map is published from the start");
        for (key, values) in &map {
            values.iter().for_each(|value| f(key, value));
        }
    }
}

impl<K: Key, V: Value> Clear<K, V> for EvmapAccess<'_, K, V> {
    fn clear(&mut self) {
        lock(self.writer).purge().publish();
    }
}

impl<K: Key, V: Value> GetOrInsert<K, V> for EvmapAccess<'_, K, V> {
    fn get_or_insert(&mut self, key: K, value: V) -> bool {
        let mut writer = lock(self.writer);
        let absent = !writer.contains_key(&key);
        if absent {
            writer.update(key, value).publish();
        }
        absent
    }
}

impl<K: Key, V: Value> CompareAndSwap<K, V> for EvmapAccess<'_, K, V> {
    fn compare_and_swap(&mut self, key: &K, old: &V, new: V) -> bool {
        let mut writer = lock(self.writer);
        let swaps = writer.get_one(key).is_some_and(|value| *value == *old);
        if swaps {
            writer.update(key.clone(), new).publish();
        }
        swaps
    }
}
