//! What is measured of a map.

use crate::{
    data::{Data, MadeKey, MadeValue, WORD},
    subject::{Access, Subject},
};
use criterion::{BatchSize, Bencher};
use readmostly_bench::peers::{Clear as _, Handle as _, RENEW, Range as _};
use std::{
    hint::black_box,
    time::{Duration, Instant},
};

/// Something that every map can do.
pub(crate) trait Operation {
    const NAME: &'static str;

    /// Whether it changes the map.
    const WRITES: bool;

    /// Whether one iteration is about all entries of the map.
    const WHOLE: bool = false;

    /// Whether each iteration needs a new map that is filled first.
    const REBUILDS: bool = false;

    /// Whether it usually is measured with all kinds of keys and values.
    const BASIC: bool = false;

    /// Measures it; `map` lasts from one call to the next.
    fn run<K: MadeKey, V: MadeValue, S: Subject<K, V>>(bencher: &mut Bencher<'_>, data: &Data<K>, map: &mut Option<S>);
}

/// The map that earlier calls have left, or a filled one.
fn existing<'a, K: MadeKey, V: MadeValue, S: Subject<K, V>>(data: &Data<K>, map: &'a mut Option<S>) -> &'a mut S {
    map.get_or_insert_with(|| S::filled(data.entries()))
}

/// An operation on one key that leaves the map ready for the next.
trait OnKey {
    const NAME: &'static str;

    const WRITES: bool;

    const BASIC: bool = false;

    fn keys<K: MadeKey>(data: &Data<K>) -> &[K] {
        data.hits()
    }

    /// `value` is what all keys have.
    fn perform<K: MadeKey, V: MadeValue>(access: &mut impl Access<K, V>, key: &K, value: &V) -> Option<u64>;
}

impl<O: OnKey> Operation for O {
    const NAME: &'static str = O::NAME;

    const WRITES: bool = O::WRITES;

    const BASIC: bool = O::BASIC;

    fn run<K: MadeKey, V: MadeValue, S: Subject<K, V>>(bencher: &mut Bencher<'_>, data: &Data<K>, map: &mut Option<S>) {
        let access = &mut *existing(data, map).access();
        let value = V::of(WORD);
        bencher.iter_custom(|operations| {
            let start = Instant::now();
            for keys in data.portions(O::keys(data), operations) {
                for key in keys {
                    black_box(O::perform(access, key, &value));
                }
                access.renew();
            }
            start.elapsed()
        });
    }
}

pub(crate) struct GetHit;

impl OnKey for GetHit {
    const NAME: &'static str = "get_hit";

    const WRITES: bool = false;

    const BASIC: bool = true;

    #[inline]
    fn perform<K: MadeKey, V: MadeValue>(access: &mut impl Access<K, V>, key: &K, _: &V) -> Option<u64> {
        access.read(key, V::word)
    }
}

pub(crate) struct GetMiss;

impl OnKey for GetMiss {
    const NAME: &'static str = "get_miss";

    const WRITES: bool = false;

    const BASIC: bool = true;

    fn keys<K: MadeKey>(data: &Data<K>) -> &[K] {
        data.misses()
    }

    #[inline]
    fn perform<K: MadeKey, V: MadeValue>(access: &mut impl Access<K, V>, key: &K, _: &V) -> Option<u64> {
        access.read(key, V::word)
    }
}

pub(crate) struct Overwrite;

impl OnKey for Overwrite {
    const NAME: &'static str = "overwrite";

    const WRITES: bool = true;

    const BASIC: bool = true;

    #[inline]
    fn perform<K: MadeKey, V: MadeValue>(access: &mut impl Access<K, V>, key: &K, value: &V) -> Option<u64> {
        access.insert(key.clone(), value.clone());
        None
    }
}

/// The value is as expected, so it is exchanged, for an equal one.
pub(crate) struct CompareAndSwap;

impl OnKey for CompareAndSwap {
    const NAME: &'static str = "compare_and_swap";

    const WRITES: bool = true;

    #[inline]
    fn perform<K: MadeKey, V: MadeValue>(access: &mut impl Access<K, V>, key: &K, value: &V) -> Option<u64> {
        Some(access.compare_and_swap(key, value, value.clone()).into())
    }
}

/// The key is there, so the value is not inserted.
pub(crate) struct GetOrInsert;

impl OnKey for GetOrInsert {
    const NAME: &'static str = "get_or_insert";

