//! What is cached of a key.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub(crate) type Key = Arc<str>;

/// A moment in milliseconds since the Unix epoch. The clock of the wall, because databases keep moments across restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Moment(pub(crate) u64);

/// By the clock of the wall.
pub(crate) fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

impl Moment {
    /// The largest that a database of signed integers holds.
    pub(crate) const NEVER: Moment = Moment(i64::MAX as u64);

    pub(crate) fn now() -> Self {
        Moment(0).after(since_epoch())
    }

    pub(crate) fn after(self, time: Duration) -> Self {
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Moment(self.0.saturating_add(millis)).min(Self::NEVER)
    }

    pub(crate) fn until(self, later: Moment) -> Duration {
        Duration::from_millis(later.0.saturating_sub(self.0))
    }
}

/// A value with its version, or the knowledge that the database has none. Cloning it copies no bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// No two values that the database has ever held have the same version. 0 where there is no value.
    pub(crate) version: u64,
    pub(crate) expires: Moment,
    /// `None`: the key is known to be absent.
    pub(crate) value: Option<Bytes>,
}

impl Entry {
    pub(crate) fn present(version: u64, expires: Moment, value: Bytes) -> Self {
        Entry { version, expires, value: Some(value) }
    }

    pub(crate) fn absent(expires: Moment) -> Self {
        Entry { version: 0, expires, value: None }
    }

    pub(crate) fn is_expired(&self, now: Moment) -> bool {
        self.expires <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_expires_at_its_moment_and_never_without_one() {
        let entry = Entry::present(1, Moment(10), Bytes::new());
        assert!(!entry.is_expired(Moment(9)));
        assert!(entry.is_expired(Moment(10)));
        let longest = Moment::now().after(Duration::MAX);
        assert_eq!(longest, Moment::NEVER);
        assert!(!Entry::absent(longest).is_expired(Moment::now()));
    }
}
