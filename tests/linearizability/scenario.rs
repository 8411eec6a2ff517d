//! What threads do: small workloads, made at random from a seed, that lead to the rare paths.
//!
//! Few keys and few operations, so that operations meet, and tables in all states: what matters besides the keys that
//! operations share is how full the table is, whether it is being copied and how far, whether it is frozen, and what is
//! left in it of removed keys.

// Each crate that shares this module uses a part of it.
#![allow(dead_code)]

use super::apply::{MOST_KEYS, Spread};
use super::history::{Guess, Op, Parity, Plan, Step};

/// A workload. Seeds make the same ones everywhere; which history comes of one is up to the threads.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) seed: u64,
    pub(crate) start: Start,
    pub(crate) mix: Mix,
    /// Operations share the keys `0..keys`.
    pub(crate) keys: u64,
    /// Bits of the hash that are used.
    pub(crate) mask: u64,
    /// One in how many opportunities to pause is taken; none if it is 0.
    pub(crate) pauses: u64,
    /// What is done before the threads start, and after they have ended: by the same session, which may hold a snapshot
    /// all the time.
    pub(crate) setup: Vec<Step>,
    pub(crate) finale: Vec<Step>,
    pub(crate) threads: Vec<Vec<Step>>,
}

/// The state of the map when the threads start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    Empty,
    /// Some keys are there, some were removed.
    Settled,
    /// As before, with a snapshot held: a new key makes a new table.
    Frozen,
    /// A large table is being copied to the next.
    Copying,
    /// The table is full, or nearly.
    Full,
    /// Most of the nodes are of removed keys.
    Churned,
}

/// Copying twice: it is the state in which most can go wrong.
const STARTS: [Start; 7] =
    [Start::Empty, Start::Settled, Start::Frozen, Start::Copying, Start::Copying, Start::Full, Start::Churned];

/// Which operations the threads call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mix {
    /// On single keys.
    Points,
    /// On single keys, most of them comparing or computing.
    Compares,
    /// Tables are promoted, compacted, grown and frozen meanwhile.
    Tables,
    /// Keys are iterated over and counted meanwhile.
    Views,
    /// The map is cleared meanwhile.
    Clears,
    All,
}

const MIXES: [Mix; 6] = [Mix::Points, Mix::Compares, Mix::Tables, Mix::Views, Mix::Clears, Mix::All];

/// Hashes spread well, all the same, differing in few low bits, and in high bits only.
const MASKS: [u64; 4] = [u64::MAX, 0, 0xf, 0xf << 60];

/// SplitMix64.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Random(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn size(&mut self, from: usize, to: usize) -> usize {
        from + self.below((to - from) as u64) as usize
    }

    fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }

    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }
}

impl Scenario {
    /// The scenario of a seed, for so many threads.
    pub(crate) fn new(seed: u64, threads: usize) -> Self {
        let mut random = Random::new(seed);
        let start = random.pick(&STARTS);
        let mix = random.pick(&MIXES);
        let keys = 1 + random.below(MOST_KEYS as u64);
        // Hashes that are spread well most of the time: the others lead to fewer of the tables' states.
        let mask = if random.one_in(2) { u64::MAX } else { random.pick(&MASKS) };
        let pauses = random.pick(&[0, 4, 8, 16, 32]);
        let steps = [13, 13, 11, 9][threads.min(4) - 1];
        let mut maker = Maker { random, keys, mix, last_value: 0 };
        let setup = maker.setup(start);
        let threads = (0..threads).map(|_| maker.thread(steps)).collect();
        let finale = maker.finale();
        let mut scenario = Scenario { seed, start, mix, keys, mask, pauses, setup, finale, threads };
        scenario.settle_guesses(&mut maker.random);
        scenario
    }

    /// By which it can be made again.
    pub(crate) fn name(&self) -> String {
        format!("{}:{:#x}", self.threads.len(), self.seed)
    }

    pub(crate) fn hasher(&self) -> Spread {
        Spread { mask: self.mask, seed: self.seed }
    }

    fn steps(&mut self) -> impl Iterator<Item = &mut Step> {
        self.setup.iter_mut().chain(self.threads.iter_mut().flatten())
    }

    /// Lets some comparisons expect a value that any thread may write.
    fn settle_guesses(&mut self, random: &mut Random) {
        let mut written = vec![Vec::new(); self.keys as usize];
        for step in self.steps() {
            if let Some(key) = step.op.key() {
                written[key as usize].extend(step.op.writes());
            }
        }
        for step in self.steps() {
            if let Op::CompareAndSwap(key, guess, _) | Op::CompareAndRemove(key, guess) = &mut step.op
                && !written[*key as usize].is_empty()
                && random.one_in(2)
            {
                *guess = Guess::Value(random.pick(&written[*key as usize]));
            }
        }
    }
}

struct Maker {
    random: Random,
    keys: u64,
    mix: Mix,
    last_value: u64,
}

impl Maker {
    fn key(&mut self) -> u64 {
        self.random.below(self.keys)
    }

    /// A value that no other operation writes.
    fn value(&mut self) -> u64 {
        self.last_value += 1;
        self.last_value
    }

    fn parity(&mut self) -> Parity {
        self.random.pick(&[Parity::Even, Parity::Odd])
    }

