#!/usr/bin/env bash
# Is 0.6 x Bun's p99 with stalled readers above the floor? Bun and shardcast with 500 stalled of 2,000 members and the bare loop
# over 1,500 sockets, one after the other, in 11 rounds; adds to stalled.txt beside it. TOOLS: the folder of the probe's compare.sh.
# From the root of the project, after `cargo build --release`; about 6 minutes.
set -euo pipefail
: "${TOOLS:?the folder of compare.sh}"
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$(git -C "$here" rev-parse --show-toplevel)"
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
cc -O2 -Wall -o "$work/bare" "$here/bare.c"
cat >"$work/peers" <<'P'
bun|exec "$TOOLS/run-peer" bun 23101|ws://127.0.0.1:23101/ws/room|pid
shardcast|exec target/release/shardcast serve --listen 127.0.0.1:23110 --shards 1|ws://127.0.0.1:23110/ws/room|pid
P
for _ in 1 2 3 4 5 6 7 8 9 10 11; do
    bash "$TOOLS/compare.sh" --rounds 1 --out "$work/out" "$work/peers" -- --subscribers 2000 --slow 500 --slow-rcvbuf 4096 \
        --rate 50 --size 1024 --warmup 1 --duration 8 >/dev/null 2>&1
    python3 - "$work"/out/*.json <<'P'
import json, sys
for path in sys.argv[1:]:
    run = json.load(open(path))
    print(f"{run['label']} p99 {run['latency_us']['p99'] / 1000:.2f} ms,", end=" ")
P
    "$work/bare" 1500 1028 both
    rm -r "$work/out"
done | tee -a "$here/stalled.txt"
