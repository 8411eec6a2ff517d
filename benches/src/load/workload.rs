//! Everything about a workload, as one value.

use super::{
    Setting,
    contender::{Lineup, lineup},
    plan::{Kind, LoadKey, Plan, Script},
};
use crate::{
    document,
    keys::{self, Choice, Picker, rng},
};
use anyhow::{Result, bail, ensure};
use rand::RngExt;
use std::sync::Arc;

/// What the keys of [`KeyKind::Prefixed`] have in common.
const PREFIX: &str = "what-every-one-of-these-keys-has-in-common:";
/// The seeds of the kinds of operations, apart from those of the keys.
const KINDS: u64 = 1 << 32;
/// No script is shorter, so that the branch predictor can't learn it by heart.
const SHORTEST_SCRIPT: usize = keys::STREAM;
/// All scripts of a workload together have at most this many operations, unless that makes them too short.
const MOST_OPERATIONS: usize = 8 << 20;

/// What keys are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum KeyKind {
    /// Random u64
    Int,
    /// Random strings of 16 characters
    Text,
    /// Strings of 59 characters, of which the first 43 are the same in all
    Prefixed,
}

impl KeyKind {
    /// The words for it in a report.
    pub fn name(self) -> &'static str {
        match self {
            Self::Int => "u64",
            Self::Text => "string",
            Self::Prefixed => "long-prefix string",
        }
    }
}

/// What values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueKind {
    /// A `u64`.
    Word,
    /// 64 bytes in place.
    Line,
    /// 1024 bytes in place.
    Kilobyte,
    /// An `Arc` to this many bytes.
    Shared(usize),
}

impl ValueKind {
    /// The words for it in a report.
    pub fn name(self) -> String {
        match self {
            Self::Word => "8 B".into(),
            Self::Line => "64 B".into(),
            Self::Kilobyte => "1 KiB".into(),
            Self::Shared(bytes) if bytes % 1024 == 0 => format!("Arc of {} KiB", bytes / 1024),
            Self::Shared(bytes) => format!("Arc of {bytes} B"),
        }
    }
}

impl std::str::FromStr for ValueKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shared = || text.strip_prefix("arc:")?.parse().ok().filter(|bytes| (8..=1 << 30).contains(bytes));
        match text {
            "8" => Ok(Self::Word),
            "64" => Ok(Self::Line),
            "1024" => Ok(Self::Kilobyte),
            _ => shared().map(Self::Shared).ok_or_else(|| {
                "expected 8, 64 or 1024 (bytes in place), or arc:N (N bytes, at least 8, behind an Arc)".into()
            }),
        }
    }
}

/// What the operations that are no reads do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Changes {
    /// Overwrite present keys
    Overwrites,
    /// By turns insert a key that was never in the map and remove the oldest of those inserted so
    Fresh,
    /// One half inserts, one half removes keys of a fixed set, so that half of it is present in the end
    Churn,
}

impl Changes {
    /// The words for it in a report.
    pub fn name(self) -> &'static str {
        match self {
            Self::Overwrites => "overwrites",
            Self::Fresh => "inserts and removes of fresh keys",
            Self::Churn => "inserts and removes on a fixed key set",
        }
    }
}

/// How much is read, and what is done otherwise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mix {
    /// Reads, in percent.
    pub reads: f64,
    /// What the rest does.
    pub changes: Changes,
}

impl Mix {
    /// `count` operations, drawn independently.
    fn kinds(self, count: usize, thread: usize) -> Vec<Kind> {
        let mut rng = rng(KINDS + thread as u64);
        let mut change = || match self.changes {
            Changes::Overwrites => Kind::Overwrite,
            Changes::Fresh => Kind::Fresh,
            Changes::Churn if rng.random_bool(0.5) => Kind::Insert,
            Changes::Churn => Kind::Remove,
        };
        let mut reads = self::rng(2 * KINDS + thread as u64);
        (0..count).map(|_| if reads.random_bool(self.reads / 100.0) { Kind::Read } else { change() }).collect()
    }

    /// The words for it in a report.
    pub fn name(self) -> String {
        if self.reads == 100.0 {
            "100 % reads".into()
        } else {
            format!("{} % reads, {}", self.reads, self.changes.name())
        }
    }
}

