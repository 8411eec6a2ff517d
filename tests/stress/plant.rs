//! Mistakes planted in the crate, in builds that can.

#[cfg(readmostly_faults)]
pub(crate) use readmostly::faults::{Fault, plant};

/// There are none in this build.
#[cfg(not(readmostly_faults))]
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {}

#[cfg(not(readmostly_faults))]
pub(crate) fn plant(fault: Fault) {
    match fault {}
}

#[cfg(not(readmostly_faults))]
pub(crate) fn fault(_: &str) -> Result<Fault, String> {
    Err("this build has none; it takes RUSTFLAGS=\"--cfg readmostly_faults\"".into())
}

#[cfg(readmostly_faults)]
pub(crate) fn fault(name: &str) -> Result<Fault, String> {
    name.parse()
}
