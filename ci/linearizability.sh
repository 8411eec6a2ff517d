#!/usr/bin/env bash
# Records histories of threads that use a map and checks them; then plants mistakes in the map, which must be found. In
# full: 100,000 histories, a few minutes.
# shellcheck source=ci/lib.sh
source "$(dirname "$0")/lib.sh"

if [ -n "$FULL" ]; then export READMOSTLY_HISTORIES=100000; fi

step "histories are as promised"
cargo test -p readmostly --release --test linearizability -- --nocapture

step "planted mistakes are found"
RUSTFLAGS="--cfg readmostly_faults" \
    cargo test -p readmostly --release --test linearizability --target-dir target/faults -- --nocapture
