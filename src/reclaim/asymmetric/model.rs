//! The kernel of a model, which always has time.

#[cfg(readmostly_loom)]
use crate::sync::interrupts;

/// Every request is granted, since models have few; none where barriers are modelled, since those are dear.
pub(super) fn is_worth_a_barrier() -> bool {
    !has_barrier()
}

/// Where threads cannot be interrupted pins have fences, as on kernels that refuse.
pub(super) fn has_barrier() -> bool {
    #[cfg(readmostly_loom)]
    return interrupts::are_enabled();
    #[cfg(not(readmostly_loom))]
    false
}

pub(super) fn barrier() -> bool {
    #[cfg(readmostly_loom)]
    interrupts::barrier();
    true
}
