//! Byte strings as sequences of operations over the whole interface, compared step by step with `std::collections`.
//!
//! `cargo test` runs the seeds and some random strings; `ci/fuzz.sh` lets libFuzzer look for those that lead further,
//! under AddressSanitizer. Operations and references are those of `tests/model`.

#[path = "../common/mod.rs"]
mod common;
#[path = "../model/ops.rs"]
mod ops;
#[path = "../model/reference.rs"]
mod reference;
#[path = "../model/run_map.rs"]
mod run_map;
#[path = "../model/run_set.rs"]
mod run_set;
#[path = "../model/views.rs"]
mod views;

mod bytes;
mod seeds;

use std::path::PathBuf;
use std::{env, fs};

use common::{GoodHash, ZeroHash};

/// Longer ones say nothing new and take long.
const MAX_LEN: usize = 4096;

#[test]
fn seeds_agree() {
    #[allow(clippy::let_unit_value, reason = "a unit where no mistake can be planted")]
    let _planted = planted();
    seeds::all().for_each(|seed| run(&seed));
}

#[test]
fn bytes_agree() {
    #[allow(clippy::let_unit_value, reason = "a unit where no mistake can be planted")]
    let _planted = planted();
    bolero::check!().with_max_len(MAX_LEN).for_each(run);
}

/// Not a test: leaves the seeds where a fuzzer looks for them.
#[test]
#[ignore = "writes files, into the folder that READMOSTLY_SEEDS names"]
fn write_seeds() {
    let folder = PathBuf::from(env::var_os("READMOSTLY_SEEDS").expect("READMOSTLY_SEEDS names a folder"));
    fs::create_dir_all(&folder).expect("the folder can be made");
    for (number, seed) in seeds::all().enumerate() {
        fs::write(folder.join(format!("seed-{number:03}")), seed).expect("a seed can be written");
    }
}

fn run(bytes: &[u8]) {
    let mut bytes = bytes::Bytes::new(bytes);
    let shape = bytes.next();
    let (constant_hash, is_set, many) = (shape & 1 != 0, shape & 6 == 6, shape & 8 != 0);
    let keys = if many { bytes::MANY } else { bytes::FEW };
    match (is_set, constant_hash) {
        (false, false) => drop(run_map::run::<GoodHash>(&bytes.case(keys), keys)),
        (false, true) => drop(run_map::run::<ZeroHash>(&bytes.case(keys), keys)),
        (true, false) => run_set::run::<GoodHash>(&bytes.set_ops(keys), keys),
        (true, true) => run_set::run::<ZeroHash>(&bytes.set_ops(keys), keys),
    }
}

/// The mistake that `READMOSTLY_PLANT` names, if this is a build that can plant some.
#[cfg(readmostly_faults)]
fn planted() -> Option<readmostly::faults::Planted> {
    let name = env::var("READMOSTLY_PLANT").ok()?;
    Some(readmostly::faults::plant(name.parse().unwrap()))
}

#[cfg(not(readmostly_faults))]
fn planted() {}
