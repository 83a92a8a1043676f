"""PlacementInvariant: plans agree bitwise where the enclosure is a singleton."""

from __future__ import annotations

import numpy as np

from offload_fuzz.enclosure import Enclosure
from offload_fuzz.execute import Run
from offload_fuzz.trial import Trial
from offload_fuzz.types import Array, differing

from .enclosed import distance, element_text, first_index, same_type
from .verdict import FAIL, PASS, UNKNOWN, Verdict

CLAIM = "plans of one program agree bitwise where one result is allowed"


def _open(trial: Trial, run: Run, k: int) -> bool:
    e = trial.expected_of(run)[k]
    return e is None or not e.is_singleton


class PlacementInvariant:
    """Where a value has one allowed result, every plan gives the same bits."""

    def judge(self, trial: Trial) -> Verdict:
        unknowns = 0
        for k, e in enumerate(trial.expected):
            if e is None:
                unknowns += 1
                continue
            if not e.is_singleton:
                continue
            first: tuple[int, bytes] | None = None
            for i, planned in enumerate(trial.planned):
                for results in planned.run.results:
                    array = results[k]
                    if not same_type(array, trial.program.types[trial.program.outputs[k]]):
                        continue
                    data = array.tobytes()
                    if planned.run.regions and data != trial.expected_bytes[k] and _open(trial, planned.run, k):
                        continue  # compiled together, nodes may give more than one result
                    if first is None:
                        first = (i, data)
                    elif data != first[1]:
                        other = np.frombuffer(first[1], array.dtype).reshape(array.shape)
                        return self._fail(trial, k, i, first[0], array, other)
        return Verdict(UNKNOWN if unknowns else PASS, claim=CLAIM)

    def _fail(self, trial: Trial, k: int, i: int, j: int, a: Array, b: Array) -> Verdict:
        wrong = differing(a, b)
        at = first_index(wrong)
        v = trial.program.outputs[k]
        got, expected = element_text(a[at]), element_text(b[at])
        where = f"v{v}{list(at) if at else ''}"
        if trial.expected_bytes[k] == a.tobytes():
            i, j, got, expected = j, i, expected, got
        return Verdict(
            FAIL, "plans disagree", CLAIM, f"{where} is {got} under one plan but {expected} under another", i, v, "",
            expected, got, control=j, ulps=distance(a[at], Enclosure(b, b), at),
        )  # fmt: skip  # one verdict
