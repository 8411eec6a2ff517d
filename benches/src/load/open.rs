//! Latency: operations are due at a fixed rate, whether or not the ones before them are done.
//!
//! An operation's latency counts from the moment when it was due, so that whatever holds a thread up is felt by all
//! operations that were due meanwhile, as it would be by the requests of a service: this is what "corrected for
//! coordinated omission" means. Its service time counts from when it really began. Between operations threads spin
//! on the clock, since a thread that sleeps is woken late by an unknown time; so there should be a core for each.
//!
//! On a machine that also runs other programs, the tail of either is theirs. So a third time leaves out what the system
//! took: a thread that is away from the clock for too long while it waits, or loses the processor during an operation,
//! counts latency from when the operation would have been due without that, until it has caught up.

use super::{
    contender::Lineup,
    plan::{LoadKey, Payload},
    player::{Class, Player, Tally},
};
use crate::{
    latency::{Latencies, Stopwatch},
    measure::Summary,
    peers::{Handle, RENEW},
    threads::preemptions,
};
use anyhow::{Result, ensure};
use std::time::Duration;

/// The shares of operations whose latency is reported; 1 stands for the slowest.
pub const QUANTILES: [f64; 6] = [0.5, 0.9, 0.99, 0.999, 0.9999, 1.0];
/// A quantile is given only if at least so many operations of a round are slower.
const BEYOND: f64 = 10.0;
/// Turns that count when a contender's capacity is measured.
const CAPACITY_TURNS: usize = 3;
/// A thread that does not look at the clock for so many nanoseconds may have lost the processor.
const ABSENCE: u64 = 20_000;
/// A thread that lags behind gives up after this many times the intended duration.
const PATIENCE: f64 = 3.0;

/// What a thread that keeps a [`Pace`] goes by.
pub trait Clock {
    /// A moment to measure from.
    fn stamp(&self) -> u64;

    /// The nanoseconds from a [`Clock::stamp`] until now.
    fn ns_since(&self, stamp: u64) -> u64;

    /// How often the system has taken the processor from the calling thread, if it says.
    fn preemptions(&self) -> Option<u64>;
}

impl Clock for Stopwatch {
    #[inline]
    fn stamp(&self) -> u64 {
        Self::stamp(self)
    }

    #[inline]
    fn ns_since(&self, stamp: u64) -> u64 {
        Self::ns_since(self, stamp)
    }

    #[cold]
    fn preemptions(&self) -> Option<u64> {
        preemptions()
    }
}

/// When operations are due.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Nanoseconds between two operations of a thread; 0 if each is due when the last is done.
    interval: f64,
    /// How many of them each thread does.
    operations: u64,
    threads: usize,
}

impl Pace {
    /// So many operations per second of each of `threads` threads, for that time.
    pub fn new(rate: f64, duration: Duration, threads: usize) -> Self {
        let operations = (rate * duration.as_secs_f64()).max(1.0) as u64;
        Self { interval: 1e9 / rate, operations, threads }
    }

    /// So many operations of each thread, each due when the last is done: service times without a rate.
    pub fn unbroken(operations: u64, threads: usize) -> Self {
        Self { interval: 0.0, operations, threads }
    }

    /// Operations per second of each thread; none if each is due when the last is done.
    pub fn rate(&self) -> Option<f64> {
        (self.interval > 0.0).then(|| 1e9 / self.interval)
    }

    /// Has `player` do what is due. The threads take turns instead of all starting at the same moments.
    pub fn keep<K: LoadKey, V: Payload, H: Handle<K, V>>(
        &self,
        player: &mut Player<'_, K, V, H>,
        thread: usize,
        clock: &impl Clock,
        timings: &mut Timings,
    ) {
        let offset = self.interval * thread as f64 / self.threads as f64;
        let planned = |operation: u64| (offset + self.interval * operation as f64) as u64;
        let deadline = (planned(self.operations) as f64 * PATIENCE) as u64;
        let origin = clock.stamp();
        let mut taken = Taken { ns: 0, preemptions: clock.preemptions() };
        let mut now = 0;
        for operation in 0..self.operations {
            let planned = planned(operation);
            if now < planned {
                // On time again.
                taken.ns = 0;
            }
            loop {
                let last = std::mem::replace(&mut now, clock.ns_since(origin));
                if now - last > ABSENCE {
                    taken.ns += now - last;
                }
                if now >= planned {
                    break;
                }
                std::hint::spin_loop();
            }
            let began = now;
            let due = if self.interval > 0.0 { planned } else { began };
            if self.interval > 0.0 && began > deadline {
                timings.give_up(player.skip(), began - due, taken.ns);
                continue;
            }
            let class = player.step();
            now = clock.ns_since(origin);
            timings.add(class, now - due, now - began);
            if now - began <= ABSENCE || !taken.during(now - began, clock.preemptions()) {
                timings.undisturbed[class as usize].record(now - began.min(due + taken.ns));
            }
            if operation % RENEW as u64 == 0 {
                player.renew();
            }
        }
    }
}

