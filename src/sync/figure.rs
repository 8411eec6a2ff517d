//! Atomics for figures and hints: numbers that are reported, or that say when to do something optional.
//!
//! No memory is published with them and nothing is wrong whatever they say, so model checkers do not branch at them:
//! they are those of the standard library in every build.

pub(crate) use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicU64, AtomicUsize};
