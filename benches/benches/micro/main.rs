//! Single operations on one thread: every map, maps of all sizes, several kinds of keys and values.
//!
//! A benchmark is called `operation/key/value/map/entries`, as in `get_hit/u64/8B/dashmap/10000`; criterion takes a
//! regular expression that selects some. Without further ado, that is among the usual combinations; with `MICRO=all` in
//! the environment, among all that fit into memory. Maps and keys are made when they are first needed.

mod data;
mod operations;
mod own;
mod subject;

use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, measurement::WallTime};
use data::{Data, MadeKey, MadeValue};
use operations::{
    Clear, CompareAndSwap, DropMap, GetHit, GetMiss, GetOrInsert, InsertNew, Operation, Overwrite, Range, Reinsert,
    Remove,
};
use readmostly_bench::peers::{
    CopyOnWrite, CopyOnWriteCached, Dashmap, Evmap, Flurry, Moka, Papaya, PapayaPinned, ParkingLotMutex,
    ParkingLotRwLock, QuickCache, Readmostly, ReadmostlyPinned, SccIndex, SccMap, StdMutex, StdRwLock,
};
use std::{any::TypeId, sync::Arc, time::Duration};
use subject::{Floor, Shared, Subject};

type Group<'a> = BenchmarkGroup<'a, WallTime>;

const SIZES: [usize; 5] = [1_000, 10_000, 100_000, 1_000_000, 8_000_000];
/// One that fits into a processor's cache, and one that doesn't.
const USUAL_SIZES: [usize; 2] = [10_000, 1_000_000];
/// Larger maps are not copied for every write.
const MOST_COPIED: usize = 10_000;
/// Nor are there maps with more bytes of values.
const MOST_BYTES: usize = 1 << 30;

/// How much of a map is usually measured.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rank {
    /// All sizes, keys and values.
    Main,
    /// The usual sizes.
    Other,
    /// Those and no others if it is changed, since a change copies it.
    Copying,
}

/// The maps of one size, filled with one kind of entries.
struct Contest<'a, 'g, K> {
    group: &'a mut Group<'g>,
    data: Data<K>,
    everything: bool,
}

impl<K: MadeKey> Contest<'_, '_, K> {
    fn enter<O: Operation, V: MadeValue, S: Subject<K, V>>(&mut self, rank: Rank) {
        let Self { group, data, everything } = self;
        let entries = data.entries;
        let numbers = TypeId::of::<(K, V)>() == TypeId::of::<(u64, u64)>();
        let usual = (numbers || O::BASIC)
            && (USUAL_SIZES.contains(&entries) || (rank == Rank::Main && numbers && !O::WRITES && !O::WHOLE));
        let possible =
            entries * size_of::<V>() <= MOST_BYTES && (rank != Rank::Copying || !O::WRITES || entries <= MOST_COPIED);
        if possible && (usual || *everything) {
            let mut map: Option<S> = None;
            group.bench_function(BenchmarkId::new(S::NAME, entries), |bencher| O::run(bencher, data, &mut map));
        }
    }
}

macro_rules! enter {
    ($contest:ident, $rank:ident: $($map:ident),*) => {
        $($contest.enter::<O, V, Shared<$map<K, V>>>(Rank::$rank);)*
    };
}

fn main_maps<O: Operation, K: MadeKey, V: MadeValue>(contest: &mut Contest<'_, '_, K>) {
    contest.enter::<O, V, Floor<K, V>>(Rank::Main);
    enter!(contest, Main: Readmostly, ReadmostlyPinned, Dashmap, Papaya, PapayaPinned, SccMap, SccIndex);
}

fn all_maps<O: Operation, K: MadeKey, V: MadeValue>(contest: &mut Contest<'_, '_, K>) {
    main_maps::<O, K, V>(contest);
    enter!(contest, Other: Flurry, StdRwLock, StdMutex, ParkingLotRwLock, ParkingLotMutex, Evmap, Moka, QuickCache);
    enter!(contest, Copying: CopyOnWrite, CopyOnWriteCached);
}

fn contests<O: Operation, K: MadeKey, V: MadeValue>(
    criterion: &mut Criterion,
    everything: bool,
    enter: fn(&mut Contest<'_, '_, K>),
) {
    let mut group = criterion.benchmark_group(format!("{}/{}/{}", O::NAME, K::NAME, V::NAME));
    if O::REBUILDS {
        // What is measured is a small part of the time that it takes.
        group.sample_size(10).warm_up_time(Duration::from_millis(5)).measurement_time(Duration::from_millis(50));
    }
    for entries in SIZES {
        if O::WHOLE {
            group.throughput(Throughput::Elements(entries as u64));
        }
        enter(&mut Contest { group: &mut group, data: Data::new(entries), everything });
    }
}

fn operation<O: Operation>(criterion: &mut Criterion, everything: bool) {
    contests::<O, u64, u64>(criterion, everything, all_maps::<O, u64, u64>);
    contests::<O, String, u64>(criterion, everything, main_maps::<O, String, u64>);
    contests::<O, u64, [u64; 8]>(criterion, everything, main_maps::<O, u64, [u64; 8]>);
    contests::<O, u64, [u64; 128]>(criterion, everything, main_maps::<O, u64, [u64; 128]>);
    contests::<O, u64, Arc<[u64; 8]>>(criterion, everything, main_maps::<O, u64, Arc<[u64; 8]>>);
}

fn main() {
    let everything = std::env::var_os("MICRO").is_some_and(|scope| scope == "all");
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    macro_rules! operations {
        ($($operation:ident),*) => { $(operation::<$operation>(&mut criterion, everything);)* };
    }
    operations!(
        GetHit,
        GetMiss,
        GetOrInsert,
        Overwrite,
        CompareAndSwap,
        Remove,
        Reinsert,
        InsertNew,
        Range,
        Clear,
        DropMap
    );
    own::amended_misses(&mut criterion, &SIZES[..3]);
    own::snapshots(&mut criterion, if everything { &SIZES } else { &USUAL_SIZES });
    criterion.final_summary();
}
