//! `SyncSet` against `HashSet`.

use proptest::collection::vec;
use proptest::prelude::*;

use crate::common::TestHasher;
use crate::run_set::{SetOp, run};

under_all_hashers!(few_elements, many_elements);

fn op(elements: u32, most_at_once: usize) -> impl Strategy<Value = SetOp> {
    let single = (0..elements, any::<bool>());
    let some = vec(0..elements, 0..most_at_once);
    prop_oneof![
        12 => single.clone().prop_map(|(element, pinned)| SetOp::Insert { element, pinned }),
        4 => single.clone().prop_map(|(element, pinned)| SetOp::Contains { element, pinned }),
        4 => single.clone().prop_map(|(element, pinned)| SetOp::Get { element, pinned }),
        8 => single.clone().prop_map(|(element, pinned)| SetOp::Remove { element, pinned }),
        1 => (2..5u32, 0..5u32).prop_map(|(divisor, remainder)| SetOp::Retain { divisor, remainder }),
        1 => proptest::option::of(1..6usize).prop_map(|stop_after| SetOp::Range { stop_after }),
        1 => Just(SetOp::Iterate),
        1 => Just(SetOp::Snapshot),
        1 => Just(SetOp::Promote),
        1 => Just(SetOp::Clear),
        1 => Just(SetOp::LenAndIsEmpty),
        1 => Just(SetOp::CloneAndCompare),
        1 => Just(SetOp::CollectAndCompare),
        1 => Just(SetOp::Debug),
        2 => some.clone().prop_map(SetOp::ExtendShared),
        2 => some.prop_map(SetOp::Extend),
        1 => Just(SetOp::IntoIterAndCollect),
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
