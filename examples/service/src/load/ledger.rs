//! When every write began and was acknowledged, and which answers to reads that rules out.
//!
//! One write comes before another if it was acknowledged before the other began; of writes that overlap, either may be the
//! last. A read may find any value that was not followed by another write that was acknowledged before the read began.

use super::{
    plan::{Action, Plan},
    value::Stamp,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// How much the clock of the service, which counts milliseconds and may be set, may be ahead of ours or behind.
const CLOCKS: u64 = 10_000_000;

/// What is wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Violation {
    /// The value of another key.
    OtherKey,
    /// No whole value.
    Torn,
    /// A value older than a change that was acknowledged before the read began.
    Outdated,
    /// A value past its time to live that was not said to be.
    Expired,
    /// Nothing, although a value was acknowledged and neither deleted nor due to expire.
    Lost,
}

impl Violation {
    /// The words for it in a report.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::OtherKey => "another key's value",
            Self::Torn => "no whole value",
            Self::Outdated => "older than an acknowledged change",
            Self::Expired => "expired",
            Self::Lost => "an acknowledged value is gone",
        }
    }
}

/// What a read found.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Found<'a> {
    /// A value, and whether the service said that it is past its time.
    Value(&'a [u8], bool),
    /// Nothing.
    Nothing,
}

/// When a read began and ended, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    /// Before it was sent.
    pub(crate) asked: u64,
    /// After its answer had come.
    pub(crate) answered: u64,
}

/// Times in nanoseconds; 0 stands for never.
#[derive(Debug, Default)]
struct Entry {
    began: AtomicU64,
    acknowledged: AtomicU64,
}

/// What came of the writes of a plan so far. Several threads may use it.
#[derive(Debug)]
pub(crate) struct Ledger {
    plan: Arc<Plan>,
    run: u64,
    delay: u64,
    entries: Vec<Entry>,
    /// By key, when the latest of its acknowledged changes began, which spares most reads a look at all changes.
    latest: Vec<AtomicU64>,
}

// Relaxed is enough: a time that is not seen yet makes a write look unfinished, which allows more answers, not fewer.
impl Ledger {
    /// Nothing was written yet. A change may take `delay` after its acknowledgement until all instances know of it.
    pub(crate) fn new(plan: Arc<Plan>, run: u64, delay: Duration) -> Self {
        let entries = (0..plan.len()).map(|_| Entry::default()).collect();
        let latest = (0..plan.workload.keys).map(|_| AtomicU64::default()).collect();
        Self { plan, run, delay: delay.as_nanos() as u64, entries, latest }
    }

    /// Notes that a change is about to be sent.
    pub(crate) fn begin(&self, step: usize, now: u64) {
        self.entries[step].began.store(now.max(1), Relaxed);
    }

    /// Notes that a change was acknowledged. One that failed is never noted: it may take effect at any time.
    pub(crate) fn acknowledge(&self, step: usize, now: u64) {
        self.entries[step].acknowledged.store(now.max(1), Relaxed);
        let began = self.entries[step].began.load(Relaxed);
        self.latest[self.plan.step(step).key as usize].fetch_max(began, Relaxed);
    }

    /// What is wrong with the answer to a read, if anything.
    pub(crate) fn judge(&self, key: u32, span: Span, found: Found<'_>) -> Option<Violation> {
        match found {
            Found::Value(value, said_stale) => self.judge_value(key, span, value, said_stale),
            Found::Nothing => self.is_lost(key, span).then_some(Violation::Lost),
        }
    }

