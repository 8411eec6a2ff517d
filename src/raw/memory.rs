//! Zeroed memory for tables.
//!
//! A large table from the heap would cost its size twice in one operation: the allocator clears memory that it uses
//! again, and unmapping a large block touches all its pages. So on Unix large tables are mapped: fresh pages are zero
//! without anybody clearing them at once, and they are given back a slice at a time.

use std::alloc::{self, Layout};
#[cfg(unix)]
use std::mem::ManuallyDrop;
use std::ptr::NonNull;

/// Alignment of every region: a cache line.
const ALIGN: usize = 64;

/// Size from which memory is mapped.
///
/// Clearing less than this takes a few microseconds, about what the system calls for a mapping take.
#[cfg(unix)]
const MAPPED_FROM: usize = 256 << 10;

/// How much one step of [`Region::release_slice`] gives back.
///
/// Unmapping costs tens of nanoseconds a page.
#[cfg(unix)]
const SLICE: usize = 64 << 10;

/// A piece of memory that was zero when it was allocated.
pub(super) struct Region {
    start: NonNull<u8>,
    bytes: usize,
    #[cfg(unix)]
    mapped: bool,
    #[cfg(any(readmostly_loom, readmostly_shuttle))]
    end: fn(NonNull<u8>, usize),
}

// SAFETY: plain memory, used through the table that owns it.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

impl Region {
    /// `bytes` bytes of zeroes; not 0, and at most `isize::MAX` less a line.
    pub(super) fn zeroed(bytes: usize) -> Region {
        let layout = Self::layout(bytes);
        #[cfg(unix)]
        if bytes >= MAPPED_FROM {
            return Region {
                start: map(layout),
                bytes,
                mapped: true,
                #[cfg(any(readmostly_loom, readmostly_shuttle))]
                end: |_, _| (),
            };
        }
        // SAFETY: the size is not 0.
        let start = unsafe { alloc::alloc_zeroed(layout) };
        let Some(start) = NonNull::new(start) else { alloc::handle_alloc_error(layout) };
        Region {
            start,
            bytes,
            #[cfg(unix)]
            mapped: false,
            #[cfg(any(readmostly_loom, readmostly_shuttle))]
            end: |_, _| (),
        }
    }

    /// Has `end` told a model checker what ended when the region is freed.
    #[cfg(any(readmostly_loom, readmostly_shuttle))]
    pub(super) fn ended_by(mut self, end: fn(NonNull<u8>, usize)) -> Self {
        self.end = end;
        self
    }

    fn layout(bytes: usize) -> Layout {
        match Layout::from_size_align(bytes, ALIGN) {
            Ok(layout) => layout,
            Err(_) => super::node::capacity_overflow(),
        }
    }

    pub(super) fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// Frees a bounded part of the region, which nobody may use any more; what is left is returned.
    pub(super) fn release_slice(self) -> Option<Region> {
        #[cfg(unix)]
        if self.mapped && self.bytes > slice() {
            let rest = ManuallyDrop::new(self);
            let bytes = (rest.bytes - 1) / slice() * slice();
            // SAFETY: the tail of this region's own mapping, from a multiple of the page size on; only the rest is
            // kept.
            unsafe { unmap(rest.start.add(bytes), rest.bytes - bytes) };
            return Some(Region {
                start: rest.start,
                bytes,
                mapped: true,
                #[cfg(any(readmostly_loom, readmostly_shuttle))]
                end: rest.end,
            });
        }
        drop(self);
        None
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        #[cfg(any(readmostly_loom, readmostly_shuttle))]
        (self.end)(self.start, self.bytes);
        #[cfg(unix)]
        if self.mapped {
            // SAFETY: what is left of this region's own mapping.
            unsafe { unmap(self.start, self.bytes) };
            return;
        }
        // SAFETY: allocated with this layout in `zeroed`.
        unsafe { alloc::dealloc(self.start.as_ptr(), Self::layout(self.bytes)) };
    }
}

/// [`SLICE`], or a page if pages are larger.
#[cfg(unix)]
fn slice() -> usize {
    // SAFETY: asks for a number.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(page).map_or(SLICE, |page| page.max(SLICE))
}

#[cfg(unix)]
fn map(layout: Layout) -> NonNull<u8> {
    // SAFETY: a new private mapping backed by nothing touches no memory of anybody's.
    let start = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            layout.size(),
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANON,
            -1,
            0,
        )
    };
    match NonNull::new(start.cast::<u8>()) {
        Some(start) if start.as_ptr().cast() != libc::MAP_FAILED => start,
        _ => alloc::handle_alloc_error(layout),
    }
}

/// # Safety
///
/// The range must be mapped, start at a page, and not be used any more.
#[cfg(unix)]
unsafe fn unmap(start: NonNull<u8>, bytes: usize) {
    // SAFETY: passed on.
    let failed = unsafe { libc::munmap(start.as_ptr().cast(), bytes) };
    debug_assert_eq!(failed, 0, "a mapping of the map's own can be unmapped");
}
