//! The benchmarks of Go's `sync.Map`, on [`SyncMap`].
//!
//! Names and loops are those of `sync/map_bench_test.go`, so that figures can be set beside Go's; [`harness`] measures
//! as Go's `testing` package does, [`benchmarks`] has the loops. What differs is the language: a Go map has keys and
//! values of type `any`, so an integer above 255 is put on the heap before it is looked up, and the loops call through
//! an interface. Here keys and values are `i64`, and calls are static.

pub mod benchmarks;
pub mod harness;

use readmostly::SyncMap;

/// The map that is measured.
pub type Map = SyncMap<i64, i64>;

/// One benchmark.
#[derive(Clone, Copy, Debug)]
pub struct Benchmark {
    /// Its name in Go, without the prefix that Go 1.24 and later put before it.
    pub name: &'static str,
    setup: fn(&Map),
    body: fn(&Map, harness::Turns<'_>),
}

impl Benchmark {
    /// The name that current versions of Go print.
    pub fn full_name(&self) -> String {
        format!("BenchmarkMap{}", self.name)
    }
}
