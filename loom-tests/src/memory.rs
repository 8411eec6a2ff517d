//! An allocator that uses no memory again within an execution of a model.
//!
//! What was freed stays as it was, so a model that reads it finds the flag that says so, not something else.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

struct Quarantine;

#[global_allocator]
static ALLOCATOR: Quarantine = Quarantine;

static HOLDS: AtomicBool = AtomicBool::new(false);
static HELD: Mutex<Held> = Mutex::new(Held { blocks: std::ptr::null_mut(), len: 0, capacity: 0 });

/// A vector of freed blocks that takes its own memory from the system.
struct Held {
    blocks: *mut (*mut u8, Layout),
    len: usize,
    capacity: usize,
}

// SAFETY: owns the blocks.
unsafe impl Send for Held {}

impl Held {
    fn push(&mut self, block: *mut u8, layout: Layout) {
        if self.len == self.capacity {
            self.grow();
        }
        // SAFETY: there is room for one more.
        unsafe { self.blocks.add(self.len).write((block, layout)) };
        self.len += 1;
    }

    fn grow(&mut self) {
        let capacity = (2 * self.capacity).max(1 << 12);
        let layout = |capacity| Layout::array::<(*mut u8, Layout)>(capacity).unwrap();
        // SAFETY: not empty; what is there already is copied, and the old memory was allocated like this.
        unsafe {
            let blocks = System.alloc(layout(capacity)).cast();
            assert!(!std::ptr::eq(blocks, std::ptr::null()), "out of memory");
            if self.capacity > 0 {
                std::ptr::copy_nonoverlapping(self.blocks, blocks, self.len);
                System.dealloc(self.blocks.cast(), layout(self.capacity));
            }
            self.blocks = blocks;
        }
        self.capacity = capacity;
    }

    fn free(&mut self) {
        for index in 0..self.len {
            // SAFETY: freed by its owner, and nobody knows it any more, or the model fails.
            unsafe {
                let (block, layout) = *self.blocks.add(index);
                System.dealloc(block, layout);
            }
        }
        self.len = 0;
    }
}

// SAFETY: the system's allocator, which hears later of what is freed.
unsafe impl GlobalAlloc for Quarantine {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if HOLDS.load(Ordering::Relaxed) {
            HELD.lock().unwrap().push(block, layout);
        } else {
            // SAFETY: passed on.
            unsafe { System.dealloc(block, layout) };
        }
    }
}

/// Gives back what the execution before has freed.
pub fn begin_execution() {
    HOLDS.store(true, Ordering::Relaxed);
    HELD.lock().unwrap().free();
}

/// Lets memory be used again at once.
pub fn end_model() {
    HOLDS.store(false, Ordering::Relaxed);
    HELD.lock().unwrap().free();
}
