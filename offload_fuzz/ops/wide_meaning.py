"""NumPy meanings of functions that NumPy has not: a formula, evaluated one step wider and rounded once."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np

from offload_fuzz.ops.rounding import LONG, narrowed, wide_dtype
from offload_fuzz.types import NAMES, Array, promote


def widely(formula: Callable[..., Any]) -> Callable[..., Array]:
    """`formula` (of arrays of one wide dtype) as a function of float arrays, in their common dtype.

    The formula may be off by a few units of the last wide place. Arrays in the long double stay so.
    """

    def meaning(*operands: Array) -> Array:
        if any(x.dtype == LONG and x.dtype not in NAMES for x in operands):
            return np.asarray(formula(*[x.astype(LONG) for x in operands]))
        dtype = reduce(promote, [NAMES[x.dtype] for x in operands])
        return narrowed(formula(*[x.astype(wide_dtype(dtype)) for x in operands]), dtype)

    meaning.__name__ = formula.__name__
    meaning.formula = formula  # type: ignore[attr-defined]  # what `wide_formula` finds
    return meaning


def wide_formula(meaning: Callable[..., Any]) -> Callable[..., Any]:
    """What evaluates `meaning` on wide arrays in their own dtype: the formula of `widely`, else itself."""
    return getattr(meaning, "formula", meaning)
