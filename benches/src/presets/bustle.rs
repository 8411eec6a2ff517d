//! The three workloads of conc-map-bench.

use super::{Findings, Options};
use crate::{
    document,
    keys::{self, rng},
    load::{Kind, Length, Plan, Script, Sheet, closed, lineup},
};
use anyhow::Result;
use rand::{RngExt, seq::SliceRandom};
use std::time::Duration;

const ABOUT: &str = "ReadHeavy, Exchange and RapidGrow as conc-map-bench runs them with bustle, scaled down: the same \
    mixes, room for the same multiple of the entries from the start, as many operations as three quarters of that \
    capacity, and keys that no two threads share. Inserts are of new keys, removals of a thread's oldest.

`present`: reads and updates pick uniformly among the keys that their thread has in the map. `original`: they pick with \
    bustle's generator, which runs through all keys that a thread will ever insert, so that most of its reads miss; \
    compare the hit rates. An update of an absent key, which does nothing, is made a read.

`RapidGrow` never outgrows the capacity that it asks for; `RapidGrow from empty` asks for none.";

/// What is done in a hundred operations, and how much of the capacity is filled before.
struct Workload {
    name: &'static str,
    reads: usize,
    inserts: usize,
    removes: usize,
    updates: usize,
    prefill: f64,
    sized: bool,
}

const WORKLOADS: [Workload; 4] = [
    Workload { name: "ReadHeavy", reads: 98, inserts: 1, removes: 1, updates: 0, prefill: 0.75, sized: true },
    Workload { name: "Exchange", reads: 10, inserts: 40, removes: 40, updates: 10, prefill: 0.75, sized: true },
    Workload { name: "RapidGrow", reads: 5, inserts: 80, removes: 5, updates: 10, prefill: 0.0, sized: true },
    Workload {
        name: "RapidGrow from empty",
        reads: 5,
        inserts: 80,
        removes: 5,
        updates: 10,
        prefill: 0.0,
        sized: false,
    },
];

/// The operations of a workload as a multiple of its capacity.
const OPERATIONS: f64 = 0.75;

/// A turn that takes longer ends unfinished; its throughput is that until then.
const LONGEST: Duration = Duration::from_secs(10);

/// How reads and updates pick a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Picks {
    Present,
    Original,
}

impl Picks {
    fn name(self) -> &'static str {
        match self {
            Self::Present => "present",
            Self::Original => "original",
        }
    }
}

pub(super) fn measure(options: &Options) -> Result<Findings> {
    let capacity = 1_usize << options.either(17, 21);
    let setting = options.setting_of(crate::peers::Peer::MAIN, options.either(2, 5), 0);
    let mut threads = vec![1, options.threads()];
    threads.dedup();
    let mut sheet = Sheet::new(["workload", "keys", "threads"]);
    for workload in &WORKLOADS {
        for picks in [Picks::Present, Picks::Original] {
            for &threads in &threads {
                let plan = workload.plan(capacity, threads, picks);
                let length = Length::Operations { count: plan.scripts[0].kinds.len(), at_most: LONGEST };
                let scores = closed::measure(lineup::<u64, u64>(plan, &setting), setting.rounds, length)?;
                sheet.add([workload.name, picks.name(), &threads.to_string()], scores);
            }
        }
    }
    let most = threads[threads.len() - 1].to_string();
    let plot = |picks: Picks| {
        let label = |labels: &[String]| (labels[1..] == [picks.name(), &most]).then(|| labels[0].clone());
        sheet.bars(&format!("{most} threads, {} keys", picks.name()), "workload", label)
    };
    let mut notes = vec![format!("Capacity {}.", document::entries(capacity))];
    notes.extend(sheet.notes());
    Ok(Findings {
        title: "The workloads of conc-map-bench",
        about: ABOUT,
        notes,
        plots: vec![plot(Picks::Present), plot(Picks::Original)],
        tables: sheet.tables(),
    })
}

impl Workload {
    fn plan(&self, capacity: usize, threads: usize, picks: Picks) -> Plan<u64> {
        let operations = (capacity as f64 * OPERATIONS) as usize;
        let prefill = (capacity as f64 * self.prefill) as usize;
        let most_inserts = operations.div_ceil(100) * self.inserts;
        let keys_per_thread = (capacity.max(most_inserts) + prefill).div_ceil(threads).next_power_of_two();
        let thread = |thread| Thread {
            prefilled: prefill / threads,
            keys: keys_per_thread,
            operations: operations / threads,
            number: thread,
            threads,
        };
        Plan {
            keys: (0..(keys_per_thread * threads) as u64).map(keys::nth).collect(),
            prefix: "",
            filled: prefill / threads * threads,
            capacity: if self.sized { capacity } else { 0 },
            settled: true,
            cold: true,
            value_bytes: 0,
            scripts: (0..threads).map(|number| thread(number).script(self, picks)).collect(),
        }
    }

