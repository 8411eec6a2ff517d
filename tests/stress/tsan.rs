//! Shows ThreadSanitizer the one order that it overlooks here: that of the fence in the drop of an `Arc`.
//!
//! The last owner of an `Arc` decrements the count with Release and comes after all others by an Acquire fence, which
//! ThreadSanitizer does not model. The standard library has another way for it, in builds of its own that nobody
//! ships (rust-lang/rust#39608). So `ci/tsan.sh` has the linker lead decrements here, where they acquire as well.
//! Apart from an `Arc`'s there are few; what they lead to is then held to a little less than what the crate says.

#![allow(unsafe_code, reason = "symbols of the sanitizer's runtime")]

use std::ffi::c_int;

/// As the compiler numbers them for the runtime.
const RELEASE: c_int = 3;
const ACQ_REL: c_int = 4;

unsafe extern "C" {
    fn __real___tsan_atomic64_fetch_sub(atomic: *mut u64, less: u64, order: c_int) -> u64;
}

// SAFETY: no other symbol has this name; it is what `--wrap=__tsan_atomic64_fetch_sub` calls.
#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap___tsan_atomic64_fetch_sub(atomic: *mut u64, less: u64, order: c_int) -> u64 {
    let order = if order == RELEASE { ACQ_REL } else { order };
    // SAFETY: the runtime's own function with the caller's arguments, and an order that is no weaker.
    unsafe { __real___tsan_atomic64_fetch_sub(atomic, less, order) }
}
