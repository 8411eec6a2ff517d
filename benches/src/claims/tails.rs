//! The slowest reads of two threads that read and overwrite the same keys.

use super::{
    Config, Sharing,
    verdicts::{Limit, Line},
};
use crate::{
    document::{self, Unit},
    keys::Choice,
    latency::Percentiles,
    load::{
        Class,
        open::{self, Pace, Profile, QUANTILES},
    },
    measure::Series,
};
use anyhow::Result;
use std::time::Duration;

const CLAIM: &str = "tails";
/// Of [`QUANTILES`], P99.9.
const QUANTILE: usize = 3;
const _: () = assert!(QUANTILES[QUANTILE] == 0.999);
/// It may be at most this many times every peer's, and so the best one's.
const LIMIT: Limit = Limit::AtMost(1.0);
const ENTRIES: usize = 100_000;
/// In percent; the rest are overwrites.
const READS: [f64; 2] = [95.0, 80.0];
/// Operations of each thread per second of a round. They take longer than that, which the slowest of a thousand need.
const RATE: f64 = 40e6;
/// In the shortest round, so that it has a P99.9.
const FEWEST_OPERATIONS: u64 = 20_000;

pub(super) fn measure(config: &Config, progress: &impl Fn(&str)) -> Result<Vec<Line>> {
    let setting = config.setting(config.round);
    let mut lines = Vec::new();
    for reads in READS {
        let sharing = Sharing { entries: ENTRIES, choice: Choice::Zipf(0.99), reads };
        progress(&format!("tails: {}", sharing.name()));
        let workload = sharing.workload();
        let pace = Pace::unbroken(operations(setting.round), workload.threads);
        let profiles = open::measure(workload.lineup(&setting)?, setting.rounds, &pace)?;
        let tails: Vec<Tail> = profiles.iter().map(Tail::of).collect();
        lines.extend(against_every_peer(&sharing, &tails));
        lines.extend(tails.iter().map(|tail| tail.line(&sharing)));
    }
    Ok(lines)
}

fn operations(round: Duration) -> u64 {
    ((round.as_secs_f64() * RATE) as u64).max(FEWEST_OPERATIONS)
}

/// The reads of one map.
struct Tail {
    /// P99.9 in nanoseconds, round by round.
    p99_9: Series,
    all_rounds: Percentiles,
}

impl Tail {
    fn of(profile: &Profile) -> Self {
        let reads = &profile.service[Class::Read as usize];
        let samples = reads.samples(QUANTILE).expect("every round has more than ten thousand reads");
        Self { p99_9: Series { name: profile.name, samples: samples.to_vec() }, all_rounds: reads.merged.percentiles() }
    }

    fn line(&self, sharing: &Sharing) -> Line {
        let subject = format!("P99.9 of reads, {}, {}", self.p99_9.name, sharing.name());
        Line::info(CLAIM, subject, Unit::Nanoseconds, self.p99_9.summary())
            .detail(format!("over all rounds: {}", self.all_rounds))
    }
}

/// The first as a multiple of each of the others.
fn against_every_peer(sharing: &Sharing, tails: &[Tail]) -> Vec<Line> {
    let Some((ours, others)) = tails.split_first() else { return Vec::new() };
    let median = |tail: &Tail| document::duration(tail.p99_9.summary().median);
    let line = |peer: &Tail| {
        let subject = format!("P99.9 of reads / {}'s, {}", peer.p99_9.name, sharing.name());
        Line::info(CLAIM, subject, Unit::Ratio, ours.p99_9.ratio_to(&peer.p99_9))
            .detail(format!("{} / {}, clock readings included", median(ours), median(peer)))
            .limited(LIMIT)
    };
    others.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        claims::verdicts::Verdict,
        latency::Latencies,
        load::Setting,
        peers::{Hasher, Peer},
        threads::Cores,
    };

    fn tail(name: &'static str, p99_9: [f64; 2]) -> Tail {
        Tail { p99_9: Series { name, samples: p99_9.to_vec() }, all_rounds: Latencies::default().percentiles() }
    }

    #[test]
    fn the_tail_is_held_against_every_peers_within_a_round() {
        let sharing = Sharing { entries: ENTRIES, choice: Choice::Zipf(0.99), reads: 95.0 };
        let tails = [tail("ours", [300.0, 900.0]), tail("slow", [400.0, 1200.0]), tail("fast", [200.0, 600.0])];
        let lines = against_every_peer(&sharing, &tails);
        let found: Vec<_> =
            lines.iter().map(|line| (line.subject.as_str(), line.figure.unwrap().median, line.verdict)).collect();
        assert_eq!(
            found,
            [
                ("P99.9 of reads / slow's, Zipf 0.99 over 100 k, 95 % reads", 0.75, Verdict::Pass),
                ("P99.9 of reads / fast's, Zipf 0.99 over 100 k, 95 % reads", 1.5, Verdict::Miss),
            ]
        );
    }

    #[test]
    fn only_reads_count_and_the_shortest_round_has_enough() {
        let config = Config {
            rounds: 1,
            round: Duration::from_millis(1),
            quick: true,
            cores: Cores::available(),
            hasher: Hasher::default(),
        };
        assert_eq!(operations(Duration::ZERO), FEWEST_OPERATIONS);
        let setting = Setting { peers: vec![Peer::Readmostly], ..config.setting(Duration::ZERO) };
        let sharing = Sharing { entries: 1_000, choice: Choice::Uniform, reads: 80.0 };
        let pace = Pace::unbroken(operations(setting.round), 2);
        let lineup = sharing.workload().lineup(&setting).unwrap();
        let tail = Tail::of(&open::measure(lineup, setting.rounds, &pace).unwrap()[0]);
        let share = tail.all_rounds.operations as f64 / (2 * FEWEST_OPERATIONS) as f64;
        assert!((0.78..0.82).contains(&share), "{share}");
        assert!(tail.p99_9.samples[0] >= tail.all_rounds.p50 as f64);
    }
}
