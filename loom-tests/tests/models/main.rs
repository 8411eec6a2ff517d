//! Models of the map and of its reclaimers, and the mistakes that they must find.

#![cfg(readmostly_loom)]

mod controls;
mod litmus;
mod order;
mod points;
mod reclaim;
mod walks;
