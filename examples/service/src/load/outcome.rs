//! What came of the requests of a turn.

use super::{
    client::{Answer, Failure, Source},
    ledger::Violation,
    plan::Action,
};
use hyper::StatusCode;
use readmostly_bench::latency::Latencies;
use std::{collections::BTreeMap, time::Duration};

/// What a request turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// A read that the cache answered with a value.
    Hit,
    /// A read that the cache answered with a value past its time.
    Stale,
    /// A read that the cache answered: there is nothing.
    Negative,
    /// A read that went to the database.
    Miss,
    /// A write.
    Write,
    /// A delete.
    Delete,
    /// None of these: no answer, or an error.
    Failed,
}

impl Class {
    /// All of them, in the order of reports.
    pub(crate) const ALL: [Self; 7] =
        [Self::Hit, Self::Stale, Self::Negative, Self::Miss, Self::Write, Self::Delete, Self::Failed];

    /// The words for it in a report.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Hit => "hits",
            Self::Stale => "stale hits",
            Self::Negative => "negative hits",
            Self::Miss => "misses",
            Self::Write => "writes",
            Self::Delete => "deletes",
            Self::Failed => "failed",
        }
    }

    /// What an answer makes of a request.
    pub(crate) fn of(action: Action, answer: &Answer) -> Self {
        let is_absent = answer.status == StatusCode::NOT_FOUND;
        match (action, answer.source) {
            _ if !answer.status.is_success() && !is_absent => Self::Failed,
            (Action::Read, Source::Hit) => Self::Hit,
            (Action::Read, Source::Stale) => Self::Stale,
            (Action::Read, Source::Negative) => Self::Negative,
            (Action::Read, Source::Database) => Self::Miss,
            (Action::Delete, _) => Self::Delete,
            (Action::Write | Action::WriteExpiring, _) if is_absent => Self::Failed,
            (Action::Write | Action::WriteExpiring, _) => Self::Write,
        }
    }
}

/// What came of the requests of a turn.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    /// From when requests were due to when they were answered, by [`Class`].
    pub(crate) latency: [Latencies; Class::ALL.len()],
    /// The same for all of them together.
    pub(crate) all: Latencies,
    /// From when they were sent, for all of them together.
    pub(crate) service: Latencies,
    /// Requests without the answer that they should have had, by kind.
    pub(crate) errors: BTreeMap<String, u64>,
    /// Answers that were wrong.
    pub(crate) violations: BTreeMap<Violation, u64>,
    /// Requests that were never sent, since the service was too far behind. They count as late, not as answered.
    pub(crate) given_up: u64,
    /// From the first request to the last answer.
    pub(crate) wall: Duration,
}

impl Outcome {
    /// Counts a request: nanoseconds from when it was due, and from when it was sent.
    pub(crate) fn record(&mut self, class: Class, latency: u64, service: u64) {
        self.latency[class as usize].record(latency);
        self.all.record(latency);
        self.service.record(service);
    }

    /// Counts a request that had an error for an answer, or none.
    pub(crate) fn fail(&mut self, kind: String) {
        *self.errors.entry(kind).or_default() += 1;
    }

    /// Counts one that was not sent before it was given up, so long after it was due.
    pub(crate) fn give_up(&mut self, latency: u64) {
        self.all.record(latency);
        self.given_up += 1;
    }

    /// The kind of error that an answer is, if it is one.
    pub(crate) fn error_of(class: Class, answer: &Result<Answer, Failure>) -> Option<String> {
        match answer {
            Ok(answer) => (class == Class::Failed).then(|| answer.status.to_string()),
            Err(failure) => Some(failure.name().to_owned()),
        }
    }

    /// Adds that of another thread or turn; the longer wall time counts.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.latency.iter_mut().zip(&other.latency).for_each(|(all, latency)| all.merge(latency));
        self.all.merge(&other.all);
        self.service.merge(&other.service);
        other.errors.iter().for_each(|(kind, count)| *self.errors.entry(kind.clone()).or_default() += count);
        other.violations.iter().for_each(|(kind, count)| *self.violations.entry(*kind).or_default() += count);
        self.given_up += other.given_up;
        self.wall = self.wall.max(other.wall);
    }

    /// How many requests of a class there were.
    pub(crate) fn count(&self, class: Class) -> u64 {
        self.latency[class as usize].len()
    }

    /// Requests that were answered as they should be.
    pub(crate) fn answered(&self) -> u64 {
        self.service.len() - self.count(Class::Failed)
    }

    /// Those per second.
    pub(crate) fn rate(&self) -> f64 {
        self.answered() as f64 / self.wall.as_secs_f64()
    }

    /// Requests with an error for an answer, or none.
    pub(crate) fn failed(&self) -> u64 {
        self.errors.values().sum()
    }

    /// Wrong answers.
    pub(crate) fn violated(&self) -> u64 {
        self.violations.values().sum()
    }

    /// The share of reads that the cache answered, if there were any.
    pub(crate) fn hit_rate(&self) -> Option<f64> {
        let hits = self.count(Class::Hit) + self.count(Class::Stale) + self.count(Class::Negative);
        let reads = hits + self.count(Class::Miss);
        (reads > 0).then(|| hits as f64 / reads as f64)
    }
}
