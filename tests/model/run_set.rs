//! Runs operations on a `SyncSet` and compares what they show with what a `HashSet` says.

use std::collections::HashSet;

use readmostly::SyncSet;

use crate::common::{Counted, Tally, TestHasher};

type Set<S> = SyncSet<Counted, S>;
type Model = HashSet<u32>;

#[derive(Clone, Debug)]
pub(crate) enum SetOp {
    Insert { element: u32, pinned: bool },
    Contains { element: u32, pinned: bool },
    Get { element: u32, pinned: bool },
    Remove { element: u32, pinned: bool },
    Retain { divisor: u32, remainder: u32 },
    Range { stop_after: Option<usize> },
    Iterate,
    Snapshot,
    Promote,
    Clear,
    LenAndIsEmpty,
    CloneAndCompare,
    CollectAndCompare,
    Debug,
    ExtendShared(Vec<u32>),
    Extend(Vec<u32>),
    IntoIterAndCollect,
}

pub(crate) fn run<S: TestHasher>(ops: &[SetOp], elements: u32) {
    let tally = Tally::default();
    let mut model = Model::new();
    let mut set: Set<S> = SyncSet::with_hasher(S::default());
    for op in ops {
        set = match op {
            SetOp::Extend(some) => {
                set.extend(some.iter().map(|&element| tally.make(element)));
                model.extend(some);
                set
            }
            SetOp::IntoIterAndCollect => set.into_iter().collect(),
            _ => {
                apply(&set, &mut model, &tally, op);
                set
            }
        };
        assert_eq!(set.len(), model.len(), "after {op:?}");
    }
    for element in 0..elements {
        assert_eq!(set.contains(&element), model.contains(&element), "element {element}");
    }
    assert_eq!(elements_of(&set), sorted(model.iter().copied()));
    drop(set);
    assert_eq!(tally.live(), 0, "dropping the set must drop every element, removed ones too");
}

fn apply<S: TestHasher>(set: &Set<S>, model: &mut Model, tally: &Tally, op: &SetOp) {
    match *op {
        SetOp::Insert { element, pinned } => {
            let new = tally.make(element);
            let inserted = if pinned { set.pin().insert(new) } else { set.insert(new) };
            assert_eq!(inserted, model.insert(element), "{op:?}");
        }
        SetOp::Contains { element, pinned } => {
            let found = if pinned { set.pin().contains(&element) } else { set.contains(&element) };
            assert_eq!(found, model.contains(&element), "{op:?}");
        }
        SetOp::Get { element, pinned: false } => {
            let got = set.get(&element).map(|found| found.key().id());
            assert_eq!(got, model.get(&element).copied(), "{op:?}");
        }
        SetOp::Get { element, pinned: true } => {
            let got = set.pin().get(&element).map(Counted::id);
            assert_eq!(got, model.get(&element).copied(), "{op:?}");
        }
        SetOp::Remove { element, pinned } => {
            let removed = if pinned { set.pin().remove(&element) } else { set.remove(&element) };
            assert_eq!(removed, model.remove(&element), "{op:?}");
        }
        SetOp::Retain { divisor, remainder } => {
            let mut visited = Vec::new();
            set.retain(|element| {
                visited.push(element.id());
                element.id() % divisor != remainder
            });
            assert_eq!(sorted(visited), sorted(model.iter().copied()), "{op:?}");
            model.retain(|element| element % divisor != remainder);
        }
        SetOp::Range { stop_after } => {
            let mut visited = Vec::new();
            set.range(|element| {
                visited.push(element.id());
                Some(visited.len()) != stop_after
            });
            assert_eq!(visited.len(), model.len().min(stop_after.unwrap_or(usize::MAX)), "{op:?}");
            assert_eq!(visited.iter().collect::<HashSet<_>>().len(), visited.len(), "{op:?} showed an element twice");
            assert!(visited.iter().all(|element| model.contains(element)), "{op:?} showed {visited:?} of {model:?}");
        }
        SetOp::Iterate => assert_eq!(elements_of(set), sorted(model.iter().copied())),
        SetOp::Snapshot => {
            let mut seen = Vec::new();
            set.snapshot().for_each(|element, ()| seen.push(element.id()));
            assert_eq!(sorted(seen), sorted(model.iter().copied()), "{op:?}");
        }
        SetOp::Promote => set.as_map().promote(),
        SetOp::Clear => {
            set.clear();
            model.clear();
        }
        SetOp::LenAndIsEmpty => assert_eq!((set.len(), set.is_empty()), (model.len(), model.is_empty())),
        SetOp::CloneAndCompare => {
            let clone = set.clone();
            assert!(clone == *set, "a clone must be equal");
            assert!(clone.insert(tally.make(u32::MAX - 1)), "no test uses this element");
            assert!(clone != *set, "a set with one element more must differ");
        }
        SetOp::CollectAndCompare => {
            let other: Set<S> = model.iter().map(|&element| tally.make(element)).collect();
            assert!(*set == other, "a set with the same elements must be equal to {set:?}");
        }
        SetOp::Debug => {
            let shown = format!("{set:?}");
            let inner = shown.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).expect("the form of a set");
            let shown = inner.split(", ").filter(|element| !element.is_empty()).map(|element| element.parse().unwrap());
            assert_eq!(sorted(shown), sorted(model.iter().copied()));
        }
        SetOp::ExtendShared(ref some) => {
            let mut shared = set;
            shared.extend(some.iter().map(|&element| tally.make(element)));
            model.extend(some);
        }
        SetOp::Extend(_) | SetOp::IntoIterAndCollect => unreachable!("{op:?} takes the set by value"),
    }
}

fn elements_of<S: TestHasher>(set: &Set<S>) -> Vec<u32> {
    sorted(set.pin().iter().map(Counted::id))
}

fn sorted(elements: impl IntoIterator<Item = u32>) -> Vec<u32> {
    let mut elements: Vec<_> = elements.into_iter().collect();
    elements.sort_unstable();
    elements
}
