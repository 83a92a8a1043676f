"""Creation functions of the array API standard: arange, eye, full, linspace, ones, zeros, the *_like ones, tril, triu.

The first have no operand: `dtype` and the rest are attributes. A number among them must be one of the dtype's, so that
only what is computed from it (arange, linspace) can round.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from offload_fuzz.enclosure import between, computed, either_zero, exact, some
from offload_fuzz.errors import require
from offload_fuzz.ops.base import Application, Domain, EncloseRule, Op, Operand, TypeRule, accumulating, shaped
from offload_fuzz.ops.base import exact as exactly
from offload_fuzz.ops.rounding import WIDE_UNIT, narrowed, wide_dtype
from offload_fuzz.ops.rules import Value, exact_rule, reference
from offload_fuzz.ops.shape_domains import Count, Fill, Number, Offset, ResultDType, Shape
from offload_fuzz.ops.sums import Kept, kept, lowest_bit, never_rounds
from offload_fuzz.types import DTYPES, Array, ArrayType, is_complex, is_floating

#: Kinds of dtypes whose elements are single numbers, as a fill value is: all but the complex ones.
REAL = ("bool", "real numeric", "narrow floating", "narrow integer")


def holds(dtype: str, value: Any) -> bool:
    """Whether a dtype holds a Python number exactly: a bool, an int, or a float (NaN and infinities too)."""
    d = DTYPES[dtype]
    if d.kind == "bool":
        return type(value) is bool
    if not d.precision:
        bottom, top = d.range
        return type(value) is int and bottom <= value <= top
    if type(value) is int:
        return bool(abs(value) <= 2**d.precision)
    if type(value) is not float:
        return False
    with np.errstate(all="ignore"):
        return math.isnan(value) or bool(float(np.float64(value).astype(d.np)) == value)


def require_held(dtype: str, **values: Any) -> None:
    """Raise `InvalidProgram` for a number that `dtype` does not hold."""
    for name, value in values.items():
        require(holds(dtype, value), f"{name} is {value!r} but should be a number that {dtype} holds exactly")


def made(
    numpy: Any, enclose: EncloseRule = exact_rule, kinds: tuple[str, ...] = ("any",), **attributes: Domain
) -> Callable[[TypeRule], Op]:
    """A creation op without operands; its accuracy is that of sums where a rule of its own is given."""
    accuracy = exactly if enclose is exact_rule else accumulating
    return shaped(numpy, enclose, "creation", kinds, accuracy, operands=(), attributes=attributes)


# ---------------------------------------------------------------------------------------------------------- constants
def _full(*, shape: tuple[int, ...], fill_value: Any, dtype: str) -> Array:
    return np.full(shape, fill_value, DTYPES[dtype].np)


@made(_full, exact_rule, REAL, shape=Shape(), fill_value=Fill(), dtype=ResultDType())
def full(*, shape: tuple[int, ...], fill_value: Any, dtype: str) -> ArrayType:
    """An array of one number, which the dtype must hold."""
    require(not is_complex(dtype), f"full takes a real fill_value, got dtype={dtype}")
    require_held(dtype, fill_value=fill_value)
    return ArrayType(dtype, shape)


@made(lambda *, shape, dtype: np.ones(shape, DTYPES[dtype].np), shape=Shape(), dtype=ResultDType())
def ones(*, shape: tuple[int, ...], dtype: str) -> ArrayType:
    """An array of ones."""
    return ArrayType(dtype, shape)


@made(lambda *, shape, dtype: np.zeros(shape, DTYPES[dtype].np), shape=Shape(), dtype=ResultDType())
def zeros(*, shape: tuple[int, ...], dtype: str) -> ArrayType:
    """An array of zeros."""
    return ArrayType(dtype, shape)


def _eye(*, n_rows: int, n_cols: int, k: int, dtype: str) -> Array:
    return np.eye(n_rows, n_cols, k, DTYPES[dtype].np)


@made(_eye, n_rows=Count(), n_cols=Count(), k=Offset(), dtype=ResultDType())
def eye(*, n_rows: int, n_cols: int, k: int, dtype: str) -> ArrayType:
    """Ones on the k-th diagonal, zeros elsewhere."""
    return ArrayType(dtype, (n_rows, n_cols))


# ---------------------------------------------------------------------------------------------------------- sequences
def arange_length(start: float, stop: float, step: float) -> int:
    """ceil((stop - start) / step), or 0 where stop lies behind start.

    Raises `InvalidProgram` where that quotient is so near to a whole number that a device's rounding may decide it.
    """
    for name, value in (("start", start), ("stop", stop), ("step", step)):
        require(math.isfinite(value), f"{name} is {value!r} but should be finite")
    steps = (Fraction(stop) - Fraction(start)) / Fraction(step)
    off = abs(steps - round(steps))
    require(
        off == 0 or off >= Fraction(1, 8),
        f"arange from {start!r} to {stop!r} by {step!r} has {float(steps)!r} steps, so that rounding decides its "
        "length, but should have a whole number of them, or be at least 1/8 off",
    )
    return max(math.ceil(steps), 0)


def _arange(*, start: Any, stop: Any, step: Any, dtype: str) -> Array:
    span: tuple[Any, ...] = (start, stop, step)
    return np.asarray(np.arange(*span, dtype=DTYPES[dtype].np))


def arange_rule(a: Application) -> Value:
    """arange: exact iff no start + i * step rounds, whatever is computed first.

    Else, with unit roundoff u, NumPy's own way is the loosest in use: the first two elements rounded, their difference
    rounded, multiplied by i and added (`fill` in numpy/_core/src/multiarray/arraytypes.c.src), so that the step is off
    by u * (|start| + 2 * |start + step| + 2 * |step|), i times, and product and sum round once more.
    """
    dtype = a.type.dtype
    if not is_floating(dtype):
        return exact_rule(a)
    k, w = kept(a), wide_dtype(dtype)
    start, step = (w.type(a.attributes[name]) for name in ("start", "step"))
    i = np.arange(a.type.size).astype(w)
    center = start + i * step
    value = narrowed(center, dtype)
    magnitude = np.abs(start) + i * np.abs(step)
    if not some(_rounds(np.array([start, step], w), magnitude, k)) and a.type.size <= 2**k.precision:
        return value, either_zero(exact(value))
    per_step = np.abs(start) + 2 * np.abs(start + step) + 2 * np.abs(step)
    error = np.where(i > 0, np.abs(start) + i * (per_step + 2 * np.abs(step)) + np.abs(center), 0)
    return value, _around(center, error, 4 * i, magnitude, a, k)


def _rounds(parts: Array, magnitude: Array, k: Kept) -> Array:
    """Where a sum of multiples of the parts, of this magnitude, may round."""
    return ~never_rounds(np.minimum.reduce(lowest_bit(parts)), magnitude, k)


def _around(center: Array, error: Array, underflows: Any, magnitude: Array, a: Application, k: Kept) -> Any:
    """What lies within u * error of `center`; None near overflow."""
    if some(~(magnitude * 4 <= k.max)):
        return None
    margin = error * (k.unit * (1 + 16 * k.unit)) + underflows * k.eta + 32 * WIDE_UNIT[a.type.dtype] * magnitude
    margin = np.where(error > 0, margin, 0)
    return either_zero(between(narrowed(center - margin, a.type.dtype), narrowed(center + margin, a.type.dtype)))


@made(
    _arange, arange_rule, ("real numeric",),
    start=Number(), stop=Number(4), step=Number(1, zero=False), dtype=ResultDType(),
)  # fmt: skip  # one row
def arange(*, start: Any, stop: Any, step: Any, dtype: str) -> ArrayType:
    """start, start + step, ... before stop; all three and every element are numbers of the dtype's range."""
    require("real numeric" in _kinds(dtype), f"arange makes numbers, got dtype={dtype}")
    require_held(dtype, start=start, stop=stop, step=step)
    require(step != 0, "step is 0 but should be another number")
    return ArrayType(dtype, (arange_length(start, stop, step),))


