#!/usr/bin/env bash
# AddressSanitizer and LeakSanitizer over the tests that free most; then over mistakes that they must notice.
# `--full`: over all integration tests but those that measure memory themselves.
source "$(dirname "$0")/lib.sh"
need_nightly

tests=(drops iteration panics parallel reentrancy refs)
seconds=0.5
if [ -n "$FULL" ]; then
    tests+=(presence model go_map go_hashtriemap traits)
    seconds=20
fi

export ASAN_OPTIONS=detect_stack_use_after_return=1
# One build for both parts: a mistake is planted at run time.
export RUSTFLAGS="-Zsanitizer=address --cfg readmostly_asan --cfg readmostly_faults"
test_program() { cargo +nightly test -p readmostly --release --target "$TARGET" --target-dir target/asan --features rayon "$@"; }

step "AddressSanitizer"
for test in "${tests[@]}"; do selected+=(--test "$test"); done
test_program "${selected[@]}"
test_program --test stress -- --seconds $seconds --except stall

step "mistakes that it must notice"
must_notice() {
    local fault=$1 scenario=$2 output
    if output=$(test_program --test stress -- --scenario "$scenario" --seconds 5 --plant "$fault" 2>&1); then
        echo "$fault is planted, and nothing notices" >&2
        exit 1
    fi
    noticed "$fault" 'AddressSanitizer: [a-z-]+|LeakSanitizer|panicked at [^:]*' "$output"
}
must_notice FreeAtOnce overwrites
must_notice NodeAlone churn
must_notice ShortChain views
