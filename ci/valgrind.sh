#!/usr/bin/env bash
# valgrind over small amounts of stress: it sees into the standard library as well, and runs one thread at a time.
source "$(dirname "$0")/lib.sh"
need valgrind valgrind

rounds=200
[ -z "$FULL" ] || rounds=3000

step "valgrind"
cargo test -p readmostly --release --test stress --no-run
program=$(cargo test -p readmostly --release --test stress --no-run --message-format=json 2>/dev/null |
    sed -n 's/.*"executable":"\([^"]*stress-[^"]*\)".*/\1/p' | tail -1)
valgrind --error-exitcode=1 --leak-check=full --errors-for-leak-kinds=definite --fair-sched=yes --quiet \
    "$program" --rounds $rounds --keys 64 --threads 4 --except stall --except panics
