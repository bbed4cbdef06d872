#!/usr/bin/env bash
# Polls of goosebit, a server for the DDI protocol in Python, for docs/benchmarks.md: the peer of `bench checks`.
#
#   goosebit-bench.sh [DEVICES [SECONDS]]   1000 registered devices with nothing to do, and 15 seconds, unless said
#
# Needs python3 with venv, and wrk. goosebit is installed once into ${XDG_CACHE_HOME:-~/.cache}/drover/tools.
set -euo pipefail

VERSION=0.2.12
DEVICES="${1:-1000}"
SECONDS_OF_LOAD="${2:-15}"
CONNECTIONS=16
VENV="${DROVER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/drover}/tools/goosebit-$VERSION"
READY_SECONDS=30

fail() {
    echo "goosebit-bench.sh: $*" >&2
    exit 1
}

for tool in python3 wrk curl; do
    command -v "$tool" >/dev/null || fail "$tool is missing: apt-get install $tool"
done
if ! "$VENV/bin/python" -c "import goosebit" 2>/dev/null; then
    mkdir -p "$VENV"
    python3 -m venv "$VENV" || fail "no virtual environment: apt-get install python3-venv"
    "$VENV/bin/pip" install --quiet "goosebit==$VERSION" || fail "goosebit $VERSION cannot be installed"
fi

dir=$(mktemp -d)
server=""
end() {
    if [ -n "$server" ]; then
        kill "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
    rm -rf "$dir"
}
trap end EXIT
cd "$dir"
export GOOSEBIT_DB_URI="sqlite://$dir/goosebit.db"

# A device that said once what it is has nothing to do from then on.
"$VENV/bin/python" - "$DEVICES" 2>"$dir/schema.log" <<'PYTHON' || fail "no tables: $(tail -1 "$dir/schema.log")"
import asyncio, sys
from goosebit.db.config import TORTOISE_CONF
from goosebit.db.models import Device, Hardware, UpdateStateEnum
from tortoise import Tortoise

async def main(devices):
    await Tortoise.init(config=TORTOISE_CONF)
    await Tortoise.generate_schemas()
    hardware = await Hardware.create(model="default", revision="default")
    for first in range(0, devices, 10000):
        await Device.bulk_create(
            Device(id=f"dev-{n}", hardware=hardware, last_state=UpdateStateEnum.REGISTERED)
            for n in range(first, min(first + 10000, devices))
        )
    await Tortoise.close_connections()

asyncio.run(main(int(sys.argv[1])))
PYTHON

port=$("$VENV/bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$VENV/bin/uvicorn" goosebit:app --host 127.0.0.1 --port "$port" --log-level warning --no-access-log >"$dir/log" 2>&1 &
server=$!
url="http://127.0.0.1:$port/DEFAULT/controller/v1"
for _ in $(seq $((READY_SECONDS * 10))); do
    answer=$(curl -fs "$url/dev-0" 2>/dev/null) && break
    kill -0 "$server" 2>/dev/null || fail "goosebit ended: $(tail -1 "$dir/log")"
    sleep 0.1
done
case "${answer:-}" in *'"_links":{}'*) ;; *) fail "dev-0 has something to do, or no answer came: ${answer:-}" ;; esac

cat >"$dir/poll.lua" <<LUA
function request() return wrk.format("GET", "/DEFAULT/controller/v1/dev-" .. math.random(0, $DEVICES - 1)) end
LUA
ticks() { awk '{ print $14 + $15 }' "/proc/$server/stat"; }
before=$(ticks)
wrk -t1 --timeout 30s -c"$CONNECTIONS" -d"${SECONDS_OF_LOAD}s" -s "$dir/poll.lua" --latency "http://127.0.0.1:$port" >"$dir/wrk"
after=$(ticks)
if grep -E "Non-2xx|Socket errors" "$dir/wrk" >"$dir/failed"; then
    fail "not all polls were answered with 200: $(cat "$dir/failed")"
fi
polls=$(awk '/requests in/ { print $1 }' "$dir/wrk")
cpu=$(awk -v t="$((after - before))" -v hz="$(getconf CLK_TCK)" 'BEGIN { printf "%.1f", t / hz }')
rss=$(awk '/VmRSS/ { printf "%d MiB", $2 / 1024 }' "/proc/$server/status")
echo "| devices | polls/s | per server CPU-second | p50 | p99 | RSS |"
echo "|---|---|---|---|---|---|"
awk -v d="$DEVICES" -v polls="$polls" -v cpu="$cpu" -v rss="$rss" '
    /50%/ { p50 = $2 } /99%/ { p99 = $2 } /Requests\/sec/ { rate = $2 }
    END { printf "| %d | %.0f | %.0f | %s | %s | %s |\n", d, rate, polls / cpu, p50, p99, rss }' "$dir/wrk"
