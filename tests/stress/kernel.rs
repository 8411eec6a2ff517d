//! A kernel that refuses `membarrier`, as old ones and some sandboxes do.

#![allow(unsafe_code, reason = "a filter of system calls has no safe interface")]

#[cfg(target_os = "linux")]
mod linux {
    use std::io::Error;
    use std::mem::offset_of;

    use libc::{
        BPF_ABS, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO, c_int, c_ulong,
        seccomp_data, sock_filter, sock_fprog,
    };

    /// Makes `membarrier` fail in this process from now on.
    pub(crate) fn refuse_membarrier() -> Result<(), Error> {
        let step = |code: u32, jt, jf, k: u32| sock_filter { code: code as u16, jt, jf, k };
        let mut steps = [
            step(BPF_LD | BPF_W | BPF_ABS, 0, 0, offset_of!(seccomp_data, nr) as u32),
            step(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, libc::SYS_membarrier as u32),
            step(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | libc::ENOSYS as u32),
            step(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW),
        ];
        let filter = sock_fprog { len: steps.len() as u16, filter: steps.as_mut_ptr() };
        let [zero, one] = [0 as c_ulong, 1];
        // SAFETY: the first call passes plain numbers. The second has the kernel copy the filter, which is alive.
        unsafe {
            succeeds(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, one, zero, zero, zero))?;
            succeeds(libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER as c_ulong, &raw const filter))?;
        }
        // SAFETY: the query, which is 0, touches no memory of the process.
        let query = unsafe { libc::syscall(libc::SYS_membarrier, 0, 0, 0) };
        assert_eq!(query, -1, "the filter is in place");
        Ok(())
    }

    fn succeeds(status: c_int) -> Result<(), Error> {
        if status == 0 { Ok(()) } else { Err(Error::last_os_error()) }
    }
}

#[cfg(target_os = "linux")]
pub(crate) use linux::refuse_membarrier;

/// There is none to refuse.
#[cfg(not(target_os = "linux"))]
pub(crate) fn refuse_membarrier() -> Result<(), std::io::Error> {
    Ok(())
}
