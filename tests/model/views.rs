//! What ranges and snapshots must show of a map that changes while they exist: the keys of the moment at which they
//! began, with the values of the moment at which they are looked at.

use std::collections::BTreeSet;

use readmostly::Snapshot;

use crate::common::Counted;
use crate::ops::Op;
use crate::reference::Model;

/// What a map must show, now and through the snapshots that are kept of it.
#[derive(Default)]
pub(crate) struct Expected {
    pub(crate) model: Model,
    /// Keys that the map may still have a place for, whether they have a value or not.
    known: BTreeSet<u32>,
    snapshots: Vec<(Snapshot<Counted, Counted>, View)>,
    /// Ranges under way, the innermost last.
    ranges: Vec<View>,
}

/// The keys that may, and those that must be shown.
#[derive(Clone)]
struct View {
    known: BTreeSet<u32>,
    stayed: BTreeSet<u32>,
}

/// Snapshots that are kept at the same time, at most.
const KEPT: usize = 4;

impl Expected {
    /// To be called after each operation, when `model` is as that left it.
    pub(crate) fn after(&mut self, op: &Op) {
        let Expected { model, known, snapshots, ranges } = self;
        if matches!(op, Op::Clear | Op::Compact | Op::IntoIterAndCollect) {
            known.clear();
        }
        known.extend(model.keys());
        for view in snapshots.iter_mut().map(|(_, view)| view).chain(ranges) {
            view.stayed.retain(|key| model.contains_key(key));
        }
    }

    fn view(&self) -> View {
        View { known: self.known.clone(), stayed: self.model.keys().copied().collect() }
    }

    pub(crate) fn keep(&mut self, snapshot: Snapshot<Counted, Counted>) {
        let view = self.view();
        self.snapshots.truncate(KEPT - 1);
        self.snapshots.insert(0, (snapshot, view));
    }

    pub(crate) fn let_go(&mut self, index: usize) {
        if index < self.snapshots.len() {
            self.snapshots.remove(index);
        }
    }

    pub(crate) fn let_all_go(&mut self) {
        self.snapshots.clear();
    }

    /// Looks at all snapshots, which may outlive their map.
    pub(crate) fn look_at_snapshots(&self) {
        for (snapshot, view) in &self.snapshots {
            let mut shown = BTreeSet::new();
            snapshot.for_each(|key, value| view.note(&mut shown, &self.model, key, value));
            assert!(view.stayed.is_subset(&shown), "of {:?} a snapshot shows {shown:?} alone", view.stayed);
        }
    }

    /// Calls `range` and, at each visit, `then` with the next of `ops`.
    pub(crate) fn during<'o>(
        &mut self,
        ops: &'o [Op],
        range: impl FnOnce(&mut dyn FnMut(&Counted, &Counted) -> bool),
        mut then: impl FnMut(&mut Self, &'o Op),
    ) {
        let (mut shown, mut ops) = (BTreeSet::new(), ops.iter());
        self.ranges.push(self.view());
        let depth = self.ranges.len();
        range(&mut |key, value| {
            self.ranges[depth - 1].note(&mut shown, &self.model, key, value);
            let before = value.id();
            if let Some(op) = ops.next() {
                then(self, op);
            }
            assert_eq!(value.id(), before, "what a range shows must stay while it shows it");
            true
        });
        let view = self.ranges.pop().expect("pushed above");
        assert!(view.stayed.is_subset(&shown), "of {:?} a range shows {shown:?} alone", view.stayed);
    }
}

impl View {
    fn note(&self, shown: &mut BTreeSet<u32>, model: &Model, key: &Counted, value: &Counted) {
        let key = key.id();
        assert!(self.known.contains(&key), "{key} was new to the map after the view began: {:?}", self.known);
        assert_eq!(model.get(&key), Some(&value.id()), "{key} must be shown with its value of now, or not at all");
        assert!(shown.insert(key), "{key} is shown twice");
    }
}
