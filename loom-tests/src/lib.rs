//! What the models share.

#[cfg(not(all(any(readmostly_loom, readmostly_shuttle), readmostly_faults)))]
compile_error!("run `ci/loom.sh`, or cargo in `loom-tests` without RUSTFLAGS: see `.cargo/config.toml`");

pub mod controls;
#[cfg(readmostly_loom)]
pub mod memory;
#[cfg(readmostly_loom)]
mod models;

#[cfg(readmostly_loom)]
pub use models::*;
