//! Measures as Go's `testing` package does: the number of iterations is raised until they take long enough, and threads
//! share it out among themselves in handfuls.

use super::{Benchmark, Map};
use serde::Serialize;
use std::{
    fmt,
    str::FromStr,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

/// No benchmark runs more iterations than this.
const MOST_ITERATIONS: u64 = 1_000_000_000;

/// The iterations that a thread takes at once should last this long ...
const HANDFUL_NS: u64 = 100_000;

/// ... and be no more than this.
const LARGEST_HANDFUL: u64 = 10_000;

/// How long a benchmark runs, in Go's notation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BenchTime {
    /// At least so long: `1s`, `200ms`.
    Duration(Duration),
    /// So many iterations: `1000x`.
    Iterations(u64),
}

impl FromStr for BenchTime {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || format!("expected a duration such as 1s or 200ms, or iterations such as 1000x, got {text:?}");
        let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        if unit == "x" {
            let iterations = number.parse().ok().filter(|n| (1..=MOST_ITERATIONS).contains(n));
            return iterations.map(Self::Iterations).ok_or_else(expected);
        }
        let seconds = match unit {
            "s" => 1.0,
            "ms" => 1e-3,
            "us" => 1e-6,
            _ => return Err(expected()),
        };
        let number: f64 = number.parse().map_err(|_| expected())?;
        let duration = Duration::try_from_secs_f64(number * seconds).map_err(|_| expected())?;
        if duration.is_zero() { Err(expected()) } else { Ok(Self::Duration(duration)) }
    }
}

/// One thread's way through the iterations: numbers, counted up from where the thread starts.
#[derive(Debug)]
pub struct Turns<'a> {
    taken: &'a AtomicU64,
    total: u64,
    handful: u64,
    /// What is left of the last handful.
    left: u64,
    next: i64,
}

impl Iterator for Turns<'_> {
    type Item = i64;

    #[inline]
    fn next(&mut self) -> Option<i64> {
        if self.left == 0 {
            let before = self.taken.fetch_add(self.handful, Ordering::Relaxed);
            self.left = self.total.saturating_sub(before).min(self.handful);
            if self.left == 0 {
                return None;
            }
        }
        self.left -= 1;
        let turn = self.next;
        self.next += 1;
        Some(turn)
    }
}

/// The outcome of one benchmark.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measured {
    /// The benchmark, by its full name.
    pub name: String,
    /// Threads.
    pub threads: usize,
    /// Iterations of all threads together.
    pub iterations: u64,
    /// Wall time by iterations.
    pub ns_per_iteration: f64,
}

/// As Go prints it.
impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut name = format!("{}/SyncMap", self.name);
        if self.threads != 1 {
            name += &format!("-{}", self.threads);
        }
        let ns = self.ns_per_iteration;
        let digits = match ns {
            _ if ns >= 999.95 => 0,
            _ if ns >= 99.995 => 1,
            _ if ns >= 9.9995 => 2,
            _ if ns >= 0.99995 => 3,
            _ => 4,
        };
        write!(f, "{name:<52}\t{:>8}\t{ns:>10.digits$} ns/op", self.iterations)
    }
}

/// Measures a benchmark on so many threads.
pub fn measure(benchmark: &Benchmark, threads: usize, time: BenchTime) -> Measured {
    let mut iterations = 1;
    let mut elapsed = run(benchmark, threads, 1, 1);
    match time {
        BenchTime::Iterations(all) => {
            elapsed = run(benchmark, threads, all, handful(1, elapsed));
            iterations = all;
        }
        BenchTime::Duration(goal) => {
            while elapsed < goal && iterations < MOST_ITERATIONS {
                let handful = handful(iterations, elapsed);
                iterations = more(iterations, elapsed, goal);
                elapsed = run(benchmark, threads, iterations, handful);
            }
        }
    }
    let ns_per_iteration = elapsed.as_nanos() as f64 / iterations as f64;
    Measured { name: benchmark.full_name(), threads, iterations, ns_per_iteration }
}

