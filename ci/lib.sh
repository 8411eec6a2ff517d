# What the scripts of this directory share; they source it. Each is one rung of docs/verification.md and can be run by
# hand. Exit status: 0 passed, 77 skipped since a tool is missing, anything else failed. `--full` asks for the long form.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Flags of the caller's would replace those set here, and programs would lie elsewhere.
unset RUSTFLAGS RUSTDOCFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_ENCODED_RUSTDOCFLAGS
unset CARGO_TARGET_DIR CARGO_BUILD_TARGET_DIR CARGO_BUILD_TARGET

readonly SKIPPED=77
readonly TARGET=x86_64-unknown-linux-gnu

FULL=
for argument in "$@"; do
    if [ "$argument" = --full ]; then FULL=1; fi
done

# noticed FAULT REASON OUTPUT: what shows that a program failed since the mistake was planted, and how that was found.
noticed() {
    if ! grep -q "^planted: $1\$" <<<"$3"; then
        printf '%s\n%s was not planted\n' "$3" "$1" >&2
        exit 1
    fi
    printf '%-12s %s\n' "$1" "$(grep -m1 -oE "$2" <<<"$3" || tail -n 1 <<<"$3")"
}

step() { printf '\n== %s\n' "$*"; }

skip() {
    printf 'SKIPPED: %s\n' "$*"
    exit "$SKIPPED"
}

# Sanitizers are a matter of the nightly compiler, on one kind of machine.
need_nightly() {
    if ! cargo +nightly --version >/dev/null 2>&1; then
        rustup toolchain install nightly --profile minimal || true
    fi
    cargo +nightly --version || skip "no nightly toolchain"
    [ "$(rustc +nightly -vV | sed -n 's/^host: //p')" = "$TARGET" ] || skip "sanitizers are run on $TARGET"
}

# need COMMAND PACKAGE: a program that a Debian package has.
need() {
    command -v "$1" >/dev/null 2>&1 && return
    { apt-get update && apt-get install -y --no-install-recommends "$2"; } >/dev/null 2>&1 || true
    command -v "$1" >/dev/null 2>&1 || skip "$1 is missing, and the package $2 cannot be had"
}
