//! Are operations linearizable, and do `clear`, `len` and iterations keep what is promised of them?
//!
//! Threads run small random scenarios and record what they did and when (`history`); each history is then checked
//! against what the documentation promises (`spec`, which states it). `READMOSTLY_HISTORIES` sets how many histories,
//! 3,000 unless it is set; a full run is 100,000. `READMOSTLY_SEED` has other scenarios made, and `READMOSTLY_SCENARIO`
//! has the one tried over and over that a report names.
//!
//! Under `--cfg readmostly_faults` mistakes are planted in the map instead, one after the other, and each of them must
//! be found.

mod apply;
mod checker;
mod history;
mod report;
mod scenario;
mod spec;
mod threads;
mod traps;

#[cfg(readmostly_faults)]
mod controls;

use std::fmt;
use std::num::NonZero;
use std::thread;
use std::time::{Duration, Instant};

use apply::{Dropped, Plain};
use history::History;
use readmostly::Stats;
use scenario::{Random, Scenario};

/// Scenarios that the same threads run one after the other.
const BATCH: usize = 100;

/// How many threads the scenarios of a batch have, by turns.
const THREADS: [usize; 4] = [2, 3, 2, 4];

/// Runs scenarios and checks their histories, until one is wrong or there were `histories` of them.
fn hunt(seed: u64, histories: usize) -> Tally {
    let mut tally = Tally::default();
    let mut seeds = Random::new(seed);
    let chosen = chosen_scenario();
    let mut batches = 0;
    while tally.wrong.is_none() && tally.histories < histories {
        let mut scenario = || match &chosen {
            Some(chosen) => chosen.clone(),
            None => Scenario::new(seeds.next(), THREADS[batches % THREADS.len()]),
        };
        let scenarios: Vec<_> = (0..BATCH.min(histories - tally.histories)).map(|_| scenario()).collect();
        let start = Instant::now();
        let recorded = if (batches / THREADS.len()).is_multiple_of(2) {
            threads::run::<Plain>(&scenarios)
        } else {
            threads::run::<Dropped>(&scenarios)
        };
        let middle = Instant::now();
        tally.add(&scenarios, &recorded);
        tally.running += middle - start;
        tally.checking += middle.elapsed();
        batches += 1;
    }
    tally
}

/// The scenario that the environment names, by number of threads and seed.
fn chosen_scenario() -> Option<Scenario> {
    let name = std::env::var("READMOSTLY_SCENARIO").ok()?;
    let parts = name.split_once(":0x").and_then(|(threads, seed)| {
        Some((threads.parse().ok().filter(|threads| (1..=4).contains(threads))?, u64::from_str_radix(seed, 16).ok()?))
    });
    let Some((threads, seed)) = parts else { panic!("READMOSTLY_SCENARIO must be like 2:0x5eed, not {name:?}") };
    Some(Scenario::new(seed, threads))
}

/// What has been looked at.
#[derive(Default)]
struct Tally {
    histories: usize,
    operations: usize,
    /// Histories in which operations of two threads on one key overlap.
    overlapping: usize,
    promotions: u64,
    copied_slots: u64,
    running: Duration,
    checking: Duration,
    /// A report of the first history that is wrong; it is the last one that is counted.
    wrong: Option<String>,
}

impl Tally {
    fn add(&mut self, scenarios: &[Scenario], recorded: &[(History, Stats)]) {
        let checks = check_all(recorded);
        for ((scenario, (history, stats)), check) in scenarios.iter().zip(recorded).zip(checks) {
            self.histories += 1;
            self.operations += history.events.len();
            self.overlapping += usize::from(overlaps(history));
            self.promotions += stats.promotions;
            self.copied_slots += stats.copied_slots;
            if let Err(violation) = check {
                self.wrong = Some(report::report(scenario, history, &violation));
                return;
            }
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} histories of {} operations, {} of them with overlapping operations on one key; {} promotions, {} slots \
             copied; {:.1} s to run, {:.1} s to check",
            self.histories,
            self.operations,
            self.overlapping,
            self.promotions,
            self.copied_slots,
            self.running.as_secs_f64(),
            self.checking.as_secs_f64(),
        )
    }
}

/// Checks histories on all cores, which have nothing else to do now.
fn check_all(recorded: &[(History, Stats)]) -> Vec<Result<(), spec::Violation>> {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let check_part =
        |part: &[(History, Stats)]| part.iter().map(|(history, _)| spec::check(history)).collect::<Vec<_>>();
    thread::scope(|scope| {
        let parts = recorded.chunks(recorded.len().div_ceil(cores).max(1));
        let checking: Vec<_> = parts.map(|part| scope.spawn(move || check_part(part))).collect();
        checking.into_iter().flat_map(|part| part.join().unwrap()).collect()
    })
}

fn overlaps(history: &History) -> bool {
    let on_keys = || history.events.iter().filter(|event| event.op.key().is_some());
    on_keys().any(|one| {
        let meets = |other: &&history::Event| {
            other.thread > one.thread && other.op.key() == one.op.key() && other.from <= one.to && one.from <= other.to
        };
        on_keys().any(|other| meets(&other))
    })
}

fn from_environment(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{variable} must be a number, not {value:?}")))
}

#[cfg(not(readmostly_faults))]
#[test]
fn histories_are_as_promised() {
    let histories = from_environment("READMOSTLY_HISTORIES").unwrap_or(3_000) as usize;
    let tally = hunt(from_environment("READMOSTLY_SEED").unwrap_or(1), histories);
    println!("{tally}");
    if let Some(wrong) = &tally.wrong {
        panic!("history {}: {wrong}", tally.histories);
    }
    // If not, the threads did not run at the same time, or the tables were never in the states that matter.
    assert!(tally.overlapping > histories / 20 && tally.promotions > 0 && tally.copied_slots > 0, "{tally}");
}
