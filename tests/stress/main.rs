//! Stress: more threads than cores, values that notice what is done to them, and mistakes on request.
//!
//! A program and not a set of `#[test]`s, so that sanitizers and valgrind see threads of its own making alone.
//! `cargo test --test stress -- --help` says what it can be asked for.

mod changes;
#[path = "../common/mod.rs"]
mod common;
mod crew;
mod kernel;
mod lives;
mod panics;
mod plant;
mod reads;
mod stall;
mod tracked;
#[cfg(readmostly_tsan)]
mod tsan;
mod views;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{self, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use clap::Parser;
use clap::builder::PossibleValuesParser;
use readmostly::SyncMap;

use crew::{Amount, Settings};

type Scenario = fn(&Settings);

const SCENARIOS: [(&str, Scenario); 13] = [
    ("overwrites", reads::overwrites),
    ("growth", reads::growth),
    ("churn", changes::churn),
    ("counters", changes::counters),
    ("clear", changes::clear),
    ("members", changes::members),
    ("views", views::views),
    ("visitors", lives::visitors),
    ("exits", lives::exits),
    ("maps", lives::maps),
    ("stall", stall::stall),
    ("panics", panics::panics),
    ("first-use", lives::first_use),
];

/// Uses maps from many threads at once and checks what they do.
#[derive(Debug, Parser)]
#[command(name = "stress", max_term_width = 100)]
struct Arguments {
    /// A scenario to run; may be given several times [default: all of them]
    #[arg(long = "scenario", value_name = "NAME",
          value_parser = PossibleValuesParser::new(SCENARIOS.map(|(name, _)| name)))]
    scenarios: Vec<String>,

    /// A scenario to leave out; may be given several times
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(SCENARIOS.map(|(name, _)| name)))]
    except: Vec<String>,

    /// How long each scenario takes, about
    #[arg(long, value_name = "S", default_value = "0.6", conflicts_with = "rounds",
          value_parser = |seconds: &str| seconds.parse().map(Duration::from_secs_f64))]
    seconds: Duration,

    /// Steps that each thread takes in a scenario, about, in place of a time
    #[arg(long, value_name = "N")]
    rounds: Option<u64>,

    /// Threads [default: twice as many as there are cores, at least 4]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(4..=256))]
    threads: Option<u64>,

    /// Keys that a scenario works on; growth goes on to fifty times as many
    #[arg(long, value_name = "N", default_value = "400", value_parser = clap::value_parser!(u64).range(64..))]
    keys: u64,

    /// Seed of everything that is drawn at random
    #[arg(long, value_name = "N", default_value = "1")]
    seed: u64,

    /// A mistake to plant in the maps, by the name it has in the crate; in builds with `--cfg readmostly_faults`
    #[arg(long, value_name = "NAME", value_parser = plant::fault)]
    plant: Option<plant::Fault>,

    /// Runs as on a kernel that refuses `membarrier`
    #[arg(long)]
    no_membarrier: bool,

    /// Seconds after which a scenario is taken to be stuck, and the process aborted
    #[arg(long, value_name = "S", default_value = "600")]
    limit: u64,

    #[command(flatten)]
    libtest: Libtest,
}

/// What `cargo test` passes on to every test program, and cargo-nextest asks of it.
#[derive(Debug, Parser)]
struct Libtest {
    /// Runs only scenarios whose names contain one of these
    filters: Vec<String>,
    #[arg(long, hide = true)]
    exact: bool,
    #[arg(long, hide = true)]
    list: bool,
    #[arg(long, hide = true)]
    ignored: bool,
    #[arg(long, hide = true, num_args = 1)]
    format: Option<String>,
    #[arg(long, hide = true, num_args = 1)]
    test_threads: Option<String>,
    #[arg(long, hide = true)]
    include_ignored: bool,
    #[arg(long, hide = true)]
    nocapture: bool,
    #[arg(long, hide = true)]
    no_capture: bool,
    #[arg(long, hide = true)]
    show_output: bool,
    #[arg(long, short, hide = true)]
    quiet: bool,
}

impl Libtest {
    fn asks_for(&self, name: &str) -> bool {
        let matches = |filter: &String| if self.exact { filter == name } else { name.contains(filter) };
        !self.ignored && (self.filters.is_empty() || self.filters.iter().any(matches))
    }
}

impl Arguments {
    fn settings(&self) -> Settings {
        let cores = thread::available_parallelism().map_or(2, |cores| cores.get() as u64);
        Settings {
            threads: self.threads.unwrap_or((2 * cores).max(4)) as usize,
            keys: self.keys,
            seed: self.seed,
            amount: self.rounds.map_or(Amount::Time(self.seconds), Amount::Steps),
        }
    }

    fn asks_for(&self, name: &str) -> bool {
        let is_name = |given: &String| given == name;
        let named = self.scenarios.is_empty() || self.scenarios.iter().any(is_name);
        named && !self.except.iter().any(is_name) && self.libtest.asks_for(name)
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let settings = arguments.settings();
    let chosen = SCENARIOS.into_iter().filter(|(name, _)| arguments.asks_for(name));
    if arguments.libtest.list {
        chosen.for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    if arguments.no_membarrier
        && let Err(error) = kernel::refuse_membarrier()
    {
        eprintln!("system calls cannot be filtered here: {error}");
        return ExitCode::from(77);
    }
    let _planted = arguments.plant.map(|fault| {
        // For who expects this to fail: that it was for this.
        println!("planted: {fault:?}");
        plant::plant(fault)
    });
    warm_up();
    println!("{settings:?}");
    for (name, scenario) in chosen {
        println!("{name}");
        let start = Instant::now();
        let watchdog = Watchdog::new(name, Duration::from_secs(arguments.limit));
        if catch_unwind(AssertUnwindSafe(|| scenario(&settings))).is_err() {
            eprintln!("scenario {name} failed, with {settings:?}");
            return ExitCode::FAILURE;
        }
        watchdog.stop();
        println!("    {:.1?}", start.elapsed());
    }
    ExitCode::SUCCESS
}

/// Aborts the process if it exists for too long: what hangs should say so, and leave something to look at.
struct Watchdog {
    thread: JoinHandle<()>,
    done: Arc<AtomicBool>,
}

impl Watchdog {
    fn new(name: &'static str, limit: Duration) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let watched = Arc::clone(&done);
        let thread = thread::spawn(move || {
            let start = Instant::now();
            // Relaxed: nothing follows from it.
            while !watched.load(Relaxed) {
                thread::park_timeout(Duration::from_secs(1));
                if start.elapsed() > limit {
                    eprintln!("scenario {name} has not ended within {limit:?}");
                    process::abort();
                }
            }
        });
        Watchdog { thread, done }
    }

    fn stop(self) {
        self.done.store(true, Relaxed);
        self.thread.thread().unpark();
        self.thread.join().expect("it does not panic");
    }
}

/// Has everything that the crate sets up once per process set up before there are threads: how the standard library
/// makes them wait for each other then is hidden from ThreadSanitizer.
fn warm_up() {
    let map: SyncMap<u64, String> = SyncMap::new();
    for round in 0..5_000 {
        map.insert(round % 50, round.to_string());
    }
    map.flush();
}
