//! Strings to start from: each kind of operation often, in small maps and in such that grow, under both hashers.

use crate::bytes::{KINDS, PINNED};
use crate::common::Random;

/// Steps of a seed.
const STEPS: usize = 60;

pub(crate) fn all() -> impl Iterator<Item = Vec<u8>> {
    (0..16).flat_map(|shape| (0..KINDS).step_by(if shape & 6 == 6 { 4 } else { 1 }).map(move |kind| seed(shape, kind)))
}

/// A string in which every third operation is of one kind. The others insert, remove, and fill or drain many keys.
fn seed(shape: u8, kind: u8) -> Vec<u8> {
    const OTHERS: [u8; 8] = [0, 0, 12, 9, 25, 26, 32, 33];

    let mut random = Random::new(u64::from(shape) << 8 | u64::from(kind));
    let mut bytes = vec![shape, random.next() as u8];
    for step in 0..STEPS {
        let kind = if step % 3 == 0 { kind } else { OTHERS[random.below(OTHERS.len() as u64) as usize] };
        let pinned = if random.below(3) == 0 { PINNED } else { 0 };
        bytes.push(kind | pinned);
        // As many as an operation reads, about. What is too many is read as the next one.
        bytes.extend((0..1 + random.below(3)).map(|_| random.next() as u8));
    }
    bytes
}
