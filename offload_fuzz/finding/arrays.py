"""Steps that make the arrays of a failing program simpler: dtypes, ranks, lengths and elements."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from offload_fuzz.case import Case
from offload_fuzz.finding.made import simpler_attributes
from offload_fuzz.finding.rebuild import Change
from offload_fuzz.finding.reduction import Reduction
from offload_fuzz.program import frozen_input, same_bits
from offload_fuzz.reference import quiet
from offload_fuzz.types import Array, is_complex, is_floating, type_of

#: The plainest dtype that stays of a kind; all are tried as float32 first.
PLAINER = {"int64": "int32", "int16": "int32", "int8": "int32", "complex128": "complex64"}


def simplify_dtype(r: Reduction) -> None:
    """float32 data everywhere, else the plainer dtype of a kind everywhere, else float32 in one input."""
    with quiet():
        _cast(r, {v: "float32" for v, _ in enumerate(r.case.program.inputs)})
        for old, new in PLAINER.items():
            _cast(r, {v: new for v, x in enumerate(r.case.program.inputs) if type_of(x).dtype == old})
        for v, _ in enumerate(r.case.program.inputs):
            _cast(r, {v: "float32"})


def _cast(r: Reduction, dtypes: dict[int, str]) -> None:
    inputs = r.case.program.inputs
    changed = {v: inputs[v] for v, dtype in dtypes.items() if type_of(inputs[v]).dtype != dtype}
    if changed:
        r.change(Change(constants={v: frozen_input(_as(x, dtypes[v])) for v, x in changed.items()}))


def _as(x: Array, dtype: str) -> Array:
    real = x.real if is_complex(type_of(x).dtype) and not is_complex(dtype) else x
    return real.astype(dtype)


def _lengths(case: Case) -> list[int]:
    return sorted({n for x in case.program.inputs for n in x.shape if n > 1}, reverse=True)


def shrink_shapes(r: Reduction) -> None:
    """Shorten axes: all of one length at once, then one position in all inputs, then drop axes of length 1."""
    for length in _lengths(r.case):
        for shorter in _shorter(length):
            if _reshaped(r, partial(_shortened, old=length, new=shorter)):
                break
    rank = max((x.ndim for x in r.case.program.inputs), default=0)
    for axis in range(rank):
        _reshaped(r, partial(_first_along, axis_from_last=axis))
    for axis in (0, -1, *range(1, rank)):
        while _reshaped(r, partial(_without_axis, axis=axis)):
            pass


def shrink_made(r: Reduction) -> None:
    """Make what nodes without operands make short, and of ones."""
    for v, node in list(r.case.program.numbered()):
        for attributes in simpler_attributes(node):
            if r.change(Change(nodes={v: (node.op, node.operands, attributes)})):
                break


def _shortened(x: Array, old: int, new: int) -> Array:
    return x[tuple(slice(new if n == old else n) for n in x.shape)]


def _first_along(x: Array, axis_from_last: int) -> Array:
    if x.ndim <= axis_from_last:
        return x
    index: tuple[Any, ...] = (..., slice(1), *[slice(None)] * axis_from_last)
    return np.asarray(x[index])


def _without_axis(x: Array, axis: int) -> Array:
    at = axis % max(x.ndim, 1)
    return x.reshape(x.shape[:at] + x.shape[at + 1 :]) if axis < x.ndim and x.ndim and x.shape[at] == 1 else x


def _shorter(n: int) -> Iterator[int]:
    seen = set()
    for m in (1, 2, 3, 4, 8, 9, n // 4, n // 2, n - 1):
        if 0 < m < n and m not in seen:
            seen.add(m)
            yield m


def _reshaped(r: Reduction, resize: Callable[[Array], Array]) -> bool:
    """Try the program with its inputs resized, types worked out anew."""
    resized = {v: resize(x) for v, x in enumerate(r.case.program.inputs)}
    changed = {v: frozen_input(x) for v, x in resized.items() if x.shape != r.case.program.inputs[v].shape}
    return bool(changed) and r.change(Change(constants=changed))


def simplify_data(r: Reduction) -> None:
    """Data towards ones, then small distinct integers, then zeros for all that need not be something else."""
    for v in range(len(r.case.program.inputs)):
        x = r.case.program.inputs[v]
        for simple in _simpler(x):
            if same_bits(simple, x) or r.change(Change(constants={v: frozen_input(simple)})):
                break


def _simpler(x: Array) -> Iterator[Array]:
    yield np.ones(x.shape, x.dtype)
    if x.size and x.dtype.kind != "b":
        yield (np.arange(x.size) % 100 + 1).reshape(x.shape).astype(x.dtype)
    if x.size > 1:
        for at in {0, x.size - 1}:
            only = np.zeros(x.size, x.dtype)
            only[at] = x.reshape(-1)[at]
            yield only.reshape(x.shape)
    if x.size and is_floating(str(x.dtype)):
        with np.errstate(all="ignore"):
            special = ~np.isfinite(x) | (x == 0)
            yield np.where(special, x, np.ones((), x.dtype))
