//! Planted mistakes, each of which must be found.

use std::sync::{Mutex, PoisonError};

use readmostly::SyncMap;
use readmostly::faults::{Fault, plant};

use crate::{from_environment, hunt};

/// Histories by which a mistake must have been found.
const LIMIT: usize = 200_000;

/// Mistakes are planted in all maps of the process.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn must_be_found(fault: Fault) {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    // Some mistakes have things retired twice: nothing may be freed. Maps are not dropped either, see `threads`.
    let map: &SyncMap<u64, u64> = Box::leak(Box::default());
    std::mem::forget(map.pin());
    let mut needed = Vec::new();
    for seed in 0..from_environment("READMOSTLY_SEARCHES").unwrap_or(5) {
        let planted = plant(fault);
        let tally = hunt(seed, LIMIT);
        drop(planted);
        needed.push(tally.histories);
        match tally.wrong {
            Some(wrong) if seed == 0 => println!("{fault:?}, after {} histories: {wrong}", tally.histories),
            Some(_) => {}
            None => panic!("{fault:?} was not found in {LIMIT} histories"),
        }
    }
    println!("{fault:?}: found after {needed:?} histories");
}

macro_rules! controls {
    ($($(#[$attribute:meta])* $test:ident: $fault:ident),+ $(,)?) => {
        $(
            $(#[$attribute])*
            #[test]
            fn $test() {
                must_be_found(Fault::$fault);
            }
        )+
    };
}

controls! {
    a_split_compare_and_swap_is_found: SplitExchange,
    #[cfg_attr(debug_assertions, ignore = "panics: more is copied than was counted")]
    an_insert_lost_in_promotion_is_found: InsertIntoRead,
    a_stale_read_is_found: StaleRead,
    a_tombstone_left_behind_is_found: SkipExpunge,
    an_early_promotion_is_found: PromoteEarly,
    a_clear_that_leaves_nodes_alone_is_found: ClearLightly,
    a_table_that_is_not_frozen_is_found: NeverFrozen,
}

/// Without a mistake there is none to be found.
#[test]
fn nothing_is_found_where_nothing_is_planted() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let tally = hunt(0, 500);
    assert_eq!(tally.wrong, None);
}