def _kinds(dtype: str) -> tuple[str, ...]:
    return () if dtype == "bool" else ("real numeric", *(("real floating",) if is_floating(dtype) else ()))


def _linspace(*, start: Any, stop: Any, num: int, dtype: str) -> Array:
    return np.linspace(start, stop, num, dtype=DTYPES[dtype].np)


def linspace_rule(a: Application) -> Value:
    """linspace: the ends are exact; between them start + i * step, or stop - (n - i) * step, or the weighted mean.

    The step is a rounded difference, divided and so rounded twice, then multiplied by i and added: NumPy's
    `function_base.linspace`, PyTorch's RangeFactoriesKernel.cpp (from the nearer end). JAX's `_linspace` weighs:
    start * (1 - t) + stop * t with t = i / n rounded, so 1 - t and both products. Exact iff n is a power of two and
    none of these rounds.
    """
    dtype, k = a.type.dtype, kept(a)
    w = wide_dtype(dtype)
    start, stop = (w.type(a.attributes[name]) for name in ("start", "stop"))
    n = max(a.type.size - 1, 1)
    i = np.arange(a.type.size).astype(w)
    center = np.where(i == n, stop, start + (stop - start) * i / n)
    value = narrowed(center, dtype)
    size = np.abs(start) + np.abs(stop)
    inner = (i > 0) & (i < n)
    ends = np.array([start, stop], w)
    if n & (n - 1) == 0 and not some(_rounds(ends / n, np.asarray(size), k)) and n < 2**k.precision:
        return value, either_zero(exact(value))
    ulps = 0.0 if "divide" in a.contract.correctly_rounded else a.contract.ulps_of("divide", dtype, 2.0)
    error = np.maximum((3 + 2 * ulps) * np.abs(stop - start) * i / n, (2 + 2 * ulps) * size) + np.abs(center)
    if some(inner & ~(size * 4 <= k.max)):
        return value, None
    return value, _around(center, np.where(inner, error, 0), 4 + i, np.where(inner, size, 0), a, k)


