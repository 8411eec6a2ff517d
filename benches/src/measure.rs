//! Interleaved rounds and robust statistics.
//!
//! A machine's speed drifts: clock, neighbours, temperature. So contenders take turns (A B C, A B C, ...), and a
//! comparison is made within each round before the median over the rounds is taken.

use crate::peers::Handle;
use serde::{Deserialize, Serialize};
use std::{
    hint::black_box,
    time::{Duration, Instant},
};

/// The median of some samples and how far they spread.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// How many samples.
    pub samples: usize,
    /// The smallest.
    pub min: f64,
    /// The lower quartile.
    pub q1: f64,
    /// The median.
    pub median: f64,
    /// The upper quartile.
    pub q3: f64,
    /// The largest.
    pub max: f64,
}

impl Summary {
    /// Summarises `samples`, of which there must be at least one, none of them NaN.
    pub fn of(samples: &[f64]) -> Self {
        assert!(!samples.is_empty(), "a summary needs at least one sample");
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        Self {
            samples: sorted.len(),
            min: sorted[0],
            q1: quantile(&sorted, 0.25),
            median: quantile(&sorted, 0.5),
            q3: quantile(&sorted, 0.75),
            max: sorted[sorted.len() - 1],
        }
    }

    /// A figure that is exact, or was taken once.
    pub fn single(value: f64) -> Self {
        Self::of(&[value])
    }
}

/// Interpolates linearly between the two nearest ranks.
fn quantile(sorted: &[f64], q: f64) -> f64 {
    let rank = q * (sorted.len() - 1) as f64;
    let (low, high) = (sorted[rank.floor() as usize], sorted[rank.ceil() as usize]);
    low + (high - low) * rank.fract()
}

/// What one contender measured, round by round.
#[derive(Clone, Debug, Serialize)]
pub struct Series {
    /// The contender.
    pub name: &'static str,
    /// One figure per round.
    pub samples: Vec<f64>,
}

impl Series {
    /// The median and spread of the figures themselves.
    pub fn summary(&self) -> Summary {
        Summary::of(&self.samples)
    }

    /// The median and spread of the ratios to `base`, each taken within a round.
    pub fn ratio_to(&self, base: &Self) -> Summary {
        assert_eq!(self.samples.len(), base.samples.len(), "series of different lengths were not interleaved");
        let ratios: Vec<f64> = self.samples.iter().zip(&base.samples).map(|(a, b)| a / b).collect();
        Summary::of(&ratios)
    }
}

/// Measures one figure.
type Round<'a> = Box<dyn FnMut() -> f64 + 'a>;

/// Contenders that take turns.
#[derive(Default)]
pub struct Interleaved<'a> {
    contenders: Vec<(&'static str, Round<'a>)>,
}

impl<'a> Interleaved<'a> {
    /// Nobody yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a contender; `round` measures one figure.
    pub fn add(&mut self, name: &'static str, round: impl FnMut() -> f64 + 'a) {
        self.contenders.push((name, Box::new(round)));
    }

    /// Runs one round to warm up, then `rounds` that count.
    pub fn run(mut self, rounds: usize) -> Outcome {
        let mut series: Vec<Series> =
            self.contenders.iter().map(|(name, _)| Series { name, samples: Vec::with_capacity(rounds) }).collect();
        for round in 0..=rounds {
            for ((_, measure), series) in self.contenders.iter_mut().zip(&mut series) {
                let figure = measure();
                if round > 0 {
                    series.samples.push(figure);
                }
            }
        }
        Outcome { series }
    }
}

/// What interleaved contenders measured.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// One per contender, in the order in which they were added.
    pub series: Vec<Series>,
}

impl Outcome {
    /// The contender of that name.
    pub fn get(&self, name: &str) -> &Series {
        self.series.iter().find(|series| series.name == name).unwrap_or_else(|| panic!("no contender called {name}"))
    }

    /// The median figure of a contender.
    pub fn median(&self, name: &str) -> f64 {
        self.get(name).summary().median
    }

    /// The ratio of two contenders, see [`Series::ratio_to`].
    pub fn ratio(&self, of: &str, to: &str) -> Summary {
        self.get(of).ratio_to(self.get(to))
    }
}

/// Repeats `pass`, which does `operations`, for at least `at_least`; the mean nanoseconds per operation.
pub fn ns_per_operation(at_least: Duration, operations: usize, mut pass: impl FnMut()) -> f64 {
    let mut passes = 0;
    let start = Instant::now();
    loop {
        pass();
        passes += 1;
        let elapsed = start.elapsed();
        if elapsed >= at_least {
            return elapsed.as_nanos() as f64 / (passes * operations) as f64;
        }
    }
}

/// Looks up all of `keys` and adds up the values found. The one loop that all lookups are measured with.
#[inline(never)]
pub fn sum_of<H: Handle<u64, u64>>(handle: &mut H, keys: &[u64]) -> u64 {
    let (handle, keys) = (black_box(handle), black_box(keys));
    let mut sum = 0_u64;
    for key in keys {
        sum = sum.wrapping_add(handle.read(key, |value| *value).unwrap_or(0));
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_are_interpolated() {
        let summary = Summary::of(&[4.0, 1.0, 3.0, 2.0]);
        assert_eq!((summary.q1, summary.median, summary.q3), (1.75, 2.5, 3.25));
        assert_eq!((summary.min, summary.max, summary.samples), (1.0, 4.0, 4));
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        let slow = Series { name: "slow", samples: vec![2.0, 20.0, 200.0] };
        let fast = Series { name: "fast", samples: vec![1.0, 10.0, 100.0] };
        let ratio = slow.ratio_to(&fast);
        assert_eq!((ratio.min, ratio.median, ratio.max), (2.0, 2.0, 2.0));
    }

    #[test]
    fn contenders_take_turns_and_the_first_round_is_not_counted() {
        let turn = std::cell::Cell::new(0.0);
        let take = || turn.replace(turn.get() + 1.0);
        let mut contest = Interleaved::new();
        contest.add("a", take);
        contest.add("b", take);
        let outcome = contest.run(2);
        assert_eq!(outcome.get("a").samples, [2.0, 4.0]);
        assert_eq!(outcome.get("b").samples, [3.0, 5.0]);
    }
}
