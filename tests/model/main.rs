//! Random sequences of operations over the whole interface, compared step by step with `std::collections`.
//!
//! A failing sequence is shrunk and printed. `PROPTEST_CASES` sets the number of sequences per test.

#[macro_use]
#[path = "../common/mod.rs"]
mod common;
mod map;
mod ops;
mod reference;
mod run_map;
mod run_set;
mod set;
mod strategies;
mod views;

use std::fmt::Debug;

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, TestRunner};

/// Runs `test` on `cases` random inputs and panics with the smallest one that fails.
fn check<T: Debug>(cases: u32, strategy: impl Strategy<Value = T>, test: impl Fn(T)) {
    let mut config = Config { failure_persistence: None, max_shrink_time: 60_000, ..Config::default() };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = cases;
    }
    let outcome = TestRunner::new(config).run(&strategy, |input| {
        test(input);
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}
