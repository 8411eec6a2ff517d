//! Scenarios on real threads.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};
use std::{hint, process, thread};

use readmostly::{Stats, SyncMap};

use crate::apply::{Map, Session, Value, set_pauses};
use crate::history::{Event, History, Monotonic};
use crate::scenario::Scenario;

/// How long threads wait for each other before they give up: an operation must have gone into an endless loop.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs scenarios one after the other, each on the same threads, which start each of them together.
///
/// Starting threads takes longer than a scenario does, and the first thread would have ended before the last began.
pub(crate) fn run<V: Value>(scenarios: &[Scenario]) -> Vec<(History, Stats)> {
    let clock = Monotonic::new();
    let maps: Vec<Map<V>> = scenarios.iter().map(|scenario| Map::with_hasher(scenario.hasher())).collect();
    let mut alone: Vec<_> = maps.iter().map(|map| Session::new(map, 0, clock, 0)).collect();
    for (session, scenario) in alone.iter_mut().zip(scenarios) {
        let _blame = Blame { scenario, gate: None };
        session.run(&scenario.setup);
    }
    let threads = scenarios.first().map_or(0, |scenario| scenario.threads.len());
    let gate = Gate::new(threads);
    let recorded: Vec<Vec<Vec<Event>>> = thread::scope(|scope| {
        let (gate, maps) = (&gate, &maps);
        let start = |index| scope.spawn(move || run_thread(index, scenarios, maps, clock, gate));
        let running: Vec<_> = (0..threads).map(start).collect();
        running
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    let mut recorded: Vec<_> = recorded.into_iter().map(Vec::into_iter).collect();
    let mut history = |mut session: Session<'_, V, Monotonic>, scenario: &Scenario| {
        let _blame = Blame { scenario, gate: None };
        session.run(&scenario.finale);
        let events = recorded.iter_mut().filter_map(Iterator::next).flatten().chain(session.into_events());
        History::new(scenario.keys, events.collect())
    };
    let histories: Vec<_> =
        alone.into_iter().zip(scenarios).map(|(session, scenario)| history(session, scenario)).collect();
    let stats: Vec<_> = maps.iter().map(SyncMap::stats).collect();
    if cfg!(readmostly_faults) {
        // A mistake that was planted may have had things retired twice.
        std::mem::forget(maps);
    }
    histories.into_iter().zip(stats).collect()
}

/// Runs the part of the `index`th thread in all scenarios.
fn run_thread<V: Value>(
    index: usize,
    scenarios: &[Scenario],
    maps: &[Map<V>],
    clock: Monotonic,
    gate: &Gate,
) -> Vec<Vec<Event>> {
    let run_one = |(round, (scenario, map)): (usize, (&Scenario, &Map<V>))| {
        let steps = &scenario.threads[index];
        let mut session = Session::new(map, index + 1, clock, steps.len());
        let _blame = Blame { scenario, gate: Some(gate) };
        set_pauses(scenario.seed ^ index as u64, scenario.pauses);
        // Twice, so that a thread which has to be woken for the first time is running when all go on.
        gate.pass(2 * round, scenario);
        gate.pass(2 * round + 1, scenario);
        session.run(steps);
        session.into_events()
    };
    scenarios.iter().zip(maps).enumerate().map(run_one).collect()
}

/// Where threads wait for each other.
struct Gate {
    threads: usize,
    arrived: AtomicUsize,
    broken: AtomicBool,
}

impl Gate {
    fn new(threads: usize) -> Self {
        Gate { threads, arrived: AtomicUsize::new(0), broken: AtomicBool::new(false) }
    }

    /// Waits until all threads have come here `round` times before and once more. Busily: who sleeps wakes up late.
    fn pass(&self, round: usize, scenario: &Scenario) {
        self.arrived.fetch_add(1, SeqCst);
        let mut spins = 0u32;
        let mut deadline = None;
        while self.arrived.load(SeqCst) < self.threads * (round + 1) {
            spins += 1;
            if !spins.is_multiple_of(256) {
                hint::spin_loop();
                continue;
            }
            assert!(!self.broken.load(SeqCst), "another thread has panicked");
            thread::yield_now();
            if spins.is_multiple_of(1 << 16)
                && Instant::now() > *deadline.get_or_insert_with(|| Instant::now() + PATIENCE)
            {
                // A thread in an endless loop can be neither joined nor ended.
                eprintln!("a thread did not come back from the scenario before this one: {scenario:#?}");
                process::abort();
            }
        }
    }
}

/// Says which scenario panicked, and lets the other threads go.
struct Blame<'s> {
    scenario: &'s Scenario,
    gate: Option<&'s Gate>,
}

impl Drop for Blame<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            if let Some(gate) = self.gate {
                gate.broken.store(true, SeqCst);
            }
            eprintln!("in the scenario {}", self.scenario.name());
        }
    }
}
