//! A map on a stage of its own, behind one type for all maps.

use super::{
    Setting,
    open::{Pace, Timed, Timings},
    plan::{LoadKey, Payload, Plan},
    player::{Player, Progress, Tally},
};
use crate::{
    latency::Stopwatch,
    peers::{Handle, Hasher, Map, Peer, PerMap},
    threads::{Cores, Worker, preemptions, race},
};
use anyhow::{Result, ensure};
use std::{
    marker::PhantomData,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// Operations between two looks at whether a turn is over. Few, since they may take long if many threads wait for one
/// lock.
const CHUNK: usize = 64;
/// Operations of all threads before a warm turn, about.
const WARM_UP: usize = 1 << 16;
/// Operations of a thread before a warm turn, at least.
const SHORTEST_WARM_UP: usize = 256;
/// A warm-up ends after this time in any case.
const LONGEST_WARM_UP: Duration = Duration::from_millis(100);

/// When a turn ends.
#[derive(Clone, Copy, Debug)]
pub enum Length {
    /// After this time.
    Time(Duration),
    /// When every thread has done this many operations.
    Operations {
        /// How many.
        count: usize,
        /// A turn that takes longer ends unfinished, so that a map that gets stuck doesn't keep the others from theirs.
        at_most: Duration,
    },
}

/// What came of a turn in a closed loop.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    /// What was done.
    pub tally: Tally,
    /// From the start of the first thread to the end of the last.
    pub wall: Duration,
    /// How often the system took the processor from one of the threads, if it says.
    pub preemptions: Option<u64>,
}

impl Turn {
    /// Operations per second of all threads together.
    pub fn rate(&self) -> f64 {
        self.tally.operations as f64 / self.wall.as_secs_f64()
    }
}

/// A map that plays a plan.
pub trait Contender {
    /// One turn in a closed loop: every thread does its next operation as soon as the last is done.
    fn closed(&mut self, length: Length) -> Result<Turn>;

    /// One turn in an open loop: operations are due at a fixed rate.
    fn open(&mut self, pace: &Pace) -> Result<Timed>;
}

/// The contenders of a workload.
pub struct Lineup(pub Vec<(&'static str, Box<dyn Contender>)>);

impl std::fmt::Debug for Lineup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

/// Every peer of the setting with a map for that plan.
pub fn lineup<K: LoadKey, V: Payload>(plan: Plan<K>, setting: &Setting) -> Lineup {
    let plan = Arc::new(plan);
    let enter = |&peer: &Peer| {
        let entry = Entry { plan: Arc::clone(&plan), setting, values: PhantomData::<fn() -> V> };
        (peer.name(), peer.with::<K, V, _>(entry))
    };
    Lineup(setting.peers.iter().map(enter).collect())
}

struct Entry<'a, K: LoadKey, V> {
    plan: Arc<Plan<K>>,
    setting: &'a Setting,
    values: PhantomData<fn() -> V>,
}

impl<K: LoadKey, V: Payload> PerMap<K, V> for Entry<'_, K, V> {
    type Output = Box<dyn Contender>;

    fn run<M: Map<K, V>>(self) -> Self::Output {
        let Setting { cores, hasher, .. } = self.setting;
        Box::new(Stage::<K, V, M>::new(self.plan, cores.clone(), *hasher))
    }
}

/// A map and how far each thread has come with it.
struct Stage<K: LoadKey, V, M> {
    plan: Arc<Plan<K>>,
    cores: Cores,
    hasher: Hasher,
    map: Option<M>,
    progress: Vec<Progress>,
    values: PhantomData<fn() -> V>,
}

impl<K: LoadKey, V: Payload, M: Map<K, V>> Stage<K, V, M> {
    fn new(plan: Arc<Plan<K>>, cores: Cores, hasher: Hasher) -> Self {
        Self { plan, cores, hasher, map: None, progress: Vec::new(), values: PhantomData }
    }

    /// Fills a map if there is none yet or the last must not be used again.
    fn set(&mut self) {
        if self.map.is_some() && !self.plan.cold {
            return;
        }
        self.map = None;
        let plan = &*self.plan;
        let map = M::empty(plan.capacity, self.hasher);
        map.load(plan.keys[..plan.filled].iter().enumerate().map(|(i, key)| (key.clone(), plan.value(i))));
        if plan.settled {
            map.settle();
        }
        self.map = Some(map);
        self.progress = (0..plan.scripts.len()).map(Progress::new).collect();
    }

