//! Measurements of `readmostly` against its peers.
//!
//! The parts are made to be combined: [`peers`] puts every map behind the same traits, [`keys`] makes key sets and
//! access patterns, [`measure`] interleaves contenders and compares them round by round, [`threads`] and [`latency`]
//! run several threads and time single operations, [`memory`] counts bytes. [`claims`] uses them to check what the
//! project promises, and [`report`] prints the outcome.

pub mod claims;
pub mod keys;
pub mod latency;
pub mod measure;
pub mod memory;
pub mod peers;
pub mod report;
pub mod threads;
