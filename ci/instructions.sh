#!/usr/bin/env bash
# Instructions per operation on the hot paths, counted by callgrind, against benches/instructions.json. No proof and so no
# rung, but run like one. `--write` takes the counts as the new baseline.
source "$(dirname "$0")/lib.sh"
need valgrind valgrind
need python3 python3
[ "$(rustc -vV | sed -n 's/^host: //p')" = "$TARGET" ] || skip "the baseline was taken on $TARGET"

step "instructions"
cargo build --release -p readmostly-bench --bin instructions
write=
for argument in "$@"; do
    if [ "$argument" = --write ]; then write=--write; fi
done
python3 ci/instructions.py target/release/instructions $write
