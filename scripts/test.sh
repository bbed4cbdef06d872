#!/usr/bin/env bash
# Everything that proves the project, in the order in which it fails fastest.
#
#   test.sh              all steps
#   test.sh STEP…        only these, as in: scripts/test.sh clippy tests
#   NEXTEST_ARGS='-E package(drover-store)' test.sh tests     some tests, with the same servers
#
# `make setup` installs what the steps need.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly ALL_STEPS=(fmt arrows deny clippy doc build tests doctests demo)

export DROVER_CACHE="${DROVER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/drover}"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$DROVER_CACHE/target}"
export PATH="$HOME/.cargo/bin:$PATH"
[ -z "${CI:-}" ] || export CARGO_INCREMENTAL="${CARGO_INCREMENTAL:-0}"

work=$(mktemp -d "${TMPDIR:-/tmp}/drover-test.XXXXXX")

# --- servers --------------------------------------------------------------------------------------------------------

# Starts a server by its script and takes over the variables that it prints.
start_server() {
    local name=$1 exports
    exports=$("scripts/$name-server.sh" start "$work/$name") || return 1
    touch "$work/$name.started"
    eval "$exports"
}

stop_everything() {
    local status=$? mark name
    trap - EXIT
    for mark in "$work"/*.started; do
        [ -e "$mark" ] || continue
        name=$(basename "$mark" .started)
        "scripts/$name-server.sh" stop "$work/$name" || echo "the $name server did not stop, see above" >&2
    done
    rm -rf -- "$work"
    exit "$status"
}
trap stop_everything EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# --- steps ----------------------------------------------------------------------------------------------------------

step_fmt() {
    cargo fmt --all --check
}

step_arrows() {
    cargo run --quiet --locked --package xtask -- check-arrows
}

step_deny() {
    cargo deny --log-level error check --hide-inclusion-graph licenses bans sources
}

step_clippy() {
    cargo clippy --locked --workspace --all-targets -- -D warnings
}

step_doc() {
    RUSTDOCFLAGS='-D warnings' cargo doc --quiet --locked --workspace --no-deps
}

# Tests start the programs, so those are built first. With all targets, as nextest does it: with a smaller selection
# cargo chooses other features for the dependencies, and compiles them a second time.
step_build() {
    cargo build --locked --workspace --all-targets "$@"
}

step_tests() {
    step_build --quiet
    start_server postgres
    start_server s3
    # Words of the caller, split on purpose.
    # shellcheck disable=SC2086
    cargo nextest run --locked --workspace --profile ci ${NEXTEST_ARGS:-}
}

# nextest does not run examples in documentation. Asking cargo about crates that have none costs a minute.
step_doctests() {
    local file crates=()
    while read -r file; do
        crates+=(-p "$(sed -n 's/^name = "\(.*\)"$/\1/p' "${file%%/src/*}/Cargo.toml" | head -n 1)")
    done < <(grep -rlE '^ *//[/!] ```(rust|no_run|should_panic|compile_fail)?$' crates/*/src --include='*.rs' |
        sed 's|/src/.*|/src/|' | sort -u)
    [ ${#crates[@]} -gt 0 ] || return 0
    cargo test --locked --doc "${crates[@]}"
}

# The main job, as a user sees it: fails when anything is not as described.
step_demo() {
    local summary="$work/demo.json"
    step_build --quiet
    "$CARGO_TARGET_DIR/debug/drover" demo --once --json >"$summary" </dev/null || {
        cat "$summary"
        return 1
    }
    python3 -m json.tool "$summary"
}

# --------------------------------------------------------------------------------------------------------------------

run_step() {
    local name=$1 status=0
    printf '\n==> [%4d s] %s\n' "$SECONDS" "$name"
    # Not `if step; then`: inside a condition bash ignores a failing command in the middle of a function.
    set +e
    (set -e; "step_$name")
    status=$?
    set -e
    if [ "$status" != 0 ]; then
        printf '\nmake test stopped after %d s: the step "%s" failed (%d). To run it alone: scripts/test.sh %s\n' \
            "$SECONDS" "$name" "$status" "$name" >&2
        exit 1
    fi
}

steps=("$@")
[ $# -gt 0 ] || steps=("${ALL_STEPS[@]}")
for name in "${steps[@]}"; do
    declare -F "step_$name" >/dev/null || {
        echo "no such step: $name (there are: ${ALL_STEPS[*]})" >&2
        exit 2
    }
done
for name in "${steps[@]}"; do
    run_step "$name"
done
printf '\n==> [%4d s] done: %s\n' "$SECONDS" "${steps[*]}"
