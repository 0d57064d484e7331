"""What `beside_bun.sh` measured: medians of each row's rounds, and of the ratios round by round.

    python3 benches/ratios.py ROW.jsonl...

The machine changes its speed between rounds; two servers of one round follow each other within seconds, so the median
of their ratios says more than the ratio of their medians.
"""

import json
import statistics
import sys

FIGURES = {
    "CPU us/delivery": lambda run: run["server"].get("cpu_us_per_delivery"),
    "p50 ms": lambda run: run["latency_us"]["p50"] / 1000,
    "p99 ms": lambda run: run["latency_us"]["p99"] / 1000,
    "fan-out p99 ms": lambda run: run["fanout_us"]["p99"] / 1000,
    "M deliveries/s": lambda run: run["window"]["deliveries_per_s"] / 1e6,
    "connects/s": lambda run: run["connect"]["rate_per_s"],
    "idle bytes/connection": lambda run: run["server"]["memory"]["bytes_per_conn_idle"],
}


def figures(run):
    for name, read in FIGURES.items():
        try:
            value = read(run)
        except (KeyError, TypeError):
            continue
        if value:
            yield name, value


def main():
    for path in sys.argv[1:]:
        runs = [json.loads(line) for line in open(path, encoding="utf-8")]
        labels = list(dict.fromkeys(run["label"] for run in runs))
        of = {label: [dict(figures(run)) for run in runs if run["label"] == label] for label in labels}
        lost = sum((run.get("window") or {}).get("lost", 0) for run in runs)
        print(f"{path}: lost {lost}")
        for name in FIGURES:
            if not all(name in run for label in labels for run in of[label]):
                continue
            values = {label: statistics.median(run[name] for run in of[label]) for label in labels}
            first, *others = labels
            ratios = {
                label: statistics.median(b[name] / a[name] for a, b in zip(of[first], of[label])) for label in others
            }
            told = ", ".join(f"{label} {values[label]:.3g}" for label in labels)
            print(f"  {name:22} {told}; to {first}: " + ", ".join(f"{ratios[label]:.2f}" for label in others))


main()