/// What the system has taken from a thread since it was last on time.
struct Taken {
    ns: u64,
    preemptions: Option<u64>,
}

impl Taken {
    /// Whether the system took the processor during an operation of `ns`, if after it it has done so `now` times.
    #[cold]
    fn during(&mut self, ns: u64, now: Option<u64>) -> bool {
        let taken = now != self.preemptions;
        self.preemptions = now;
        self.ns += if taken { ns } else { 0 };
        taken
    }
}

/// The times of operations, by what they were.
#[derive(Clone, Debug, Default)]
pub struct Timings {
    /// From when each was due, by [`Class`].
    pub latency: [Latencies; Class::ALL.len()],
    /// From when each began.
    pub service: [Latencies; Class::ALL.len()],
    /// From when each was due, without the time that the system took.
    pub undisturbed: [Latencies; Class::ALL.len()],
    /// How many never began, because their thread lagged too far behind. Their latency is counted as if they had ended
    /// when it gave up.
    pub given_up: u64,
}

impl Timings {
    /// Empty, and with all of its memory touched, so that no page has to be fetched during the measurement.
    pub fn touched() -> Self {
        let mut timings = Self::default();
        let Self { latency, service, undisturbed, .. } = &mut timings;
        latency.iter_mut().chain(service).chain(undisturbed).for_each(Latencies::clear);
        timings
    }

    #[inline]
    fn add(&mut self, class: Class, latency: u64, service: u64) {
        self.latency[class as usize].record(latency);
        self.service[class as usize].record(service);
    }

    #[cold]
    fn give_up(&mut self, class: Class, latency: u64, taken: u64) {
        self.latency[class as usize].record(latency);
        self.undisturbed[class as usize].record(latency.saturating_sub(taken));
        self.given_up += 1;
    }

    /// Adds those of another thread.
    pub(super) fn merge(&mut self, other: &Self) {
        for class in 0..Class::ALL.len() {
            self.latency[class].merge(&other.latency[class]);
            self.service[class].merge(&other.service[class]);
            self.undisturbed[class].merge(&other.undisturbed[class]);
        }
        self.given_up += other.given_up;
    }
}

/// What came of a turn in an open loop.
#[derive(Clone, Debug)]
pub struct Timed {
    /// The times of all threads' operations.
    pub timings: Timings,
    /// What was done.
    pub tally: Tally,
    /// From the start of the first thread to the end of the last.
    pub wall: Duration,
    /// How often the system took the processor from one of the threads, if it says.
    pub preemptions: Option<u64>,
}

/// The quantiles of every round and the times of all rounds together.
#[derive(Clone, Debug, Default)]
pub struct Distribution {
    rounds: usize,
    /// One figure per round and quantile; fewer where a round had too few operations for the quantile.
    per_round: [Vec<f64>; QUANTILES.len()],
    /// Of all rounds together.
    pub merged: Latencies,
}

impl Distribution {
    /// Adds a round.
    pub fn add(&mut self, round: &Latencies) {
        self.rounds += 1;
        for (samples, quantile) in self.per_round.iter_mut().zip(QUANTILES) {
            let enough = round.len() as f64 * (1.0 - quantile) >= BEYOND;
            if enough || (quantile == 1.0 && !round.is_empty()) {
                samples.push(round.quantile(quantile) as f64);
            }
        }
        self.merged.merge(round);
    }

    /// The quantile with that number round by round, if every round had enough operations for it.
    pub fn samples(&self, quantile: usize) -> Option<&[f64]> {
        let samples = &self.per_round[quantile];
        (samples.len() == self.rounds && self.rounds > 0).then_some(samples)
    }
}

impl<'a> FromIterator<&'a Latencies> for Distribution {
    fn from_iter<I: IntoIterator<Item = &'a Latencies>>(rounds: I) -> Self {
        let mut distribution = Self::default();
        rounds.into_iter().for_each(|round| distribution.add(round));
        distribution
    }
}

