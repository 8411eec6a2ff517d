use super::{Clear, CompareAndSwap, GetOrInsert, Handle, Hasher, Key, Map, Peer, Plain, Range, Value};

const POISONED: &str = "a thread panicked while it held the lock";

/// `hashbrown::HashMap` in a `std::sync::RwLock`.
pub type StdRwLock<K, V> = Locked<std::sync::RwLock<Plain<K, V>>>;
/// `hashbrown::HashMap` in a `std::sync::Mutex`.
pub type StdMutex<K, V> = Locked<std::sync::Mutex<Plain<K, V>>>;
/// `hashbrown::HashMap` in a `parking_lot::RwLock`.
pub type ParkingLotRwLock<K, V> = Locked<parking_lot::RwLock<Plain<K, V>>>;
/// `hashbrown::HashMap` in a `parking_lot::Mutex`.
pub type ParkingLotMutex<K, V> = Locked<parking_lot::Mutex<Plain<K, V>>>;

/// A lock around a map.
pub trait Lock<T>: From<T> + Send + Sync + 'static {
    /// Which peer a map in it is.
    const PEER: Peer;

    /// Calls `f` under the lock, beside other readers if the lock can do that.
    fn shared<R>(&self, f: impl FnOnce(&T) -> R) -> R;

    /// Calls `f` under the lock, alone.
    fn exclusive<R>(&self, f: impl FnOnce(&mut T) -> R) -> R;
}

macro_rules! lock {
    ($lock:ty, $peer:ident, $shared:ident, $exclusive:ident $(, $unless:ident)?) => {
        impl<T: Send + Sync + 'static> Lock<T> for $lock {
            const PEER: Peer = Peer::$peer;

            #[inline]
            fn shared<R>(&self, f: impl FnOnce(&T) -> R) -> R {
                f(&self.$shared()$(.$unless(POISONED))?)
            }

            #[inline]
            fn exclusive<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
                f(&mut self.$exclusive()$(.$unless(POISONED))?)
            }
        }
    };
}

lock!(std::sync::RwLock<T>, StdRwLock, read, write, expect);
lock!(std::sync::Mutex<T>, StdMutex, lock, lock, expect);
lock!(parking_lot::RwLock<T>, ParkingLotRwLock, read, write);
lock!(parking_lot::Mutex<T>, ParkingLotMutex, lock, lock);

/// A map in a lock.
pub struct Locked<L>(L);

impl<K: Key, V: Value, L: Lock<Plain<K, V>>> Map<K, V> for Locked<L> {
    const NAME: &'static str = L::PEER.name();

    type Handle<'a> = &'a Self;

    fn empty(capacity: usize, hasher: Hasher) -> Self {
        Self(Plain::with_capacity_and_hasher(capacity, hasher).into())
    }

    fn handle(&self) -> &Self {
        self
    }
}

impl<K: Key, V: Value, L: Lock<Plain<K, V>>> Handle<K, V> for &Locked<L> {
    #[inline]
    fn read<R>(&mut self, key: &K, f: impl FnOnce(&V) -> R) -> Option<R> {
        self.0.shared(|map| map.get(key).map(f))
    }

    #[inline]
    fn insert(&mut self, key: K, value: V) {
        // What was replaced is dropped outside the lock, as is what was removed.
        drop(self.0.exclusive(|map| map.insert(key, value)));
    }

    #[inline]
    fn remove(&mut self, key: &K) -> bool {
        self.0.exclusive(|map| map.remove(key)).is_some()
    }
}

impl<K: Key, V: Value, L: Lock<Plain<K, V>>> Range<K, V> for &Locked<L> {
    fn range(&mut self, mut f: impl FnMut(&K, &V)) {
        self.0.shared(|map| map.iter().for_each(|(key, value)| f(key, value)));
    }
}

impl<K: Key, V: Value, L: Lock<Plain<K, V>>> Clear<K, V> for &Locked<L> {
    fn clear(&mut self) {
        self.0.exclusive(|map| map.clear());
    }
}

impl<K: Key, V: Value, L: Lock<Plain<K, V>>> GetOrInsert<K, V> for &Locked<L> {
    #[inline]
    fn get_or_insert(&mut self, key: K, value: V) -> bool {
        self.0.exclusive(|map| map.get_or_insert(key, value))
    }
}

impl<K: Key, V: Value, L: Lock<Plain<K, V>>> CompareAndSwap<K, V> for &Locked<L> {
    #[inline]
    fn compare_and_swap(&mut self, key: &K, old: &V, new: V) -> bool {
        self.0.exclusive(|map| map.compare_and_swap(key, old, new))
    }
}
