#!/usr/bin/env bash
# Histories of random schedules under shuttle, checked for linearizability, and mistakes that they must find.
# `--full`: a million histories in place of 20,000.
source "$(dirname "$0")/lib.sh"
source "$(dirname "$0")/loom-source.sh"

prepare_loom
if [ -n "$FULL" ]; then export READMOSTLY_HISTORIES=1000000; fi
step "histories of random schedules"
cd loom-tests
RUSTFLAGS="--cfg readmostly_shuttle --cfg readmostly_faults" \
    cargo test --release --target-dir target/shuttle --test shuttle -- --test-threads=1 --nocapture
