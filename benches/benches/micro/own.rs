//! What only few maps have: snapshots, and a table of their own in which new keys wait.

use crate::{
    Group,
    data::{Data, WORD},
};
use criterion::{Bencher, BenchmarkId, Criterion, Throughput};
use readmostly_bench::{
    measure::sum_of,
    peers::{CopyOnWrite, Handle, Hasher, Map, Peer, RENEW, Readmostly, Snapshot},
};
use std::{
    hint::black_box,
    time::{Duration, Instant},
};

/// Takes a snapshot and counts its entries.
pub(crate) fn snapshots(criterion: &mut Criterion, sizes: &[usize]) {
    let mut group = criterion.benchmark_group("snapshot/u64/8B");
    for &entries in sizes {
        let data = Data::new(entries);
        group.throughput(Throughput::Elements(entries as u64));
        snapshots_of::<Readmostly<u64, u64>>(&mut group, &data);
        snapshots_of::<CopyOnWrite<u64, u64>>(&mut group, &data);
    }
}

fn snapshots_of<M: Map<u64, u64>>(group: &mut Group<'_>, data: &Data<u64>)
where
    for<'a> M::Handle<'a>: Snapshot<u64, u64>,
{
    let mut map: Option<M> = None;
    group.bench_function(BenchmarkId::new(M::NAME, data.entries), |bencher| {
        let mut handle = map.get_or_insert_with(|| M::filled(Hasher::default(), data.entries())).handle();
        bencher.iter(|| handle.snapshot_len());
    });
}

/// Lookups of absent keys while new keys wait in the dirty table, which such lookups look at too.
pub(crate) fn amended_misses(criterion: &mut Criterion, sizes: &[usize]) {
    let mut group = criterion.benchmark_group("get_miss_amended/u64/8B");
    for &entries in sizes {
        let data = Data::new(entries);
        let mut map = None;
        group.bench_function(BenchmarkId::new(Peer::Readmostly.name(), entries), |bencher| {
            lookups(bencher, &data, &mut map, |map, keys| time(map, keys));
        });
        group.bench_function(BenchmarkId::new(Peer::ReadmostlyPinned.name(), entries), |bencher| {
            lookups(bencher, &data, &mut map, |map, keys| time(map.pin(), keys));
        });
    }
}

fn time(mut handle: impl Handle<u64, u64>, keys: &[u64]) -> Duration {
    let start = Instant::now();
    black_box(sum_of(&mut handle, keys));
    start.elapsed()
}

/// Lookups of absent keys help to end the state, so only those count after which it still lasted.
fn lookups(
    bencher: &mut Bencher<'_>,
    data: &Data<u64>,
    map: &mut Option<Amended>,
    time: impl Fn(&Readmostly<u64, u64>, &[u64]) -> Duration,
) {
    bencher.iter_custom(|lookups| {
        let map = map.get_or_insert_with(|| Amended::new(data));
        let mut spent = Duration::ZERO;
        for keys in data.portions(data.misses(), lookups) {
            spent += loop {
                map.amend(data);
                let elapsed = time(&map.map, keys);
                if map.is_amended() {
                    break elapsed;
                }
            };
        }
        spent
    });
}

/// A map that is kept amended: beside a snapshot, new keys go to the dirty table.
struct Amended {
    map: Readmostly<u64, u64>,
    snapshot: Option<readmostly::Snapshot<u64, u64>>,
    /// The next new key.
    fresh: u64,
}

impl Amended {
    fn new(data: &Data<u64>) -> Self {
        Self { map: Map::filled(Hasher::default(), data.entries()), snapshot: None, fresh: 0 }
    }

    fn is_amended(&self) -> bool {
        self.map.stats().dirty_len > 0
    }

    /// Inserts new keys until the map is amended. Before they change its size, it is made anew.
    fn amend(&mut self, data: &Data<u64>) {
        while !self.is_amended() {
            if self.fresh >= data.entries as u64 / 16 {
                *self = Self::new(data);
            }
            if self.snapshot.is_none() || self.fresh.is_multiple_of(RENEW as u64) {
                self.snapshot = None;
                self.map.promote();
                self.snapshot = Some(self.map.snapshot());
            }
            self.map.insert(u64::MAX - self.fresh, WORD);
            self.fresh += 1;
        }
    }
}
