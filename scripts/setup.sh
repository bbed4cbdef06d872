#!/usr/bin/env bash
# Installs what is missing, and nothing else. Downloads only through apt-get, cargo, npm and pip.
#
#   setup.sh build   what `make build` and `make demo` need: a C compiler
#   setup.sh test    that, and what `make test` needs: PostgreSQL, Python, cargo-nextest, cargo-deny,
#                    and the packages of tests/interop
#
# Without root it installs no system package, and says which ones to install.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly NEXTEST_VERSION=0.9.151 NEXTEST_OLDEST=0.9.100
readonly DENY_VERSION=0.20.2
readonly NODE_OLDEST=20
cache=${DROVER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/drover}
export PATH="$HOME/.cargo/bin:$PATH"

say() {
    printf '==> [%4d s] setup: %s\n' "$SECONDS" "$*"
}

fail() {
    echo "setup stopped: $*" >&2
    echo "Then run it again: make setup" >&2
    exit 1
}

has() {
    command -v "$1" >/dev/null 2>&1
}

# Whether version $1 is $2 or newer.
is_at_least() {
    [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$2" ]
}

# --- system packages ------------------------------------------------------------------------------------------------

missing=()

need() {
    local package
    for package in "$@"; do
        missing+=("$package")
    done
}

# aws-lc-sys and libsqlite3-sys compile C with the plain compiler; CMake is not needed on Linux with glibc.
look_for_build_packages() {
    has cc && echo 'int main(void) { return 0; }' | cc -x c -o /dev/null - 2>/dev/null || need gcc libc6-dev
    has make || need make
    [ -s /etc/ssl/certs/ca-certificates.crt ] || need ca-certificates
}

look_for_test_packages() {
    has pg_ctl || compgen -G '/usr/lib/postgresql/*/bin/pg_ctl' >/dev/null || need postgresql
    python3 -c 'import venv, ensurepip' 2>/dev/null || need python3-venv
    has curl || need curl
    has openssl || need openssl
    has file || need file
}

install_packages() {
    [ ${#missing[@]} -gt 0 ] || return 0
    if [ "$(id -u)" != 0 ] || ! has apt-get; then
        fail "these packages are missing, and only root on Debian or Ubuntu installs them here. Run:
    sudo apt-get install ${missing[*]}"
    fi
    say "apt-get install ${missing[*]}"
    local apt=(apt-get -o DPkg::Lock::Timeout=120 -o APT::Install-Recommends=false -q -y)
    export DEBIAN_FRONTEND=noninteractive
    "${apt[@]}" update </dev/null || fail "apt-get update failed, see above"
    without_a_system_database
    "${apt[@]}" install "${missing[@]}" </dev/null || fail "apt-get install ${missing[*]} failed, see above"
}

# Debian's package would start a server of its own on port 5432. The tests start theirs.
without_a_system_database() {
    local folder=/etc/postgresql-common/createcluster.d
    case " ${missing[*]} " in
        *" postgresql "*) ;;
        *) return 0 ;;
    esac
    mkdir -p "$folder"
    echo 'create_main_cluster = false' >"$folder/drover-setup.conf"
    trap 'rm -f /etc/postgresql-common/createcluster.d/drover-setup.conf' EXIT
}

# --- Rust -----------------------------------------------------------------------------------------------------------

check_rust() {
    local oldest found
    has cargo || fail "cargo is missing: install a Rust toolchain"
    oldest=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
    found=$(rustc --version | cut -d ' ' -f 2)
    is_at_least "${found%%-*}" "$oldest" || fail "Rust $found is too old: $oldest or newer is needed (rustup update stable)"
}

check_rust_components() {
    cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 && return
    # A minimal toolchain comes without them.
    command -v rustup >/dev/null && say "rustup component add rustfmt clippy" &&
        rustup component add rustfmt clippy </dev/null && return
    fail "rustfmt or clippy is missing. Run: rustup component add rustfmt clippy"
}

# Unoptimised: both together compile in about 7 CPU minutes, and a run of them takes seconds.
cargo_install() {
    say "cargo install $*"
    CARGO_TARGET_DIR="$cache/cargo-tools" cargo install --locked --debug --quiet "$@" </dev/null ||
        fail "cargo install $* failed, see above"
}

install_cargo_tools() {
    local found
    found=$(cargo nextest --version 2>/dev/null | sed -n '1s/^cargo-nextest \([0-9.]*\).*/\1/p')
    if [ -z "$found" ] || ! is_at_least "$found" "$NEXTEST_OLDEST"; then
        # Without the part that replaces itself with a download.
        cargo_install cargo-nextest --version "$NEXTEST_VERSION" --no-default-features --features default-no-update
    fi
    found=$(cargo deny --version 2>/dev/null | sed -n '1s/^cargo-deny \([0-9.]*\).*/\1/p')
    if [ "$found" != "$DENY_VERSION" ]; then
        cargo_install cargo-deny --version "$DENY_VERSION" --force
    fi
    rm -rf -- "$cache/cargo-tools"
}

# --- Node -----------------------------------------------------------------------------------------------------------

# Not from apt-get: the Node of Debian 12 and Ubuntu 24.04 is too old.
check_node() {
    local found
    found=$(node --version 2>/dev/null || true)
    is_at_least "${found#v}" "$NODE_OLDEST" && has npm ||
        fail "Node $NODE_OLDEST or newer with npm is needed, and ${found:-none} was found: install it from your usual source"
}

# The lock file's digest inside node_modules tells whether it is what the lock file asks for.
install_node_packages() {
    local folder=tests/interop digest
    [ -f "$folder/package.json" ] || return 0
    digest=$(sha256sum "$folder/package-lock.json" | cut -d ' ' -f 1)
    [ "$(cat "$folder/node_modules/.drover-lock" 2>/dev/null)" != "$digest" ] || return 0
    say "npm ci in $folder"
    (cd "$folder" && npm ci --no-audit --no-fund --loglevel=error </dev/null) || fail "npm ci in $folder failed, see above"
    echo "$digest" >"$folder/node_modules/.drover-lock"
}

# --- the compile cache ----------------------------------------------------------------------------------------------

# Clones share what is compiled, and cargo tells a crate of one clone from that of another by the time of its files
# alone. Another clone was here last: its programs must not pass for ours.
claim_cache() {
    local target=${CARGO_TARGET_DIR:-$cache/target}
    [ "$(cat "$target/.clone" 2>/dev/null)" != "$PWD" ] || return 0
    mkdir -p "$target"
    find crates -name target -prune -o -type f \( -name '*.rs' -o -name '*.sql' -o -name Cargo.toml \) -exec touch {} +
    echo "$PWD" >"$target/.clone"
}

# --------------------------------------------------------------------------------------------------------------------

case "${1:-test}" in
    build)
        look_for_build_packages
        install_packages
        check_rust
        claim_cache
        ;;
    test)
        look_for_build_packages
        look_for_test_packages
        install_packages
        check_rust
        check_rust_components
        check_node
        install_cargo_tools
        install_node_packages
        claim_cache
        say "ready"
        ;;
    *)
        echo "usage: $0 build | test" >&2
        exit 2
        ;;
esac
