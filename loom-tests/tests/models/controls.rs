//! Mistakes that the models must find.

use readmostly::faults::Fault::*;
use readmostly_loom_tests::controls::must_fail;

macro_rules! controls {
    ($($(#[$attribute:meta])* $name:ident: $fault:ident is found by $model:literal;)*) => {$(
        $(#[$attribute])*
        #[test]
        fn $name() {
            must_fail($fault, $model);
        }
    )*};
}

controls! {
    publish_before_initialise: PublishFirst is found by "points::insert_is_found_or_not";
    unpin_before_dereference: UnpinEarly is found by "reclaim::a_removed_value_stays_while_it_is_read";
    skip_the_expunge: SkipExpunge is found by "points::remove_and_insert_again_against_the_copier";
    skip_the_expunge_before_a_revive: SkipExpunge is found by "points::revive_against_the_copier";
    promote_before_the_copy_is_complete: PromoteEarly is found by "points::lookup_of_a_dead_node_while_promoted";
    free_a_value_at_once: FreeAtOnce is found by "reclaim::a_replaced_value_stays_while_it_is_read";
    free_a_table_at_once: FreeAtOnce is found by "reclaim::a_table_stays_while_it_is_read";
    compare_and_swap_in_two_steps: SplitExchange is found by "points::compare_and_swap_twice";
    remove_in_two_steps: SplitExchange is found by "points::remove_twice";
    insert_behind_the_copier: InsertIntoRead is found by "points::lookup_of_a_key_made_anew";
    take_a_dead_node_for_absence: StaleRead is found by "points::lookup_of_a_dead_node_while_promoted";
    clear_without_expunging: ClearLightly is found by "walks::clear_against_an_overwrite";
    insert_into_a_frozen_table: NeverFrozen is found by "walks::a_snapshot_keeps_its_keys";
    /// Takes too long with crossbeam-epoch, of whose steps it knows nothing.
    #[cfg(not(readmostly_crossbeam))]
    free_a_node_with_its_first_value: NodeAlone is found by "reclaim::a_node_goes_before_its_first_value";
    generations_that_let_go: ShortChain is found by "walks::a_snapshot_across_two_promotions_and_a_clear";
    tickets_due_at_once: FreeAtOnce is found by "reclaim::the_first_value_stays_while_its_node_is_retired";
}

controls! {
    /// One step fewer would do if pins had fences; with the barrier in their place it does not.
    #[cfg(not(any(readmostly_contract, readmostly_crossbeam)))]
    a_ticket_due_one_step_early: DueEarly is found by
        "litmus::a_ticket_waits_for_a_third_step";
}
