#!/usr/bin/env bash
# Memory orderings: docs/orderings.md has a row for each, and each is needed. Quick: that the document fits the code.
# `--full`: each ordering weakened in turn, which some model, or ThreadSanitizer, has to notice. That takes hours.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

need python3 python3

step "docs/orderings.md has a row for each ordering"
python3 ci/orderings.py --check

if [ -n "$FULL" ]; then
    step "each ordering is missed when it is weakened"
    python3 ci/orderings.py
fi