/// How many iterations to try after `iterations` took less than `goal`: a fifth more than would have been enough.
fn more(iterations: u64, elapsed: Duration, goal: Duration) -> u64 {
    let enough = goal.as_nanos() * u128::from(iterations) / elapsed.as_nanos().max(1);
    let enough = u64::try_from(enough + enough / 5).unwrap_or(u64::MAX);
    enough.clamp(iterations + 1, 100 * iterations).min(MOST_ITERATIONS)
}

/// How many iterations a thread takes at once, if `iterations` took `elapsed`.
fn handful(iterations: u64, elapsed: Duration) -> u64 {
    let ns = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX).max(1);
    (HANDFUL_NS * iterations / ns).clamp(1, LARGEST_HANDFUL)
}

/// Runs a benchmark once, on a map of its own. The start and the end of threads count, the setup does not.
fn run(benchmark: &Benchmark, threads: usize, iterations: u64, handful: u64) -> Duration {
    let map = Map::new();
    (benchmark.setup)(&map);
    // The first guard of a process sets things up for all threads, which takes milliseconds once there are several.
    drop(map.pin());
    let taken = AtomicU64::new(0);
    let start = Instant::now();
    thread::scope(|scope| {
        for thread in 0..threads as i64 {
            let turns = Turns { taken: &taken, total: iterations, handful, left: 0, next: thread * iterations as i64 };
            let map = &map;
            scope.spawn(move || (benchmark.body)(map, turns));
        }
    });
    start.elapsed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bench_times_are_read_as_go_reads_them() {
        assert_eq!("1s".parse(), Ok(BenchTime::Duration(Duration::from_secs(1))));
        assert_eq!("1.5ms".parse(), Ok(BenchTime::Duration(Duration::from_micros(1_500))));
        assert_eq!("100x".parse(), Ok(BenchTime::Iterations(100)));
        for wrong in ["", "1", "s", "x", "0x", "0s", "-1s", "1.5x", "1h", "1e9s", "99999999999999999999x"] {
            let error = wrong.parse::<BenchTime>().unwrap_err();
            assert!(error.starts_with("expected a duration") && error.contains(wrong), "{error}");
        }
    }

    #[test]
    fn threads_share_all_iterations_and_start_apart() {
        let taken = AtomicU64::new(0);
        let turns = |start| Turns { taken: &taken, total: 10, handful: 4, left: 0, next: start };
        let (mut first, mut second) = (turns(0), turns(10));
        assert_eq!(first.by_ref().take(4).collect::<Vec<_>>(), [0, 1, 2, 3]);
        assert_eq!(second.by_ref().take(1).collect::<Vec<_>>(), [10]);
        assert_eq!(first.collect::<Vec<_>>(), [4, 5]);
        assert_eq!(second.collect::<Vec<_>>(), [11, 12, 13]);
    }

    #[test]
    fn iterations_grow_until_they_last() {
        let goal = Duration::from_millis(100);
        assert_eq!(more(1, Duration::from_nanos(50), goal), 100);
        assert_eq!(more(1_000, Duration::from_millis(10), goal), 12_000);
        assert_eq!(more(1_000, Duration::from_millis(99), goal), 1_212);
        assert_eq!(more(1_000, Duration::from_millis(1_000), goal), 1_001);
        assert_eq!(more(900_000_000, Duration::from_millis(50), goal), MOST_ITERATIONS);
    }

    #[test]
    fn a_handful_lasts_a_tenth_of_a_millisecond_at_most() {
        assert_eq!(handful(1, Duration::from_millis(1)), 1);
        assert_eq!(handful(1_000, Duration::from_millis(1)), 100);
        assert_eq!(handful(1_000_000, Duration::from_millis(1)), LARGEST_HANDFUL);
    }

    #[test]
    fn results_are_printed_as_go_prints_them() {
        let mut measured =
            Measured { name: "BenchmarkMapClear".into(), threads: 2, iterations: 5, ns_per_iteration: 12.345 };
        let printed = measured.to_string();
        let words: Vec<_> = printed.split_whitespace().collect();
        assert_eq!(words, ["BenchmarkMapClear/SyncMap-2", "5", "12.35", "ns/op"]);
        measured.threads = 1;
        measured.ns_per_iteration = 12_345.6;
        assert!(measured.to_string().starts_with("BenchmarkMapClear/SyncMap "));
        assert!(measured.to_string().ends_with(" 12346 ns/op"));
    }
}
