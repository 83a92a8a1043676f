"""Operands and attributes for the ops that make, move, order, add up and multiply arrays: rows of `devices.cases`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from offload_fuzz.ops.creation import holds
from offload_fuzz.types import DTYPES, Array, is_floating

Rng: TypeAlias = np.random.Generator
Elements: TypeAlias = Callable[..., Array]
Applied: TypeAlias = tuple[tuple[Array, ...], dict[str, Any]]


def _axis(rng: Rng, x: Array) -> int:
    return int(rng.integers(-x.ndim, x.ndim)) if x.ndim else 0  # 0 is refused by the type rule


def _axes(rng: Rng, x: Array) -> dict[str, Any]:
    some = tuple(int(i) for i in rng.permutation(x.ndim)[: int(rng.integers(x.ndim + 1))])
    return {"axis": None if rng.random() < 0.3 else some, "keepdims": bool(rng.integers(2))}


def _offset(rng: Rng) -> int:
    return int(rng.choice([0, 0, 1, -1, 2, -2, 5, -7]))


def _number(rng: Rng, dtype: str, elements: Elements, manner: str) -> Any:
    return elements(rng, dtype, (1,), manner).astype(np.float64 if is_floating(dtype) else DTYPES[dtype].np).tolist()[0]


#: op -> attributes for its (first) operand.
ATTRIBUTES: dict[str, Callable[[Rng, Array], dict[str, Any]]] = {
    **dict.fromkeys(("min", "nanmax", "nanmin", "nansum", "nanmean", "all", "any", "count_nonzero"), _axes),
    "var": lambda rng, x: {**_axes(rng, x), "correction": int(rng.choice([0, 0, 1, 2]))},
    "std": lambda rng, x: {**_axes(rng, x), "correction": float(rng.choice([0, 0, 1, 0.5]))},
    "vector_norm": lambda rng, x: {**_axes(rng, x), "ord": [2, 2, 1, math.inf][int(rng.integers(4))]},
    "argmin": lambda rng, x: {"axis": _axis(rng, x), "keepdims": bool(rng.integers(2))},
    "argsort": lambda rng, x: {"axis": _axis(rng, x), "descending": bool(rng.integers(2))},
    **dict.fromkeys(("cumulative_prod", "cumulative_max", "cumulative_min"), lambda rng, x: {"axis": _axis(rng, x)}),
    "diff": lambda rng, x: {"axis": _axis(rng, x), "n": int(rng.integers(1, 3))},
    "moveaxis": lambda rng, x: {"source": _axis(rng, x), "destination": _axis(rng, x)},
    "swapaxes": lambda rng, x: {"axis1": _axis(rng, x), "axis2": _axis(rng, x)},
    "repeat": lambda rng, x: {"repeats": int(rng.integers(4)), "axis": None if rng.random() < 0.3 else _axis(rng, x)},
    "roll": lambda rng, x: {"shift": _offset(rng), "axis": None if rng.random() < 0.3 else _axis(rng, x)},
    "tile": lambda rng, x: {"repetitions": tuple(rng.integers(0, 3, int(rng.integers(4))).tolist())},
    "unstack": lambda rng, x: {
        "axis": (at := _axis(rng, x)),
        "index": int(rng.integers(max(x.shape[at:][:1] or [1]) or 1)),
    },
    "pad": lambda rng, x: {"width": tuple((int(a), int(b)) for a, b in rng.integers(0, 3, (x.ndim, 2)))},
    **dict.fromkeys(("tril", "triu", "rot90"), lambda rng, x: {"k": _offset(rng)}),
    **dict.fromkeys(("diagonal", "trace"), lambda rng, x: {"offset": _offset(rng)}),
}


def _with_nan(rng: Rng, x: Array) -> Array:
    return np.where(rng.random(x.shape) < 0.3, np.asarray(np.nan, x.dtype), x) if rng.integers(2) else x


def shaping_case(
    rng: Rng, op: str, dtype: str, shape: tuple[int, ...], manner: str, elements: Elements
) -> Applied | None:
    """Operands and attributes of one of these ops, or None for another op."""
    if op in MADE:
        return (), MADE[op](rng, dtype, shape, manner, elements)
    if op in PAIRS:
        return PAIRS[op](rng, dtype, shape, manner, elements)
    if op in ATTRIBUTES:
        x = elements(rng, dtype, (3, *shape) if op in ("tril", "triu", "rot90", "diagonal", "trace") else shape, manner)
        x = _with_nan(rng, x) if op.startswith("nan") else x
        return (x,), ATTRIBUTES[op](rng, x)
    if op == "full_like":
        return (elements(rng, dtype, shape, manner),), {"fill_value": _number(rng, dtype, elements, manner)}
    if op == "matrix_transpose":
        return (elements(rng, dtype, (3, *shape), manner),), {}
    return None


# -------------------------------------------------------------------------------------------------------------- made
def _arange(rng: Rng, dtype: str, shape: tuple[int, ...], manner: str, elements: Elements) -> dict[str, Any]:
    def number() -> Any:
        if not is_floating(dtype):
            return int(rng.integers(-20 if DTYPES[dtype].kind == "signed integer" else 0, 60))
        if manner == "small":
            return float(rng.integers(-40, 41) / 4)
        return float(DTYPES[dtype].np.type(rng.normal() * 8))

    return {"start": number(), "stop": number(), "step": number() or 1, "dtype": dtype}


def _linspace(rng: Rng, dtype: str, shape: tuple[int, ...], manner: str, elements: Elements) -> dict[str, Any]:
    d = DTYPES[dtype]
    ends = elements(rng, dtype, (2,), manner).astype(np.float64) if d.precision else np.zeros(2)
    ends = np.where(np.abs(ends) < d.max / 16, ends, 1.0) if d.precision else ends
    assert all(holds(dtype, float(v)) for v in ends) or not d.precision
    return {"start": float(ends[0]), "stop": float(ends[1]), "num": int(rng.integers(0, 40)), "dtype": dtype}


#: Ops without operands: dtype, shape, manner -> attributes.
MADE: dict[str, Callable[..., dict[str, Any]]] = {
    "full": lambda rng, dtype, shape, manner, elements: {
        "shape": shape, "fill_value": _number(rng, dtype, elements, manner), "dtype": dtype
    },
    "ones": lambda rng, dtype, shape, manner, elements: {"shape": shape, "dtype": dtype},
    "zeros": lambda rng, dtype, shape, manner, elements: {"shape": shape, "dtype": dtype},
    "eye": lambda rng, dtype, shape, manner, elements: {
        "n_rows": int(rng.integers(5)), "n_cols": int(rng.integers(5)), "k": _offset(rng), "dtype": dtype
    },
    "arange": _arange,
    "linspace": _linspace,
}  # fmt: skip  # a table


# ------------------------------------------------------------------------------------------------------ two operands
def _stack(rng: Rng, dtype: str, shape: tuple[int, ...], manner: str, elements: Elements) -> Applied:
    x, y = (elements(rng, dtype, shape, manner) for _ in range(2))
    return (x, y), {"axis": int(rng.integers(-len(shape) - 1, len(shape) + 1))}


def _take_along_axis(rng: Rng, dtype: str, shape: tuple[int, ...], manner: str, elements: Elements) -> Applied:
    x = elements(rng, dtype, shape or (4,), manner)
    axis = _axis(rng, x)
    n = x.shape[axis]
    of = list(x.shape)
    of[axis] = int(rng.integers(4)) if n else 0
    return (x, rng.integers(0, max(n, 1), of)), {"axis": axis}


def _searchsorted(rng: Rng, dtype: str, shape: tuple[int, ...], manner: str, elements: Elements) -> Applied:
    x = elements(rng, dtype, (int(rng.integers(7)),), manner)
    y = elements(rng, dtype, shape, manner)
    x, y = (np.where(np.isnan(v), np.ones((), v.dtype), v) for v in (x, y))
    return (np.sort(x), y), {"side": ["left", "right"][int(rng.integers(2))]}


def _vectors(rng: Rng, dtype: str, shape: tuple[int, ...], manner: str, elements: Elements) -> tuple[Array, Array]:
    x, y = (elements(rng, dtype, (int(rng.integers(5)),), manner) for _ in range(2))
    return x, y


def _meshgrid(rng: Rng, dtype: str, shape: tuple[int, ...], manner: str, elements: Elements) -> Applied:
    attributes = {"indexing": ["xy", "ij"][int(rng.integers(2))], "index": int(rng.integers(2))}
    return _vectors(rng, dtype, shape, manner, elements), attributes


def _vecdot(rng: Rng, dtype: str, shape: tuple[int, ...], manner: str, elements: Elements) -> Applied:
    x = elements(rng, dtype, shape or (3,), manner)
    axis = -int(rng.integers(1, x.ndim + 1))
    other = tuple(1 if rng.random() < 0.2 and i != axis % x.ndim else n for i, n in enumerate(x.shape))
    return (x, elements(rng, dtype, other, manner)), {"axis": axis}


def _tensordot(rng: Rng, dtype: str, shape: tuple[int, ...], manner: str, elements: Elements) -> Applied:
    axes = int(rng.integers(min(len(shape), 2) + 1))
    other = (*shape[len(shape) - axes :], *[(), (2,), (3, 1)][int(rng.integers(3))])
    return (elements(rng, dtype, shape, manner), elements(rng, dtype, other, manner)), {"axes": axes}


def _kron(rng: Rng, dtype: str, shape: tuple[int, ...], manner: str, elements: Elements) -> Applied:
    other = [(), (2,), (2, 3), (0,)][int(rng.integers(4))]
    return (elements(rng, dtype, shape, manner), elements(rng, dtype, other, manner)), {}


def _cross(rng: Rng, dtype: str, shape: tuple[int, ...], manner: str, elements: Elements) -> Applied:
    other = shape[int(rng.integers(len(shape) + 1)) :]
    return (elements(rng, dtype, (*shape, 3), manner), elements(rng, dtype, (*other, 3), manner)), {}


#: Ops of two operands: dtype, shape, manner -> operands and attributes.
PAIRS: dict[str, Callable[..., Applied]] = {
    "stack": _stack,
    "take_along_axis": _take_along_axis,
    "searchsorted": _searchsorted,
    "meshgrid": _meshgrid,
    "vecdot": _vecdot,
    "tensordot": _tensordot,
    "outer": lambda *arguments: (_vectors(*arguments), {}),
    "kron": _kron,
    "cross": _cross,
}
