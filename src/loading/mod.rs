//! Loading what is not in the map, once for all who ask for it.
//!
//! Everything of the caller's is dropped before an entry is returned, as in `raw::ops` and for its reason: a destructor that
//! panics after the return value has been made would leak that, and its guard.

mod flight;
mod hashed;

use std::fmt;
use std::hash::{BuildHasher, BuildHasherDefault, Hash};
use std::ptr;

use equivalent::Equivalent;

use crate::guard::{OccupiedError, Ref};
use crate::hasher::DefaultHashBuilder;
use crate::map::SyncMap;
use crate::sync::{Arc, Ordering, block_on, const_fn, fault, fence};

use flight::{Flight, Unwaiting, Waiting};
use hashed::{AsHashed, Hashed, Lookup};

/// A [`SyncMap`] in front of something slower, each key of which is loaded by one caller at a time.
///
/// [`get_or_load`](Self::get_or_load) returns what is in the map. For a key that is absent it calls a loader and puts
/// the result into the map; whoever asks for the same key meanwhile waits for that instead of loading it too.
///
/// - A present key costs what [`SyncMap::get`] costs: no lock, no wait.
/// - Different keys never wait for each other, and no lock is held while a loader runs.
/// - A loader that fails or panics, or whose future is dropped, leaves nothing in the map. It wakes those who wait, and
///   one of them calls its own loader.
/// - [`insert`](Self::insert), [`remove`](Self::remove) and [`clear`](Self::clear) of this type make loads that are
///   under way *out of date*: what those return goes to their own callers, but not into the map, and who
///   waited for them looks again. So a writer that changes the source first and calls `remove` afterwards (what
///   other caches call *invalidate*) leaves no value in the map that was read from the source before.
///
/// A wait lasts until the loader it is for has returned, or its future has been polled to the end or dropped. So loaders must
/// not wait for each other's keys; in async code, use the async form, and keep no load that is polled no more.
///
/// Destructors of keys and values, and observers, may use the map too. Those that run while their thread changes
/// a `LoadingMap` may not wait: what they ask for they load beside another loader that may be under way, and do not keep. Others
/// may wait for them, in `insert`, `remove` and `clear`: so they must not wait in turn for a thread that may be in one of these, nor
/// take a lock under which these are called.
///
/// There is no capacity, expiry or refresh; [`map`](Self::map) gives everything that a `SyncMap` has, to build them with.
/// Changes made through it are not seen by loads under way, except that a load never replaces a value: it returns what it
/// finds in the map.
///
/// ```
/// use readmostly::LoadingMap;
///
/// static USERS: LoadingMap<u32, String> = LoadingMap::new();
///
/// let load = || std::fs::read_to_string("/nonexistent");
/// assert!(USERS.get_or_load(7, load).is_err());
/// assert_eq!(*USERS.get_or_load(7, || Ok::<_, std::io::Error>("ada".into())).unwrap(), "ada");
/// assert_eq!(*USERS.get_or_load(7, load).unwrap(), "ada");
///
/// // The source has changed:
/// USERS.remove(&7);
/// assert!(USERS.get(&7).is_none());
/// ```
pub struct LoadingMap<K, V, S = DefaultHashBuilder> {
    map: SyncMap<K, V, S>,
    flights: SyncMap<Hashed<K>, Arc<Flight>, AsHashed>,
}

