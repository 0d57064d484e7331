#!/bin/sh
# Gates a change against its base: gate.sh BASE_REV
#
# Builds both revisions on this machine and runs them in pairs, both of a pair at once and with messages in turn, so
# that a busy or slow CI machine is the same for both. Ends with loadgen's exit code: 0 no worse (or not enough pairs
# to tell), 10 a confirmed regression, 12 the runs were invalid, 1 a build failed, 2 no such revision; `loadgen help
# exit-codes` has all.
#
# Settings, by environment:
#   K         pairs of runs (10; twice as many if they do not suffice, as many again to confirm a regression)
#   SCENARIO  what each run does (configs/loadgen/smoke.toml)
#   LOADGEN   the loadgen to use (built here if not set)
#   BUILD     builds the server in a revision's folder (cargo build --release)
#   SERVER    starts the server; {dir} becomes the revision's folder, {port} a free port of 127.0.0.1
#   OUT       where verdict.json, every run and report.html are kept (loadgen-gate); emptied of earlier ones
#   FLAGS     more flags of `loadgen compare`, such as "--strict" or "--duration 3s"
set -eu

if [ $# -ne 1 ]; then
    echo "usage: $0 BASE_REV" >&2
    exit 2
fi
base_rev=$1
cd "$(git rev-parse --show-toplevel)"

scenario=${SCENARIO:-configs/loadgen/smoke.toml}
server=${SERVER:-"{dir}/target/release/shardcast serve --listen 127.0.0.1:{port}"}
if [ -z "${LOADGEN:-}" ]; then
    cargo build --release --package loadgen
    LOADGEN=target/release/loadgen
fi

# The server is started by sh -c: exec leaves no shell between it and loadgen. The URL gets the server's port.
# shellcheck disable=SC2086  # FLAGS are several words.
exec "$LOADGEN" compare --base-rev "$base_rev" --build "${BUILD:-cargo build --release}" --command "exec $server" \
    --pairs "${K:-10}" --url 'ws://127.0.0.1:9700/ws/{room}' --out "${OUT:-loadgen-gate}" ${FLAGS:-} "$scenario"
