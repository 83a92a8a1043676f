"""How often something fails, from k failures in N runs: Wilson's score interval.

E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927), 209-212; without
continuity correction. It is taken instead of k/N +- 1.96 s since it holds for few runs and for none or all failing.
"""

from __future__ import annotations

from math import sqrt

#: The 97.5% point of the standard normal distribution: of an interval that holds the true rate with 95%.
Z = 1.959963984540054


def wilson(failures: int, runs: int) -> tuple[float, float]:
    """The 95% confidence interval of the rate of failure; (0, 1) without a run."""
    if not runs:
        return 0.0, 1.0
    rate, z2 = failures / runs, Z * Z
    middle = rate + z2 / (2 * runs)
    half = Z * sqrt(rate * (1 - rate) / runs + z2 / (4 * runs * runs))
    scale = 1 + z2 / runs
    low, high = (middle - half) / scale, (middle + half) / scale
    return (low if failures else 0.0), (high if failures < runs else 1.0)


def rate_text(failures: int, runs: int) -> str:
    """For example `15.0%, 95% confidence 5.2% to 36.0%`."""
    low, high = wilson(failures, runs)
    return f"{failures / runs:.1%}, 95% confidence {low:.1%} to {high:.1%}"