/// What a caller that finds a key absent is to do.
enum Turn<'a, K, V, S>
where
    K: Hash + Eq,
    S: BuildHasher,
{
    Lead(Lead<'a, K, V, S>),
    Wait(Arc<Flight>),
    /// The load before this one ended just now: look again.
    Again,
}

/// The obligation to end a load. Met when it is dropped: after success, failure, a panic, or the drop of a future.
struct Lead<'a, K, V, S>
where
    K: Hash + Eq,
    S: BuildHasher,
{
    loading: &'a LoadingMap<K, V, S>,
    key: Hashed<K>,
    flight: Arc<Flight>,
}

impl<K, V, S> Drop for Lead<'_, K, V, S>
where
    K: Hash + Eq,
    S: BuildHasher,
{
    fn drop(&mut self) {
        let _unwaiting = Unwaiting::begin();
        // First of all, since what follows may panic: those who wait must not wait for ever.
        if !self.flight.try_end() {
            // Only in a panic: else `land` has removed what was its own, and the flight has ended. Here it is not known
            // what was: another's value may go, which will be loaded again.
            self.loading.map.remove(&self.key.key);
            self.flight.end();
        }
        self.loading.forget(&self.key.lookup(), &self.flight);
    }
}

impl<K, V> LoadingMap<K, V> {
    const_fn! {
        /// An empty map, which has allocated nothing.
        ///
        /// ```
        /// use readmostly::LoadingMap;
        ///
        /// static PAGES: LoadingMap<String, String> = LoadingMap::new();
        /// assert!(PAGES.map().is_empty());
        /// ```
        #[must_use]
        pub const fn new() -> Self {
            Self::with_hasher(DefaultHashBuilder::new())
        }
    }
}

impl<K, V, S> LoadingMap<K, V, S> {
    const_fn! {
        /// An empty map that uses the given hasher.
        ///
        /// ```
        /// use std::hash::RandomState;
        ///
        /// let pages = readmostly::LoadingMap::with_hasher(RandomState::new());
        /// pages.insert("/", "home");
        /// ```
        #[must_use]
        pub const fn with_hasher(hash_builder: S) -> Self {
            Self::over(SyncMap::with_hasher(hash_builder))
        }
    }

    const_fn! {
        const fn over(map: SyncMap<K, V, S>) -> Self {
            LoadingMap { map, flights: SyncMap::with_hasher(BuildHasherDefault::new()) }
        }
    }

    /// What has been loaded.
    ///
    /// ```
    /// let pages = readmostly::LoadingMap::from(readmostly::SyncMap::from([("/", "home")]));
    /// pages.map().retain(|_, text| text.len() > 10);
    /// assert_eq!(pages.map().len(), 0);
    /// ```
    #[must_use]
    pub fn map(&self) -> &SyncMap<K, V, S> {
        &self.map
    }

    /// What has been loaded, by value.
    ///
    /// ```
    /// let pages = readmostly::LoadingMap::from(readmostly::SyncMap::from([("/", "home")]));
    /// assert_eq!(pages.into_map().into_iter().count(), 1);
    /// ```
    #[must_use]
    pub fn into_map(self) -> SyncMap<K, V, S> {
        self.map
    }

    /// How many loads are under way: O(1), exact when nothing else runs. Those that are out of date are not counted.
    ///
    /// ```
    /// let pages = readmostly::LoadingMap::new();
    /// pages.get_or_load("/", || {
    ///     assert_eq!(pages.loading(), 1);
    ///     Ok::<_, ()>("home")
    /// }).unwrap();
    /// assert_eq!(pages.loading(), 0);
    /// ```
    #[must_use]
    pub fn loading(&self) -> usize {
        self.flights.len()
    }
}

impl<K, V, S> LoadingMap<K, V, S>
where
    K: Hash + Eq,
    S: BuildHasher,
{
    /// The entry of a key, if it has been loaded. As [`SyncMap::get`].
    ///
    /// ```
    /// let pages = readmostly::LoadingMap::<&str, &str>::new();
    /// assert!(pages.get("/").is_none());
    /// ```
    #[inline]
    pub fn get<Q>(&self, key: &Q) -> Option<Ref<'_, K, V>>
    where
        Q: ?Sized + Hash + Equivalent<K>,
    {
        self.map.get(key)
    }

    /// The entry of a key; if it is absent, what `loader` returns, or what another thread that loads it already gets.
    ///
    /// Loaders for one key run one after the other, unless what one of them loads is out of date before it returns. Never
    /// waits for a present key. A loader may use this map in any way: one that asks for the key it
    /// is to load, on the same thread, loads that for itself. Two that wait for each other's keys wait for ever.
    ///
    /// # Errors
    ///
    /// Those of this call's own `loader`. Others who wait get none of it: the next of them calls its own.
    ///
    /// ```
    /// use readmostly::LoadingMap;
    ///
    /// let squares = LoadingMap::new();
    /// let loads = std::sync::atomic::AtomicU32::new(0);
    /// std::thread::scope(|scope| {
    ///     for _ in 0..4 {
    ///         scope.spawn(|| {
    ///             let nine = squares.get_or_load(3, || {
    ///                 loads.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    ///                 Ok::<_, ()>(3 * 3)
    ///             });
    ///             assert_eq!(*nine.unwrap(), 9);
    ///         });
    ///     }
    /// });
    /// assert_eq!(loads.into_inner(), 1);
    /// ```
    pub fn get_or_load<E>(&self, key: K, loader: impl FnOnce() -> Result<V, E>) -> Result<Ref<'_, K, V>, E>
    where
        K: Clone,
    {
        loop {
            if let Some(entry) = self.map.get(&key) {
                drop((key, loader));
                return Ok(entry);
            }
            match self.turn(&key, Flight::led_here) {
                Turn::Again => {}
                Turn::Lead(lead) => return Ok(lead.land(key, loader()?)),
                Turn::Wait(flight) if flight.must_not_wait() => return Ok(self.map.detached(key, loader()?)),
                Turn::Wait(flight) => block_on(flight.wait()),
            }
        }
    }

    /// As [`get_or_load`](Self::get_or_load), with a loader that returns a future. It runs on whatever polls this one; no
    /// runtime is needed, and none is assumed.
    ///
    /// A future that is dropped while it loads wakes those who wait, and one of them calls its own loader. The
    /// future is `Send` if the map may be shared and the loader's future is `Send`. The entry it ends with is not: clone the
    /// value, or let values be `Arc`s, to keep it across an `await`.
    ///
    /// A loader must not ask for its own key: it would wait for itself.
    ///
    /// # Errors
    ///
    /// Those of this call's own loader.
    ///
    /// ```
    /// # pollster_lite(async {
    /// let pages = readmostly::LoadingMap::new();
    /// let page = pages.get_or_load_async("/", async || Ok::<_, ()>(String::from("home"))).await;
    /// assert_eq!(*page.unwrap(), "home");
    /// # });
    /// # fn pollster_lite(future: impl Future<Output = ()>) {
    /// #     let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    /// #     assert!(std::pin::pin!(future).poll(&mut context).is_ready());
    /// # }
    /// ```
    pub async fn get_or_load_async<E, F, L>(&self, key: K, loader: F) -> Result<Ref<'_, K, V>, E>
    where
        K: Clone,
        F: FnOnce() -> L,
        L: Future<Output = Result<V, E>>,
    {
        loop {
            if let Some(entry) = self.map.get(&key) {
                drop((key, loader));
                return Ok(entry);
            }
            match self.turn(&key, Flight::led_anywhere) {
                Turn::Again => {}
                Turn::Lead(lead) => {
                    let value = loader().await?;
                    return Ok(lead.land(key, value));
                }
                Turn::Wait(flight) if flight.must_not_wait() => {
                    let value = loader().await?;
                    return Ok(self.map.detached(key, value));
                }
                Turn::Wait(flight) => flight.wait().await,
            }
        }
    }

    /// Maps a key to a value, and keeps what is being loaded for it out of the map; returns the entry that it replaced.
    ///
    /// May wait as [`remove`](Self::remove) does.
    ///
    /// ```
    /// let pages = readmostly::LoadingMap::new();
    /// assert!(pages.insert("/", "home").is_none());
    /// assert_eq!(*pages.get_or_load("/", || Err("not called")).unwrap(), "home");
    /// ```
    pub fn insert(&self, key: K, value: V) -> Option<Ref<'_, K, V>> {
        // First, as in `remove`: what is loading was read before, and would come back if the entry were removed at once by
        // somebody else. What begins to load after this reads the source as it is now.
        let waiting = self.supersede(&key);
        let old = self.map.insert(key, value);
        drop(waiting);
        old
    }

    /// Removes a key, and keeps what is being loaded for it out of the map; returns the entry removed.
    ///
    /// When this returns, no value is in the map that a load read before the call. To be called after the
    /// source has changed. May wait for another thread that is just putting what it loaded into the map; never for a
    /// loader. (In a destructor, or an observer, that runs while this thread puts what *it* loaded into a map, it does not
    /// wait: then the other thread removes what it put there.)
    ///
    /// ```
    /// let pages = readmostly::LoadingMap::new();
    /// let old = pages.get_or_load("/", || {
    ///     pages.remove("/"); // The source changes while it is read.
    ///     Ok::<_, ()>("old")
    /// });
    /// assert_eq!(*old.unwrap(), "old");
    /// assert!(pages.get("/").is_none());
    /// ```
    #[doc(alias = "invalidate")]
    pub fn remove<Q>(&self, key: &Q) -> Option<Ref<'_, K, V>>
    where
        Q: ?Sized + Hash + Equivalent<K>,
    {
        let waiting = self.supersede(key);
        let old = self.map.remove(key);
        drop(waiting);
        old
    }

    /// Removes all keys, and keeps what is being loaded out of the map, as [`remove`](Self::remove) does.
    ///
    /// ```
    /// let pages = readmostly::LoadingMap::from(readmostly::SyncMap::from([("/", "home")]));
    /// pages.clear();
    /// assert!(pages.map().is_empty());
    /// ```
    #[doc(alias = "invalidate_all")]
    pub fn clear(&self) {
        // SeqCst: as in `supersede`. Loads that begin while this runs read what is there after the call has begun.
        fence(Ordering::SeqCst);
        self.flights.range(|key, flight| {
            if let Some(_waiting) = flight.supersede() {
                self.forget(&key.lookup(), flight);
            }
            true
        });
        self.map.clear();
    }

    /// Leads the load of a key, or waits for who does.
    fn turn(&self, key: &K, flight: fn() -> Flight) -> Turn<'_, K, V, S>
    where
        K: Clone,
    {
        let lookup = self.lookup(key);
        loop {
            if let Some(flight) = self.flights.get(&lookup) {
                if flight.goes_on() && !fault!(LeadBeside) {
                    return Turn::Wait(Arc::clone(&flight));
                }
                // Whoever ended it is about to do this too; waiting for that would be spinning.
                self.forget(&lookup, &flight);
            }
            let _unwaiting = Unwaiting::begin();
            // Made first, so that the flight ends whatever panics.
            let lead = Lead { loading: self, key: lookup.to_owned(), flight: Arc::new(flight()) };
            if self.flights.try_insert(lookup.to_owned(), Arc::clone(&lead.flight)).is_ok() {
                // SeqCst: pairs with the fences in `supersede` and `clear`. Either those find the flight, or the loader sees
                // what the source was changed to before them, however little the source orders by itself.
                fence(Ordering::SeqCst);
                return if self.map.contains_key(key) { Turn::Again } else { Turn::Lead(lead) };
            }
        }
    }

    /// Makes what is being loaded for a key out of date; those who wait for it are to be woken when the map is as they
    /// should find it.
    fn supersede<Q>(&self, key: &Q) -> Option<Waiting>
    where
        Q: ?Sized + Hash + Equivalent<K>,
    {
        let lookup = self.lookup(key);
        // SeqCst: pairs with the fence in `turn`. A flight found here began before the source was changed, or may have; the
        // loaders of others see the change.
        fence(Ordering::SeqCst);
        let flight = Arc::clone(&*self.flights.get(&lookup)?);
        // In this order: another writer that does not find the flight takes it as superseded.
        let waiting = flight.supersede()?;
        self.forget(&lookup, &flight);
        Some(waiting)
    }

    fn lookup<'q, Q: ?Sized + Hash>(&self, key: &'q Q) -> Lookup<'q, Q> {
        Lookup { key, hash: self.map.hasher().hash_one(key) }
    }

    /// Has later callers not wait for a flight that is over.
    fn forget<Q: ?Sized + Equivalent<K>>(&self, lookup: &Lookup<'_, Q>, flight: &Arc<Flight>) {
        self.flights.remove_if(lookup, |_, other| Arc::ptr_eq(other, flight));
    }
}

