//! Values that say what they are, so that a wrong one is seen.

use crc::{CRC_32_ISO_HDLC, Crc, Table};
use rand::{Rng, SeedableRng, rngs::SmallRng};

/// Bytes of a value besides its filler: the run, the key, the step, and the checksum at the end.
pub(crate) const LEAST_BYTES: usize = 20;

const CRC: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISO_HDLC);

/// Which write a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// The run of the driver, so that values of earlier ones are told apart.
    pub(crate) run: u64,
    /// The number of the key.
    pub(crate) key: u32,
    /// The step of the plan that wrote it.
    pub(crate) step: u32,
}

impl Stamp {
    /// A value of `bytes` bytes, at least [`LEAST_BYTES`], that carries this stamp and a checksum of all.
    pub(crate) fn value(self, bytes: usize) -> Vec<u8> {
        let mut value = vec![0; bytes.max(LEAST_BYTES)];
        value[..8].copy_from_slice(&self.run.to_le_bytes());
        value[8..12].copy_from_slice(&self.key.to_le_bytes());
        value[12..16].copy_from_slice(&self.step.to_le_bytes());
        let end = value.len() - 4;
        SmallRng::seed_from_u64(self.run ^ u64::from(self.step)).fill_bytes(&mut value[16..end]);
        let checksum = CRC.checksum(&value[..end]);
        value[end..].copy_from_slice(&checksum.to_le_bytes());
        value
    }

    /// The stamp of a value; none if it is not a whole one.
    pub(crate) fn of(value: &[u8]) -> Option<Self> {
        let (content, checksum) = value.split_last_chunk()?;
        let (run, rest) = content.split_first_chunk()?;
        let (key, rest) = rest.split_first_chunk()?;
        let (step, _) = rest.split_first_chunk()?;
        let is_whole = CRC.checksum(content) == u32::from_le_bytes(*checksum);
        is_whole.then(|| Self {
            run: u64::from_le_bytes(*run),
            key: u32::from_le_bytes(*key),
            step: u32::from_le_bytes(*step),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp { run: 7, key: 1, step: 2 };

    #[test]
    fn a_value_gives_its_stamp_back() {
        for bytes in [LEAST_BYTES, 21, 256, 1 << 20] {
            let value = STAMP.value(bytes);
            assert_eq!((value.len(), Stamp::of(&value)), (bytes, Some(STAMP)));
        }
    }

    #[test]
    fn halves_of_two_values_are_no_value() {
        let (one, other) = (STAMP.value(64), Stamp { step: 3, ..STAMP }.value(64));
        for at in 13..60 {
            let torn = [&one[..at], &other[at..]].concat();
            assert_eq!(Stamp::of(&torn), None, "torn at {at}");
        }
        assert_eq!(Stamp::of(&one[..63]), None);
        assert_eq!(Stamp::of(b""), None);
    }
}