    fn setup(&mut self, start: Start) -> Vec<Step> {
        let mut ops = Vec::new();
        match start {
            Start::Empty => {}
            Start::Settled => self.insert_and_remove(&mut ops),
            Start::Frozen => {
                self.insert_and_remove(&mut ops);
                ops.push(Op::Hold);
            }
            Start::Copying => {
                // More than are copied at once, on both sides of the shared keys.
                ops.push(Op::Fill(self.random.size(16, 60)));
                self.insert_and_remove(&mut ops);
                ops.push(Op::Fill(self.random.size(0, 60)));
                ops.push(Op::Hold);
                ops.push(Op::Fill(self.random.size(1, 4)));
                // Some of what was removed comes back behind the copy.
                for key in 0..self.keys {
                    if self.random.one_in(3) {
                        ops.push(Op::TryInsert(key, self.value()));
                    }
                }
                if self.random.one_in(2) {
                    ops.push(Op::Release);
                }
            }
            Start::Full => {
                ops.push(Op::Fill(self.random.size(1, 40)));
                self.insert_and_remove(&mut ops);
                ops.push(Op::FillUp(self.random.size(0, 3)));
            }
            Start::Churned => {
                ops.push(Op::Fill(self.random.size(70, 120)));
                self.insert_and_remove(&mut ops);
                ops.push(Op::Drain(self.random.size(60, 120)));
            }
        }
        ops.into_iter().map(|op| Step { pinned: false, op }).collect()
    }

    /// Inserts most keys, and removes some of them.
    fn insert_and_remove(&mut self, ops: &mut Vec<Op>) {
        for key in 0..self.keys {
            if !self.random.one_in(4) {
                ops.push(Op::Insert(key, self.value()));
            }
        }
        for key in 0..self.keys {
            if self.random.one_in(3) {
                ops.push(Op::Remove(key));
            }
        }
    }

    fn thread(&mut self, most: usize) -> Vec<Step> {
        let steps = self.random.size(4, most);
        let mut pinned = self.random.one_in(2);
        let mut step = || {
            pinned ^= self.random.one_in(4);
            Step { pinned, op: self.op() }
        };
        (0..steps).map(|_| step()).collect()
    }

    fn finale(&mut self) -> Vec<Step> {
        let mut ops: Vec<Op> = (0..self.keys).map(Op::Get).collect();
        ops.extend([Op::VisitHeld, Op::Iterate, Op::Range(None), Op::Len, Op::IsEmpty]);
        ops.into_iter().map(|op| Step { pinned: false, op }).collect()
    }

    fn op(&mut self) -> Op {
        // In hundredths: how many operations concern tables, show or count entries, and clear or retain.
        let (tables, views, clears) = match self.mix {
            Mix::Points => (0, 0, 0),
            Mix::Compares => (4, 0, 0),
            Mix::Tables => (30, 0, 0),
            Mix::Views => (6, 30, 4),
            Mix::Clears => (6, 6, 18),
            Mix::All => (15, 12, 6),
        };
        match self.random.below(100) {
            roll if roll < tables => self.on_tables(),
            roll if roll < tables + views => self.view(),
            roll if roll < tables + views + clears => self.clear(),
            _ if self.mix == Mix::Compares && !self.random.one_in(3) => self.compare(),
            _ => self.on_one_key(),
        }
    }

    fn on_one_key(&mut self) -> Op {
        let key = self.key();
        match self.random.below(16) {
            0 | 1 => Op::Get(key),
            2 => self.random.pick(&[Op::GetKeyValue(key), Op::GetCloned(key)]),
            3 => Op::ContainsKey(key),
            4..7 => Op::Insert(key, self.value()),
            7 => Op::TryInsert(key, self.value()),
            8 => Op::GetOrInsert(key, self.value()),
            9 => Op::GetOrInsertWith(key, self.value()),
            10 => Op::GetOrTryInsertWith(key, (!self.random.one_in(3)).then(|| self.value())),
            11..14 => Op::Remove(key),
            _ => self.compare(),
        }
    }

    /// Operations that look at the value before they change it.
    fn compare(&mut self) -> Op {
        let key = self.key();
        match self.random.below(8) {
            0 | 1 => Op::Update(key, self.value()),
            2 | 3 => Op::CompareAndSwap(key, Guess::Seen, self.value()),
            4 => Op::CompareAndRemove(key, Guess::Seen),
            5 => Op::RemoveIf(key, self.parity()),
            _ => Op::Compute { key, present: self.plan(), absent: self.plan() },
        }
    }

    fn plan(&mut self) -> Plan {
        match self.random.below(5) {
            0..3 => Plan::Insert(self.value()),
            3 => Plan::Remove,
            _ => Plan::Abort,
        }
    }

    fn on_tables(&mut self) -> Op {
        match self.random.below(12) {
            0 | 1 => Op::Promote,
            2 => Op::Compact,
            3 => Op::Reserve(self.random.size(0, 80)),
            4 => Op::Flush,
            5..7 => Op::Hold,
            7 => Op::Release,
            8..10 => Op::Fill(self.random.size(1, 12)),
            10 => Op::Drain(self.random.size(1, 12)),
            // So many misses of a table being copied that a reader helps.
            _ => Op::Miss(600),
        }
    }

    fn view(&mut self) -> Op {
        match self.random.below(10) {
            0 => Op::Range(None),
            1 => Op::Range(Some(self.random.size(1, 4))),
            2 | 3 => Op::Iterate,
            4 => Op::Snapshot,
            5 => Op::Hold,
            6 | 7 => Op::VisitHeld,
            8 => Op::Len,
            _ => Op::IsEmpty,
        }
    }

    fn clear(&mut self) -> Op {
        if self.random.one_in(3) { Op::RetainNot(self.parity()) } else { Op::Clear }
    }
}
