//! The barrier of Windows: `FlushProcessWriteBuffers`, which interrupts each processor that runs a thread of the process.

#[link(name = "kernel32")]
unsafe extern "system" {
    safe fn FlushProcessWriteBuffers();
}

/// It is there since Windows Vista, and asks for no agreement.
pub(in super::super) fn has_barrier() -> bool {
    true
}

/// Makes every thread of the process execute a fence. Cannot fail.
pub(in super::super) fn barrier() -> bool {
    FlushProcessWriteBuffers();
    true
}
