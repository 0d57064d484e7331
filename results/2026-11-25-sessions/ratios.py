"""python3 ratios.py FILE: medians of each figure, and the median (and range) of the ratios round by round."""

import json
import statistics
import sys

HIDDEN = {"what", "variant", "problems"}


def table(what, lines):
    variants = {}
    for line in lines:
        variants.setdefault(line["variant"], []).append(line)
    first = next(name for name in ("raw", "plain", "off") if name in variants)
    print(f"{what}, {min(map(len, variants.values()))} rounds")
    for problem in (problem for line in lines for problem in line.get("problems", [])):
        print(f"  problem: {problem}")
    for figure in [key for key in lines[0] if key not in HIDDEN]:
        words = [f"{name} {statistics.median(it[figure] for it in runs):.4g}" for name, runs in variants.items()]
        for name, runs in variants.items():
            if name != first and all(it[figure] for it in variants[first]):
                ratios = [mine[figure] / its[figure] for mine, its in zip(runs, variants[first])]
                spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
                words.append(f"{name} / {first} {statistics.median(ratios):.2f} ({spread})")
        print(f"  {figure}: " + ", ".join(sorted(words, key=lambda word: "/" in word)))


lines = [json.loads(line) for line in open(sys.argv[1])]
for what in dict.fromkeys(line["what"] for line in lines):
    table(what, [line for line in lines if line["what"] == what])
