#!/usr/bin/env bash
# A PostgreSQL of one's own for the tests, from the system's binaries.
#
#   postgres-server.sh start DIR   starts one on a free port of 127.0.0.1 and prints the line to evaluate
#   postgres-server.sh stop DIR    ends exactly the one that was started with DIR, and removes its files
#
# Durability stays on: the tests check that an answer comes after the commit.
set -euo pipefail

usage() {
    echo "usage: $0 start DIR | stop DIR" >&2
    exit 2
}

fail() {
    echo "postgres-server.sh: $*" >&2
    exit 1
}

# Debian keeps initdb and pg_ctl out of PATH; the newest version wins.
find_binaries() {
    local folder
    for folder in $(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V -r) $(dirname "$(command -v pg_ctl || echo /-)"); do
        if [ -x "$folder/initdb" ] && [ -x "$folder/pg_ctl" ]; then
            echo "$folder"
            return
        fi
    done
    fail "PostgreSQL's server binaries are missing: apt-get install postgresql"
}

# PostgreSQL refuses to run as root.
as_server_user() {
    if [ "$(id -u)" = 0 ]; then
        runuser -u postgres -- "$@"
    else
        "$@"
    fi
}

free_port() {
    local port
    for _ in $(seq 100); do
        port=$((20000 + RANDOM % 12000))
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            echo "$port"
            return
        fi
    done
    fail "no free port found between 20000 and 32000"
}

# The folder the server lives in. `DIR/home` names it, because DIR itself may be closed to the user postgres.
make_home() {
    local dir=$1 home
    mkdir -p "$dir"
    home=$(mktemp -d /tmp/drover-postgres.XXXXXX)
    chmod 0700 "$home"
    if [ "$(id -u)" = 0 ]; then
        id postgres >/dev/null 2>&1 || fail "the user postgres is missing: apt-get install postgresql"
        chown postgres "$home"
    fi
    echo "$home" >"$dir/home"
    echo "$home"
}

print_url() {
    echo "export DROVER_TEST_POSTGRES=postgres://postgres@127.0.0.1:$1/postgres"
}

start() {
    local dir=$1 binaries home port
    binaries=$(find_binaries)
    if [ -f "$dir/home" ] && [ -f "$dir/port" ]; then
        home=$(cat "$dir/home")
        if [ -d "$home/data" ] && as_server_user "$binaries/pg_ctl" -D "$home/data" status >/dev/null 2>&1; then
            print_url "$(cat "$dir/port")"
            return
        fi
        stop "$dir"
    fi
    home=$(make_home "$dir")
    cd "$home"
    as_server_user "$binaries/initdb" -D "$home/data" -U postgres --auth=trust --encoding=UTF8 --locale=C \
        >"$dir/initdb.log" 2>&1 || fail "initdb failed, see $dir/initdb.log"
    # A free port can be taken before the server binds it: try again with another.
    for _ in 1 2 3 4 5; do
        port=$(free_port)
        if as_server_user "$binaries/pg_ctl" -D "$home/data" -l "$home/server.log" -w -t 60 -o "-p $port \
            -c listen_addresses=127.0.0.1 -c unix_socket_directories=$home -c max_connections=200 -c fsync=on" \
            start >"$dir/start.log" 2>&1; then
            echo "$port" >"$dir/port"
            print_url "$port"
            return
        fi
    done
    fail "the server did not start, see $dir/start.log and $home/server.log"
}

stop() {
    local dir=$1 binaries home
    [ -f "$dir/home" ] || fail "nothing was started with $dir"
    home=$(cat "$dir/home")
    case "$home" in
        /tmp/drover-postgres.??????) ;;
        *) fail "$dir/home does not name a folder of this script: $home" ;;
    esac
    if [ -d "$home/data" ]; then
        binaries=$(find_binaries)
        cd "$home"
        if as_server_user "$binaries/pg_ctl" -D "$home/data" status >/dev/null 2>&1; then
            as_server_user "$binaries/pg_ctl" -D "$home/data" -m immediate -w -t 30 stop >/dev/null ||
                fail "the server in $home did not stop"
        fi
    fi
    cd /
    rm -rf "$home"
    rm -f "$dir/home" "$dir/port" "$dir/initdb.log" "$dir/start.log"
}

[ $# = 2 ] || usage
case "$1" in
    start | stop) "$1" "$(realpath -m "$2")" ;;
    *) usage ;;
esac
