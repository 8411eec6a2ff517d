#!/usr/bin/env bash
# The map and the set against the standard library's, by operations that a fuzzer makes up. The quick form draws inputs at
# random; `--full` has libFuzzer look for new paths, for twenty minutes, if cargo-bolero can be had.
source "$(dirname "$0")/lib.sh"

step "differential fuzzing, random inputs"
cargo test -p readmostly --release --test fuzz

[ -n "$FULL" ] || exit 0
need_nightly
command -v cargo-bolero >/dev/null || cargo install cargo-bolero --locked || skip "cargo-bolero cannot be had"
step "differential fuzzing, libFuzzer"
corpus=$(mktemp -d)
cargo +nightly bolero test bytes_agree --profile release --target-dir target/fuzz --corpus-dir "$corpus/corpus" \
    --crashes-dir "$corpus/crashes" --sanitizer address -T 20min
