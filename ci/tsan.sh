#!/usr/bin/env bash
# ThreadSanitizer over the stress program; then over a mistake that it must notice.
# `--full`: twenty seconds for each scenario, and crossbeam-epoch as well.
#
# The fence in the drop of an `Arc` is not seen by ThreadSanitizer: tests/stress/tsan.rs says what makes up for it.
source "$(dirname "$0")/lib.sh"
need_nightly

seconds=1
[ -z "$FULL" ] || seconds=20
# One build for both parts: a mistake is planted at run time.
flags="-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer --cfg readmostly_tsan --cfg readmostly_faults"
flags+=" -Clink-arg=-Wl,--wrap=__tsan_atomic64_fetch_sub"
# Panics are handed to the thread that joins, and `OnceLock` is written, by code of the standard library that
# ThreadSanitizer does not see into.
scenarios=(--except panics --except first-use --except stall)

export TSAN_OPTIONS=halt_on_error=1
stress() { cargo +nightly test -p readmostly --release --target "$TARGET" --test stress --target-dir "$@"; }

step "ThreadSanitizer, asymmetric epoch"
RUSTFLAGS=$flags stress target/tsan -- --seconds $seconds "${scenarios[@]}"
if [ -n "$FULL" ]; then
    step "ThreadSanitizer, crossbeam-epoch"
    RUSTFLAGS="$flags --cfg readmostly_crossbeam" stress target/tsan-crossbeam -- --seconds $seconds "${scenarios[@]}"
fi

step "a mistake that it must notice"
if output=$(RUSTFLAGS=$flags stress target/tsan -- --scenario overwrites --seconds 5 --plant FreeAtOnce 2>&1); then
    echo "FreeAtOnce is planted, and nothing notices" >&2
    exit 1
fi
noticed FreeAtOnce 'SUMMARY.*|panicked at [^:]*' "$output"
