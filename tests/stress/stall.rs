//! A reader that holds a guard for long: nothing is freed meanwhile, all of it afterwards.

use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use readmostly::SyncMap;

use crate::crew::{Settings, Worker, launch};
use crate::tracked::{self, Payload, Tracked};

/// Overwrites during a stall below which it has shown nothing, and above which writers pause.
const FEWEST: u64 = 5_000;
const MOST: u64 = 2_000_000;

/// What may wait while threads write and nobody stalls. They are more than the cores, and whichever is interrupted in
/// an operation stalls the others for a while.
const USUAL: u64 = 20_000;

/// Threads per core above which those who write rest in between: that an epoch lags by as long as all threads take to
/// have their turn is not what is looked at here.
const CROWD: usize = 4;

/// How long it may take until most of the garbage is gone; far longer than it does. And it may not grow to twice as
/// much first.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Clone, Copy, Debug)]
enum Holding {
    Ref,
    Pinned,
    Closure,
}

mod phase {
    pub(super) const BEFORE: u8 = 0;
    pub(super) const HELD: u8 = 1;
    pub(super) const LET_GO: u8 = 2;
    pub(super) const OVER: u8 = 3;
}

struct Stalled {
    map: SyncMap<Tracked, Tracked>,
    keys: u64,
    crowded: bool,
    holding: Holding,
    phase: AtomicU8,
    /// By the time the guard was let go of, counted from when it was taken.
    overwrites: AtomicU64,
}

/// One thread stalls, the others overwrite.
pub(crate) fn stall(settings: &Settings) {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    for holding in [Holding::Ref, Holding::Pinned, Holding::Closure] {
        let map = (0..settings.keys).map(|key| (Tracked::key(key), Tracked::new(key, 0))).collect();
        let (phase, overwrites) = (AtomicU8::new(phase::BEFORE), AtomicU64::new(0));
        let world = Arc::new(Stalled {
            map,
            keys: settings.keys,
            crowded: settings.threads > CROWD * cores,
            holding,
            phase,
            overwrites,
        });
        let threads = launch(&settings.part(3), &world, 0..settings.threads, |world, worker| {
            if worker.id == 0 { world.stall(worker) } else { world.write(worker) }
        });
        world.watch();
        threads.join();
        world.map.flush();
        assert_eq!(world.map.stats().pending_garbage, 0, "all threads are gone: {}", world.map.stats());
        assert_eq!(tracked::live(), 2 * settings.keys, "keys and values of the entries alone are left");
        drop(world);
        tracked::assert_all_dropped();
    }
}

impl Stalled {
    // SeqCst, throughout this module: it is about when, not about order.

    fn phase(&self) -> u8 {
        self.phase.load(Ordering::SeqCst)
    }

    fn enter(&self, phase: u8) {
        self.phase.store(phase, Ordering::SeqCst);
    }

    fn stall(&self, worker: Worker) {
        match self.holding {
            Holding::Ref => {
                let held = self.map.get(&0).expect("present throughout");
                self.wait(&held, worker);
            }
            Holding::Pinned => {
                let pinned = self.map.pin();
                self.wait(pinned.get(&0).expect("present throughout"), worker);
            }
            Holding::Closure => {
                let mut worker = Some(worker);
                self.map.update(&0, |held| {
                    if let Some(worker) = worker.take() {
                        self.wait(held, worker);
                    }
                    held.clone()
                });
            }
        }
    }

    /// Looks at `held` again and again until enough time has gone by and enough was overwritten. Says so before it is
    /// let go: what is read off until then was not dropped.
    fn wait(&self, held: &Tracked, mut worker: Worker) {
        self.enter(phase::HELD);
        let version = held.version_of(0);
        while worker.goes_on() || self.overwrites.load(Ordering::SeqCst) < FEWEST {
            thread::sleep(Duration::from_millis(1));
            assert_eq!(held.version_of(0), version);
        }
        self.enter(phase::LET_GO);
    }

    fn write(&self, mut worker: Worker) {
        while self.phase() != phase::OVER {
            let held = self.phase() == phase::HELD;
            if held && self.overwrites.load(Ordering::SeqCst) > MOST {
                thread::sleep(Duration::from_millis(1));
                continue;
            }
            for _ in 0..16 {
                let key = worker.below(self.keys);
                self.map.update(&key, |value| Tracked::new(key, value.version_of(key) + 1));
            }
            if held && self.phase() == phase::HELD {
                self.overwrites.fetch_add(16, Ordering::SeqCst);
            } else if self.crowded {
                thread::sleep(Duration::from_millis(1));
            }
        }
    }

    /// Reads the figures while the others run.
    fn watch(&self) {
        let (mut peak, mut overwrites, mut waiting) = (0, 0, 0);
        loop {
            let read = (self.overwrites.load(Ordering::SeqCst), self.waiting());
            if self.phase() >= phase::LET_GO {
                break;
            }
            (overwrites, waiting) = read;
            peak = self.pending().max(peak);
            thread::sleep(Duration::from_micros(200));
        }
        let holding = self.holding;
        assert!(waiting >= overwrites * 9 / 10, "{holding:?}: {waiting} of {overwrites} were not dropped yet");
        // The figure leaves out what threads that were interrupted have in their hands.
        assert!(peak as u64 >= overwrites / 8, "{holding:?}: {peak} shown as pending, of {overwrites} overwritten");
        let start = Instant::now();
        while self.waiting() > (overwrites / 8).max(USUAL) {
            let fails = start.elapsed() > PATIENCE || self.waiting() > 2 * (overwrites + MOST);
            assert!(!fails, "{holding:?}: {} not dropped, of {overwrites}; {}", self.waiting(), self.map.stats());
            thread::sleep(Duration::from_micros(200));
        }
        let (waiting, time) = (self.waiting(), start.elapsed());
        println!("    {holding:?}: {overwrites} overwrites, {peak} pending; {waiting} not dropped {time:.0?} later");
        self.enter(phase::OVER);
    }

    /// How many values have been replaced and not dropped.
    fn waiting(&self) -> u64 {
        tracked::live().saturating_sub(2 * self.keys)
    }

    fn pending(&self) -> usize {
        self.map.stats().pending_garbage
    }
}
