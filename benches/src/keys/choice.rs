//! Which keys the operations of a workload pick.

use super::{Trace, rng};
use anyhow::{Context, Result, ensure};
use rand::{RngExt, seq::SliceRandom};
use rand_distr::{Distribution, Zipf};
use std::sync::Arc;

/// The seed of the order in which keys are popular.
const POPULARITY: u64 = 0x9e37;

/// How keys are picked out of all.
#[derive(Clone, Debug)]
pub enum Choice {
    /// Each equally often.
    Uniform,
    /// The key of rank `r` in proportion to `1 / r^exponent`.
    Zipf(f64),
    /// Always the same one.
    Hot,
    /// Reads look for keys that are not in the map, changes pick uniformly among those that are.
    Absent,
    /// In the order in which a trace names its pages, dealt out to the threads in turn.
    Trace(Arc<Trace>),
}

impl Choice {
    /// The words for it in a report.
    pub fn name(&self) -> String {
        match self {
            Self::Uniform => "uniform".into(),
            Self::Zipf(exponent) => format!("Zipf {exponent}"),
            Self::Hot => "one hot key".into(),
            Self::Absent => "all-miss".into(),
            Self::Trace(trace) => format!("trace {}", trace.name()),
        }
    }
}

/// Picks indices below a number of entries.
#[derive(Debug)]
pub struct Picker<'a> {
    entries: usize,
    kind: Kind<'a>,
}

#[derive(Debug)]
enum Kind<'a> {
    Uniform,
    Zipf {
        ranks: Zipf<f64>,
        /// The entry of each rank, so that popular keys are no neighbours in the order of insertion.
        by_rank: Vec<u32>,
    },
    Hot,
    Trace(&'a Trace),
}

impl<'a> Picker<'a> {
    /// Prepares to pick among `entries` keys as `choice` says.
    pub fn new(choice: &'a Choice, entries: usize) -> Result<Self> {
        ensure!(
            (1..=u32::MAX as usize).contains(&entries),
            "expected 1 to {} entries to pick from, got {entries}",
            u32::MAX
        );
        let kind = match choice {
            Choice::Uniform | Choice::Absent => Kind::Uniform,
            Choice::Hot => Kind::Hot,
            Choice::Trace(trace) => {
                let pages = trace.pages();
                ensure!(entries == pages, "expected {pages} entries, one per page of the trace, got {entries}");
                Kind::Trace(trace)
            }
            &Choice::Zipf(exponent) => {
                ensure!(exponent > 0.0, "expected a Zipf exponent above 0, got {exponent}");
                let ranks = Zipf::new(entries as f64, exponent)
                    .with_context(|| format!("expected a usable Zipf exponent, got {exponent}"))?;
                let mut by_rank: Vec<u32> = (0..entries as u32).collect();
                by_rank.shuffle(&mut rng(POPULARITY));
                Kind::Zipf { ranks, by_rank }
            }
        };
        Ok(Self { entries, kind })
    }

    /// The picks of one of `threads` threads: `count` of them, except that a trace has as many as it has.
    pub fn picks(&self, count: usize, thread: usize, threads: usize) -> Vec<u32> {
        let mut rng = rng(1 + thread as u64);
        let entries = self.entries as u32;
        match &self.kind {
            Kind::Uniform => (0..count).map(|_| rng.random_range(0..entries)).collect(),
            Kind::Hot => vec![entries / 2; count],
            Kind::Zipf { ranks, by_rank } => (0..count).map(|_| by_rank[ranks.sample(&mut rng) as usize - 1]).collect(),
            Kind::Trace(trace) => trace.share(thread, threads),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRIES: usize = 1_000;
    const COUNT: usize = 200_000;

    fn counts(choice: &Choice) -> Vec<usize> {
        let mut counts = vec![0; ENTRIES];
        for pick in Picker::new(choice, ENTRIES).unwrap().picks(COUNT, 0, 1) {
            counts[pick as usize] += 1;
        }
        counts
    }

    #[test]
    fn uniform_picks_are_even() {
        let counts = counts(&Choice::Uniform);
        assert!(counts.iter().all(|count| (100..320).contains(count)), "{counts:?}");
    }

    #[test]
    fn zipf_has_the_shape_of_its_exponent() {
        let mut counts = counts(&Choice::Zipf(0.99));
        let by_index = counts.clone();
        counts.sort_unstable_by(|a, b| b.cmp(a));
        let weight = |rank: usize| 1.0 / (rank as f64).powf(0.99);
        let total: f64 = (1..=ENTRIES).map(weight).sum();
        for rank in [1, 2, 10] {
            let (share, expected) = (counts[rank - 1] as f64 / COUNT as f64, weight(rank) / total);
            assert!((share / expected - 1.0).abs() < 0.05, "rank {rank}: {share} instead of {expected}");
        }
        assert_ne!(by_index[0], counts[0], "the first key inserted must not be the most popular");
    }

    #[test]
    fn threads_agree_on_what_is_popular_but_not_on_the_order() {
        let picker = Picker::new(&Choice::Zipf(0.99), ENTRIES).unwrap();
        let hottest = |picks: &[u32]| {
            let mut counts = vec![0; ENTRIES];
            picks.iter().for_each(|&pick| counts[pick as usize] += 1);
            (0..ENTRIES).max_by_key(|&index| counts[index])
        };
        let (first, second) = (picker.picks(COUNT, 0, 2), picker.picks(COUNT, 1, 2));
        assert_ne!(first, second);
        assert_eq!(hottest(&first), hottest(&second));
    }

    #[test]
    fn a_hot_key_is_the_only_one() {
        assert_eq!(counts(&Choice::Hot).iter().filter(|&&count| count > 0).count(), 1);
    }

    #[test]
    fn what_cannot_be_picked_from_is_refused() {
        let message = |choice, entries| Picker::new(&choice, entries).unwrap_err().to_string();
        assert!(message(Choice::Uniform, 0).starts_with("expected 1 to"));
        assert!(message(Choice::Zipf(0.0), 10).starts_with("expected a Zipf exponent above 0"));
        let trace = Arc::new(Trace::parse(&b"1 3 0 0\n"[..], "t").unwrap());
        assert!(message(Choice::Trace(trace), 4).starts_with("expected 3 entries"));
    }
}
