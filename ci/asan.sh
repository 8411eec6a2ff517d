#!/usr/bin/env bash
# AddressSanitizer and LeakSanitizer over the tests that free most; then over mistakes that they must notice.
# `--full`: over all integration tests but those that measure memory themselves.
source "$(dirname "$0")/lib.sh"
need_nightly

tests=(drops iteration panics reentrancy presence)
seconds=0.5
if [ -n "$FULL" ]; then
    tests+=(model go_map go_hashtriemap linearizability traits)
    seconds=20
fi

export ASAN_OPTIONS=detect_stack_use_after_return=1
test_program() { cargo +nightly test --release --target "$TARGET" --target-dir "$@"; }

step "AddressSanitizer"
export RUSTFLAGS="-Zsanitizer=address"
for test in "${tests[@]}"; do selected+=(--test "$test"); done
test_program target/asan --lib "${selected[@]}"
test_program target/asan --test stress -- --seconds $seconds

step "mistakes that it must notice"
export RUSTFLAGS="-Zsanitizer=address --cfg readmostly_faults"
test_program target/asan-faults --test stress --no-run
must_notice() {
    local fault=$1 scenario=$2 output
    if output=$(test_program target/asan-faults --test stress -- --scenario "$scenario" --seconds 5 --plant "$fault" 2>&1); then
        echo "$fault is planted, and nothing notices" >&2
        exit 1
    fi
    printf '%-12s %s\n' "$fault" "$(grep -m1 -oE 'AddressSanitizer: [a-z-]+|LeakSanitizer|canary.*|panicked at [^:]*' <<<"$output")"
}
must_notice FreeAtOnce overwrites
must_notice UnpinEarly overwrites
must_notice ShortChain views
must_notice NodeAlone views
