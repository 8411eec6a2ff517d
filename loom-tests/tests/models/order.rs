//! What an operation tells about other memory: who sees its effect sees what its thread did before it.

use std::rc::Rc;

use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicBool, Ordering};
use readmostly_loom_tests::*;

/// Memory of the models' own, for which nobody but the map gives the order.
struct Mail(UnsafeCell<u64>);

impl Mail {
    fn new() -> Rc<Self> {
        Rc::new(Mail(UnsafeCell::new(0)))
    }

    fn write(&self) {
        // SAFETY: loom checks that nobody reads at the same time.
        self.0.with_mut(|mail| unsafe { *mail = 7 });
    }

    fn read(&self) {
        // SAFETY: loom checks that nobody writes at the same time.
        self.0.with(|mail| assert_eq!(unsafe { *mail }, 7));
    }
}

/// `change` is made after mail was written; who finds key 1 absent reads the mail.
fn absence_tells(map: Rc<Map>, change: fn(&Map)) -> bool {
    let mail = Mail::new();
    let sent = Rc::clone(&mail);
    let (absent, ()) = together(
        &map,
        move |map| {
            let absent = get(map, 1).is_none();
            if absent {
                mail.read();
            }
            absent
        },
        move |map| {
            sent.write();
            change(map);
        },
    );
    absent
}

#[test]
pub(crate) fn who_finds_a_key_removed() {
    check([true, false], || {
        absence_tells(map_of(2, [1]), |map| {
            let _removed = remove(map, 1);
        })
    });
}

#[test]
pub(crate) fn who_finds_a_map_cleared() {
    check([true, false], || absence_tells(map_of(2, [1]), |map| map.clear()));
}

#[test]
pub(crate) fn who_finds_a_key_removed_and_expunged() {
    check([true, false], || {
        absence_tells(amended(), |map| {
            remove(map, 1);
            map.promote();
        })
    });
}

/// A new key is found through another bucket than its own, which is full.
#[test]
pub(crate) fn who_finds_a_full_bucket() {
    check([None, Some(0)], || {
        let map = map_of(8, []);
        together(
            &map,
            |map| get(map, 0),
            |map| {
                for key in 0..8 {
                    insert(map, 4 * key, 0);
                }
            },
        )
        .0
    });
}

/// Who revives an entry sees what the thread did that removed it; a flag tells which way it went.
#[test]
pub(crate) fn who_revives() {
    check_bounded([true, false], || {
        let map = map_of(2, [1]);
        remove(&map, 1);
        let mail = Mail::new();
        let flag = Rc::new(AtomicBool::new(false));
        let (sent, set) = (Rc::clone(&mail), Rc::clone(&flag));
        let (told, ()) = together(
            &map,
            move |map| {
                let revived = insert(map, 1, 11).is_none();
                let told = revived && flag.load(Ordering::Relaxed);
                if told {
                    mail.read();
                }
                told
            },
            move |map| {
                let revived = insert(map, 1, 12).is_none();
                sent.write();
                if revived && remove(map, 1) == Some(12) {
                    // Relaxed: it is the map that has to give the order, if the other insert came after the remove.
                    set.store(true, Ordering::Relaxed);
                }
            },
        );
        told
    });
}
