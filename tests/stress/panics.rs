//! Threads that die in the middle of an operation, wherever that runs code of the user's.
//!
//! Such a thread works with a fuse: the n-th call of user code panics. For every other thread only calls at one place
//! count, at each in turn, or hardly any would die at those that are seldom come to. What it leaves must be whole, and
//! must not hold the freeing of memory back.

use std::borrow::Borrow;
use std::cell::Cell;
use std::hash::{Hash, Hasher};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use readmostly::{Operation, SyncMap};

use crate::crew::{Crew, Settings, Worker, launch};
use crate::tracked::{self, Payload, Tracked};

/// Where user code is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Hash,
    Eq,
    Clone,
    Drop,
    GetOrInsertWith,
    Update,
    Compute,
    RemoveIf,
    Retain,
    Range,
    Snapshot,
    Iteration,
}

const PLACES: [Place; 12] = [
    Place::Hash,
    Place::Eq,
    Place::Clone,
    Place::Drop,
    Place::GetOrInsertWith,
    Place::Update,
    Place::Compute,
    Place::RemoveIf,
    Place::Retain,
    Place::Range,
    Place::Snapshot,
    Place::Iteration,
];

/// How many fuses there have been.
static FUSES: AtomicUsize = AtomicUsize::new(0);

/// How many threads have died, by place.
static DEATHS: [AtomicU64; PLACES.len()] = [const { AtomicU64::new(0) }; PLACES.len()];

/// Changes by which a thread has died. Most die within some hundred.
const MOST: u64 = 1_000_000;

/// The payload of a panic that belongs to the test.
struct Planned;

thread_local! {
    static FUSE: Cell<Option<Fuse>> = const { Cell::new(None) };
}

#[derive(Clone, Copy, Debug)]
struct Fuse {
    /// Where calls count; `None`: everywhere.
    place: Option<Place>,
    /// Calls until one panics.
    left: u64,
}

impl Fuse {
    /// Mostly short, at times past the middle of a walk.
    fn draw(worker: &mut Worker) -> Self {
        // Relaxed: a number that nothing else follows from.
        let number = FUSES.fetch_add(1, Ordering::Relaxed);
        let place = (number % 2 == 1).then(|| PLACES[number / 2 % PLACES.len()]);
        let longest = 1 + worker.below(150);
        Fuse { place, left: 1 + worker.below(longest) }
    }

    fn counts(&self, place: Place) -> bool {
        self.place.is_none_or(|only| only == place)
    }
}

fn user_code(place: Place) {
    let Some(mut fuse) = FUSE.get().filter(|fuse| fuse.counts(place)) else { return };
    fuse.left -= 1;
    FUSE.set((fuse.left > 0).then_some(fuse));
    if fuse.left == 0 {
        // Relaxed: read when the threads have been joined.
        DEATHS[place as usize].fetch_add(1, Ordering::Relaxed);
        // Not `panic!`, whose hook would print something.
        resume_unwind(Box::new(Planned));
    }
}

/// A key or value whose every trait method is user code.
struct Fused(Tracked);

impl Drop for Fused {
    fn drop(&mut self) {
        user_code(Place::Drop);
    }
}

impl Clone for Fused {
    fn clone(&self) -> Self {
        user_code(Place::Clone);
        Fused(self.0.clone())
    }
}

impl PartialEq for Fused {
    fn eq(&self, other: &Self) -> bool {
        user_code(Place::Eq);
        self.0 == other.0
    }
}

impl Eq for Fused {}

impl Hash for Fused {
    fn hash<H: Hasher>(&self, state: &mut H) {
        user_code(Place::Hash);
        self.0.hash(state);
    }
}

/// For lookups that must come through.
impl Borrow<u64> for Fused {
    fn borrow(&self) -> &u64 {
        self.0.borrow()
    }
}

fn key(id: u64) -> Fused {
    Fused(Tracked::key(id))
}

fn value(id: u64) -> Fused {
    Fused(Tracked::new(id, 1))
}

struct Survived {
    map: SyncMap<Fused, Fused>,
    /// Keys below this are there throughout, those from here to twice as many come and go.
    stay: u64,
}

