"""Cases that fail in some of their runs: how often, and how many runs say that a smaller case does not fail.

A reduction of such a case is one-minimal in a statistical sense: each single step that is left passed so often that a
case that fails at the rate measured at first would have failed with `CONFIDENCE`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from attrs import frozen

from offload_fuzz.case import Case
from offload_fuzz.oracles import Verdict

#: A rate is measured until the case has failed this often, or was run so often.
FAILURES, RUNS = 10, 200
#: With which a candidate that fails at the measured rate is seen to fail.
CONFIDENCE = 0.95


@frozen
class Rate:
    """How often a case failed: failures of runs."""

    failures: int
    runs: int

    @property
    def attempts(self) -> int:
        """Runs after which something that fails at this rate has failed with `CONFIDENCE`; at most `RUNS`."""
        if self.failures == self.runs:
            return 1
        if not self.failures:
            return RUNS
        return min(math.ceil(math.log(1 - CONFIDENCE) / math.log(1 - self.failures / self.runs)), RUNS)


def is_flaky(known: Mapping[str, Any]) -> bool:
    """Whether what is stored of a finding says that it failed in some runs only."""
    failures, repeats = known.get("failures"), known.get("repeats")
    return type(failures) is int and type(repeats) is int and failures < repeats


def measure(fails: Callable[[Case], Verdict | None], case: Case) -> Rate:
    """The rate of failure, from at most `RUNS` runs."""
    failures = runs = 0
    while runs < RUNS and failures < FAILURES:
        runs += 1
        failures += fails(case) is not None
    return Rate(failures, runs)


def often(fails: Callable[[Case], Verdict | None], attempts: int) -> Callable[[Case], Verdict | None]:
    """A judge that runs a case until it fails, at most `attempts` times."""
    return lambda case: next((v for _ in range(attempts) if (v := fails(case)) is not None), None)
