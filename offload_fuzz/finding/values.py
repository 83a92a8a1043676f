"""Steps that make the elements of a failing program's inputs simple: the same few numbers, whatever they were."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from offload_fuzz.finding.rebuild import Change
from offload_fuzz.finding.reduction import Reduction
from offload_fuzz.program import frozen_input, same_bits
from offload_fuzz.types import DTYPES, Array, is_complex, is_floating, type_of

#: Numbers that a whole input is made of, the simplest first; each breaks what the ones before it do not: a fraction, a
#: negative one, one of as many bits as there are, zero's sign, NaN, an infinity, the smallest.
REAL = (0.5, -1.5, 100 / 3, -0.0, np.nan, np.inf)


def simplify_data(r: Reduction) -> None:
    """Ones in the first input, twos in the second, and so on: what is taken for another thing stays wrong.

    Else, input by input, ones, small distinct integers, one of `numbers` first or everywhere.
    """
    inputs = r.case.program.inputs
    if not _plain(r, inputs):
        _tried(r, {v: np.full(x.shape, v % 4 + 1).astype(x.dtype) for v, x in enumerate(inputs)})
    for v in () if _plain(r, r.case.program.inputs) else range(len(inputs)):
        x = r.case.program.inputs[v]
        for simple in _simpler(x):
            if same_bits(simple, x) or _tried(r, {v: simple}):
                break


def _plain(r: Reduction, inputs: Sequence[Array]) -> bool:
    """Whether every input is as `simplify_data` tries first."""
    return all(same_bits(np.full(x.shape, v % 4 + 1).astype(x.dtype), x) for v, x in enumerate(inputs))


def _tried(r: Reduction, arrays: dict[int, Array]) -> bool:
    old = r.case.program.inputs
    changed = {v: frozen_input(x) for v, x in arrays.items() if not same_bits(x, old[v])}
    return bool(changed) and r.change(Change(constants=changed))


def numbers(dtype: str) -> list[Any]:
    """The numbers of a dtype that are tried after one."""
    d = DTYPES[dtype]
    if is_floating(dtype):
        smallest = np.frombuffer(b"\1" + bytes(d.np.itemsize - 1), d.np)[0]
        return [*REAL, smallest]
    if is_complex(dtype):
        return [1j, complex(-1.5, 100 / 3), complex(-0.0, -0.0), complex(np.nan, 1), complex(1, np.inf)]
    if d.kind == "bool":
        return [False]
    return [2 ** (d.bits - 2) - 1, *([-7] if "unsigned" not in d.kind else []), 0]


def _simpler(x: Array) -> Iterator[Array]:
    dtype = type_of(x).dtype
    yield np.ones(x.shape, x.dtype)
    if x.size > 1 and x.dtype.kind != "b":
        yield (np.arange(x.size) % 100 + 1).reshape(x.shape).astype(x.dtype)
    with np.errstate(all="ignore"):
        for number in numbers(dtype) if x.size else ():
            if x.size > 1:
                first = np.ones(x.size, x.dtype)
                first[0] = np.full((), number).astype(x.dtype)
                yield first.reshape(x.shape)
            yield np.full(x.shape, number).astype(x.dtype)
    if x.size > 1:
        for index in dict.fromkeys((0, x.size - 1)):
            only = np.zeros(x.size, x.dtype)
            only[index] = x.reshape(-1)[index]
            yield only.reshape(x.shape)
