//! A circuit breaker: what takes too long is suspended for a while, and then tried once before it goes on.

use std::time::{Duration, Instant};

use crate::status;

#[derive(Debug)]
pub(super) struct Breaker {
    limit: Duration,
    shortest: Duration,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Closed,
    /// `back_off`: how long it was opened for.
    Open {
        until: Instant,
        back_off: Duration,
    },
    HalfOpen {
        back_off: Duration,
    },
}

/// A back-off is at most so many times the shortest.
const LONGEST: u32 = 32;

impl Breaker {
    /// Opens when a step takes longer than `limit`, first for `shortest`, then each time for twice as long.
    pub(super) fn new(limit: Duration, shortest: Duration) -> Self {
        Breaker { limit, shortest, state: State::Closed }
    }

    /// Whether a step may be taken. Where the back-off is over, one is: half-open.
    pub(super) fn permits(&mut self, now: Instant) -> bool {
        if let State::Open { until, back_off } = self.state {
            if now < until {
                return false;
            }
            self.state = State::HalfOpen { back_off };
        }
        true
    }

    /// A step took so long. Closes, or opens.
    pub(super) fn record(&mut self, now: Instant, took: Duration) {
        if took <= self.limit {
            self.state = State::Closed;
            return;
        }
        let back_off = match self.state {
            State::Closed => self.shortest,
            State::Open { back_off, .. } | State::HalfOpen { back_off } => (back_off * 2).min(self.shortest * LONGEST),
        };
        self.state = State::Open { until: now + back_off, back_off };
    }

    pub(super) fn state(&self) -> status::Breaker {
        match self.state {
            State::Closed => status::Breaker::Closed,
            State::Open { .. } => status::Breaker::Open,
            State::HalfOpen { .. } => status::Breaker::HalfOpen,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_millis(5);
    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn opens_above_the_limit_and_closes_after_a_step_that_keeps_it() {
        let start = Instant::now();
        let mut breaker = Breaker::new(LIMIT, SECOND);
        breaker.record(start, LIMIT);
        assert_eq!(breaker.state(), status::Breaker::Closed);
        breaker.record(start, LIMIT * 2);
        assert_eq!(breaker.state(), status::Breaker::Open);
        assert!(!breaker.permits(start + SECOND / 2));
        assert!(breaker.permits(start + SECOND));
        assert_eq!(breaker.state(), status::Breaker::HalfOpen);
        breaker.record(start + SECOND, LIMIT);
        assert_eq!(breaker.state(), status::Breaker::Closed);
    }

    #[test]
    fn backs_off_twice_as_long_each_time_up_to_a_bound() {
        let mut now = Instant::now();
        let mut breaker = Breaker::new(LIMIT, SECOND);
        for times in [1, 2, 4, 8, 16, 32, 32] {
            assert!(breaker.permits(now));
            breaker.record(now, LIMIT * 2);
            assert!(!breaker.permits(now + SECOND * times - LIMIT));
            now += SECOND * times;
        }
        assert!(breaker.permits(now));
        breaker.record(now, LIMIT);
        breaker.record(now, LIMIT * 2);
        assert!(breaker.permits(now + SECOND), "closing forgets the back-off");
    }
}