impl<'a, K, V, S> Lead<'a, K, V, S>
where
    K: Hash + Eq,
    S: BuildHasher,
{
    /// Puts what was loaded into the map, unless that is out of date.
    fn land(self, key: K, value: V) -> Ref<'a, K, V> {
        let loading = self.loading;
        let unwaiting = Unwaiting::begin();
        if !self.flight.land() {
            drop((self, unwaiting));
            return loading.map.detached(key, value);
        }
        let (entry, is_own) = match loading.map.try_insert(key, value) {
            Ok(entry) => (entry, true),
            Err(OccupiedError { current, key, value }) => {
                drop((key, value));
                (current, false)
            }
        };
        // A destructor that an insert runs, this one or another's, has made it out of date: what it left is not touched.
        if !self.flight.try_end() {
            if is_own {
                loading.map.remove_if(entry.key(), |_, value| ptr::eq(value, entry.value()));
            }
            self.flight.end();
        }
        drop((self, unwaiting));
        entry
    }
}

impl<K, V, S: Default> Default for LoadingMap<K, V, S> {
    fn default() -> Self {
        Self::with_hasher(S::default())
    }
}

/// Takes what is in the map as loaded.
impl<K, V, S> From<SyncMap<K, V, S>> for LoadingMap<K, V, S> {
    fn from(map: SyncMap<K, V, S>) -> Self {
        Self::over(map)
    }
}

impl<K, V, S> fmt::Debug for LoadingMap<K, V, S>
where
    K: Hash + Eq + fmt::Debug,
    V: fmt::Debug,
    S: BuildHasher,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadingMap").field("map", &self.map).field("loading", &self.loading()).finish()
    }
}