    /// A hundred operations in a random order, repeated.
    fn kinds(&self) -> Vec<Kind> {
        let parts = [
            (Kind::Read, self.reads),
            (Kind::Insert, self.inserts),
            (Kind::Remove, self.removes),
            (Kind::Overwrite, self.updates),
        ];
        let mut kinds: Vec<Kind> = parts.into_iter().flat_map(|(kind, count)| vec![kind; count]).collect();
        kinds.shuffle(&mut rng(1));
        kinds
    }
}

/// The part of a workload that one thread does.
struct Thread {
    prefilled: usize,
    keys: usize,
    operations: usize,
    number: usize,
    threads: usize,
}

impl Thread {
    fn script(&self, workload: &Workload, picks: Picks) -> Script<u64> {
        let mut rng = rng(2 + self.number as u64);
        let (mut oldest, mut newest, mut cursor) = (0, self.prefilled, 0);
        // bustle's generator: a linear congruential one with the number of keys, a power of two, as its modulus.
        let step = |cursor: usize| (cursor * (self.keys / 2 + 1) + self.keys / 4 - 1) % self.keys;
        let mut script = Script { tokens: Vec::new(), kinds: Vec::new() };
        for kind in workload.kinds().into_iter().cycle().take(self.operations) {
            let (kind, index) = match kind {
                Kind::Insert => {
                    newest += 1;
                    (kind, newest - 1)
                }
                Kind::Remove if oldest < newest => {
                    oldest += 1;
                    (kind, oldest - 1)
                }
                _ if picks == Picks::Original => {
                    let at = cursor;
                    cursor = step(cursor);
                    let absent_update = kind == Kind::Overwrite && !(oldest..newest).contains(&at);
                    (if absent_update { Kind::Read } else { kind }, at)
                }
                // Nothing is there yet: the next key is read, and missed.
                _ if oldest == newest => (Kind::Read, newest),
                _ => (kind, rng.random_range(oldest..newest)),
            };
            script.kinds.push(kind);
            script.tokens.push(keys::nth((index * self.threads + self.number) as u64));
        }
        script
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// The share of reads that hit, and the entries in the end.
    fn replay(plan: &Plan<u64>) -> (f64, usize) {
        let mut map: HashSet<u64> = plan.keys[..plan.filled].iter().copied().collect();
        let (mut reads, mut hits) = (0, 0);
        for script in &plan.scripts {
            for (key, kind) in script.tokens.iter().zip(&script.kinds) {
                match kind {
                    Kind::Read => {
                        reads += 1;
                        hits += u32::from(map.contains(key));
                    }
                    Kind::Insert => assert!(map.insert(*key), "an insert is of a new key"),
                    Kind::Remove => assert!(map.remove(key), "a removal is of a present key"),
                    Kind::Overwrite => assert!(map.contains(key), "an update is of a present key"),
                    Kind::Fresh => panic!("bustle has its own keys"),
                }
            }
        }
        (f64::from(hits) / f64::from(reads), map.len())
    }

    #[test]
    fn picks_of_present_keys_hit_and_the_original_ones_mostly_miss() {
        for threads in [1, 2, 3] {
            assert_eq!(replay(&WORKLOADS[0].plan(1 << 12, threads, Picks::Present)).0, 1.0);
            assert_eq!(replay(&WORKLOADS[1].plan(1 << 12, threads, Picks::Present)).0, 1.0);
            let original = replay(&WORKLOADS[0].plan(1 << 12, threads, Picks::Original)).0;
            assert!((0.3..=0.51).contains(&original), "{threads} threads: {original}");
        }
    }

    #[test]
    fn sizes_are_as_the_mixes_make_them() {
        let entries = |workload: &Workload| replay(&workload.plan(1 << 12, 2, Picks::Present)).1;
        // As many inserts as removes, but for the last hundred operations of each thread.
        assert!(entries(&WORKLOADS[0]).abs_diff(3 << 10) <= 4);
        assert!(entries(&WORKLOADS[1]).abs_diff(3 << 10) <= 80);
        let grown = entries(&WORKLOADS[2]) as f64 / f64::from(1 << 12);
        assert!((0.5..0.6).contains(&grown), "three quarters of the capacity, of which 75 % remain: {grown}");
        assert!((0.9..1.0).contains(&replay(&WORKLOADS[2].plan(1 << 12, 2, Picks::Present)).0));
    }
}
