//! Times in nanoseconds since the program began to measure, and waiting for them.

use std::{
    io,
    time::{Duration, Instant},
};

/// Tells the time that has passed since it was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    /// A clock that starts now, at 1: 0 stands for never.
    pub(crate) fn new() -> Self {
        Self(Instant::now())
    }

    /// Nanoseconds since then.
    pub(crate) fn now(self) -> u64 {
        self.0.elapsed().as_nanos() as u64 + 1
    }

    fn instant(self, ns: u64) -> Instant {
        self.0 + Duration::from_nanos(ns)
    }
}

/// Wakes a task at a time. Requests are due some microseconds apart, while tokio's timers count milliseconds; so this is a
/// timer of the system where there is one.
pub(super) struct Alarm {
    clock: Clock,
    #[cfg(target_os = "linux")]
    timer: tokio_timerfd::Delay,
}

#[cfg(target_os = "linux")]
impl Alarm {
    pub(super) fn new(clock: Clock) -> io::Result<Self> {
        Ok(Self { clock, timer: tokio_timerfd::Delay::new(Instant::now())? })
    }

    pub(super) async fn wait_until(&mut self, ns: u64) {
        self.timer.reset(self.clock.instant(ns));
        if (&mut self.timer).await.is_err() {
            tokio::time::sleep_until(self.clock.instant(ns).into()).await;
        }
    }
}

#[cfg(not(target_os = "linux"))]
impl Alarm {
    pub(super) fn new(clock: Clock) -> io::Result<Self> {
        Ok(Self { clock })
    }

    pub(super) async fn wait_until(&mut self, ns: u64) {
        tokio::time::sleep_until(self.clock.instant(ns).into()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_alarm_is_never_early_and_can_be_set_again() {
        let clock = Clock::new();
        let mut alarm = Alarm::new(clock).unwrap();
        for delay in [300_000, 3_000_000, 50_000] {
            let due = clock.now() + delay;
            alarm.wait_until(due).await;
            let now = clock.now();
            assert!((due..due + 20_000_000_000).contains(&now), "due at {due}, woken at {now}");
        }
    }
}