    const WRITES: bool = false;

    #[inline]
    fn perform<K: MadeKey, V: MadeValue>(access: &mut impl Access<K, V>, key: &K, value: &V) -> Option<u64> {
        Some(access.get_or_insert(key.clone(), value.clone()).into())
    }
}

pub(crate) struct Remove;

impl Operation for Remove {
    const NAME: &'static str = "remove";

    const WRITES: bool = true;

    fn run<K: MadeKey, V: MadeValue, S: Subject<K, V>>(bencher: &mut Bencher<'_>, data: &Data<K>, map: &mut Option<S>) {
        bencher.iter_custom(|removes| churn(removes, data, existing(data, map))[0]);
    }
}

/// An insert of a key that was removed a moment ago.
pub(crate) struct Reinsert;

impl Operation for Reinsert {
    const NAME: &'static str = "reinsert";

    const WRITES: bool = true;

    fn run<K: MadeKey, V: MadeValue, S: Subject<K, V>>(bencher: &mut Bencher<'_>, data: &Data<K>, map: &mut Option<S>) {
        bencher.iter_custom(|inserts| churn(inserts, data, existing(data, map))[1]);
    }
}

/// Removes some keys and inserts them again, over and over; the time of so many removes and of as many inserts.
fn churn<K: MadeKey, V: MadeValue, S: Subject<K, V>>(operations: u64, data: &Data<K>, map: &mut S) -> [Duration; 2] {
    let access = &mut *map.access();
    let value = V::of(WORD);
    let [mut removing, mut inserting] = [Duration::ZERO; 2];
    for keys in data.portions(data.distinct(), operations) {
        let start = Instant::now();
        for key in keys {
            black_box(access.remove(key));
        }
        let between = Instant::now();
        for key in keys {
            access.insert(key.clone(), value.clone());
        }
        removing += between - start;
        inserting += between.elapsed();
        access.renew();
    }
    [removing, inserting]
}

/// Inserts of all keys into a map that has room for none.
pub(crate) struct InsertNew;

impl Operation for InsertNew {
    const NAME: &'static str = "insert_new";

    const WRITES: bool = true;

    const BASIC: bool = true;

    const WHOLE: bool = true;

    fn run<K: MadeKey, V: MadeValue, S: Subject<K, V>>(bencher: &mut Bencher<'_>, data: &Data<K>, _: &mut Option<S>) {
        let value = V::of(WORD);
        let insert_all = |mut map: S| {
            let mut access = map.access();
            for keys in data.present().chunks(RENEW) {
                keys.iter().for_each(|key| access.insert(key.clone(), value.clone()));
                access.renew();
            }
            drop(access);
            map
        };
        bencher.iter_batched(S::empty, insert_all, BatchSize::PerIteration);
    }
}

pub(crate) struct Clear;

impl Operation for Clear {
    const NAME: &'static str = "clear";

    const WRITES: bool = false;

    const WHOLE: bool = true;

    const REBUILDS: bool = true;

    fn run<K: MadeKey, V: MadeValue, S: Subject<K, V>>(bencher: &mut Bencher<'_>, data: &Data<K>, _: &mut Option<S>) {
        let clear = |mut map: S| {
            map.access().clear();
            map
        };
        bencher.iter_batched(|| S::filled(data.entries()), clear, BatchSize::PerIteration);
    }
}

pub(crate) struct DropMap;

impl Operation for DropMap {
    const NAME: &'static str = "drop";

    const WRITES: bool = false;

    const WHOLE: bool = true;

    const REBUILDS: bool = true;

    fn run<K: MadeKey, V: MadeValue, S: Subject<K, V>>(bencher: &mut Bencher<'_>, data: &Data<K>, _: &mut Option<S>) {
        bencher.iter_batched(|| S::filled(data.entries()), drop::<S>, BatchSize::PerIteration);
    }
}

/// An iteration over all entries.
pub(crate) struct Range;

impl Operation for Range {
    const NAME: &'static str = "range";

    const WRITES: bool = false;

    const WHOLE: bool = true;

    fn run<K: MadeKey, V: MadeValue, S: Subject<K, V>>(bencher: &mut Bencher<'_>, data: &Data<K>, map: &mut Option<S>) {
        let access = &mut *existing(data, map).access();
        bencher.iter(|| {
            let mut sum = 0_u64;
            access.range(|_, value| sum = sum.wrapping_add(value.word()));
            access.renew();
            sum
        });
    }
}