/// What one contender's operations took.
#[derive(Clone, Debug)]
pub struct Profile {
    /// The contender.
    pub name: &'static str,
    /// Whether operations were due at a rate; if not, latency is service time.
    pub paced: bool,
    /// From when operations were due, by [`Class`].
    pub latency: [Distribution; Class::ALL.len()],
    /// From when they began.
    pub service: [Distribution; Class::ALL.len()],
    /// From when they were due, without the time that the system took.
    pub undisturbed: [Distribution; Class::ALL.len()],
    /// How many never began.
    pub given_up: u64,
    /// What was done in all rounds.
    pub tally: Tally,
    /// How often the system took the processor from one of the threads, round by round; empty if it doesn't say.
    pub preemptions: Vec<f64>,
}

impl Profile {
    fn of(name: &'static str, pace: &Pace) -> Self {
        let (latency, service, undisturbed) = Default::default();
        Self {
            name,
            paced: pace.rate().is_some(),
            latency,
            service,
            undisturbed,
            given_up: 0,
            tally: Tally::default(),
            preemptions: Vec::new(),
        }
    }

    fn add(&mut self, turn: &Timed) {
        for class in 0..Class::ALL.len() {
            self.latency[class].add(&turn.timings.latency[class]);
            self.service[class].add(&turn.timings.service[class]);
            self.undisturbed[class].add(&turn.timings.undisturbed[class]);
        }
        self.given_up += turn.timings.given_up;
        self.tally.add(turn.tally);
        self.preemptions.extend(turn.preemptions.map(|count| count as f64));
    }

    /// The share of reads that found their key; none if there were no reads.
    pub fn hit_rate(&self) -> Option<f64> {
        (self.tally.reads > 0).then(|| self.tally.hits as f64 / self.tally.reads as f64)
    }
}

/// The operations per second of each thread that every contender can do with the clock read around each, as it is here.
pub fn capacity(mut lineup: Lineup, operations: u64, threads: usize) -> Result<f64> {
    let pace = Pace::unbroken(operations, threads);
    let mut least = f64::INFINITY;
    for (_, contender) in &mut lineup.0 {
        let mut rates = Vec::new();
        for _ in 0..=CAPACITY_TURNS {
            let turn = contender.open(&pace)?;
            rates.push(turn.tally.operations as f64 / turn.wall.as_secs_f64() / threads as f64);
        }
        least = least.min(Summary::of(&rates[1..]).median);
    }
    ensure!(least.is_finite() && least > 0.0, "expected at least one map to measure");
    Ok(least)
}

