#!/usr/bin/env bash
# Many threads on few cores, readers that stall, threads that die, on both reclaimers. `--full`: a minute each.
source "$(dirname "$0")/lib.sh"

seconds=0.5
[ -z "$FULL" ] || seconds=20

step "stress"
cargo test -p readmostly --release --test stress -- --seconds $seconds
step "stress, as on a kernel that refuses membarrier"
cargo test -p readmostly --release --test stress -- --seconds $seconds --no-membarrier
step "stress, with crossbeam-epoch"
RUSTFLAGS="--cfg readmostly_crossbeam" cargo test -p readmostly --release --test stress --target-dir target/crossbeam -- --seconds $seconds
