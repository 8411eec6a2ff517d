//! What the threads access: every access is drawn or read before the run, so that the run measures the cache alone.

use std::io;
use std::sync::Arc;
use std::thread;

use rand::rngs::SmallRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use rand_distr::{Distribution as _, Zipf};

/// Draws for all threads together: enough that nearly all of a million keys appear.
const MAX_DRAWS: usize = 1 << 24;
const MIN_DRAWS: usize = 1 << 16;
const DRAWS_PER_KEY: usize = 16;

/// One access: the id of its key, and whether it overwrites the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Access(u32);

impl Access {
    const OVERWRITE: u32 = 1 << 31;
    /// Ids are below this.
    pub(crate) const MAX_IDS: usize = 1 << 31;

    pub(crate) fn read(id: u32) -> Self {
        debug_assert!((id as usize) < Self::MAX_IDS);
        Access(id)
    }

    pub(crate) fn id(self) -> u32 {
        self.0 & !Self::OVERWRITE
    }

    pub(crate) fn overwrites(self) -> bool {
        self.0 & Self::OVERWRITE != 0
    }

    fn overwrite(self) -> Self {
        Access(self.0 | Self::OVERWRITE)
    }
}

/// The text of every key by its id, in one allocation.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    text: String,
    ends: Vec<usize>,
}

impl Keys {
    /// Adds `prefix:number`, which gets the next id.
    pub(crate) fn push(&mut self, prefix: &str, number: u64) {
        use std::fmt::Write as _;
        write!(self.text, "{prefix}:{number}").expect("a String takes any text");
        self.ends.push(self.text.len());
    }

    pub(crate) fn get(&self, id: u32) -> &str {
        let id = id as usize;
        let start = if id == 0 { 0 } else { self.ends[id - 1] };
        &self.text[start..self.ends[id]]
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }
}

/// Where the accesses came from, for the report.
#[derive(Debug)]
pub(crate) enum Origin {
    Zipf { skew: f64 },
    Trace { file: String },
}

#[derive(Debug)]
pub(crate) struct Workload {
    pub(crate) origin: Origin,
    pub(crate) keys: Keys,
    /// One stream of accesses per thread.
    pub(crate) streams: Vec<Vec<Access>>,
}

impl Workload {
    /// Zipf-distributed accesses to `keys` keys. The ranks are scattered over the keys, so that hot keys are no
    /// neighbours in anything that depends on their order.
    pub(crate) fn zipf(keys: usize, skew: f64, seed: u64, threads: usize) -> Result<Self, String> {
        let zipf = Zipf::new(keys as f64, skew)
            .map_err(|error| format!("{keys} keys with skew {skew}: {error}; expected a Zipf distribution"))?;
        let mut by_rank: Vec<u32> = (0..keys as u32).collect();
        by_rank.shuffle(&mut SmallRng::seed_from_u64(seed));

        let draws = keys.saturating_mul(DRAWS_PER_KEY).clamp(MIN_DRAWS, MAX_DRAWS) / threads;
        let by_rank = &by_rank;
        let streams = for_each_thread((0..threads).collect(), |thread| {
            let mut rng = thread_rng(seed, thread);
            let draw = |_| Access::read(by_rank[zipf.sample(&mut rng) as usize - 1]);
            (0..draws).map(draw).collect()
        })?;

        let mut names = Keys::default();
        (0..keys as u64).for_each(|id| names.push("key", id));
        Ok(Workload { origin: Origin::Zipf { skew }, keys: names, streams })
    }

    /// Turns all but `read_share` percent of the accesses into overwrites.
    pub(crate) fn mark_overwrites(&mut self, read_share: u32, seed: u64) -> Result<(), String> {
        if read_share >= 100 {
            return Ok(());
        }
        let streams = std::mem::take(&mut self.streams).into_iter().enumerate().collect();
        self.streams = for_each_thread(streams, |(thread, mut stream): (usize, Vec<Access>)| {
            let mut rng = thread_rng(!seed, thread);
            for access in &mut stream {
                if rng.random_range(0..100) >= read_share {
                    *access = access.overwrite();
                }
            }
            stream
        })?;
        Ok(())
    }

    pub(crate) fn accesses(&self) -> u64 {
        self.streams.iter().map(|stream| stream.len() as u64).sum()
    }