@made(
    _linspace, linspace_rule, ("real floating",), start=Number(), stop=Number(4), num=Count(), dtype=ResultDType()
)  # fmt: skip  # one row
def linspace(*, start: Any, stop: Any, num: int, dtype: str) -> ArrayType:
    """num numbers from start to stop, evenly spaced, both ends included."""
    require(is_floating(dtype), f"linspace makes real floating numbers, got dtype={dtype}")
    require_held(dtype, start=start, stop=stop)
    return ArrayType(dtype, (num,))


# ----------------------------------------------------------------------------------------------- like another array
def like_rule(a: Application) -> Value:
    """full_like, ones_like, zeros_like: whatever the operand's elements are."""
    value = reference(a)
    return value, computed(value)


def like(numpy: Any, kinds: tuple[str, ...] = ("any",), **attributes: Domain) -> Callable[[TypeRule], Op]:
    """An op that takes only the type of its operand."""
    return shaped(numpy, like_rule, "creation", kinds, attributes=attributes)


@like(lambda x, *, fill_value: np.full(x.shape, fill_value, x.dtype), REAL, fill_value=Fill())
def full_like(x: ArrayType, *, fill_value: Any) -> ArrayType:
    """One number in the dtype and shape of x; the dtype must hold it."""
    require_held(x.dtype, fill_value=fill_value)
    return x


@like(lambda x: np.ones(x.shape, x.dtype))
def ones_like(x: ArrayType) -> ArrayType:
    """Ones in the dtype and shape of x."""
    return x


@like(lambda x: np.zeros(x.shape, x.dtype))
def zeros_like(x: ArrayType) -> ArrayType:
    """Zeros in the dtype and shape of x."""
    return x


def _triangle(numpy: Any) -> Callable[[TypeRule], Op]:
    """A data movement that puts zeros in."""
    return shaped(numpy, exact_rule, "creation", operands=(Operand("matrix"),), attributes={"k": Offset()}, moves=True)


def _matrix(op: str, x: ArrayType) -> ArrayType:
    require(x.ndim >= 2, f"{op} takes matrices, got {x}")
    return x


@_triangle(lambda x, *, k: np.tril(x, k))
def tril(x: ArrayType, *, k: int) -> ArrayType:
    """The elements on and below the k-th diagonal of the last two axes, zeros above."""
    return _matrix("tril", x)


@_triangle(lambda x, *, k: np.triu(x, k))
def triu(x: ArrayType, *, k: int) -> ArrayType:
    """The elements on and above the k-th diagonal of the last two axes, zeros below."""
    return _matrix("triu", x)