/// Measures all contenders in interleaved rounds, of which the first does not count.
pub fn measure(mut lineup: Lineup, rounds: usize, pace: &Pace) -> Result<Vec<Profile>> {
    let mut profiles: Vec<Profile> = lineup.0.iter().map(|(name, _)| Profile::of(name, pace)).collect();
    for round in 0..=rounds {
        for ((_, contender), profile) in lineup.0.iter_mut().zip(&mut profiles) {
            let turn = contender.open(pace)?;
            if round > 0 {
                profile.add(&turn);
            }
        }
    }
    Ok(profiles)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{
        plan::{Kind, Plan, Script},
        player::Progress,
    };
    use std::cell::Cell;

    /// Time that passes by a microsecond whenever it is asked for, so that no test depends on the machine's.
    #[derive(Default)]
    struct Ticks {
        ns: Cell<u64>,
        preemptions: Cell<u64>,
    }

    impl Clock for Ticks {
        fn stamp(&self) -> u64 {
            self.ns.update(|ns| ns + 1_000);
            self.ns.get()
        }

        fn ns_since(&self, stamp: u64) -> u64 {
            self.stamp() - stamp
        }

        fn preemptions(&self) -> Option<u64> {
            Some(self.preemptions.get())
        }
    }

    /// What holds a thread up.
    #[derive(Clone, Copy)]
    enum Delay {
        Map(Duration),
        System(Duration),
    }

    /// A map whose hundredth lookup takes long.
    struct Sleeper<'a> {
        clock: &'a Ticks,
        lookups: u64,
        delay: Delay,
    }

    impl Handle<u64, u64> for Sleeper<'_> {
        fn read<R>(&mut self, _key: &u64, _f: impl FnOnce(&u64) -> R) -> Option<R> {
            self.lookups += 1;
            if self.lookups == 100 {
                let (Delay::Map(nap) | Delay::System(nap)) = self.delay;
                self.clock.ns.update(|ns| ns + nap.as_nanos() as u64);
                self.clock.preemptions.update(|count| count + u64::from(matches!(self.delay, Delay::System(_))));
            }
            None
        }

        fn insert(&mut self, _key: u64, _value: u64) {}

        fn remove(&mut self, _key: &u64) -> bool {
            true
        }
    }

    fn plan() -> Plan<u64> {
        Plan {
            keys: vec![1],
            prefix: "",
            filled: 1,
            capacity: 1,
            settled: true,
            cold: false,
            value_bytes: 8,
            scripts: vec![Script { tokens: vec![1; 100], kinds: vec![Kind::Read; 100] }],
        }
    }

    fn timings(delay: Delay, pace: Pace) -> Timings {
        let (plan, clock, mut timings) = (plan(), Ticks::default(), Timings::touched());
        let handle = Sleeper { clock: &clock, lookups: 0, delay };
        let mut player: Player<'_, u64, u64, _> = Player::new(handle, &plan, 0, Progress::new(0));
        pace.keep(&mut player, 0, &clock, &mut timings);
        timings
    }

    #[test]
    fn one_nap_delays_all_operations_that_are_due_meanwhile() {
        // 1000 operations in 100 ms, and a nap of 50 ms: half of them are late, by 25 ms on average.
        let nap = Delay::Map(Duration::from_millis(50));
        let timings = timings(nap, Pace::new(1e4, Duration::from_millis(100), 1));
        let (latency, service) = (&timings.latency[0], &timings.service[0]);
        assert_eq!((latency.len(), service.len(), timings.given_up), (1_000, 1_000, 0));
        assert!(latency.quantile(0.45) < 10_000, "{}", latency.quantile(0.45));
        assert!((24_000_000..27_000_000).contains(&latency.quantile(0.75)), "{}", latency.quantile(0.75));
        // The service time knows of one slow operation alone.
        assert!(service.max() >= 50_000_000);
        assert!(service.quantile(0.999) < 10_000, "{}", service.quantile(0.999));
        // The nap is not the system's doing.
        assert_eq!(timings.undisturbed[0].percentiles(), latency.percentiles());
    }

    #[test]
    fn what_the_system_takes_delays_no_operation_that_is_undisturbed() {
        let away = Delay::System(Duration::from_millis(50));
        let timings = timings(away, Pace::new(1e4, Duration::from_millis(100), 1));
        let (latency, undisturbed) = (&timings.latency[0], &timings.undisturbed[0]);
        assert!((24_000_000..27_000_000).contains(&latency.quantile(0.75)), "{}", latency.quantile(0.75));
        assert_eq!(undisturbed.len(), 999, "all but the one during which it happened");
        assert!(undisturbed.max() < 10_000, "{}", undisturbed.max());
    }

    #[test]
    fn a_thread_that_lags_too_far_behind_gives_up_and_says_so() {
        // 100 operations are due within 1 ms, and the last is done after 100 ms.
        let nap = Delay::Map(Duration::from_millis(100));
        let timings = timings(nap, Pace::new(2e5, Duration::from_millis(1), 1));
        assert_eq!(timings.given_up, 100);
        assert_eq!((timings.latency[0].len(), timings.service[0].len()), (200, 100));
        assert!(timings.latency[0].quantile(0.9) > 90_000_000);
    }

    #[test]
    fn what_the_system_takes_counts_once_and_only_if_it_was_taken() {
        let mut taken = Taken { ns: 5, preemptions: Some(1) };
        assert!(!taken.during(7, Some(1)));
        assert_eq!(taken.ns, 5);
        assert!(taken.during(7, Some(2)));
        assert_eq!(taken.ns, 12);
        assert!(!taken.during(7, Some(2)));
        assert_eq!(taken.ns, 12);
        let mut silent = Taken { ns: 5, preemptions: None };
        assert!(!silent.during(7, None));
        assert_eq!(silent.ns, 5);
    }

    #[test]
    fn a_quantile_needs_enough_operations() {
        let mut round = Latencies::default();
        (0..1_000).for_each(|_| round.record(100));
        let mut distribution = Distribution::default();
        distribution.add(&round);
        assert_eq!(distribution.samples(2), Some(&[100.0][..]), "P99 of a thousand");
        assert_eq!(distribution.samples(3), None, "P99.9 of a thousand");
        assert_eq!(distribution.samples(5), Some(&[100.0][..]), "the slowest");
        distribution.add(&Latencies::default());
        assert_eq!(distribution.samples(2), None, "P99 of nothing");
    }
}
