"""TypesKept: every result, and every node read back, has the dtype and shape of its type."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from offload_fuzz.text import dtype_name
from offload_fuzz.trial import Planned, Trial

from .verdict import FAIL, PASS, Verdict

CLAIM = "every result has the dtype and shape that the program gives it"


class TypesKept:
    """A device does not change dtypes or shapes."""

    def judge(self, trial: Trial) -> Verdict:
        types = trial.program.types
        for i, planned in enumerate(trial.planned):
            for v, array in _results(trial, planned):
                t = types[v]
                if not isinstance(array, np.ndarray):
                    text = f"v{v} is a {type(array).__name__} but should be a NumPy array of {t}"
                    return Verdict(FAIL, "wrong type", CLAIM, text, i, v, got=type(array).__name__, expected=str(t))
                if array.dtype != t.np:
                    text = f"v{v} has dtype {dtype_name(array)} but should be {t.dtype}"
                    return Verdict(FAIL, "wrong dtype", CLAIM, text, i, v, got=dtype_name(array), expected=t.dtype)
                if array.shape != t.shape:
                    text = f"v{v} has shape {array.shape} but should be {t.shape}"
                    return Verdict(FAIL, "wrong shape", CLAIM, text, i, v, got=str(array.shape), expected=str(t.shape))
        return Verdict(PASS, claim=CLAIM)


def _results(trial: Trial, planned: Planned) -> Iterator[tuple[int, Any]]:
    yield from sorted(planned.run.probes.items())
    for results in planned.run.results:
        yield from zip(trial.program.outputs, results, strict=True)
