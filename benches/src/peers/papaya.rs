use super::{Clear, CompareAndSwap, GetOrInsert, Handle, Hasher, Key, Map, Peer, Range, Value};
use papaya::{Compute, HashMap, HashMapRef, LocalGuard, Operation};

/// `papaya::HashMap`, each operation pinning for itself.
pub type Papaya<K, V> = HashMap<K, V, Hasher>;

type Pin<'a, K, V> = HashMapRef<'a, K, V, Hasher, LocalGuard<'a>>;

impl<K: Key, V: Value> Map<K, V> for Papaya<K, V> {
    const NAME: &'static str = Peer::Papaya.name();

    type Handle<'a> = PapayaAccess<&'a Self>;

    fn empty(capacity: usize, hasher: Hasher) -> Self {
        Self::with_capacity_and_hasher(capacity, hasher)
    }

    fn handle(&self) -> PapayaAccess<&Self> {
        PapayaAccess(self)
    }
}

/// `papaya::HashMap` with a guard held over several operations.
pub struct PapayaPinned<K, V>(Papaya<K, V>);

impl<K: Key, V: Value> Map<K, V> for PapayaPinned<K, V> {
    const NAME: &'static str = Peer::PapayaPinned.name();

    type Handle<'a> = PapayaAccess<Held<'a, K, V>>;

    fn empty(capacity: usize, hasher: Hasher) -> Self {
        Self(Map::empty(capacity, hasher))
    }

    fn handle(&self) -> Self::Handle<'_> {
        PapayaAccess::held(&self.0)
    }
}

/// Where the guard of an operation comes from.
pub trait Guarded<K, V> {
    /// Calls `f` with a guard.
    fn guarded<R>(&self, f: impl FnOnce(&Pin<'_, K, V>) -> R) -> R;

    /// Exchanges a guard that is held.
    #[inline]
    fn exchange(&mut self) {}
}

/// Takes one for each operation.
impl<K: Key, V: Value> Guarded<K, V> for &Papaya<K, V> {
    #[inline]
    fn guarded<R>(&self, f: impl FnOnce(&Pin<'_, K, V>) -> R) -> R {
        f(&self.pin())
    }
}

/// Holds one. An `Option`, since beside a guard another one of the same thread would be no new one.
pub struct Held<'a, K, V> {
    map: &'a Papaya<K, V>,
    pin: Option<Pin<'a, K, V>>,
}

impl<K: Key, V: Value> Guarded<K, V> for Held<'_, K, V> {
    #[inline]
    fn guarded<R>(&self, f: impl FnOnce(&Pin<'_, K, V>) -> R) -> R {
        f(self.pin.as_ref().expect("`exchange` puts another guard in place"))
    }

    #[inline]
    fn exchange(&mut self) {
        self.pin = None;
        self.pin = Some(self.map.pin());
    }
}

/// One thread's access to a `papaya::HashMap`.
pub struct PapayaAccess<G>(G);

impl<'a, K: Key, V: Value> PapayaAccess<Held<'a, K, V>> {
    /// Takes a guard and holds it.
    pub fn held(map: &'a Papaya<K, V>) -> Self {
        Self(Held { map, pin: Some(map.pin()) })
    }
}

impl<K: Key, V: Value, G: Guarded<K, V>> Handle<K, V> for PapayaAccess<G> {
    #[inline]
    fn read<R>(&mut self, key: &K, f: impl FnOnce(&V) -> R) -> Option<R> {
        self.0.guarded(|map| map.get(key).map(f))
    }

    #[inline]
    fn insert(&mut self, key: K, value: V) {
        self.0.guarded(|map| {
            map.insert(key, value);
        });
    }

    #[inline]
    fn remove(&mut self, key: &K) -> bool {
        self.0.guarded(|map| map.remove(key).is_some())
    }

    #[inline]
    fn renew(&mut self) {
        self.0.exchange();
    }
}

impl<K: Key, V: Value, G: Guarded<K, V>> Range<K, V> for PapayaAccess<G> {
    fn range(&mut self, mut f: impl FnMut(&K, &V)) {
        self.0.guarded(|map| map.iter().for_each(|(key, value)| f(key, value)));
    }
}

impl<K: Key, V: Value, G: Guarded<K, V>> Clear<K, V> for PapayaAccess<G> {
    fn clear(&mut self) {
        self.0.guarded(|map| map.clear());
    }
}

impl<K: Key, V: Value, G: Guarded<K, V>> GetOrInsert<K, V> for PapayaAccess<G> {
    #[inline]
    fn get_or_insert(&mut self, key: K, value: V) -> bool {
        self.0.guarded(|map| map.try_insert(key, value).is_ok())
    }
}

impl<K: Key, V: Value, G: Guarded<K, V>> CompareAndSwap<K, V> for PapayaAccess<G> {
    #[inline]
    fn compare_and_swap(&mut self, key: &K, old: &V, new: V) -> bool {
        let swap = |current: Option<(&K, &V)>| match current {
            Some((_, value)) if value == old => Operation::Insert(new.clone()),
            _ => Operation::Abort(()),
        };
        self.0.guarded(|map| matches!(map.compute(key.clone(), swap), Compute::Updated { .. }))
    }
}
