#!/usr/bin/env bash
# The programs under examples/, each against a server of its own: published to, cut off, and restarted.
#
#   tests/examples/run.sh [NAME...]
#
# NAME  browser, centrifuge, python, events or poll; without any, all of them.
#
# It starts target/release/shardcast (or $SHARDCAST_BIN) on free ports of 127.0.0.1. What npm and pip install goes
# into target/examples, once.
# Exit code: 0 all did what they should, 1 some did not, 77 skipped (a tool is missing, or packages cannot be had).
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
examples=$root/examples
output=$root/target/examples
names=(browser centrifuge python events poll)

case ${1:-} in -h | --help) sed -n '2,/^set/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" && exit ;; esac
[ $# -eq 0 ] || names=("$@")

skip() {
    echo "examples: skipped: $1" >&2
    exit 77
}

# Runs a command with its output in a file of its own; skips the run if it fails.
install() {
    local what=$1
    shift
    "$@" >"$output/install-$what.log" 2>&1 && return
    tail -n 15 "$output/install-$what.log" >&2
    skip "the packages of $what could not be installed"
}

command -v npm >/dev/null || skip "no npm (apt-get install npm)"
node -e 'process.exit(Number.parseInt(process.versions.node) < 20 ? 1 : 0)' || skip "no Node 20 or newer"
python3 -c 'import ensurepip, venv' 2>/dev/null || skip "python3 has no venv (apt-get install python3-venv)"
command -v curl >/dev/null || skip "no curl (apt-get install curl)"
command -v "${CHROMIUM:=chromium}" >/dev/null || skip "no $CHROMIUM (apt-get install chromium)"
export CHROMIUM SHARDCAST_BIN=${SHARDCAST_BIN:-$root/target/release/shardcast}
[ -x "$SHARDCAST_BIN" ] || { echo "examples: $SHARDCAST_BIN is not there" >&2 && exit 1; }

# Marks name the list that was installed; the lock lets two runs start at once.
mkdir -p "$output"
node_home=$output/node-$(cksum <"$examples/centrifuge-js/package.json" | cut -d ' ' -f 1)
python_home=$output/python-$(cksum <"$examples/python/requirements.txt" | cut -d ' ' -f 1)
exec 9>"$output/lock"
flock 9
if [ ! -e "$node_home/complete" ]; then
    mkdir -p "$node_home"
    cp "$examples/centrifuge-js/package.json" "$node_home"
    install npm npm install --prefix "$node_home" --no-package-lock --ignore-scripts --no-audit --no-fund
    touch "$node_home/complete"
fi
if [ ! -e "$python_home/complete" ]; then
    install venv python3 -m venv --clear "$python_home"
    install pip "$python_home/bin/python" -m pip install --disable-pip-version-check \
        -r "$examples/python/requirements.txt"
    touch "$python_home/complete"
fi
exec 9>&-
# Beside its packages, as whoever copies the folder and runs npm install has it.
cp "$examples/centrifuge-js/main.mjs" "$node_home"

failed=0
for name in "${names[@]}"; do
    case $name in
        browser) command=() ;;
        centrifuge) command=(node "$node_home/main.mjs" '{http}' '{room}') ;;
        python) command=("$python_home/bin/python" "$examples/python/follow.py" '{ws}/ws/{room}') ;;
        events | poll) command=("$examples/curl/room.sh" "$name" '{room}') ;;
        *) echo "examples: no such example: $name" >&2 && exit 64 ;;
    esac
    timeout 120 node "$here/examples.mjs" "$name" "${command[@]}" || { echo "examples: FAILED: $name" && failed=1; }
done
exit $failed
