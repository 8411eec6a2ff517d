//! The barrier of Linux: `membarrier`, private and expedited.

use crate::sync::OnceLock;

/// Whether the kernel has agreed to run barriers in all threads for us. Asked once, before the first pin; the child of a
/// `fork` has its parent's agreement.
pub(in super::super) fn has_barrier() -> bool {
    static AGREED: OnceLock<bool> = OnceLock::new();
    *AGREED.get_or_init(|| command(libc::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) && barrier())
}

/// Makes every thread of the process execute a fence; false if the kernel refuses.
pub(in super::super) fn barrier() -> bool {
    command(libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED)
}

fn command(command: libc::c_int) -> bool {
    // SAFETY: the call touches no memory of the process; a kernel without it answers with an error.
    unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) == 0 }
}
