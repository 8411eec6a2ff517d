//! Mistakes that random schedules must find.

use readmostly::faults::Fault::{self, *};
use readmostly_loom_tests::controls::must_fail;

const HISTORIES: &str = "histories_of_random_schedules_are_as_promised";

fn must_be_found(fault: Fault) {
    must_fail(fault, HISTORIES);
}

macro_rules! controls {
    ($($name:ident: $fault:ident;)*) => {$(
        #[test]
        fn $name() {
            must_be_found($fault);
        }
    )*};
}

controls! {
    compare_and_swap_in_two_steps: SplitExchange;
    insert_lost_in_promotion: InsertIntoRead;
    stale_read: StaleRead;
    skip_the_expunge: SkipExpunge;
    promote_before_the_copy_is_complete: PromoteEarly;
    clear_without_expunging: ClearLightly;
    insert_into_a_frozen_table: NeverFrozen;
}
