#!/usr/bin/env python3
"""Writes the reference values of loadgen's statistics: statistics.json beside this file.

Needs scipy, numpy and statsmodels (made with 1.17.1, 2.4.6, 0.15.0). Nothing here is calculated the way loadgen does:
intervals are found by inverting scipy's tests, bootstrap quantiles from a hundred times as many resamples.
"""

import json
import math
from pathlib import Path

import numpy as np
from scipy import stats
from statsmodels.stats.multitest import multipletests

CONFIDENCES = [0.9, 0.95, 0.96, 0.99]
RESAMPLES = 1_000_000
# loadgen draws 10,000 resamples: the probability below its quantile for a tail t scatters by sqrt(t (1-t) / 10000).
# The bracket is four of those each way, and what is outside of it is a mistake.
BRACKET_SIGMAS = 4.0


def samples():
    rng = np.random.default_rng(20261120)
    yield "tiny", np.array([0.3, -0.1, 0.2])
    for n in (5, 6, 9, 10, 12):
        yield f"normal-{n}", rng.normal(0.05, 0.086, n)
    yield "heavy-10", rng.standard_t(2, 10) * 0.1
    yield "skewed-12", rng.exponential(0.2, 12) - 0.05
    yield "outlier-10", np.append(rng.normal(0.0, 0.05, 9), 3.0)
    yield "normal-20", rng.normal(0.18, 0.28, 20)
    yield "heavy-21", rng.standard_t(2, 21) * 0.1


def walsh(x):
    return np.sort([(x[i] + x[j]) / 2 for i in range(len(x)) for j in range(i, len(x))])


def bound(value):
    return None if math.isinf(value) else value


def inverted(candidates, p_above, p_below, confidence):
    """The candidates between which no centre is refused at half of what confidence leaves."""
    tail = (1 - confidence) / 2
    edges = np.concatenate([[candidates[0] - 1], candidates, [candidates[-1] + 1]])
    accepted = [
        (edges[i], edges[i + 1])
        for i in range(len(edges) - 1)
        if edges[i + 1] > edges[i]
        and p_above((edges[i] + edges[i + 1]) / 2) > tail
        and p_below((edges[i] + edges[i + 1]) / 2) > tail
    ]
    low, high = accepted[0][0], accepted[-1][1]
    return [
        None if low < candidates[0] else low,
        None if high > candidates[-1] else high,
    ]


def wilcoxon_p(x, centre, alternative):
    return stats.wilcoxon(x - centre, alternative=alternative, method="exact").pvalue


def sign_p(x, centre, alternative):
    return stats.binomtest(int((x > centre).sum()), len(x), alternative=alternative).pvalue


def bracketed(medians, confidence):
    tail = (1 - confidence) / 2
    width = BRACKET_SIGMAS * math.sqrt(tail * (1 - tail) / 10_000)
    at = lambda p: float(np.quantile(medians, min(max(p, 0.0), 1.0)))
    return {
        "low": [at(tail - width), at(tail + width)],
        "high": [at(1 - tail - width), at(1 - tail + width)],
    }


def resampled_medians(rng, x):
    parts = [np.median(rng.choice(x, (100_000, len(x))), axis=1) for _ in range(RESAMPLES // 100_000)]
    return np.concatenate(parts)


def main():
    rng = np.random.default_rng(7)
    out = []
    for name, x in samples():
        averages = walsh(x)
        medians = resampled_medians(rng, x)
        bounds = [-0.1, 0.0, 0.05, 0.1]
        out.append(
            {
                "name": name,
                "values": x.tolist(),
                "median": float(np.median(x)),
                "hodges_lehmann": float(np.median(averages)),
                "robust_sigma": float(stats.median_abs_deviation(x, scale="normal")),
                "quantiles": [[p, float(np.quantile(x, p))] for p in (0.0, 0.1, 0.333, 0.5, 0.975, 1.0)],
                "wilcoxon_p_above": [[b, float(wilcoxon_p(x, b, "greater"))] for b in bounds if not (x == b).any()],
                "wilcoxon_intervals": [
                    [c, inverted(averages, lambda m: wilcoxon_p(x, m, "greater"),
                                 lambda m: wilcoxon_p(x, m, "less"), c)]
                    for c in CONFIDENCES
                ],
                "sign_intervals": [
                    [c, inverted(np.sort(x), lambda m: sign_p(x, m, "greater"), lambda m: sign_p(x, m, "less"), c)]
                    for c in CONFIDENCES
                ],
                "bootstrap": [[c, bracketed(medians, c)] for c in CONFIDENCES],
            }
        )
    numerator, denominator = rng.lognormal(7.0, 0.1, 12), rng.lognormal(6.9, 0.1, 9)
    ratios = np.log(resampled_medians(rng, numerator) / resampled_medians(rng, denominator))
    unpaired = {
        "numerator": numerator.tolist(),
        "denominator": denominator.tolist(),
        "bootstrap": [[c, bracketed(ratios, c)] for c in CONFIDENCES],
    }
    holm = []
    for p in ([0.01, 0.04, 0.03, 0.005], [0.2], [0.5, 0.4, 0.9], [0.012, 0.012, 0.011, 0.9], [1e-9, 0.02, 0.021]):
        holm.append([p, multipletests(p, method="holm")[1].tolist()])
    whole = {"samples": out, "unpaired": unpaired, "holm": holm}
    path = Path(__file__).with_name("statistics.json")
    path.write_text(json.dumps(whole, indent=1) + "\n")


if __name__ == "__main__":
    main()
