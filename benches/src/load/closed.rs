//! Throughput: every thread does its next operation as soon as the last is done.

use super::{
    contender::{Length, Lineup, Turn},
    player::Tally,
};
use crate::measure::Series;
use anyhow::Result;

/// What one contender scored.
#[derive(Clone, Debug)]
pub struct Score {
    /// Operations per second of all threads together, round by round.
    pub throughput: Series,
    /// What was done in all rounds.
    pub tally: Tally,
    /// How often the system took the processor from one of the threads, round by round; empty if it doesn't say.
    pub preemptions: Vec<f64>,
}

impl Score {
    fn of(name: &'static str) -> Self {
        let throughput = Series { name, samples: Vec::new() };
        Self { throughput, tally: Tally::default(), preemptions: Vec::new() }
    }

    fn add(&mut self, turn: Turn) {
        self.throughput.samples.push(turn.rate());
        self.tally.add(turn.tally);
        self.preemptions.extend(turn.preemptions.map(|count| count as f64));
    }

    /// The contender's name.
    pub fn name(&self) -> &'static str {
        self.throughput.name
    }

    /// The share of reads that found their key; none if there were no reads.
    pub fn hit_rate(&self) -> Option<f64> {
        (self.tally.reads > 0).then(|| self.tally.hits as f64 / self.tally.reads as f64)
    }
}

/// Measures all contenders in interleaved rounds, of which the first does not count.
pub fn measure(mut lineup: Lineup, rounds: usize, length: Length) -> Result<Vec<Score>> {
    let mut scores: Vec<Score> = lineup.0.iter().map(|(name, _)| Score::of(name)).collect();
    for round in 0..=rounds {
        for ((_, contender), score) in lineup.0.iter_mut().zip(&mut scores) {
            let turn = contender.closed(length)?;
            if round > 0 {
                score.add(turn);
            }
        }
    }
    Ok(scores)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        keys::Choice,
        load::{Changes, Filling, Mix, Setting, Workload},
        peers::{Hasher, Peer},
        threads::Cores,
    };
    use std::time::Duration;

    /// So many operations and not so much time, since in a given time a thread may not get its core.
    const LENGTH: Length = Length::Operations { count: 20_000, at_most: Duration::from_secs(60) };

    fn scores(workload: &Workload) -> Vec<Score> {
        let setting = Setting {
            peers: vec![Peer::Readmostly, Peer::Dashmap],
            rounds: 2,
            round: Duration::ZERO,
            cores: Cores::available(),
            hasher: Hasher::default(),
        };
        measure(workload.lineup(&setting).unwrap(), setting.rounds, LENGTH).unwrap()
    }

    fn hit_rates(workload: &Workload) -> Vec<f64> {
        scores(workload).iter().map(|score| score.hit_rate().unwrap()).collect()
    }

    fn small() -> Workload {
        Workload { entries: 1_000, script: 1, ..Workload::default() }
    }

    #[test]
    fn every_contender_has_a_figure_per_round() {
        let scores = scores(&small());
        assert_eq!(scores.iter().map(Score::name).collect::<Vec<_>>(), ["readmostly", "dashmap"]);
        for score in &scores {
            assert_eq!(score.throughput.samples.len(), 2);
            assert!(score.throughput.samples.iter().all(|rate| *rate > 1e3), "{score:?}");
        }
    }

    #[test]
    fn reads_hit_as_often_as_the_workload_means_them_to() {
        assert_eq!(hit_rates(&small()), [1.0, 1.0]);
        assert_eq!(hit_rates(&Workload { choice: Choice::Absent, ..small() }), [0.0, 0.0]);
        let churn = Mix { reads: 60.0, changes: Changes::Churn };
        for rate in hit_rates(&Workload { mix: churn, ..small() }) {
            assert!((0.4..0.6).contains(&rate), "half of the keys are present, but {rate} of the reads found theirs");
        }
        let fresh = Mix { reads: 60.0, changes: Changes::Fresh };
        assert_eq!(hit_rates(&Workload { mix: fresh, ..small() }), [1.0, 1.0]);
    }

    #[test]
    fn a_cold_map_starts_as_it_was_filled() {
        let empty = Workload { filling: Filling::Empty, cold: true, mix: small().mix, ..small() };
        let reads = Mix { reads: 100.0, changes: Changes::Overwrites };
        assert_eq!(hit_rates(&Workload { mix: reads, ..empty.clone() }), [0.0, 0.0]);
        // A turn overwrites each key twice in the mean, so a key that is read has been before with a probability of
        // 1 - (1 - exp(-2)) / 2 = 0.57. A map that is kept from turn to turn would be nearly full.
        for rate in hit_rates(&empty) {
            assert!((0.5..0.65).contains(&rate), "{rate} of the reads found their key");
        }
    }

    #[test]
    fn strings_and_larger_values_work_too() {
        use crate::load::{KeyKind, ValueKind};
        let text = Workload { keys: KeyKind::Prefixed, value: ValueKind::Shared(100), ..small() };
        assert_eq!(hit_rates(&text), [1.0, 1.0]);
        assert_eq!(hit_rates(&Workload { value: ValueKind::Kilobyte, ..small() }), [1.0, 1.0]);
    }
}