/// Threads die in the middle of operations; those after them find everything as it should be.
pub(crate) fn panics(settings: &Settings) {
    let stay = settings.keys / 4;
    let world = Arc::new(Survived { map: (0..stay).map(|id| (key(id), value(id))).collect(), stay });
    let mut settings = *settings;
    let mut pace = settings.by(100).pace();
    let mut last = Crew::default();
    while pace.goes_on() {
        settings.seed += 1;
        let next = launch(&settings, &world, 0..settings.threads, |world, worker| world.live_and_die(worker));
        bury(std::mem::replace(&mut last, next));
    }
    bury(last);
    world.assert_whole();
    drop(world);
    tracked::assert_all_dropped();

    // Relaxed: the threads have been joined.
    let deaths = DEATHS.each_ref().map(|deaths| deaths.load(Ordering::Relaxed));
    let all: u64 = deaths.iter().sum();
    println!("    {all} threads died; by place: {deaths:?}");
}

/// Joins threads that may have died as planned.
fn bury(crew: Crew) {
    if let Some(panic) = crew.ends().find(|panic| !panic.is::<Planned>()) {
        resume_unwind(panic);
    }
}

impl Survived {
    fn live_and_die(&self, mut worker: Worker) {
        for id in 0..self.stay {
            assert!(self.map.get(&id).is_some_and(|found| found.0.version_of(id) == 1), "{id} is there throughout");
        }
        let fuse = Fuse::draw(&mut worker);
        FUSE.set(Some(fuse));
        for _ in 0..MOST {
            let id = self.stay + worker.below(self.stay);
            self.change(&mut worker, id);
        }
        FUSE.set(None);
        panic!("{MOST} changes do not come to {fuse:?}");
    }

    fn change(&self, worker: &mut Worker, id: u64) {
        let map = &self.map;
        match worker.below(16) {
            0..4 => drop(map.insert(key(id), value(id))),
            4 => drop(map.remove(&key(id))),
            5 => drop(map.get_or_insert_with(key(id), || {
                user_code(Place::GetOrInsertWith);
                value(id)
            })),
            6 => drop(map.update(&key(id), |old| {
                user_code(Place::Update);
                old.clone()
            })),
            7 => drop(map.compute(key(id), |old| {
                user_code(Place::Compute);
                if old.is_some() { Operation::<Fused, ()>::Remove } else { Operation::Insert(value(id)) }
            })),
            8 => drop(map.remove_if(&key(id), |_, _| {
                user_code(Place::RemoveIf);
                true
            })),
            9 => drop(map.compare_and_swap(&key(id), &value(id), value(id))),
            10 => drop(map.try_insert(key(id), value(id))),
            11 => drop(map.get_cloned(&key(id))),
            _ => self.look(worker),
        }
    }

    fn look(&self, worker: &mut Worker) {
        let map = &self.map;
        match worker.below(5) {
            0 => map.retain(|key, _| {
                user_code(Place::Retain);
                key.0.id() % 2 == 0 || key.0.id() < self.stay
            }),
            1 => map.range(|key, value| {
                user_code(Place::Range);
                value.0.version_of(key.0.id()) == 1
            }),
            2 => map.snapshot().for_each(|key, value| {
                user_code(Place::Snapshot);
                value.0.version_of(key.0.id());
            }),
            3 => map.compact(),
            _ => map.pin().iter().for_each(|(key, value)| {
                user_code(Place::Iteration);
                value.0.version_of(key.0.id());
            }),
        }
    }

    fn assert_whole(&self) {
        let map = &self.map;
        let mut entries = 0;
        map.range(|key, value| {
            value.0.version_of(key.0.id());
            entries += 1;
            true
        });
        assert_eq!(map.len(), entries);
        let (first, many) = (2 * self.stay, 1000);
        (first..first + many).for_each(|id| drop(map.insert(key(id), value(id))));
        assert_eq!(map.len() as u64, entries as u64 + many);
        (first..first + many).for_each(|id| assert!(map.remove(&id).is_some()));
        map.compact();
        map.flush();
        assert_eq!(map.stats().pending_garbage, 0, "the dead hold nothing back: {}", map.stats());
        assert_eq!(tracked::live(), 2 * entries as u64, "keys and values of the entries alone are left");
    }
}
