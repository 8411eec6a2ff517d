#!/usr/bin/env bash
# Models under loom, in three tiers that differ in the reclaimer.
#
#   ci/loom.sh [contract|asymmetric|epoch]... [--full] [--only PATTERN] [--no-controls]
#
# contract    a stand-in that states what an epoch promises: every schedule, but for the models marked as bounded
# asymmetric  the epoch of Linux, with fences and with interrupts in the place of `membarrier`: up to 2 preemptions
# epoch       crossbeam-epoch: up to 1 preemption
#
# --full: bounded models with 4 preemptions in the contract tier, 3 in the asymmetric one, 2 in the epoch tier.
# LOOM_MAX_PREEMPTIONS, if set, is the bound of every model.
source "$(dirname "$0")/lib.sh"
source "$(dirname "$0")/loom-source.sh"

tiers=()
only=
controls=1
while [ $# -gt 0 ]; do
    case $1 in
        contract | asymmetric | epoch) tiers+=("$1") ;;
        --full) ;;
        --no-controls) controls= ;;
        --only)
            only=$2
            shift
            ;;
        *)
            echo "expected contract, asymmetric, epoch, --full, --only PATTERN or --no-controls, found: $1" >&2
            exit 2
            ;;
    esac
    shift
done
[ ${#tiers[@]} -gt 0 ] || tiers=(contract asymmetric epoch)

run() {
    local tier=$1 flags bound
    shift
    flags="--cfg readmostly_loom --cfg readmostly_faults"
    case $tier in
        contract)
            flags+=" --cfg readmostly_contract"
            bound=${LOOM_MAX_PREEMPTIONS:-}
            export READMOSTLY_BOUND=${FULL:+4}
            ;;
        asymmetric)
            bound=${LOOM_MAX_PREEMPTIONS:-2}
            [ -z "$FULL" ] || bound=${LOOM_MAX_PREEMPTIONS:-3}
            ;;
        epoch)
            flags+=" --cfg readmostly_crossbeam --cfg crossbeam_loom --cfg crossbeam_sanitize"
            bound=${LOOM_MAX_PREEMPTIONS:-1}
            [ -z "$FULL" ] || bound=${LOOM_MAX_PREEMPTIONS:-2}
            ;;
    esac
    step "models, tier $tier${bound:+, up to $bound preemptions}"
    (
        cd loom-tests
        if [ -n "$bound" ]; then export LOOM_MAX_PREEMPTIONS=$bound; else unset LOOM_MAX_PREEMPTIONS; fi
        RUSTFLAGS=$flags cargo test --release --target-dir "target/$tier" --test models -- \
            --test-threads=1 ${only:+"$only"} $([ -n "$controls" ] || echo "--skip controls::")
    )
}

prepare_loom
for tier in "${tiers[@]}"; do run "$tier"; done