    fn judge_value(&self, key: u32, span: Span, value: &[u8], said_stale: bool) -> Option<Violation> {
        let Some(stamp) = Stamp::of(value) else { return Some(Violation::Torn) };
        if stamp.key != key {
            return Some(Violation::OtherKey);
        }
        if stamp.run != self.run {
            // Whatever it is, it was there before this run.
            return self.is_outdated(key, span, 0).then_some(Violation::Outdated);
        }
        let step = stamp.step as usize;
        if step >= self.plan.len() || self.plan.step(step).key != key || self.began(step).is_none() {
            return Some(Violation::OtherKey);
        }
        let acknowledged = self.acknowledged(step)?;
        if self.is_outdated(key, span, acknowledged) {
            return Some(Violation::Outdated);
        }
        let expires = self.plan.step(step).action == Action::WriteExpiring;
        let is_over = expires && acknowledged + self.ttl() + CLOCKS + self.delay < span.asked;
        (is_over && !said_stale).then_some(Violation::Expired)
    }

    /// Whether a change that began after `acknowledged` was itself acknowledged before the read.
    fn is_outdated(&self, key: u32, span: Span, acknowledged: u64) -> bool {
        let mut changes = self.plan.changes_of(key).map(|(step, _)| step);
        let may_be = self.latest[key as usize].load(Relaxed) > acknowledged;
        may_be
            && changes.any(|step| {
                self.began(step).is_some_and(|began| began > acknowledged) && self.is_known_before(step, span.asked)
            })
    }

    /// Whether a value was acknowledged before the read, and nothing that came after it may have taken it away.
    fn is_lost(&self, key: u32, span: Span) -> bool {
        let writes = self.plan.changes_of(key).filter(|(_, action)| *action != Action::Delete);
        let known = writes.filter(|&(step, _)| self.is_known_before(step, span.asked));
        // Whatever may have come after the latest may have come after all.
        let Some(latest) = known.filter_map(|(step, _)| self.began(step)).max() else { return false };
        let mut changes = self.plan.changes_of(key);
        !changes.any(|(step, action)| {
            let is_later = self.acknowledged(step).is_none_or(|acknowledged| acknowledged >= latest);
            let is_over = |began| match action {
                Action::Delete => began < span.answered,
                Action::WriteExpiring => began + self.ttl() < span.answered + CLOCKS,
                Action::Write | Action::Read => false,
            };
            is_later && self.began(step).is_some_and(is_over)
        })
    }

    fn is_known_before(&self, step: usize, asked: u64) -> bool {
        self.acknowledged(step).is_some_and(|acknowledged| acknowledged + self.delay < asked)
    }

    fn began(&self, step: usize) -> Option<u64> {
        Some(self.entries[step].began.load(Relaxed)).filter(|&time| time > 0)
    }

    fn acknowledged(&self, step: usize) -> Option<u64> {
        Some(self.entries[step].acknowledged.load(Relaxed)).filter(|&time| time > 0)
    }

