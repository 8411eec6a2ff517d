//! Faults of a database, at a test's command.

use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use serde::Deserialize;

use super::StoreError;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    Ok,
    /// Statements do not return.
    Stall,
    /// Statements fail.
    Gone,
}

#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) mode: Mode,
    /// For how long; `None`: until the next command.
    pub(crate) time: Option<Duration>,
    /// Statements about this key alone.
    pub(crate) key: Option<String>,
}

#[derive(Debug, Default)]
pub(crate) struct Faults {
    current: Mutex<Option<(Fault, Instant)>>,
    changed: Condvar,
}

impl Faults {
    pub(crate) fn set(&self, fault: Fault) {
        *self.current.lock() = Some((fault, Instant::now()));
        self.changed.notify_all();
    }

    /// To be called before a statement about `key`. Blocks while the database is to stall.
    pub(crate) fn pass(&self, key: Option<&str>) -> Result<(), StoreError> {
        let mut current = self.current.lock();
        loop {
            let Some((fault, since)) = &*current else { return Ok(()) };
            if fault.key.is_some() && fault.key.as_deref() != key {
                return Ok(());
            }
            let end = fault.time.map(|time| *since + time);
            if end.is_some_and(|end| end <= Instant::now()) {
                return Ok(());
            }
            match (fault.mode, end) {
                (Mode::Ok, _) => return Ok(()),
                (Mode::Gone, _) => return Err(StoreError::Gone("it is made to fail".into())),
                (Mode::Stall, None) => self.changed.wait(&mut current),
                (Mode::Stall, Some(end)) => {
                    self.changed.wait_until(&mut current, end);
                }
            }
        }
    }
}