/// What is in the map at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Filling {
    /// Nothing
    Empty,
    /// All entries, in a map created with room for them
    Presized,
    /// All entries, in a map that grew from nothing
    Grown,
}

/// A workload.
#[derive(Clone, Debug)]
pub struct Workload {
    /// What keys are.
    pub keys: KeyKind,
    /// What values are.
    pub value: ValueKind,
    /// How many keys there are.
    pub entries: usize,
    /// How operations pick among them.
    pub choice: Choice,
    /// What they do.
    pub mix: Mix,
    /// How many threads do it.
    pub threads: usize,
    /// What is in the map at the start.
    pub filling: Filling,
    /// Whether the map is then brought into its best shape for reading, if it has an operation for that.
    pub settled: bool,
    /// Whether every turn begins with a new map and without a warm-up.
    pub cold: bool,
    /// How many operations a thread's script has, if there is memory for that.
    pub script: usize,
}

impl Default for Workload {
    fn default() -> Self {
        Self {
            keys: KeyKind::Int,
            value: ValueKind::Word,
            entries: 10_000,
            choice: Choice::Uniform,
            mix: Mix { reads: 95.0, changes: Changes::Overwrites },
            threads: 2,
            filling: Filling::Presized,
            settled: true,
            cold: false,
            script: 1 << 20,
        }
    }
}

impl Workload {
    /// The whole workload in words.
    pub fn name(&self) -> String {
        let filling = match (self.filling, self.settled) {
            (Filling::Empty, _) => "empty at the start",
            (Filling::Presized, true) => "presized, settled",
            (Filling::Presized, false) => "presized, not settled",
            (Filling::Grown, true) => "grown, settled",
            (Filling::Grown, false) => "grown, not settled",
        };
        format!(
            "{} {} keys, {}; values of {}; {}; {} threads; {filling}, {}",
            document::entries(self.entries),
            self.keys.name(),
            self.choice.name(),
            self.value.name(),
            self.mix.name(),
            self.threads,
            if self.cold { "cold" } else { "warm" },
        )
    }

    /// The contenders, each with its map filled.
    pub fn lineup(&self, setting: &Setting) -> Result<Lineup> {
        let text = matches!(self.keys, KeyKind::Text | KeyKind::Prefixed);
        match (text, self.value) {
            (false, ValueKind::Word) => Ok(lineup::<u64, u64>(self.plan()?, setting)),
            (false, ValueKind::Line) => Ok(lineup::<u64, [u64; 8]>(self.plan()?, setting)),
            (false, ValueKind::Kilobyte) => Ok(lineup::<u64, [u64; 128]>(self.plan()?, setting)),
            (false, ValueKind::Shared(_)) => Ok(lineup::<u64, Arc<[u8]>>(self.plan()?, setting)),
            (true, ValueKind::Word) => Ok(lineup::<String, u64>(self.plan()?, setting)),
            (true, ValueKind::Shared(_)) => Ok(lineup::<String, Arc<[u8]>>(self.plan()?, setting)),
            (true, _) => bail!("expected values of 8 bytes or behind an Arc beside string keys"),
        }
    }

    /// All operations of all threads.
    pub fn plan<K: LoadKey>(&self) -> Result<Plan<K>> {
        ensure!(self.threads > 0, "expected at least one thread");
        ensure!((0.0..=100.0).contains(&self.mix.reads), "expected 0 to 100 % of reads, got {}", self.mix.reads);
        let picker = Picker::new(&self.choice, self.entries)?;
        let prefix = if self.keys == KeyKind::Prefixed { PREFIX } else { "" };
        let absent = matches!(self.choice, Choice::Absent);
        let mut keys: Vec<K> = (0..self.entries as u64).map(|i| K::nth(i, prefix)).collect();
        if absent {
            keys.extend((0..self.entries as u64).map(|i| K::nth(keys::ABSENT + i, prefix)));
        }
        let count = self.script.min(MOST_OPERATIONS / self.threads).max(SHORTEST_SCRIPT);
        let script = |thread| {
            let picks = picker.picks(count, thread, self.threads);
            let kinds = self.mix.kinds(picks.len(), thread);
            let token = |(pick, kind): (&u32, &Kind)| {
                let missing = absent && *kind == Kind::Read;
                K::token(&keys, *pick as usize + if missing { self.entries } else { 0 })
            };
            Script { tokens: picks.iter().zip(&kinds).map(token).collect(), kinds }
        };
        let scripts = each_on_a_thread(self.threads, script);
        Ok(Plan {
            filled: if self.filling == Filling::Empty { 0 } else { self.entries },
            capacity: if self.filling == Filling::Presized { self.entries } else { 0 },
            settled: self.settled,
            cold: self.cold,
            value_bytes: if let ValueKind::Shared(bytes) = self.value { bytes } else { 0 },
            prefix,
            keys,
            scripts,
        })
    }
}