    /// Has every thread play; the map is there.
    fn race(&mut self, duration: Duration, until: Until<'_>) -> Result<Vec<Part>> {
        let map = self.map.as_ref().expect("the map was set");
        let warm_up = if self.plan.cold { 0 } else { (WARM_UP / self.plan.scripts.len()).max(SHORTEST_WARM_UP) };
        let performer = |(thread, progress): (usize, &Progress)| Performer {
            map,
            plan: &*self.plan,
            thread,
            progress: progress.clone(),
            warm_up,
            until,
            timings: None,
            values: PhantomData::<fn() -> V>,
        };
        let performers = self.progress.iter().enumerate().map(performer).collect();
        let parts: Vec<Part> = race(&self.cores, duration, performers).into_iter().map(|share| share.figure).collect();
        for (kept, part) in self.progress.iter_mut().zip(&parts) {
            *kept = part.progress.clone();
        }
        let wrong = tally(&parts).wrong;
        ensure!(
            wrong == 0,
            "expected {} to be a correct map, but {wrong} operations found what they must not",
            M::NAME
        );
        Ok(parts)
    }
}

impl<K: LoadKey, V: Payload, M: Map<K, V>> Contender for Stage<K, V, M> {
    fn closed(&mut self, length: Length) -> Result<Turn> {
        self.set();
        let parts = match length {
            Length::Time(duration) => self.race(duration, Until::Stopped)?,
            Length::Operations { count, at_most } => self.race(Duration::ZERO, Until::Done(count, at_most))?,
        };
        Ok(Turn { tally: tally(&parts), wall: wall(&parts), preemptions: preempted(&parts) })
    }

    fn open(&mut self, pace: &Pace) -> Result<Timed> {
        self.set();
        let mut parts = self.race(Duration::ZERO, Until::Paced(pace))?;
        let mut timings = Timings::default();
        for part in &mut parts {
            timings.merge(&part.timings.take().unwrap_or_default());
        }
        Ok(Timed { timings, tally: tally(&parts), wall: wall(&parts), preemptions: preempted(&parts) })
    }
}

/// When a thread's turn ends.
#[derive(Clone, Copy)]
enum Until<'a> {
    /// When it is told to stop.
    Stopped,
    /// When it has done this many operations, or this time has passed.
    Done(usize, Duration),
    /// When all that was due has been done.
    Paced(&'a Pace),
}

/// What one thread did in a turn.
struct Part {
    progress: Progress,
    tally: Tally,
    timings: Option<Timings>,
    began: Instant,
    ended: Instant,
    preemptions: Option<u64>,
}

fn tally(parts: &[Part]) -> Tally {
    let mut sum = Tally::default();
    parts.iter().for_each(|part| sum.add(part.tally));
    sum
}

fn preempted(parts: &[Part]) -> Option<u64> {
    parts.iter().map(|part| part.preemptions).sum()
}

/// With more threads than cores some start long after the others, so no thread's own time is the turn's.
fn wall(parts: &[Part]) -> Duration {
    let began = parts.iter().map(|part| part.began).min();
    let ended = parts.iter().map(|part| part.ended).max();
    began.zip(ended).map_or(Duration::ZERO, |(began, ended)| ended - began)
}

/// One thread of a turn.
struct Performer<'a, K: LoadKey, V, M> {
    map: &'a M,
    plan: &'a Plan<K>,
    thread: usize,
    progress: Progress,
    warm_up: usize,
    until: Until<'a>,
    timings: Option<Timings>,
    values: PhantomData<fn() -> V>,
}

impl<K: LoadKey, V: Payload, M: Map<K, V>> Performer<'_, K, V, M> {
    fn player(&self) -> Player<'_, K, V, M::Handle<'_>> {
        Player::new(self.map.handle(), self.plan, self.thread, self.progress.clone())
    }
}

/// Plays so many steps, but no longer than that.
fn play_at_most<K, V, H>(player: &mut Player<'_, K, V, H>, count: usize, longest: Duration)
where
    K: LoadKey,
    V: Payload,
    H: Handle<K, V>,
{
    let start = Instant::now();
    let mut left = count;
    while left > 0 && start.elapsed() < longest {
        let some = left.min(CHUNK);
        player.play(some);
        left -= some;
    }
}

impl<K: LoadKey, V: Payload, M: Map<K, V>> Worker for Performer<'_, K, V, M> {
    type Figure = Part;

    fn warm_up(&mut self) {
        let mut player = self.player();
        play_at_most(&mut player, self.warm_up, LONGEST_WARM_UP);
        self.progress = player.finish().0;
        self.timings = matches!(self.until, Until::Paced(_)).then(Timings::touched);
    }

    fn work(&mut self, stop: &AtomicBool) -> Part {
        let mut timings = self.timings.take();
        let before = preemptions();
        let began = Instant::now();
        let mut player = self.player();
        match (self.until, &mut timings) {
            (Until::Paced(pace), Some(timings)) => {
                pace.keep(&mut player, self.thread, &Stopwatch::default(), timings);
            }
            (Until::Done(count, at_most), _) => play_at_most(&mut player, count, at_most),
            _ => loop {
                player.play(CHUNK);
                if stop.load(Ordering::Relaxed) {
                    break;
                }
            },
        }
        let (progress, tally) = player.finish();
        let ended = Instant::now();
        let preemptions = preemptions().zip(before).map(|(after, before)| after - before);
        Part { progress, tally, timings, began, ended, preemptions }
    }
}
