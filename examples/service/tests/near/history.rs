//! What happened in a run, and what may not have.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

/// A write that was acknowledged.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) key: String,
    pub(crate) version: u64,
    pub(crate) body: String,
    /// It never expires.
    pub(crate) lasts: bool,
    pub(crate) acknowledged: Instant,
}

/// A removal of the value with this version, or, of the server with all it held, of all up to this version.
#[derive(Clone, Debug)]
pub(crate) struct Removal {
    /// `None`: of all keys.
    pub(crate) key: Option<String>,
    pub(crate) version: u64,
    pub(crate) sent: Instant,
    /// `None`: what came of it is unknown.
    pub(crate) acknowledged: Option<Instant>,
}

#[derive(Clone, Debug)]
pub(crate) struct Read {
    /// Names the client.
    #[allow(dead_code, reason = "it is printed")]
    pub(crate) client: usize,
    pub(crate) key: String,
    /// Version and body; `None` if absent.
    pub(crate) found: Option<(u64, String)>,
    pub(crate) began: Instant,
    pub(crate) ended: Instant,
}

#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) writes: Vec<Write>,
    pub(crate) removals: Vec<Removal>,
    pub(crate) reads: Vec<Read>,
    /// Writes that may or may not have taken place.
    pub(crate) unknown: usize,
}

impl History {
    pub(crate) fn join(&mut self, other: History) {
        self.writes.extend(other.writes);
        self.removals.extend(other.removals);
        self.reads.extend(other.reads);
        self.unknown += other.unknown;
    }

    /// Panics if a read shows something else than was written, or what was no longer there `bound` before it began.
    pub(crate) fn check(&self, bound: Duration) {
        let mut keys: HashMap<&str, (BTreeMap<u64, &Write>, Vec<&Removal>)> = HashMap::new();
        for write in &self.writes {
            let twin = keys.entry(&write.key).or_default().0.insert(write.version, write);
            assert!(twin.is_none(), "two writes with one version: {write:?}, {twin:?}");
        }
        for removal in &self.removals {
            match &removal.key {
                Some(key) => keys.entry(key).or_default().1.push(removal),
                None => keys.values_mut().for_each(|(_, removals)| removals.push(removal)),
            }
        }
        for read in &self.reads {
            let Some((writes, removals)) = keys.get(read.key.as_str()) else { continue };
            match &read.found {
                Some((version, body)) => self.check_found(read, *version, body, writes, removals, bound),
                None => check_absent(read, writes, removals, bound),
            }
        }
    }

    fn check_found(
        &self,
        read: &Read,
        version: u64,
        body: &str,
        writes: &BTreeMap<u64, &Write>,
        removals: &[&Removal],
        bound: Duration,
    ) {
        match writes.get(&version) {
            Some(write) => assert_eq!(write.body, body, "another value than was written: {read:?}"),
            None => assert!(self.unknown > 0, "nobody wrote this: {read:?}"),
        }
        let newer = writes.range(version + 1..).find(|(_, write)| write.acknowledged + bound < read.began);
        assert!(newer.is_none(), "stale: {read:?}\nwas overwritten by {newer:?}");
        let gone = removals.iter().find(|removal| {
            removal.version >= version && removal.acknowledged.is_some_and(|at| at + bound < read.began)
        });
        assert!(gone.is_none(), "stale: {read:?}\nwas removed by {gone:?}");
    }
}

fn check_absent(read: &Read, writes: &BTreeMap<u64, &Write>, removals: &[&Removal], bound: Duration) {
    let Some((&version, newest)) = writes.iter().rfind(|(_, write)| write.acknowledged + bound < read.began) else {
        return;
    };
    let expired = writes.range(version..).any(|(_, write)| !write.lasts);
    let removed = removals.iter().any(|removal| removal.version >= version && removal.sent < read.ended);
    assert!(expired || removed, "stale: {read:?}\nmisses {newest:?}");
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::*;

    const BOUND: Duration = Duration::from_millis(10);

    /// One key: a write of version 1 at 0 ms and of version 2 at 100 ms, removed at 200 ms; and one read.
    fn valid(found: Option<u64>, begins: u64) -> bool {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let key = || "k".to_owned();
        let write = |version, millis| Write {
            key: key(),
            version,
            body: version.to_string(),
            lasts: true,
            acknowledged: at(millis),
        };
        let removal = Removal { key: Some(key()), version: 2, sent: at(199), acknowledged: Some(at(200)) };
        let found = found.map(|version| (version, version.to_string()));
        let read = Read { client: 0, key: key(), found, began: at(begins), ended: at(begins + 1) };
        let history = History {
            writes: vec![write(1, 0), write(2, 100)],
            removals: vec![removal],
            reads: vec![read],
            unknown: 0,
        };
        catch_unwind(|| history.check(BOUND)).is_ok()
    }

    #[test]
    fn stale_reads_are_told_from_fresh_ones() {
        assert!(valid(Some(1), 50) && valid(Some(1), 110) && !valid(Some(1), 111));
        assert!(valid(Some(2), 50) && valid(Some(2), 210) && !valid(Some(2), 211));
        assert!(valid(None, 5) && !valid(None, 50) && !valid(None, 150) && valid(None, 199) && valid(None, 300));
        assert!(!valid(Some(3), 50), "nobody wrote it");
    }
}
