#!/bin/sh
# Trials of the gate on a real server: trials.sh NAME FIRST_SEED COUNT [FLAG...]
#
# Each trial is a `loadgen compare --aa` by itself, and a line of NAME.jsonl beside this script; what it said goes to
# OUT/NAME-SEED.txt. FLAGs go to loadgen, such as --inject cpu=20%. Settings, by environment:
#   LOADGEN, SHARDCAST  the programs (target/quick/…: cargo build --profile quick -p loadgen -p shardcast)
#   ALONE               a command that runs each trial while nothing else works here (none)
#   OUT                 a folder for what is not kept (target/gate-trials)
set -eu

here=$(cd "$(dirname "$0")" && pwd)
name=$1 seed=$2 last=$(($2 + $3 - 1))
shift 3
loadgen=${LOADGEN:-target/quick/loadgen}
out=${OUT:-target/gate-trials}
mkdir -p "$out"
while [ "$seed" -le "$last" ]; do
    # shellcheck disable=SC2086  # ALONE may be several words.
    ${ALONE:-} "$loadgen" compare --aa \
        --command "exec ${SHARDCAST:-target/quick/shardcast} serve --shards 1 --listen 127.0.0.1:{port}" \
        --server-cores 0 --pairs 8 --trials 1 --order-seed "$seed" --url 'ws://127.0.0.1:9700/ws/{room}' \
        --subscribers 1000 --rate 100 --bytes 128 --warm-up 150ms --duration 500ms --limits-arrival-timeout 150ms \
        --limits-lateness-p999-max 20ms --out "$out/$name" "$@" >"$out/$name-$seed.txt" 2>&1
    tr -d '\n' <"$out/$name/trial.json" | sed 's/  */ /g' >>"$here/$name.jsonl"
    echo >>"$here/$name.jsonl"
    seed=$((seed + 1))
done
