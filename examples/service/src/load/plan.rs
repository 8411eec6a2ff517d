//! What is requested, drawn before the measurement so that drawing costs nothing while it runs.

use anyhow::{Result, ensure};
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use readmostly_bench::keys::{Choice, Picker};
use std::ops::Range;

/// Steps are numbered by 32 bits, and a run of this many takes gigabytes.
const MOST_STEPS: usize = 200_000_000;

/// What to draw requests from.
#[derive(Clone, Debug)]
pub(crate) struct Workload {
    /// How many keys there are; as many as pages with a trace.
    pub(crate) keys: usize,
    /// Which of them are asked for.
    pub(crate) choice: Choice,
    /// The share of requests that read, 0 to 1.
    pub(crate) reads: f64,
    /// The share of the other requests that delete; the others write.
    pub(crate) deletes: f64,
    /// The share of writes whose value expires.
    pub(crate) expiring: f64,
    /// After how many seconds it does.
    pub(crate) ttl: u64,
    /// The length of values.
    pub(crate) value_bytes: usize,
}

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// GET.
    Read,
    /// PUT without a time to live.
    Write,
    /// PUT of a value that expires.
    WriteExpiring,
    /// DELETE.
    Delete,
}

/// One request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// The number of the key.
    pub(crate) key: u32,
    /// What is done with it.
    pub(crate) action: Action,
}

/// All requests of a run, in their order.
#[derive(Debug)]
pub(crate) struct Plan {
    /// What they were drawn from.
    pub(crate) workload: Workload,
    steps: Vec<Step>,
    filling: usize,
    /// Key and step of everything that is no read, sorted.
    changes: Vec<(u32, u32)>,
}

impl Plan {
    /// Draws `requests` requests; with `filled`, a write of every key comes before them.
    pub(crate) fn draw(workload: Workload, filled: bool, requests: usize, seed: u64) -> Result<Self> {
        let filling = if filled { workload.keys } else { 0 };
        let total = filling.saturating_add(requests);
        ensure!(total <= MOST_STEPS, "expected at most {MOST_STEPS} requests in a run, rate and seconds make {total}");
        let mut rng = SmallRng::seed_from_u64(seed);
        let write = |rng: &mut SmallRng| {
            if rng.random_bool(workload.expiring) { Action::WriteExpiring } else { Action::Write }
        };
        let mut steps = Vec::with_capacity(total);
        steps.extend((0..filling as u32).map(|key| Step { key, action: write(&mut rng) }));
        for key in picks(&workload, requests, seed)? {
            let action = match () {
                () if rng.random_bool(workload.reads) => Action::Read,
                () if rng.random_bool(workload.deletes) => Action::Delete,
                () => write(&mut rng),
            };
            steps.push(Step { key, action });
        }
        let changing = steps.iter().enumerate().filter(|(_, step)| step.action != Action::Read);
        let mut changes: Vec<(u32, u32)> = changing.map(|(at, step)| (step.key, at as u32)).collect();
        changes.sort_unstable();
        Ok(Self { workload, steps, filling, changes })
    }

    /// The request with that number.
    pub(crate) fn step(&self, at: usize) -> Step {
        self.steps[at]
    }

    /// How many requests there are, the filling included.
    pub(crate) fn len(&self) -> usize {
        self.steps.len()
    }

    /// The requests that fill the cache.
    pub(crate) fn filling(&self) -> Range<usize> {
        0..self.filling
    }

    /// The requests after that.
    pub(crate) fn requests(&self) -> Range<usize> {
        self.filling..self.steps.len()
    }

    /// The requests that change a key.
    pub(crate) fn changes_of(&self, key: u32) -> impl Iterator<Item = (usize, Action)> {
        let first = self.changes.partition_point(|change| change.0 < key);
        let of_key = self.changes[first..].iter().take_while(move |change| change.0 == key);
        of_key.map(|&(_, step)| (step as usize, self.steps[step as usize].action))
    }
}

/// The keys of `count` requests. A trace begins again when it ends.
fn picks(workload: &Workload, count: usize, seed: u64) -> Result<Vec<u32>> {
    if let Choice::Trace(trace) = &workload.choice {
        return Ok(trace.share(0, 1).into_iter().cycle().take(count).collect());
    }
    // The generator takes the number of a thread for its seed.
    Ok(Picker::new(&workload.choice, workload.keys)?.picks(count, (seed >> 1) as usize, 1))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use readmostly_bench::keys::Trace;
    use std::sync::Arc;

    pub(crate) fn workload(keys: usize) -> Workload {
        Workload { keys, choice: Choice::Uniform, reads: 0.8, deletes: 0.1, expiring: 0.25, ttl: 1, value_bytes: 64 }
    }

    #[test]
    fn shares_are_as_asked_for_and_the_cache_is_filled_first() {
        let plan = Plan::draw(workload(100), true, 100_000, 1).unwrap();
        assert!(plan.filling().all(|at| plan.step(at).key == at as u32 && plan.step(at).action != Action::Read));
        let count = |action| plan.requests().filter(|&at| plan.step(at).action == action).count();
        assert!((79_000..81_000).contains(&count(Action::Read)));
        assert!((1_800..2_200).contains(&count(Action::Delete)));
        assert!((4_200..4_800).contains(&count(Action::WriteExpiring)));
    }

    #[test]
    fn the_same_seed_draws_the_same_and_another_does_not() {
        let draw = |seed| Plan::draw(workload(100), false, 1_000, seed).unwrap().steps;
        assert_eq!(draw(4), draw(4));
        assert_ne!(draw(4), draw(6));
    }

    #[test]
    fn changes_are_found_by_key() {
        let plan = Plan::draw(workload(10), true, 1_000, 1).unwrap();
        let found: usize = (0..10).map(|key| plan.changes_of(key).count()).sum();
        assert_eq!(found, plan.steps.iter().filter(|step| step.action != Action::Read).count());
        assert!(plan.changes_of(3).all(|(at, action)| plan.step(at) == Step { key: 3, action }));
    }

    #[test]
    fn a_trace_is_replayed_in_its_order_and_again() {
        let trace = Arc::new(Trace::parse(&b"5 3 0 0\n6 1 0 1\n"[..], "t").unwrap());
        let workload = Workload { choice: Choice::Trace(trace), ..workload(3) };
        let plan = Plan::draw(workload, false, 6, 1).unwrap();
        assert_eq!(plan.requests().map(|at| plan.step(at).key).collect::<Vec<_>>(), [0, 1, 2, 1, 0, 1]);
    }
}
