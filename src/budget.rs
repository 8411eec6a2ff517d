//! How much of an iteration is to be done at a time.

use std::time::{Duration, Instant};

/// After how much [`SyncMap::range_until`](crate::SyncMap::range_until) stops.
///
/// ```
/// use readmostly::{Budget, Cursor, SyncMap};
/// use std::time::Duration;
///
/// let map = SyncMap::from([(1, 'a')]);
/// for budget in [Budget::from(1000), Budget::from(Duration::from_millis(1)), Budget::Entries(1)] {
///     let mut visited = 0;
///     let next = map.range_until(budget, Cursor::default(), |_, _| visited += 1);
///     assert!(visited == 1 || next.is_some());
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Budget {
    /// When this many entries, or a few more, have been visited.
    Entries(usize),
    /// At this time.
    Until(Instant),
}

impl Budget {
    pub(crate) fn is_used_up(self, visited: usize) -> bool {
        match self {
            Budget::Entries(entries) => visited >= entries,
            Budget::Until(deadline) => Instant::now() >= deadline,
        }
    }
}

impl From<usize> for Budget {
    fn from(entries: usize) -> Self {
        Budget::Entries(entries)
    }
}

impl From<Instant> for Budget {
    fn from(deadline: Instant) -> Self {
        Budget::Until(deadline)
    }
}

/// So long from now; without end if that is beyond what the clock can say.
impl From<Duration> for Budget {
    fn from(time: Duration) -> Self {
        Instant::now().checked_add(time).map_or(Budget::Entries(usize::MAX), Budget::Until)
    }
}
