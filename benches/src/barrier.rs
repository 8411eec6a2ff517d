//! The barrier that a reclaimer uses in the place of a fence in every reader: `membarrier`, private and expedited.

/// The kernel's agreement to run barriers in all threads of this process.
#[derive(Clone, Copy, Debug)]
pub struct Barrier(());

impl Barrier {
    /// Asks the kernel; none if it has no such call, or refuses it.
    pub fn register() -> Option<Self> {
        kernel::register().then_some(Self(()))
    }

    /// Has every running thread of the process execute a fence.
    #[inline]
    pub fn run(self) {
        assert!(kernel::run(), "expected the kernel to run a barrier, as it agreed to");
    }
}

#[cfg(target_os = "linux")]
mod kernel {
    pub(super) fn register() -> bool {
        command(libc::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED)
    }

    #[inline]
    pub(super) fn run() -> bool {
        command(libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED)
    }

    #[inline]
    #[allow(unsafe_code)]
    fn command(command: libc::c_int) -> bool {
        // SAFETY: the call touches no memory of the process; a kernel without it answers with an error.
        unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) == 0 }
    }
}

#[cfg(not(target_os = "linux"))]
mod kernel {
    pub(super) fn register() -> bool {
        false
    }

    pub(super) fn run() -> bool {
        false
    }
}
