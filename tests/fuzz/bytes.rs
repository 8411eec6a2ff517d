//! How a byte string is read. Every string means something, and a small change to it means something similar.

use crate::ops::{Case, Guess, Op, Plan, Step, VALUES};
use crate::run_set::SetOp;

/// Keys, where few are used so that operations meet on them.
pub(crate) const FEW: u32 = 16;
/// And where tables are to grow.
pub(crate) const MANY: u32 = 256;

/// Operations after which a string is at its end.
const MOST: usize = 400;

/// The bit of an operation's byte that says that it runs under a guard, which its neighbours with that bit share.
pub(crate) const PINNED: u8 = 0x80;

/// How many kinds of operations there are; the rest of the byte, modulo this, says which it is.
pub(crate) const KINDS: u8 = 34;

/// What is left of a string; zeros follow it without end.
pub(crate) struct Bytes<'b>(&'b [u8]);

impl<'b> Bytes<'b> {
    pub(crate) fn new(bytes: &'b [u8]) -> Self {
        Bytes(bytes)
    }

    pub(crate) fn next(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    fn below(&mut self, bound: u32) -> u32 {
        u32::from(self.next()) % bound
    }

    fn key(&mut self, keys: u32) -> u32 {
        self.below(keys)
    }

    fn value(&mut self) -> u32 {
        self.below(VALUES)
    }

    fn plan(&mut self) -> Plan {
        match self.below(6) {
            0..3 => Plan::Insert(self.value()),
            3..5 => Plan::Remove,
            _ => Plan::Abort(self.value()),
        }
    }

    fn guess(&mut self) -> Guess {
        match self.below(VALUES + 2) {
            value @ 0..VALUES => Guess::Value(value),
            _ => Guess::Current,
        }
    }

    fn pairs(&mut self, keys: u32) -> Vec<(u32, u32)> {
        (0..self.below(8)).map(|_| (self.key(keys), self.value())).collect()
    }

    fn run(&mut self, keys: u32) -> (u32, u32, u32) {
        (self.key(keys), 1 + self.below(keys), 1 + self.below(3))
    }

    pub(crate) fn case(&mut self, keys: u32) -> Case {
        let start = self.next();
        let capacity = (start & 3 == 3).then(|| self.below(keys) as usize);
        let mut steps = Vec::new();
        while !self.0.is_empty() && steps.len() < MOST {
            let kind = self.next();
            let op = self.op(kind & !PINNED, keys);
            steps.push(Step { pinned: kind & PINNED != 0, op });
        }
        Case { capacity, steps, snapshot_outlives_map: start & 4 != 0 }
    }

    fn op(&mut self, kind: u8, keys: u32) -> Op {
        match kind % KINDS {
            0..14 => self.op_on_one_key(kind % KINDS, keys),
            14 => Op::Retain { divisor: 2 + self.below(3), remainder: self.below(5) },
            15 => Op::Clear,
            16 => Op::Range { stop_after: Some(self.below(6) as usize).filter(|&limit| limit > 0) },
            17 => Op::Iterate,
            18 => Op::Snapshot,
            19 => Op::Len,
            20 => Op::IsEmpty,
            21 => Op::CloneAndCompare,
            22 => Op::CollectAndCompare,
            23 => Op::Debug,
            24 => Op::ExtendShared(self.pairs(keys)),
            25 => Op::Hold,
            26 => Op::LookAtHeld,
            27 => Op::LetGo(self.below(4) as usize),
            28 => Op::During(self.ops_in_a_range(keys)),
            29 => self.maintenance(keys),
            30 => Op::Extend(self.pairs(keys)),
            31 => Op::IntoIterAndCollect,
            32 => {
                let (start, count, step) = self.run(keys);
                Op::Fill { start, count, step }
            }
            _ => {
                let (start, count, step) = self.run(keys);
                Op::Drain { start, count, step }
            }
        }
    }

    fn op_on_one_key(&mut self, kind: u8, keys: u32) -> Op {
        let key = self.key(keys);
        match kind {
            0 => Op::Insert(key, self.value()),
            1 => Op::TryInsert(key, self.value()),
            2 => Op::Get(key),
            3 => Op::GetCloned(key),
            4 => Op::ContainsKey(key),
            5 => Op::GetOrInsert(key, self.value()),
            6 => Op::GetOrInsertWith(key, self.value()),
            7 => {
                let value = self.value();
                Op::GetOrTryInsertWith(key, if self.below(2) == 0 { Ok(value) } else { Err(value) })
            }
            8 => Op::Update(key, self.value()),
            9 => Op::Compute { key, present: self.plan(), absent: self.plan() },
            10 => Op::CompareAndSwap(key, self.guess(), self.value()),
            11 => Op::CompareAndRemove(key, self.guess()),
            12 => Op::Remove(key),
            _ => Op::RemoveIf(key, self.value()),
        }
    }

    fn maintenance(&mut self, keys: u32) -> Op {
        match self.below(5) {
            0 => Op::Promote,
            1 => Op::Compact,
            2 => Op::Reserve(self.below(2 * keys) as usize),
            3 => Op::Flush,
            _ => Op::Stats,
        }
    }

    /// Not those that need the map for themselves, and not another range: one level shows all that several would.
    fn ops_in_a_range(&mut self, keys: u32) -> Vec<Op> {
        let count = self.below(12);
        let mut ops = Vec::new();
        for _ in 0..count {
            let kind = self.next() & !PINNED;
            let op = self.op(if kind % KINDS == 28 { 0 } else { kind }, keys);
            if !op.stands_alone() {
                ops.push(op);
            }
        }
        ops
    }

    pub(crate) fn set_ops(&mut self, elements: u32) -> Vec<SetOp> {
        let mut ops = Vec::new();
        while !self.0.is_empty() && ops.len() < MOST {
            let kind = self.next();
            ops.push(self.set_op(kind & !PINNED, kind & PINNED != 0, elements));
        }
        ops
    }

    fn set_op(&mut self, kind: u8, pinned: bool, elements: u32) -> SetOp {
        let some = |bytes: &mut Self| (0..bytes.below(8)).map(|_| bytes.key(elements)).collect();
        match kind % 24 {
            0..4 => SetOp::Insert { element: self.key(elements), pinned },
            4..6 => SetOp::Contains { element: self.key(elements), pinned },
            6..8 => SetOp::Get { element: self.key(elements), pinned },
            8..12 => SetOp::Remove { element: self.key(elements), pinned },
            12 => SetOp::Retain { divisor: 2 + self.below(3), remainder: self.below(5) },
            13 => SetOp::Range { stop_after: Some(self.below(6) as usize).filter(|&limit| limit > 0) },
            14 => SetOp::Iterate,
            15 => SetOp::Snapshot,
            16 => SetOp::Promote,
            17 => SetOp::Clear,
            18 => SetOp::LenAndIsEmpty,
            19 => SetOp::CloneAndCompare,
            20 => SetOp::CollectAndCompare,
            21 => SetOp::Debug,
            22 => SetOp::ExtendShared(some(self)),
            _ if pinned => SetOp::Extend(some(self)),
            _ => SetOp::IntoIterAndCollect,
        }
    }
}
