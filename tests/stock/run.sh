#!/usr/bin/env bash
# Clients that others wrote, unmodified, against shardcast: npm centrifuge in Node and in Chromium, PyPI
# centrifuge-python and cent. About 105 seconds, of which the page in Chromium is offline for 60.
#
#   tests/stock/run.sh [PART...]
#
# PART  node, bad_input, python_client, cent_api or chromium; without any, all of them side by side.
#
# It starts target/release/shardcast (or $SHARDCAST_BIN) on free ports of 127.0.0.1. The packages are installed by npm
# (beside this script) and pip (target/stock), once. What each part prints is kept in target/stock/PART.log.
# Exit code: 0 all passed, 1 some did not, 77 skipped (a tool is missing, or the packages cannot be had).
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
output=$root/target/stock
parts=(node bad_input python_client cent_api chromium)
# No part takes longer; one that hangs is ended, and its servers with it.
limit=240

case ${1:-} in -h | --help) sed -n '2,/^set/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" && exit ;; esac
[ $# -eq 0 ] || parts=("$@")

skip() {
    echo "stock: skipped: $1" >&2
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
command -v "${CHROMIUM:=chromium}" >/dev/null || skip "no $CHROMIUM (apt-get install chromium)"
export CHROMIUM SHARDCAST_BIN=${SHARDCAST_BIN:-$root/target/release/shardcast}
[ -x "$SHARDCAST_BIN" ] || { echo "stock: $SHARDCAST_BIN is not there" >&2 && exit 1; }

# Marks name the list that was installed; the lock lets two runs start at once.
mkdir -p "$output"
packages=$here/node_modules/.installed-$(cksum <"$here/package.json" | cut -d ' ' -f 1)
environment=$output/python-$(cksum <"$here/requirements.txt" | cut -d ' ' -f 1)
exec 9>"$output/lock"
flock 9
if [ ! -e "$packages" ]; then
    install npm npm install --prefix "$here" --no-package-lock --ignore-scripts --no-audit --no-fund
    touch "$packages"
fi
if [ ! -e "$environment/complete" ]; then
    install venv python3 -m venv --clear "$environment"
    install pip "$environment/bin/python" -m pip install --disable-pip-version-check --no-deps \
        -r "$here/requirements.txt"
    touch "$environment/complete"
fi
exec 9>&-

run() {
    case $1 in
        node | bad_input) exec node --test --test-reporter=spec --test-timeout=100000 "$here/$1.test.mjs" ;;
        chromium) exec node "$here/chromium.mjs" ;;
        python_client | cent_api) exec node "$here/server.mjs" "$environment/bin/python" "$here/$1.py" ;;
        *) echo "no such part: $1" && exit 1 ;;
    esac
}

export here environment
export -f run
declare -A started
for part in "${parts[@]}"; do
    timeout "$limit" bash -c 'run "$1"' run "$part" >"$output/$part.log" 2>&1 9>&- &
    started[$part]=$!
done

failed=0
for part in "${parts[@]}"; do
    if wait "${started[$part]}"; then
        echo "stock: ok: $part"
    else
        failed=1
        echo "stock: FAILED: $part; the end of $output/$part.log:"
        tail -n 60 "$output/$part.log"
    fi
done
exit $failed
