//! One read of a key after the other, so that a key whose reads do not return takes one reader and no more.
//!
//! The cache loads a key once at a time, too, but when those who wait for a load give up, its read goes on, and the next
//! load would begin another one beside it.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Mutex as Gate, OwnedMutexGuard};

use crate::entry::Key;

#[derive(Debug, Default)]
pub(super) struct Turns {
    /// A gate for each key that is read or waited for.
    gates: Mutex<HashMap<Key, Arc<Gate<()>>>>,
}

/// Keeps other reads of the key waiting until it is dropped.
pub(super) struct Turn {
    _guard: OwnedMutexGuard<()>,
    _place: Place,
}

/// One that reads a key or waits for it; the last takes the gate away.
struct Place {
    turns: Arc<Turns>,
    key: Key,
}

impl Turns {
    /// Waits until no other read of `key` is under way.
    pub(super) async fn take(self: &Arc<Self>, key: Key) -> Turn {
        let gate = Arc::clone(self.gates.lock().entry(Key::clone(&key)).or_default());
        let place = Place { turns: Arc::clone(self), key };
        Turn { _guard: gate.lock_owned().await, _place: place }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut gates = self.turns.gates.lock();
        // Guards and those who wait for one hold the gate, this one no longer.
        if gates.get(&self.key).is_some_and(|gate| Arc::strong_count(gate) == 1) {
            gates.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    const SOON: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn reads_of_a_key_take_turns_and_no_other_key_waits() {
        let turns = Arc::new(Turns::default());
        let first = turns.take("a".into()).await;
        assert!(timeout(SOON, turns.take("a".into())).await.is_err());
        let other = turns.take("b".into()).await;
        drop(first);
        let second = timeout(SOON, turns.take("a".into())).await.expect("its turn");
        assert_eq!(turns.gates.lock().len(), 2);
        drop((second, other));
        assert!(turns.gates.lock().is_empty(), "gates that nobody needs are kept");
    }

    #[tokio::test]
    async fn those_who_give_up_leave_nothing_behind() {
        let turns = Arc::new(Turns::default());
        let first = turns.take("a".into()).await;
        let waiting = timeout(SOON, turns.take("a".into()));
        let (_, gone) = tokio::join!(async { drop(first) }, waiting);
        drop(gone);
        assert!(turns.gates.lock().is_empty());
    }
}
