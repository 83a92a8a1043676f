"""Operands and attributes for every op, by a seeded generator: what the device tests run each adapter on.

Nothing here is clever. A case is an op on operands of one or two dtypes with attributes in range; the elements are
drawn from pools that hold what breaks arithmetic: both zeros, subnormals, infinities, NaN, halfway points, the ends.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
from attrs import frozen

from offload_fuzz.contract import Contract
from offload_fuzz.enclosure import exact
from offload_fuzz.errors import InvalidProgram
from offload_fuzz.ops import OPS
from offload_fuzz.ops.base import Application
from offload_fuzz.types import DTYPES, Array, ArrayType, is_floating, type_of

from . import special_operands
from .neural import MAKERS
from .shaping import shaping_case

Rng: TypeAlias = np.random.Generator
Applied: TypeAlias = tuple[tuple[Array, ...], dict[str, Any]]  # operands and attributes
SHAPES: tuple[tuple[int, ...], ...] = ((), (1,), (3,), (0,), (17,), (2, 3), (4, 1), (0, 2), (2, 3, 4), (3, 1, 5))


@frozen(eq=False)
class Case:
    """An op applied to host arrays."""

    op: str
    operands: tuple[Array, ...]
    attributes: dict[str, Any]
    type: ArrayType

    def __str__(self) -> str:
        operands = ", ".join(f"{type_of(x)} {x.ravel()[:8].tolist()}" for x in self.operands)
        return f"{self.op}({operands}; {self.attributes}) -> {self.type}"

    def allows(self, contract: Contract, result: Array) -> bool:
        """Whether every element of `result` is lawful under `contract`; an unknown enclosure allows anything."""
        row = OPS[self.op]
        known = [exact(x) for x in self.operands]
        e = row.enclose(Application(row, known, list(self.operands), self.attributes, self.type, contract))[1]
        return e is None or bool(e.contains(result).all())

    @property
    def is_defined(self) -> bool:
        """Whether the standard says what the result is."""
        defined = OPS[self.op].defined
        return defined is None or defined(*self.operands, **self.attributes)


# ------------------------------------------------------------------------------------------------------- elements
def elements(rng: Rng, dtype: str, shape: tuple[int, ...], manner: str) -> Array:
    """An array of `manner`: "small" (dyadic numbers), "wild" (specials), "medium" (normal) or "bits" (any bits)."""
    d = DTYPES[dtype]
    size = math.prod(shape)
    if d.component:
        return elements(rng, d.component, (*shape, 2), manner).view(d.np).reshape(shape)
    if dtype == "bool":
        return rng.integers(0, 2, size).astype(np.bool_).reshape(shape)
    if not is_floating(dtype):
        bottom, top = d.range
        if manner == "small":
            return rng.integers(max(bottom, -9), min(top + 1, 10), size).astype(d.np).reshape(shape)
        if manner == "wild":
            ends = [bottom, bottom + 1, 0, 1, 2, 3, 7, top // 2, top - 1, top]
            pool = np.array([*ends, *([-1, -2, -7] if bottom else [])], d.np)
            return rng.choice(pool, size).reshape(shape)
        whole = d.np if d.bits >= 8 else np.int8
        return rng.integers(bottom, top, size, whole, endpoint=True).astype(d.np).reshape(shape)
    if manner == "small":
        return (rng.integers(-64, 65, size) / 2.0 ** rng.integers(0, 4)).astype(d.np).reshape(shape)
    if manner == "wild":
        return rng.choice(_specials(dtype), size).reshape(shape)
    if manner == "medium":
        with np.errstate(all="ignore"):
            return (rng.standard_normal(size) * np.exp(rng.uniform(-4, 4, size))).astype(d.np).reshape(shape)
    bits: Any = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}[d.np.itemsize]
    array: Array = rng.integers(0, np.iinfo(bits).max, size, bits, endpoint=True).view(d.np).reshape(shape)
    return np.where(np.isnan(array), np.array(np.nan, d.np), array)  # a signalling NaN is nobody's promise


def _specials(dtype: str) -> Array:
    d = DTYPES[dtype]
    tiny = math.ldexp(1.0, d.emin)
    sizes = [0.0, d.eta, 3 * d.eta, tiny - d.eta, tiny, tiny * 2, 0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 7.0, 1e3]
    sizes += [1.0 - d.unit, 1.0 + 2 * d.unit, d.max / 2, d.max, math.inf, math.nan, 2.0**d.precision, 0.5 * d.max**0.5]
    return np.array([s * x for x in sizes for s in (1.0, -1.0)]).astype(d.np)


MANNERS = ("small", "wild", "medium", "bits")


# ---------------------------------------------------------------------------------------------------------- cases
def cases(op: str, dtype: str, n: int, seed: int = 0) -> Iterator[Case]:
    """Up to `n` cases of `op` whose data has `dtype`; combinations that are not well typed are left out."""
    rng = np.random.default_rng([seed, sum(map(ord, op + dtype))])
    for i in range(n):
        manner = MANNERS[i % len(MANNERS)]
        shape = SHAPES[int(rng.integers(len(SHAPES)))]
        try:
            operands, attributes = _apply(rng, op, dtype, shape, manner)
            type = OPS[op].result_type([type_of(x) for x in operands], attributes)
        except InvalidProgram:
            continue
        yield Case(op, operands, attributes, type)


def _apply(rng: Rng, op: str, dtype: str, shape: tuple[int, ...], manner: str) -> Applied:
    if (found := shaping_case(rng, op, dtype, shape, manner, elements)) is not None:
        return found
    if op in MAKERS:
        return MAKERS[op](rng, op, lambda s: elements(rng, dtype, s, manner), shape)
    x = elements(rng, dtype, shape, manner)
    if (special := special_operands.applied(rng, op, x, manner)) is not None:
        return special
    if op == "where":
        return (elements(rng, "bool", _broadcastable(rng, shape), manner), x, _other(rng, dtype, shape, manner)), {}
    if op == "matmul":
        m, k, n = (int(i) for i in rng.integers(0, 6, 3))
        batch = shape[:1]
        return (elements(rng, dtype, (*batch, m, k), manner), elements(rng, dtype, (*batch, k, n), manner)), {}
    if op in ("concat", "setitem", "take"):
        return _structured(rng, op, x, manner)
    operands = (x, _other(rng, dtype, shape, manner)) if len(OPS[op].operands) == 2 else (x,)
    return operands, _attributes(rng, op, x)


def _other(rng: Rng, dtype: str, shape: tuple[int, ...], manner: str) -> Array:
    related = [d for d in DTYPES if DTYPES[d].kind == DTYPES[dtype].kind]
    other = dtype if rng.random() < 0.7 else str(rng.choice(related))
    return elements(rng, other, _broadcastable(rng, shape), manner)


def _broadcastable(rng: Rng, shape: tuple[int, ...]) -> tuple[int, ...]:
    kept = tuple(1 if rng.random() < 0.2 else n for n in shape)
    return kept[int(rng.integers(len(kept) + 1)) :] if rng.random() < 0.2 else kept


def _axis(rng: Rng, ndim: int) -> int:
    if ndim == 0:
        raise InvalidProgram("no axis")
    return int(rng.integers(-ndim, ndim))


def _axes(rng: Rng, ndim: int) -> tuple[int, ...] | None:
    if rng.random() < 0.3:
        return None
    return tuple(int(i) for i in rng.permutation(ndim)[: int(rng.integers(ndim + 1))])


def _index(rng: Rng, shape: tuple[int, ...]) -> tuple[tuple[int | None, int | None, int | None], ...]:
    def part(n: int) -> tuple[int | None, int | None, int | None]:
        start, stop = (None if rng.random() < 0.3 else int(rng.integers(-n - 1, n + 2)) for _ in range(2))
        return start, stop, (None if rng.random() < 0.3 else int(rng.choice([-3, -2, -1, 1, 2, 3])))

    return tuple(map(part, shape))


def _structured(rng: Rng, op: str, x: Array, manner: str) -> Applied:
    dtype = type_of(x).dtype
    if op == "setitem":
        index = _index(rng, x.shape)
        region = x[tuple(slice(*s) for s in index)].shape
        return (x, elements(rng, dtype, region, manner)), {"index": index}
    axis = _axis(rng, x.ndim)
    n = x.shape[axis]
    if op == "take":
        return (x, rng.integers(0, max(n, 1), int(rng.integers(4)) if n else 0)), {"axis": axis}
    other = list(x.shape)
    other[axis] = int(rng.integers(4))
    return (x, elements(rng, dtype, tuple(other), manner)), {"axis": axis}


def _attributes(rng: Rng, op: str, x: Array) -> dict[str, Any]:
    if op in ("sum", "prod", "mean", "max"):
        return {"axis": _axes(rng, x.ndim), "keepdims": bool(rng.integers(2))}
    if op == "argmax":
        return {"axis": _axis(rng, x.ndim), "keepdims": bool(rng.integers(2))}
    if op in ("cumulative_sum", "sort"):
        return {"axis": _axis(rng, x.ndim)}
    if op == "flip":
        return {"axis": _axes(rng, x.ndim)}
    if op == "reshape":
        shapes = [(x.size,), x.shape[::-1], (1, x.size), x.shape, (*x.shape, 1)]
        return {"shape": shapes[int(rng.integers(len(shapes)))]}
    if op == "permute_dims":
        return {"axes": tuple(int(i) for i in rng.permutation(x.ndim))}
    if op == "broadcast_to":
        grown = tuple(3 if n == 1 else n for n in x.shape)
        return {"shape": (2, *grown) if rng.integers(2) else grown}
    if op == "squeeze":
        return {"axis": tuple(i for i, n in enumerate(x.shape) if n == 1 and rng.random() < 0.7)}
    if op == "expand_dims":
        return {"axis": int(rng.integers(-x.ndim - 1, x.ndim + 1))}
    if op == "getitem":
        return {"index": _index(rng, x.shape)}
    if op == "astype":
        complex_only = [d for d in DTYPES if DTYPES[d].component or x.dtype.kind != "c"]
        return {"dtype": str(rng.choice(complex_only))}
    return {}


# --------------------------------------------------------------------------------------------------------- layouts
def laid_out(array: Array, layout: str) -> Array:
    """The same elements in another layout: fortran, strided, negative, broadcast, offset or read-only."""
    if layout == "fortran":
        return np.array(array, order="F")
    if layout == "readonly":
        copy = array.copy()
        copy.flags.writeable = False
        return copy
    if layout == "broadcast":
        return np.broadcast_to(array[..., :1], array.shape) if array.ndim else array
    if layout == "offset":
        return np.concatenate([array.ravel()[:1], array.ravel()])[min(array.size, 1) :].reshape(array.shape)
    if array.ndim and layout in ("strided", "negative"):
        step = 2 if layout == "strided" else -1
        space = np.zeros((*array.shape[:-1], abs(step) * array.shape[-1]), array.dtype)
        space[..., ::step] = array
        return space[..., ::step]
    return array


LAYOUTS = ("contiguous", "fortran", "strided", "negative", "broadcast", "offset", "readonly")
