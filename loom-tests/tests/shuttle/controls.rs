//! Mistakes that random schedules must find.

use readmostly::faults::Fault::*;
use readmostly_loom_tests::controls::must_fail;

const HISTORIES: &str = "histories_of_random_schedules_are_as_promised";
const LOADS: &str = "loading::loads_are_shared_and_never_out_of_date";

macro_rules! controls {
    ($($name:ident: $fault:ident in $test:ident;)*) => {$(
        #[test]
        fn $name() {
            must_fail($fault, $test);
        }
    )*};
}

controls! {
    compare_and_swap_in_two_steps: SplitExchange in HISTORIES;
    insert_lost_in_promotion: InsertIntoRead in HISTORIES;
    stale_read: StaleRead in HISTORIES;
    skip_the_expunge: SkipExpunge in HISTORIES;
    promote_before_the_copy_is_complete: PromoteEarly in HISTORIES;
    clear_without_expunging: ClearLightly in HISTORIES;
    insert_into_a_frozen_table: NeverFrozen in HISTORIES;
    land_what_is_out_of_date: LandSuperseded in LOADS;
    lead_beside_a_load_that_goes_on: LeadBeside in LOADS;
    wake_one_of_those_who_wait: WakeOne in LOADS;
}
