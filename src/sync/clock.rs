//! The clock, for figures that say how long something took.

use std::time::Duration;

/// A moment, to be compared with a later one.
#[derive(Clone, Copy)]
pub(crate) struct Moment(
    #[cfg(not(any(readmostly_loom, readmostly_shuttle, target_os = "unknown")))] std::time::Instant,
);

#[cfg(not(any(readmostly_loom, readmostly_shuttle, target_os = "unknown")))]
impl Moment {
    /// Some 25 ns where the system's clock can be read without a call, a microsecond elsewhere: for slow paths only.
    #[inline]
    pub(crate) fn now() -> Self {
        Moment(std::time::Instant::now())
    }

    /// The time from `earlier` to this.
    #[inline]
    pub(crate) fn since(self, earlier: Moment) -> Duration {
        self.0.saturating_duration_since(earlier.0)
    }
}

/// Where there is no clock everything takes no time: in models, whose schedules have no length, and without a system,
/// where asking for the time panics.
#[cfg(any(readmostly_loom, readmostly_shuttle, target_os = "unknown"))]
impl Moment {
    pub(crate) fn now() -> Self {
        Moment()
    }

    pub(crate) fn since(self, _earlier: Moment) -> Duration {
        Duration::ZERO
    }
}
