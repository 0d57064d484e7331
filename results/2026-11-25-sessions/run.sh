#!/usr/bin/env bash
# Measures sessions, event streams, compression and presence: what README.md beside this script says is from here.
#
#   [ALONE=COMMAND] run.sh [WHAT...]        from anywhere in the project, after `cargo build --release` (loadgen as well)
#
# ROUNDS (default: 5) rounds of all WHATs (default: all); within a round the servers of one WHAT follow each other, the
# other way round in every other round. Each run is a line of JSON in rounds.jsonl; `ratios.py rounds.jsonl` makes the
# table. ALONE is put in front of each round, which takes about a minute: for a command that keeps other work off the
# machine meanwhile.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$(git -C "$here" rev-parse --show-toplevel)"
[ $# -gt 0 ] || set -- memory sse-memory sse-20 sse-100 sse-300 deflate storm
for round in $(seq "${ROUNDS:-5}"); do
    order=
    ((round % 2)) || order=swap
    # shellcheck disable=SC2086 # ALONE is a command and its arguments; without an order there is no argument
    ${ALONE:-} python3 "$here/measure.py" $order "$@" >>"$here/rounds.jsonl"
done
