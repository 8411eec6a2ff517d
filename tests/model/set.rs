//! `SyncSet` against `HashSet`.

use std::collections::HashSet;

use proptest::collection::vec;
use proptest::prelude::*;
use readmostly::SyncSet;

use crate::common::{Counted, Tally, TestHasher};

under_all_hashers!(few_elements, many_elements);

type Set<S> = SyncSet<Counted, S>;
type Model = HashSet<u32>;

#[derive(Clone, Debug)]
enum Op {
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

fn op(elements: u32, most_at_once: usize) -> impl Strategy<Value = Op> {
    let single = (0..elements, any::<bool>());
    let some = vec(0..elements, 0..most_at_once);
    prop_oneof![
        12 => single.clone().prop_map(|(element, pinned)| Op::Insert { element, pinned }),
        4 => single.clone().prop_map(|(element, pinned)| Op::Contains { element, pinned }),
        4 => single.clone().prop_map(|(element, pinned)| Op::Get { element, pinned }),
        8 => single.clone().prop_map(|(element, pinned)| Op::Remove { element, pinned }),
        1 => (2..5u32, 0..5u32).prop_map(|(divisor, remainder)| Op::Retain { divisor, remainder }),
        1 => proptest::option::of(1..6usize).prop_map(|stop_after| Op::Range { stop_after }),
        1 => Just(Op::Iterate),
        1 => Just(Op::Snapshot),
        1 => Just(Op::Promote),
        1 => Just(Op::Clear),
        1 => Just(Op::LenAndIsEmpty),
        1 => Just(Op::CloneAndCompare),
        1 => Just(Op::CollectAndCompare),
        1 => Just(Op::Debug),
        2 => some.clone().prop_map(Op::ExtendShared),
        2 => some.prop_map(Op::Extend),
        1 => Just(Op::IntoIterAndCollect),
    ]
}

fn few_elements<S: TestHasher>() {
    const ELEMENTS: u32 = 16;
    crate::check(100, vec(op(ELEMENTS, 8), 0..100), |ops| run::<S>(&ops, ELEMENTS));
}

fn many_elements<S: TestHasher>() {
    let elements = S::MANY;
    crate::check(8, vec(op(elements, elements as usize), 0..60), |ops| run::<S>(&ops, elements));
}

fn run<S: TestHasher>(ops: &[Op], elements: u32) {
    let tally = Tally::default();
    let mut model = Model::new();
    let mut set: Set<S> = SyncSet::with_hasher(S::default());
    for op in ops {
        set = match op {
            Op::Extend(some) => {
                set.extend(some.iter().map(|&element| tally.make(element)));
                model.extend(some);
                set
            }
            Op::IntoIterAndCollect => set.into_iter().collect(),
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

fn apply<S: TestHasher>(set: &Set<S>, model: &mut Model, tally: &Tally, op: &Op) {
    match *op {
        Op::Insert { element, pinned } => {
            let new = tally.make(element);
            let inserted = if pinned { set.pin().insert(new) } else { set.insert(new) };
            assert_eq!(inserted, model.insert(element), "{op:?}");
        }
        Op::Contains { element, pinned } => {
            let found = if pinned { set.pin().contains(&element) } else { set.contains(&element) };
            assert_eq!(found, model.contains(&element), "{op:?}");
        }
        Op::Get { element, pinned: false } => {
            let got = set.get(&element).map(|found| found.key().id());
            assert_eq!(got, model.get(&element).copied(), "{op:?}");
        }
        Op::Get { element, pinned: true } => {
            let got = set.pin().get(&element).map(Counted::id);
            assert_eq!(got, model.get(&element).copied(), "{op:?}");
        }
        Op::Remove { element, pinned } => {
            let removed = if pinned { set.pin().remove(&element) } else { set.remove(&element) };
            assert_eq!(removed, model.remove(&element), "{op:?}");
        }
        Op::Retain { divisor, remainder } => {
            let mut visited = Vec::new();
            set.retain(|element| {
                visited.push(element.id());
                element.id() % divisor != remainder
            });
            assert_eq!(sorted(visited), sorted(model.iter().copied()), "{op:?}");
            model.retain(|element| element % divisor != remainder);
        }
        Op::Range { stop_after } => {
            let mut visited = Vec::new();
            set.range(|element| {
                visited.push(element.id());
                Some(visited.len()) != stop_after
            });
            assert_eq!(visited.len(), model.len().min(stop_after.unwrap_or(usize::MAX)), "{op:?}");
            assert_eq!(visited.iter().collect::<HashSet<_>>().len(), visited.len(), "{op:?} showed an element twice");
            assert!(visited.iter().all(|element| model.contains(element)), "{op:?} showed {visited:?} of {model:?}");
        }
        Op::Iterate => assert_eq!(elements_of(set), sorted(model.iter().copied())),
        Op::Snapshot => {
            let mut seen = Vec::new();
            set.snapshot().for_each(|element, ()| seen.push(element.id()));
            assert_eq!(sorted(seen), sorted(model.iter().copied()), "{op:?}");
        }
        Op::Promote => set.as_map().promote(),
        Op::Clear => {
            set.clear();
            model.clear();
        }
        Op::LenAndIsEmpty => assert_eq!((set.len(), set.is_empty()), (model.len(), model.is_empty())),
        Op::CloneAndCompare => {
            let clone = set.clone();
            assert!(clone == *set, "a clone must be equal");
            assert!(clone.insert(tally.make(u32::MAX - 1)), "no test uses this element");
            assert!(clone != *set, "a set with one element more must differ");
        }
        Op::CollectAndCompare => {
            let other: Set<S> = model.iter().map(|&element| tally.make(element)).collect();
            assert!(*set == other, "a set with the same elements must be equal to {set:?}");
        }
        Op::Debug => {
            let shown = format!("{set:?}");
            let inner = shown.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).expect("the form of a set");
            let shown = inner.split(", ").filter(|element| !element.is_empty()).map(|element| element.parse().unwrap());
            assert_eq!(sorted(shown), sorted(model.iter().copied()));
        }
        Op::ExtendShared(ref some) => {
            let mut shared = set;
            shared.extend(some.iter().map(|&element| tally.make(element)));
            model.extend(some);
        }
        Op::Extend(_) | Op::IntoIterAndCollect => unreachable!("{op:?} takes the set by value"),
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
