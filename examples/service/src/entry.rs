//! What is cached of a key.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub(crate) type Key = Arc<str>;

/// A moment in milliseconds since the Unix epoch. The clock of the wall, because databases keep moments across restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Moment(pub(crate) u64);

impl Moment {
    pub(crate) const NEVER: Moment = Moment(u64::MAX);

    pub(crate) fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Moment(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    pub(crate) fn after(self, time: Duration) -> Self {
        Moment(self.0.saturating_add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)))
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
