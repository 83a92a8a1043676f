"""Ordinary operands and attributes of the ops that make, move, order, add up and multiply arrays: for width tests."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from offload_fuzz.ops.base import OPS
from offload_fuzz.types import Array, is_floating

OVER = {"axis": (1,), "keepdims": False}
ALONG = {"axis": 1}
ATTRIBUTES: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("min", "nanmax", "nanmin", "nansum", "nanmean", "all", "any", "count_nonzero"), OVER),
    **{key: {**OVER, "correction": 1} for key in ("var", "std")},
    "vector_norm": {**OVER, "ord": 2},
    "argmin": {"axis": 1, "keepdims": False},
    "argsort": {"axis": 1, "descending": True},
    "searchsorted": {"side": "right"},
    **dict.fromkeys(("cumulative_prod", "cumulative_max", "cumulative_min", "stack", "take_along_axis"), ALONG),
    "diff": {"axis": 1, "n": 1},
    "moveaxis": {"source": 0, "destination": -1},
    "swapaxes": {"axis1": 0, "axis2": 1},
    "repeat": {"repeats": 2, "axis": 0},
    "roll": {"shift": 1, "axis": None},
    "tile": {"repetitions": (2, 1)},
    "unstack": {"axis": 1, "index": 2},
    "pad": {"width": ((1, 0), (0, 2))},
    "meshgrid": {"indexing": "xy", "index": 0},
    **{key: {"k": 1} for key in ("tril", "triu", "rot90")},
    **{key: {"offset": 0} for key in ("diagonal", "trace")},
    "vecdot": {"axis": -1},
    "tensordot": {"axes": 1},
}
MADE: dict[str, dict[str, Any]] = {
    "full": {"shape": (3,), "fill_value": 1},
    "ones": {"shape": (3,)},
    "zeros": {"shape": (3,)},
    "eye": {"n_rows": 2, "n_cols": 3, "k": 1},
    "arange": {"start": 1, "stop": 9, "step": 2},
    "linspace": {"start": 1, "stop": 2, "num": 11},
}
#: Bounds of these, in units in the last place, for axes of 4: one for each rounding that their rules name.
BOUNDS = {"var": 12.0, "std": 8.0}


def ordinary_shaping(op: str, dtype: str, x: Array, y: Array) -> tuple[list[Array], dict[str, Any]] | None:
    """Operands made of x and y, and attributes; None for another op."""
    if op in MADE:
        attributes = {**MADE[op], "dtype": dtype}
        if op == "full":
            attributes["fill_value"] = True if dtype == "bool" else 1.5 if is_floating(dtype) else 7
        return [], attributes
    if op == "full_like":
        return [x], {"fill_value": True if dtype == "bool" else math.pi if dtype == "float64" else 1}
    if op == "take_along_axis":
        return [x, np.array([[0, 3], [1, 1], [2, 0], [3, 3]])], ATTRIBUTES[op]
    if op in ("meshgrid", "outer"):
        return [x[0], y[0]], ATTRIBUTES.get(op, {})
    if op == "searchsorted":
        return [np.sort(x[0]), y], ATTRIBUTES[op]
    if op == "cross":
        return [x[:, :3], y[:, :3]], {}
    if op == "kron":
        return [x, y[:2]], {}
    if op in ATTRIBUTES or op in ("matrix_transpose", "ones_like", "zeros_like"):
        return [x, y][: len(OPS[op].operands)], ATTRIBUTES.get(op, {})
    return None