    pub(crate) fn default_capacity(&self) -> usize {
        (self.keys.len() / 4).max(1)
    }
}

fn thread_rng(seed: u64, thread: usize) -> SmallRng {
    SmallRng::seed_from_u64(seed.wrapping_add((thread as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15)))
}

/// `f` of every item, each on a thread of its own.
fn for_each_thread<T: Send, R: Send>(work: Vec<T>, f: impl Fn(T) -> R + Sync) -> Result<Vec<R>, String> {
    let (f, threads) = (&f, work.len());
    thread::scope(|scope| {
        let spawn = |item| thread::Builder::new().spawn_scoped(scope, move || f(item));
        let handles: io::Result<Vec<_>> = work.into_iter().map(spawn).collect();
        let handles = handles.map_err(|error| format!("--threads {threads}: {error}; expected to start as many"))?;
        Ok(handles.into_iter().map(|handle| handle.join().expect("no panic while preparing")).collect())
    })
}

/// The store behind the cache: makes the value of a key, and recognises it again.
#[derive(Debug)]
pub(crate) struct BackingStore {
    pub(crate) value_size: usize,
}

impl BackingStore {
    /// The key's id and then bytes that follow from it.
    pub(crate) fn load(&self, id: u32) -> Arc<[u8]> {
        let mut state = u64::from(id);
        let mut bytes = Vec::with_capacity(self.value_size + 7);
        while bytes.len() < self.value_size {
            bytes.extend_from_slice(&state.to_le_bytes());
            state = state.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F);
        }
        Arc::from(&bytes[..self.value_size])
    }

    /// Whether `value` is what `load` made for `id`, by its length and its start.
    pub(crate) fn made(&self, id: u32, value: &[u8]) -> bool {
        value.len() == self.value_size && value.first_chunk() == Some(&u64::from(id).to_le_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_accesses() {
        let draw = |seed| Workload::zipf(1000, 0.99, seed, 2).unwrap().streams;
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert_ne!(draw(1)[0], draw(1)[1], "threads must not access in lockstep");
    }

    #[test]
    fn few_keys_take_most_accesses() {
        let workload = Workload::zipf(1000, 0.99, 7, 1).unwrap();
        let mut counts = vec![0_usize; 1000];
        workload.streams[0].iter().for_each(|access| counts[access.id() as usize] += 1);
        let hottest = (0..1000).max_by_key(|&id| counts[id]).unwrap();
        counts.sort_unstable_by(|a, b| b.cmp(a));
        let total: usize = counts.iter().sum();
        let top: usize = counts[..100].iter().sum();
        // The hundred hottest of a thousand keys draw 69 % of the accesses.
        assert!((0.66..0.72).contains(&(top as f64 / total as f64)), "{top} of {total}");
        assert_ne!(hottest, 0, "ranks must be scattered over the keys");
    }

    #[test]
    fn overwrites_take_their_share() {
        let mut workload = Workload::zipf(1000, 0.99, 7, 2).unwrap();
        let before = workload.streams.clone();
        workload.mark_overwrites(100, 7).unwrap();
        assert_eq!(before, workload.streams);
        workload.mark_overwrites(75, 7).unwrap();
        let overwrites = workload.streams.iter().flatten().filter(|access| access.overwrites()).count();
        let share = overwrites as f64 / workload.accesses() as f64;
        assert!((0.24..0.26).contains(&share), "{share}");
        let ids = |streams: &[Vec<Access>]| streams.concat().iter().map(|access| access.id()).collect::<Vec<_>>();
        assert_eq!(ids(&before), ids(&workload.streams));
    }

    #[test]
    fn keys_are_found_by_their_id() {
        let mut keys = Keys::default();
        keys.push("page", 7);
        keys.push("page", 12_345);
        assert_eq!((keys.get(0), keys.get(1), keys.len()), ("page:7", "page:12345", 2));
    }

    #[test]
    fn the_store_recognises_its_values() {
        let store = BackingStore { value_size: 20 };
        let value = store.load(1);
        assert_eq!(value.len(), 20);
        assert!(store.made(1, &value));
        assert!(!store.made(2, &value));
        assert!(!store.made(1, &value[..19]));
    }
}