    fn ttl(&self) -> u64 {
        Duration::from_secs(self.plan.workload.ttl).as_nanos() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::plan::{Workload, tests::workload};

    const RUN: u64 = 5;
    const SECOND: u64 = 1_000_000_000;

    /// One key, written in step 0 and then by all of the plan's actions.
    fn ledger(expiring: f64, deletes: f64) -> Ledger {
        let workload = Workload { reads: 0.0, expiring, deletes, ..workload(1) };
        Ledger::new(Arc::new(Plan::draw(workload, true, 3, 1).unwrap()), RUN, Duration::ZERO)
    }

    fn write(ledger: &Ledger, step: usize, began: u64, acknowledged: u64) {
        ledger.begin(step, began);
        ledger.acknowledge(step, acknowledged);
    }

    fn read(ledger: &Ledger, asked: u64, step: u32) -> Option<Violation> {
        let value = Stamp { run: RUN, key: 0, step }.value(64);
        ledger.judge(0, Span { asked, answered: asked + 5 }, Found::Value(&value, false))
    }

    fn nothing(ledger: &Ledger, asked: u64) -> Option<Violation> {
        ledger.judge(0, Span { asked, answered: asked + 5 }, Found::Nothing)
    }

    #[test]
    fn a_value_is_outdated_once_a_later_write_was_acknowledged() {
        let ledger = ledger(0.0, 0.0);
        write(&ledger, 0, 10, 20);
        write(&ledger, 1, 30, 40);
        assert_eq!(read(&ledger, 35, 0), None, "the write was under way");
        assert_eq!(read(&ledger, 50, 0), Some(Violation::Outdated));
        assert_eq!(read(&ledger, 50, 1), None);
    }

    #[test]
    fn of_writes_that_overlap_either_may_be_the_last() {
        let ledger = ledger(0.0, 0.0);
        write(&ledger, 0, 10, 35);
        write(&ledger, 1, 30, 40);
        assert_eq!((read(&ledger, 50, 0), read(&ledger, 50, 1)), (None, None));
    }

    #[test]
    fn a_write_that_failed_may_take_effect_at_any_time() {
        let ledger = ledger(0.0, 0.0);
        ledger.begin(0, 10);
        write(&ledger, 1, 30, 40);
        assert_eq!(read(&ledger, 1_000, 0), None);
        ledger.begin(2, 50);
        assert_eq!(read(&ledger, 60, 1), None);
    }

    #[test]
    fn values_from_elsewhere_are_seen() {
        let ledger = ledger(0.0, 0.0);
        let judge = |value: &[u8]| ledger.judge(0, Span { asked: 50, answered: 55 }, Found::Value(value, false));
        assert_eq!(judge(b"short"), Some(Violation::Torn));
        assert_eq!(judge(&Stamp { run: RUN, key: 1, step: 0 }.value(64)), Some(Violation::OtherKey));
        assert_eq!(read(&ledger, 50, 0), Some(Violation::OtherKey), "nobody wrote it yet");
        let earlier = Stamp { run: 4, key: 0, step: 0 }.value(64);
        assert_eq!(judge(&earlier), None);
        write(&ledger, 0, 10, 20);
        assert_eq!(judge(&earlier), Some(Violation::Outdated));
    }

    #[test]
    fn a_value_that_was_acknowledged_is_there_unless_it_was_deleted() {
        let ledger = ledger(0.0, 1.0);
        assert_eq!(nothing(&ledger, 5), None, "nobody wrote it yet");
        write(&ledger, 0, 10, 20);
        assert_eq!(nothing(&ledger, 15), None, "the write was under way");
        assert_eq!(nothing(&ledger, 30), Some(Violation::Lost));
        ledger.begin(1, 40);
        assert_eq!(nothing(&ledger, 45), None, "the delete is under way");
        ledger.acknowledge(1, 60);
        assert_eq!(nothing(&ledger, 70), None);
        assert_eq!(read(&ledger, 70, 0), Some(Violation::Outdated), "it is gone");
    }

    #[test]
    fn a_delete_before_the_write_is_no_excuse() {
        let ledger = ledger(0.0, 1.0);
        write(&ledger, 1, 10, 20);
        write(&ledger, 0, 30, 40);
        assert_eq!(nothing(&ledger, 50), Some(Violation::Lost));
    }

    #[test]
    fn a_value_expires_when_it_should() {
        let ledger = ledger(1.0, 0.0);
        write(&ledger, 0, 10, 20);
        assert_eq!(nothing(&ledger, SECOND / 2), Some(Violation::Lost));
        assert_eq!((nothing(&ledger, SECOND + 15), read(&ledger, SECOND + 15, 0)), (None, None));
        assert_eq!(read(&ledger, SECOND + CLOCKS + 25, 0), Some(Violation::Expired));
        let value = Stamp { run: RUN, key: 0, step: 0 }.value(64);
        let span = Span { asked: 2 * SECOND, answered: 2 * SECOND };
        assert_eq!(ledger.judge(0, span, Found::Value(&value, true)), None, "it was said to be stale");
    }

    #[test]
    fn other_instances_may_know_later() {
        let ledger = Ledger { delay: 100, ..ledger(0.0, 0.0) };
        write(&ledger, 0, 10, 20);
        write(&ledger, 1, 30, 40);
        assert_eq!(read(&ledger, 100, 0), None);
        assert_eq!(read(&ledger, 141, 0), Some(Violation::Outdated));
    }
}
