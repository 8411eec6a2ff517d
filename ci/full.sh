#!/usr/bin/env bash
# Every rung of docs/verification.md in its long form: hours. Goes on after a failure and sums up at the end.
set -uo pipefail
cd "$(dirname "$0")/.."

passed=() skipped=() failed=()
for rung in linearizability shuttle loom stress asan tsan valgrind fuzz orderings; do
    ci/$rung.sh --full
    case $? in
        0) passed+=("$rung") ;;
        77) skipped+=("$rung") ;;
        *) failed+=("$rung") ;;
    esac
done
printf '\npassed:  %s\nskipped: %s\nfailed:  %s\n' "${passed[*]:--}" "${skipped[*]:--}" "${failed[*]:--}"
[ ${#failed[@]} -eq 0 ]
