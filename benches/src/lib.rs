//! Measurements of `readmostly` against its peers.
//!
//! The parts are made to be combined: [`peers`] puts every map behind the same traits, [`keys`] makes key sets and
//! access patterns, [`measure`] interleaves contenders and compares them round by round, [`threads`] and [`latency`] run
//! several threads and time single operations, [`memory`] counts bytes, and [`barrier`] asks the kernel for fences. [`load`]
//! has threads work on maps, and [`presets`] names what they do; [`claims`] checks what the project promises.
//!
//! What was measured is a [`document`] of tables and plots, which knows its [`environment`]; a [`page`] shows its pictures.

pub mod barrier;
pub mod claims;
pub mod document;
pub mod environment;
pub mod go;
pub mod keys;
pub mod latency;
pub mod load;
pub mod measure;
pub mod memory;
pub mod page;
pub mod peers;
pub mod presets;
pub mod threads;
