//! The highest rate at which no request is late.

use super::outcome::Outcome;
use anyhow::Result;
use readmostly_bench::document::{Cell, Table, Unit};
use std::time::Duration;

/// So many of a trial's requests may be late, since any machine stumbles now and then.
const MOST_LATE: f64 = 0.001;
/// The search ends when the highest rate is known this well.
const PRECISION: f64 = 0.03;

/// Whether all but a few requests were answered in time and without error.
pub(crate) fn is_held(outcome: &Outcome, late: Duration) -> bool {
    let is_in_time = u128::from(outcome.all.quantile(1.0 - MOST_LATE)) <= late.as_nanos();
    is_in_time && outcome.failed() == 0 && outcome.given_up == 0
}

/// A rate that was tried.
#[derive(Debug)]
pub(crate) struct Trial {
    /// Requests per second.
    pub(crate) rate: f64,
    /// Whether no request was late.
    pub(crate) held: bool,
    /// What came of it.
    pub(crate) outcome: Outcome,
}

/// Tries rates below `capacity`, halving the interval; the trials in their order.
pub(crate) fn search(
    capacity: f64,
    late: Duration,
    mut play: impl FnMut(f64) -> Result<Outcome>,
) -> Result<Vec<Trial>> {
    let (mut low, mut high) = (0.0, capacity);
    let mut trials = Vec::new();
    while high - low > PRECISION * capacity {
        let rate = (low + high) / 2.0;
        let outcome = play(rate)?;
        let held = is_held(&outcome, late);
        *(if held { &mut low } else { &mut high }) = rate;
        trials.push(Trial { rate, held, outcome });
    }
    Ok(trials)
}

/// The highest rate that was held, and what came of it.
pub(crate) fn best(trials: &[Trial]) -> Option<&Trial> {
    trials.iter().filter(|trial| trial.held).max_by(|a, b| a.rate.total_cmp(&b.rate))
}

/// One row per trial.
pub(crate) fn table(trials: &[Trial]) -> Table {
    let mut table = Table::new("Rates that were tried", ["rate", "P99.9", "errors", "given up", "held"]);
    for Trial { rate, held, outcome } in trials {
        table.row([
            Cell::figure(*rate, Unit::OperationsPerSecond),
            Cell::figure(outcome.all.quantile(0.999) as f64, Unit::Nanoseconds),
            Cell::figure(outcome.failed() as f64, Unit::Count),
            Cell::figure(outcome.given_up as f64, Unit::Count),
            if *held { "yes" } else { "no" }.into(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::outcome::Class;

    /// Everything is late above a rate.
    fn outcome(is_late: bool) -> Outcome {
        let mut outcome = Outcome::default();
        (0..10_000).for_each(|_| outcome.record(Class::Hit, if is_late { 50_000_000 } else { 100_000 }, 1_000));
        outcome
    }

    #[test]
    fn the_limit_is_found() {
        for limit in [300.0, 5_000.0, 9_900.0] {
            let trials = search(10_000.0, Duration::from_millis(20), |rate| Ok(outcome(rate > limit))).unwrap();
            let best = best(&trials).unwrap().rate;
            assert!((limit - 300.0..=limit).contains(&best), "{best} instead of {limit}");
        }
    }

    #[test]
    fn one_in_a_thousand_may_be_late_and_none_may_fail() {
        let late = Duration::from_millis(20);
        let mut few = outcome(false);
        (0..9).for_each(|_| few.record(Class::Hit, 50_000_000, 1_000));
        assert!(is_held(&few, late));
        let mut many = outcome(false);
        (0..20).for_each(|_| many.record(Class::Hit, 50_000_000, 1_000));
        assert!(!is_held(&many, late));
        few.fail("500".into());
        assert!(!is_held(&few, late));
    }
}
