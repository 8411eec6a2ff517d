//! Histories of random schedules, checked for linearizability as those of real threads are, and mistakes that they must
//! find.
//!
//! shuttle runs one thread at a time and switches between them at the atomics and locks of the map, so a counter serves
//! as clock, and every history has the steps of its operations interleaved more finely than real threads would.
//! `READMOSTLY_HISTORIES` sets how many histories, 20,000 unless it is set.

#![cfg(readmostly_shuttle)]

#[path = "../../../tests/linearizability/apply.rs"]
mod apply;
#[path = "../../../tests/linearizability/checker.rs"]
mod checker;
mod controls;
#[path = "../../../tests/linearizability/history.rs"]
mod history;
mod loading;
#[path = "../../../tests/linearizability/report.rs"]
mod report;
#[path = "../../../tests/linearizability/scenario.rs"]
mod scenario;
#[path = "../../../tests/linearizability/spec.rs"]
mod spec;

use std::sync::{Arc, Mutex};

use apply::{Dropped, Map, Session, set_pauses};
use history::{Event, History, Ticks};
use scenario::Scenario;
use shuttle::scheduler::PctScheduler;
use shuttle::{Config, Runner};

/// Schedules that are tried of each scenario.
const SCHEDULES: usize = 20;

/// Points of a schedule at which a thread other than that of the highest priority goes on.
const DEPTH: usize = 3;

fn histories() -> usize {
    match std::env::var("READMOSTLY_HISTORIES") {
        Ok(number) => number.parse().expect("READMOSTLY_HISTORIES must be a number"),
        Err(_) => 20_000,
    }
}

/// Runs scenarios made from numbers from `seed` on, and checks their histories, until one is wrong or there were
/// `histories` of them. Returns how many there were, and a report of the one that is wrong.
fn hunt(seed: u64, histories: usize) -> (usize, Option<String>) {
    let _planted = readmostly_loom_tests::controls::planted();
    let mut done = 0;
    for number in 0.. {
        if done >= histories {
            break;
        }
        let scenario = Arc::new(Scenario::new(seed + number, 2 + (number % 2) as usize));
        let wrong = schedules(&scenario, seed + number, &mut done);
        if wrong.is_some() {
            return (done, wrong);
        }
    }
    (done, None)
}

/// Tries schedules of one scenario.
fn schedules(scenario: &Arc<Scenario>, seed: u64, done: &mut usize) -> Option<String> {
    let recorded = Arc::new(Mutex::new(Vec::new()));
    let (of, results) = (Arc::clone(scenario), Arc::clone(&recorded));
    let mut config = Config::new();
    config.stack_size = 1 << 18;
    config.silence_warnings = true;
    let scheduler = PctScheduler::new_from_seed(seed, DEPTH, SCHEDULES);
    Runner::new(scheduler, config).run(move || {
        let history = record(&of);
        results.lock().unwrap().push(history);
    });
    for history in recorded.lock().unwrap().drain(..) {
        *done += 1;
        if let Err(violation) = spec::check(&history) {
            return Some(report::report(scenario, &history, &violation));
        }
    }
    None
}

/// One execution of a scenario.
fn record(scenario: &Arc<Scenario>) -> History {
    set_pauses(0, 0);
    let clock = Ticks::default();
    let map: Arc<Map<Dropped>> = Arc::new(Map::with_hasher(scenario.hasher()));
    let mut alone = Session::new(&map, 0, clock.clone(), 0);
    alone.run(&scenario.setup);
    let start = |index: usize| {
        let (map, scenario, clock) = (Arc::clone(&map), Arc::clone(scenario), clock.clone());
        shuttle::thread::spawn(move || {
            let steps = &scenario.threads[index];
            let mut session = Session::new(&map, index + 1, clock, steps.len());
            session.run(steps);
            session.into_events()
        })
    };
    let running: Vec<_> = (0..scenario.threads.len()).map(start).collect();
    let mut events: Vec<Event> = running.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    alone.run(&scenario.finale);
    events.extend(alone.into_events());
    if readmostly_loom_tests::controls::is_planted() {
        // A mistake may have had things retired twice.
        std::mem::forget(map);
    }
    History::new(scenario.keys, events)
}

#[test]
fn histories_of_random_schedules_are_as_promised() {
    let (done, wrong) = hunt(1, histories());
    println!("{done} histories");
    if let Some(wrong) = wrong {
        panic!("history {done}: {wrong}");
    }
}
