//! One test in a process of its own: other threads' allocations would be counted too.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

use readmostly_bench::memory::{Usage, heap_per_value};
use std::hint::black_box;

#[test]
fn memory_is_counted_with_its_overhead() {
    let boxed = heap_per_value(10_000, || Box::new([0_u64; 3])).unwrap();
    assert!((31.0..48.0).contains(&boxed), "24 bytes take {boxed}");
    let large = heap_per_value(4, || vec![1_u8; 1 << 20]).unwrap();
    assert!(large >= f64::from(1 << 20), "1 MiB takes {large}");
    assert_eq!(heap_per_value(1_000, || [0_u64; 8]).unwrap(), 0.0);

    let before = Usage::now().unwrap();
    let block = black_box(vec![1_u8; 8 << 20]);
    let used = Usage::now().unwrap().since(before);
    assert!(used.resident >= 7 << 20, "{used:?}");
    drop(block);
}
