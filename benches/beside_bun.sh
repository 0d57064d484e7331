#!/usr/bin/env bash
# Measures the engine beside Bun, a row of a table at a time: the tables of results/*-engine/README.md are from here.
#
#   TOOLS=FOLDER benches/beside_bun.sh RESULTS [ROW...]     from the root of the project, after `cargo build --release`
#
# TOOLS is the folder of the probe's compare.sh, in which `bun` and `probe` are set up; RESULTS the folder to write to.
# Without a ROW, all of them in turn (about 30 minutes on two cores; leave the machine alone meanwhile). A row adds its
# table to table.txt and writes the probe's report of every run to ROW.jsonl; `python3 benches/ratios.py
# RESULTS/*.jsonl` sums them up.
set -euo pipefail

: "${TOOLS:?the folder of compare.sh}"
mkdir -p "${1:?the folder to write to}"
results=$(realpath "$1")
shift
cd "$(git -C "$(dirname "${BASH_SOURCE[0]}")" rev-parse --show-toplevel)"
shardcast="exec target/release/shardcast serve"
bun="bun|exec \"\$TOOLS/run-peer\" bun 23101|ws://127.0.0.1:23101/ws/room|pid"

# A server of ours: its name, its port, more flags, more of the probe's arguments.
ours() {
    local room=room
    [[ ${4:-} == *--rooms* ]] && room='{room}'
    echo "$1|$shardcast --listen 127.0.0.1:$2 $3|ws://127.0.0.1:$2/ws/$room|pid${4:+|$4}"
}

# Runs one row: its name, the rounds, the probe's arguments; the servers come on standard input.
row() {
    local name=$1 rounds=$2 reports
    shift 2
    reports=$(mktemp -d)
    cat >"$reports/peers"
    {
        echo "### $name: compare.sh --rounds $rounds PEERS -- $*"
        sed 's/^/#   /' "$reports/peers"
        bash "$TOOLS/compare.sh" --rounds "$rounds" --out "$reports" "$reports/peers" -- "$@" 2>>"$reports/errors"
        echo
    } | tee -a "$results/table.txt"
    for report in "$reports"/*.*.json; do tr -d '\n' <"$report" && echo; done >"$results/$name.jsonl"
    rm -r "$reports"
}

one_shard=$(ours shardcast 23110 "--shards 1")
two=$(printf '%s\n' "$bun" "$one_shard")
usual=(--duration 5 --warmup 1 --size 128)

# Members at a steady rate, while others come as fast as they can: the shard on core 0, the front door on core 1.
storm() {
    local round probe=${PROBE:-${SHARDCAST_TOOLS:-$HOME/.cache/shardcast-tools}/probe/target/release/probe} server other
    : >"$results/i-storm.jsonl"
    for round in 1 2 3; do
        for others in none storm; do
            target/release/shardcast serve --shards 1 --listen 127.0.0.1:23120 >/dev/null 2>&1 &
            server=$!
            until curl -so /dev/null 127.0.0.1:23120/health/ready; do :; done
            taskset -acp 1 "$server" >/dev/null
            for task in /proc/"$server"/task/*; do
                case $(<"$task/comm") in *shard-0*) taskset -cp 0 "${task##*/}" >/dev/null ;; esac
            done
            other=
            if [ $others = storm ]; then
                (while :; do
                    "$probe" --url ws://127.0.0.1:23120/ws/storm --subscribers 10000 --connect-concurrency 1 \
                        --ramp-only --quiet --pin 1
                done) >/dev/null 2>&1 &
                other=$!
            fi
            "$probe" --url ws://127.0.0.1:23120/ws/room --subscribers 1000 --rate 20 "${usual[@]}" --pid "$server" \
                --pin 1 \
                --label "$others-$round" --json "$results/i-storm.part" --quiet
            (tr -d '\n' <"$results/i-storm.part" && echo) >>"$results/i-storm.jsonl"
            rm "$results/i-storm.part"
            [ -z "$other" ] || { kill "$other" && pkill -P "$other" || :; wait "$other" 2>/dev/null || :; }
            kill "$server" && wait "$server" 2>/dev/null || :
        done
    done
}

measure() {
    case $1 in
        a-1000x20) row "$1" 21 --subscribers 1000 --rate 20 "${usual[@]}" <<<"$two" ;;
        b-10000x10) row "$1" 11 --subscribers 10000 --rate 10 "${usual[@]}" <<<"$two" ;;
        b2-10000x100) row "$1" 3 --subscribers 10000 --rate 100 "${usual[@]}" <<<"$two" ;;
        c-1000x300) row "$1" 7 --subscribers 1000 --rate 300 "${usual[@]}" \
            < <(echo "$two" && ours shardcast-2ms 23111 "--shards 1 --set room.coalesce=2ms") ;;
        c2-1000x2000) row "$1" 9 --subscribers 1000 --rate 2000 "${usual[@]}" <<<"$two" ;;
        d-window256) row "$1" 5 --subscribers 1000 --rate 0 --window 256 --batch-us 3000 "${usual[@]}" <<<"$two" ;;
        d-window64) row "$1" 5 --subscribers 1000 --rate 0 --window 64 --batch-us 3000 "${usual[@]}" <<<"$two" ;;
        e-connect) row "$1" 7 --subscribers 10000 --ramp-only --hold 1 <<<"$two" ;;
        f-stalled) row "$1" 15 --subscribers 2000 --slow-rcvbuf 4096 --rate 50 --size 1024 --warmup 1 --duration 10 \
            < <(echo "$bun|--slow 500" && echo "$one_shard|--slow 500" &&
                ours shardcast-none-stalled 23111 "--shards 1" "--subscribers 1500") ;;
        g-shards) row "$1" 3 --subscribers 1000 --rate 20 "${usual[@]}" \
            < <(for n in 1 2 4 8; do ours "shards-$n" $((23110 + n)) "--shards $n"; done) ;;
        h-rooms) row "$1" 3 --subscribers 6000 "${usual[@]}" \
            < <(ours 1-room-of-6000 23110 "--shards 1" "--rooms 1 --rate 20" &&
                ours 600-rooms-of-10 23111 "--shards 1" "--rooms 600 --publishers 600 --rate 12000") ;;
        i-storm) storm ;;
        *) echo "no such row: $1" >&2 && exit 64 ;;
    esac
}

[ $# -gt 0 ] || set -- a-1000x20 b-10000x10 b2-10000x100 c-1000x300 c2-1000x2000 d-window256 d-window64 e-connect \
    f-stalled g-shards h-rooms i-storm
for name in "$@"; do measure "$name"; done
