"""Steps that make the arrays of a failing program smaller and of plainer dtypes; `values` makes elements simpler."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from offload_fuzz.case import Case
from offload_fuzz.finding.made import simpler_attributes
from offload_fuzz.finding.rebuild import Change
from offload_fuzz.finding.reduction import Reduction
from offload_fuzz.program import frozen_input
from offload_fuzz.reference import quiet
from offload_fuzz.types import Array, is_complex, is_floating, type_of

#: The dtypes that are tried for all inputs of one dtype, the plainest first, up to the dtype that they have.
PLAINER = ("float32", "int32", "float16", "uint32", "int64", "complex64", "bool")


# -------------------------------------------------------------------------------------------------------------- dtypes
def simplify_dtype(r: Reduction) -> None:
    """float32 data everywhere, else plainer data for all of a dtype, else float32 in one input."""
    with quiet():
        if _cast(r, {v: "float32" for v, _ in enumerate(r.case.program.inputs)}):
            return
        for old in dict.fromkeys(type_of(x).dtype for x in r.case.program.inputs):
            for new in PLAINER[: PLAINER.index(old) if old in PLAINER else len(PLAINER)]:
                if _cast(r, {v: new for v, x in enumerate(r.case.program.inputs) if type_of(x).dtype == old}):
                    break
        for v, _ in enumerate(r.case.program.inputs):
            _cast(r, {v: "float32"})


def _cast(r: Reduction, dtypes: dict[int, str]) -> bool:
    inputs = r.case.program.inputs
    changed = {v: inputs[v] for v, dtype in dtypes.items() if type_of(inputs[v]).dtype != dtype}
    cast = {v: frozen_input(_as(x, dtypes[v])) for v, x in changed.items()}
    return bool(cast) and r.change(Change(constants=cast))


def _as(x: Array, dtype: str) -> Array:
    real = x.real if is_complex(type_of(x).dtype) and not is_complex(dtype) else x
    return real.astype(dtype)


# -------------------------------------------------------------------------------------------------------------- shapes
def shrink_shapes(r: Reduction) -> None:
    """One element each at once; else shorter axes, those of one length together, then one position in all inputs.

    Axes of length 1 are dropped at the end. What is kept holds the first element at fault, where the verdict names it.
    """
    if max((x.size for x in r.case.program.inputs), default=0) > 1:
        at = r.verdict.at or ()
        for rank in (0, None):
            if _reshaped(r, partial(_element, at=at, rank=rank)):
                break
    for length in _lengths(r.case):
        _shorten(r, length)
    rank = max((x.ndim for x in r.case.program.inputs), default=0)
    for axis in range(rank):
        _reshaped(r, partial(_one_along, axis_from_last=axis, at=r.verdict.at or ()))
    if rank > 1:
        _reshaped(r, lambda x: x.reshape([n for n in x.shape if n != 1]))
    for axis in (0, -1, *range(1, rank)):
        while _reshaped(r, partial(_without_axis, axis=axis)):
            pass


def _lengths(case: Case) -> list[int]:
    return sorted({n for x in case.program.inputs for n in x.shape if n > 1}, reverse=True)


def _shorten(r: Reduction, length: int) -> None:
    """The shortest that fails of a few lengths; then, where all of them pass, half the way to the longest of these.

    One step shorter alone where this was done before, with other elements or dtypes.
    """
    if length in r.settled:
        _windows(r, length, length - 1)
        return
    passing = 0
    for shorter in _shorter(length):
        if _windows(r, length, shorter):
            return
        passing = max(passing, shorter)
    while length - passing > 1 and not r.spent:
        middle = (length + passing) // 2
        if _windows(r, length, middle):
            length = middle
        else:
            passing = middle
    r.settled.add(length)


def _windows(r: Reduction, length: int, new: int) -> bool:
    """`new` of the `length` positions along each axis of this length: with the element at fault, or an odd one."""
    starts = dict.fromkeys(max(i - new + 1, 0) for i in _places(r, length))
    return any(_reshaped(r, partial(_shortened, old=length, new=new, start=start)) for start in starts)


def _places(r: Reduction, length: int) -> Iterator[int]:
    """Positions along axes of a length: of the first element at fault where the result has such an axis.

    Else the first one, and that of an element that is no ordinary number.
    """
    v, at = r.verdict.value, r.verdict.at
    if v is not None and at is not None and v < r.case.program.returns:
        found = [i for i, n in zip(at, r.case.program.types[v].shape, strict=False) if n == length]
        if found:
            yield found[0]
            return
    yield 0
    for x in r.case.program.inputs:
        if length in x.shape and is_floating(type_of(x).dtype):
            odd = np.argwhere(~np.isfinite(x))
            if len(odd):
                yield int(odd[0][x.shape.index(length)])
                return


def shrink_made(r: Reduction) -> None:
    """Make what nodes without operands make short, and of ones."""
    for v, node in list(r.case.program.numbered()):
        for attributes in simpler_attributes(node):
            if r.change(Change(nodes={v: (node.op, node.operands, attributes)})):
                break


def _element(x: Array, at: tuple[int, ...], rank: int | None) -> Array:
    """The element of `x` that goes into the result at `at`, axes counted from the last; without axes if rank is 0."""
    if x.size <= 1:
        return x.reshape(()) if rank == 0 and x.size else x  # an empty one stays as it is
    index = _aligned(x, at)
    one: Array = x[index] if rank == 0 else x[tuple(slice(i, i + 1) for i in index)]
    return np.asarray(one)


def _aligned(x: Array, at: tuple[int, ...]) -> tuple[int, ...]:
    padded = (0,) * x.ndim + tuple(at)
    last = padded[len(padded) - x.ndim :] if x.ndim else ()
    return tuple(i if i < n else 0 for i, n in zip(last, x.shape, strict=True))


def _shortened(x: Array, old: int, new: int, start: int) -> Array:
    return x[tuple(slice(start, start + new) if n == old else slice(n) for n in x.shape)]


def _one_along(x: Array, axis_from_last: int, at: tuple[int, ...]) -> Array:
    if x.ndim <= axis_from_last:
        return x
    i = _aligned(x, at)[x.ndim - 1 - axis_from_last]
    index: tuple[Any, ...] = (..., slice(i, i + 1), *[slice(None)] * axis_from_last)
    return np.asarray(x[index])


def _without_axis(x: Array, axis: int) -> Array:
    at = axis % max(x.ndim, 1)
    return x.reshape(x.shape[:at] + x.shape[at + 1 :]) if axis < x.ndim and x.ndim and x.shape[at] == 1 else x


def _shorter(n: int) -> Iterator[int]:
    yield from dict.fromkeys(m for m in (1, 2, 3, n // 4, n // 2) if 0 < m < n)


def _reshaped(r: Reduction, resize: Callable[[Array], Array]) -> bool:
    """Try the program with its inputs resized, types worked out anew."""
    resized = {v: resize(x) for v, x in enumerate(r.case.program.inputs)}
    changed: Mapping[int, Array] = {
        v: frozen_input(x) for v, x in resized.items() if x.shape != r.case.program.inputs[v].shape
    }
    return bool(changed) and r.change(Change(constants=changed))