/// `make` of the numbers below `count`, as many at a time as there are processors.
fn each_on_a_thread<T: Send>(count: usize, make: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let at_once = std::thread::available_parallelism().map_or(1, usize::from);
    let make = &make;
    let mut made = Vec::with_capacity(count);
    for first in (0..count).step_by(at_once) {
        std::thread::scope(|scope| {
            let threads: Vec<_> =
                (first..count.min(first + at_once)).map(|number| scope.spawn(move || make(number))).collect();
            made.extend(threads.into_iter().map(|thread| thread.join().expect("making a script doesn't panic")));
        });
    }
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(kinds: &[Kind], kind: Kind) -> f64 {
        kinds.iter().filter(|&&each| each == kind).count() as f64 / kinds.len() as f64
    }

    #[test]
    fn a_mix_has_the_shares_it_was_asked_for() {
        for reads in [100.0, 99.0, 95.0, 90.0, 80.0, 60.0] {
            let kinds = Mix { reads, changes: Changes::Churn }.kinds(1 << 18, 3);
            assert!((share(&kinds, Kind::Read) - reads / 100.0).abs() < 0.005, "{reads} %");
            let (inserts, removes) = (share(&kinds, Kind::Insert), share(&kinds, Kind::Remove));
            assert!((inserts - removes).abs() < 0.005, "{inserts} and {removes}");
        }
        let kinds = Mix { reads: 60.0, changes: Changes::Fresh }.kinds(1 << 18, 3);
        assert!((share(&kinds, Kind::Fresh) - 0.4).abs() < 0.005);
    }

    #[test]
    fn all_miss_reads_absent_keys_and_changes_present_ones() {
        let workload = Workload { entries: 100, choice: Choice::Absent, ..Workload::default() };
        let plan: Plan<u64> = workload.plan().unwrap();
        let present: std::collections::HashSet<u64> = plan.keys[..plan.filled].iter().copied().collect();
        assert_eq!((plan.filled, plan.keys.len()), (100, 200));
        for script in &plan.scripts {
            for (token, kind) in script.tokens.iter().zip(&script.kinds) {
                assert_eq!(present.contains(token), *kind != Kind::Read);
            }
        }
    }

    #[test]
    fn scripts_differ_and_fit_in_memory() {
        let plan: Plan<u64> = Workload { threads: 64, ..Workload::default() }.plan().unwrap();
        assert_eq!(plan.scripts.len(), 64);
        assert!(plan.scripts.iter().all(|script| script.kinds.len() == MOST_OPERATIONS / 64));
        assert_ne!(plan.scripts[0].tokens, plan.scripts[1].tokens);
    }

    #[test]
    fn values_are_named_on_the_command_line() {
        assert_eq!("64".parse(), Ok(ValueKind::Line));
        assert_eq!("arc:4096".parse(), Ok(ValueKind::Shared(4096)));
        for bad in ["", "7", "arc:", "arc:7", "arc:x", "65"] {
            assert!(bad.parse::<ValueKind>().unwrap_err().starts_with("expected 8, 64 or 1024"), "{bad}");
        }
    }

    #[test]
    fn a_workload_says_what_it_is() {
        let name = Workload::default().name();
        assert_eq!(
            name,
            "10 k u64 keys, uniform; values of 8 B; 95 % reads, overwrites; 2 threads; presized, settled, warm"
        );
    }
}
