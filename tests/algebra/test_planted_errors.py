"""A result one number too far, or one bit off, is caught: for every op on every dtype, through the whole of a trial."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from offload_fuzz.adapters.numpy import NumpyDevice
from offload_fuzz.adapters.pool import host
from offload_fuzz.device import place
from offload_fuzz.enclosure import Enclosure, components, exact, joined, ordinal, parts, step
from offload_fuzz.finding.examine import Examiner
from offload_fuzz.ops import BUILT_IN, OPS
from offload_fuzz.plan import Plan
from offload_fuzz.program import Builder, Program
from offload_fuzz.types import Array

from ..devices import Case, cases


class Planted(NumpyDevice):
    """The host's arithmetic, but the next result is `wrong`."""

    def __init__(self) -> None:
        super().__init__()
        self.wrong: Array | None = None

    def launch(self, op: str, operands: list[Array], attributes: dict[str, Any], out: Array | None = None) -> Array:
        result = super().launch(op, operands, attributes, out)
        if self.wrong is None:
            return result
        return self.wrong.copy()


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with np.errstate(all="ignore"):
        yield


def one_node(case: Case) -> tuple[Program, int]:
    b = Builder()
    operands = [b.input(x) for x in case.operands]
    v = b.apply(case.op, *operands, **case.attributes)
    return b.returns(v), v


def flipped(x: Array, at: int) -> Array:
    """`x` with the lowest bit of one element's first byte turned."""
    out = np.ascontiguousarray(x).copy()
    raw = out.reshape(-1).view(np.uint8)
    raw[at * out.itemsize] ^= 1
    return out


def too_far(e: Enclosure) -> Array | None:
    """Results at the upper ends, one of them a number further; None where every element may be anything beyond."""
    if e.lo.dtype.kind == "c":
        far = too_far(parts(e))
        return None if far is None else joined(exact(far)).lo
    open_ = np.zeros(e.lo.shape, np.bool_)
    for flag in (e.nan, e.ninf, e.pinf):
        open_ = open_ if flag is None else open_ | flag
    if e.lo2 is not None:
        open_ = open_ | (ordinal(e.lo2) <= ordinal(np.asarray(e.hi2)))
    finite = np.isfinite(e.lo) & np.isfinite(e.hi) & ~open_
    beyond = np.where(finite, e.hi, np.zeros((), e.hi.dtype))
    fits = np.flatnonzero(finite & np.isfinite(step(beyond, 1)))
    if not fits.size:
        return None
    out = np.where(ordinal(e.lo) <= ordinal(e.hi), e.hi, e.lo).copy()
    out.reshape(-1)[fits[0]] = step(beyond, 1).reshape(-1)[fits[0]]
    return out


def planted(e: Enclosure, value: Array) -> Iterator[Array]:
    """What is wrong by the least there is."""
    if e.is_singleton:
        for at in {0, value.size - 1} if value.size else ():
            yield flipped(e.lo, at)
    elif e.lo.dtype.kind in "fcV" and (far := too_far(e)) is not None:
        yield far
    elif e.lo.dtype.kind in "iu":
        top = np.iinfo(e.hi.dtype).max
        below = np.flatnonzero(e.hi < top)
        if below.size:
            out = e.hi.copy()
            out.reshape(-1)[below[0]] += 1
            yield out


@pytest.mark.parametrize("op", BUILT_IN)
def test_the_least_error_is_caught_on_every_dtype(op: str) -> None:
    device = Planted()
    examiner = Examiner((host(), place(device)))
    for dtype in sorted(OPS[op].dtypes):
        caught = 0
        for case in cases(op, dtype, 40, seed=9):
            if not case.is_defined or not case.type.size:
                continue
            program, v = one_node(case)
            plan = Plan({("device", (v,)): 1})
            device.wrong = None
            trial = examiner.trial(program, [plan])
            e, value = trial.values[v].enclosure, trial.values[v].value
            if e is None or examiner.verdicts(trial):
                continue  # a result that the host gets wrong too is not for this test
            for device.wrong in planted(e, value):
                verdicts = examiner.verdicts(examiner.trial(program, [plan]))
                assert [x.kind for x in verdicts if x.value == v] != [], f"{case}: {device.wrong} passes, allowed {e}"
                caught += 1
            if caught >= 2:
                break
        assert caught, f"nothing could be planted in {op} of {dtype}"


def test_a_complex_result_is_judged_in_both_parts() -> None:
    x = np.array([1 + 2j], np.complex64)
    for part in (0, 1):
        wrong = components(x).copy()
        wrong[0, part] = np.nextafter(wrong[0, part], np.float32(9))
        assert not exact(x).contains(joined(exact(wrong)).lo).any()
