# Sourced by the scripts that build loom-tests, after lib.sh.

# loom, from where cargo gets its packages, with the patch that loom-tests/patches/README.md explains.
prepare_loom() {
    local patch=$PWD/loom-tests/patches/loom.patch loom=$PWD/loom-tests/loom
    if [ -e "$loom/src/lib.rs" ] && [ -e "$loom/.patched" ] && [ "$(cat "$loom/.patched")" = "$(cksum <"$patch")" ]; then return; fi
    command -v patch >/dev/null || need patch patch
    local scratch
    scratch=$(mktemp -d)
    mkdir "$scratch/src"
    touch "$scratch/src/lib.rs"
    printf '[package]\nname = "scratch"\nversion = "0.0.0"\nedition = "2021"\n[workspace]\n[dependencies]\nloom = "=0.7.2"\n' \
        >"$scratch/Cargo.toml"
    (cd "$scratch" && cargo vendor --quiet vendor >/dev/null)
    patch --quiet --directory "$scratch/vendor/loom" --strip 1 <"$patch"
    rm -rf "$loom"
    cp -r "$scratch/vendor/loom" "$loom"
    cksum <"$patch" >"$loom/.patched"
    rm -rf "$scratch"
}
