#!/usr/bin/env bash
# Builds bare.c and lets it compare each change at two sizes, five times in turn; adds to bare.txt beside it. About 7 minutes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
bare=$(mktemp)
trap 'rm -f "$bare"' EXIT
cc -O2 -Wall -o "$bare" bare.c
for _ in 1 2 3 4 5; do
    for change in none reno route both cork; do
        "$bare" 9000 130 "$change"
        "$bare" 1500 1028 "$change"
    done
done | tee -a bare.txt
