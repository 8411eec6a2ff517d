//! Throughput of two threads that read and overwrite the same keys.

use super::{
    Config, Sharing,
    verdicts::{Limit, Line},
};
use crate::{
    document::Unit,
    keys::Choice,
    load::{
        Length,
        closed::{self, Score},
    },
};
use anyhow::Result;

const CLAIM: &str = "shared";
/// Where some keys are popular, throughput must be this many times every peer's.
const ZIPF_LIMIT: f64 = 1.2;
/// Where none are.
const UNIFORM_LIMIT: f64 = 1.0;
/// Threads that start and stop blur a round's ends, so these rounds are longer than a loop's.
const ROUND_FACTOR: u32 = 3;

pub(super) fn measure(config: &Config, progress: &impl Fn(&str)) -> Result<Vec<Line>> {
    let setting = config.setting(config.round * ROUND_FACTOR);
    let mut lines = Vec::new();
    for (sharing, limit) in cases() {
        progress(&format!("shared: {}", sharing.name()));
        let lineup = sharing.workload().lineup(&setting)?;
        let scores = closed::measure(lineup, setting.rounds, Length::Time(setting.round))?;
        lines.extend(against_every_peer(&sharing, &scores, Limit::AtLeast(limit)));
    }
    Ok(lines)
}

fn cases() -> Vec<(Sharing, f64)> {
    let zipf = |entries, reads| (Sharing { entries, choice: Choice::Zipf(0.99), reads }, ZIPF_LIMIT);
    let mut cases: Vec<_> = [100_000, 1_000_000]
        .into_iter()
        .flat_map(|entries| [100.0, 99.0, 95.0].map(|reads| zipf(entries, reads)))
        .collect();
    cases.push((Sharing { entries: 10_000, choice: Choice::Uniform, reads: 95.0 }, UNIFORM_LIMIT));
    cases
}

/// The first score as a multiple of each of the others.
fn against_every_peer(sharing: &Sharing, scores: &[Score], limit: Limit) -> Vec<Line> {
    let Some((ours, others)) = scores.split_first() else { return Vec::new() };
    let rate = |score: &Score| Unit::OperationsPerSecond.show(score.throughput.summary().median);
    let line = |peer: &Score| {
        let subject = format!("throughput / {}'s, {}", peer.name(), sharing.name());
        Line::info(CLAIM, subject, Unit::Ratio, ours.throughput.ratio_to(&peer.throughput))
            .detail(format!("{} / {}", rate(ours), rate(peer)))
            .limited(limit)
    };
    others.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{claims::verdicts::Verdict, load::Tally, measure::Series};

    #[test]
    fn every_peer_has_a_line_with_the_limit() {
        let score = |name, rate| Score {
            throughput: Series { name, samples: vec![rate, 2.0 * rate] },
            tally: Tally::default(),
            preemptions: Vec::new(),
        };
        let scores = [score("ours", 12e6), score("slow", 6e6), score("fast", 11e6)];
        let (sharing, limit) = &cases()[0];
        let lines = against_every_peer(sharing, &scores, Limit::AtLeast(*limit));
        let found: Vec<_> = lines.iter().map(|line| (line.subject.as_str(), line.verdict)).collect();
        assert_eq!(
            found,
            [
                ("throughput / slow's, Zipf 0.99 over 100 k, 100 % reads", Verdict::Pass),
                ("throughput / fast's, Zipf 0.99 over 100 k, 100 % reads", Verdict::Miss),
            ]
        );
        assert_eq!(lines[0].detail, "18.0 M/s / 9.00 M/s");
    }

    #[test]
    fn popular_keys_have_the_stricter_limit() {
        for (sharing, limit) in cases() {
            let is_zipf = matches!(sharing.choice, Choice::Zipf(_));
            assert_eq!(limit, if is_zipf { 1.2 } else { 1.0 }, "{}", sharing.name());
            assert_eq!(sharing.workload().threads, 2);
        }
        assert_eq!(cases().len(), 7);
    }
}
