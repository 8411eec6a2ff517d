//! Bytes that a program occupies, with what the allocator adds to each request.

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use std::hint::black_box;

/// What this process occupies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Bytes handed out by the allocator, its own headers and rounding included.
    pub heap: u64,
    /// Bytes resident in memory.
    pub resident: u64,
}

impl Usage {
    /// What is occupied now.
    pub fn now() -> Result<Self> {
        Ok(Self { heap: heap()?, resident: resident()? })
    }

    /// What is occupied after the allocator has given back to the system what it can.
    pub fn trimmed() -> Result<Self> {
        trim();
        Self::now()
    }

    /// The larger of the two: the heap leaves out what a map obtains from the system by itself, resident bytes leave
    /// out what has been allocated but not touched.
    pub fn occupied(self) -> u64 {
        self.heap.max(self.resident)
    }

    /// How much more this is than `earlier`; less counts as nothing.
    pub fn since(self, earlier: Self) -> Self {
        Self { heap: self.heap.saturating_sub(earlier.heap), resident: self.resident.saturating_sub(earlier.resident) }
    }
}

/// Bytes in use in all arenas of glibc's malloc, and in the blocks it mapped one by one.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code)]
pub fn heap() -> Result<u64> {
    // SAFETY: mallinfo2 has no preconditions.
    let info = unsafe { libc::mallinfo2() };
    Ok((info.uordblks + info.hblkhd) as u64)
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code)]
fn trim() {
    // SAFETY: malloc_trim has no preconditions.
    unsafe { libc::malloc_trim(0) };
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn trim() {}

/// Not known to be measurable here.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn heap() -> Result<u64> {
    anyhow::bail!("heap bytes are counted with glibc's mallinfo2, so this needs Linux with glibc")
}

/// Resident bytes of this process.
pub fn resident() -> Result<u64> {
    let path = "/proc/self/statm";
    let statm = std::fs::read_to_string(path).with_context(|| format!("expected to read {path}"))?;
    let pages = statm.split_whitespace().nth(1).with_context(|| format!("expected a second number in {path}"))?;
    let pages: u64 = pages.parse().with_context(|| format!("expected a number in {path}, found {pages:?}"))?;
    Ok(pages * page_size())
}

#[allow(unsafe_code)]
fn page_size() -> u64 {
    // SAFETY: sysconf has no preconditions.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u64::try_from(size).unwrap_or(4096)
}

/// The heap bytes that one value of `make` takes, averaged over many so that a single stray allocation is seen.
pub fn heap_per_value<T>(count: usize, make: impl Fn() -> T) -> Result<f64> {
    ensure!(count > 0, "expected at least one value to measure");
    let mut values = Vec::with_capacity(count);
    // The first one may set up something that all later ones share.
    drop(make());
    let before = heap()?;
    values.extend((0..count).map(|_| black_box(make())));
    let after = heap()?;
    drop(values);
    Ok(after.saturating_sub(before) as f64 / count as f64)
}
