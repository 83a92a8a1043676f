"""Lawful results of each op, drawn by a seed and computed without the rules: what an enclosure has to hold.

Sums are added in a drawn order in a drawn accumulator, each partial sum rounded there; ops with a bound in ulps are
moved by as much as it allows; of two zeros either is taken. `exact` truths are fractions, rounded here by hand.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any, TypeAlias

import numpy as np

from offload_fuzz.enclosure import (
    Enclosure,
    components,
    exact,
    extremes,
    from_ordinal,
    is_float,
    ordinal,
    parts,
)
from offload_fuzz.enclosure import (
    joined as from_parts,
)
from offload_fuzz.ops import OPS
from offload_fuzz.types import DTYPES, NAMES, Array, ArrayType, is_complex, is_floating

from . import lawful_shaping

Rng: TypeAlias = np.random.Generator
LONG = np.dtype(np.longdouble)


# ------------------------------------------------------------------------------------------------- exact arithmetic
def rounded(q: Fraction, dtype: str) -> Any:
    """`q` rounded once, to nearest even, as a float (float64 holds every number of every dtype)."""
    d = DTYPES[dtype]
    if q == 0:
        return 0.0
    exponent = abs(q.numerator).bit_length() - q.denominator.bit_length()
    exponent = max(exponent if abs(q) >= Fraction(2) ** exponent else exponent - 1, d.emin)
    unit = Fraction(2) ** (exponent - d.precision + 1)
    n = round(abs(q) / unit)  # to even
    size = n * unit
    return math.copysign(math.inf if size > Fraction(d.max) else float(size), 1 if q > 0 else -1)


def fraction(x: Any) -> Fraction:
    """The exact value of a finite element."""
    return Fraction(float(x))


# ---------------------------------------------------------------------------------------------------- accumulation
def accumulators(dtype: np.dtype[Any]) -> list[np.dtype[Any]]:
    """The dtypes in which a device may keep sums: its own and every wider one."""
    names = {"float16": ["float16", "float32", "float64"], "bfloat16": ["bfloat16", "float32", "float64"]}
    names |= {"float32": ["float32", "float64"], "float64": ["float64"]}
    found = [DTYPES[n].np for n in names[NAMES[dtype]]]
    return [*found, LONG] if NAMES[dtype] == "float64" else found


def narrowed(x: Any, dtype: np.dtype[Any]) -> Array:
    """`x` rounded once into `dtype`; bfloat16 from wider than float32 by hand."""
    if NAMES[dtype] != "bfloat16" or x.dtype.itemsize <= 4:
        return np.asarray(x).astype(dtype)
    once = [rounded(Fraction(float(v)), "bfloat16") if np.isfinite(v) else float(v) for v in x.ravel()]
    signed: Array = np.copysign(np.array(once, np.float64).reshape(x.shape), x.astype(np.float64))
    return np.asarray(signed).astype(dtype)


def folded(ufunc: np.ufunc, terms: Array, rng: Rng) -> Array:
    """Terms along the last axis joined in a random tree: each step rounds."""
    while (n := terms.shape[-1]) > 1:
        terms = terms[..., rng.permutation(n)]
        pairs = int(rng.integers(1, n // 2 + 1))
        joined = ufunc(terms[..., :pairs], terms[..., pairs : 2 * pairs])
        terms = np.concatenate((joined, terms[..., 2 * pairs :]), axis=-1)
    return np.asarray(terms[..., 0])


def chained(ufunc: np.ufunc, terms: Array, rng: Rng) -> Array:
    """Terms joined one after the other, in a random order."""
    total = terms[..., 0]
    for i in rng.permutation(terms.shape[-1] - 1) + 1:
        total = ufunc(total, terms[..., i])
    return np.asarray(total)


def joined(ufunc: np.ufunc, terms: Array, dtype: np.dtype[Any], rng: Rng) -> Array:
    """Terms along the last axis joined in a drawn order and accumulator, unrounded."""
    inner = accumulators(dtype)[int(rng.integers(len(accumulators(dtype))))]
    if terms.shape[-1] == 0:
        return np.full(terms.shape[:-1], ufunc.identity, inner)
    return (folded if rng.integers(2) else chained)(ufunc, terms.astype(inner), rng)


def terms_last(x: Array, attributes: Mapping[str, Any]) -> Array:
    """The reduced axes as one last axis."""
    axis = attributes["axis"]
    axes = tuple(range(x.ndim)) if axis is None else tuple(i % x.ndim for i in axis)
    kept = tuple(i for i in range(x.ndim) if i not in axes)
    count = math.prod(x.shape[i] for i in axes)
    return x.transpose(*kept, *axes).reshape(*(x.shape[i] for i in kept), count)


# --------------------------------------------------------------------------------------------------------------- ops
def _reduced(ufunc: np.ufunc, is_mean: bool = False) -> Any:
    def lawful(rng: Rng, type: ArrayType, x: Array, **attributes: Any) -> Array:
        terms = terms_last(x, attributes)
        total = joined(ufunc, terms, type.np, rng)
        if is_mean:
            n = total.dtype.type(terms.shape[-1])
            total = total / n if rng.integers(2) else total * (n.dtype.type(1) / n)
        return narrowed(total, type.np).reshape(type.shape)

    return lawful


def _cumulative(rng: Rng, type: ArrayType, x: Array, *, axis: int) -> Array:
    moved = np.moveaxis(x, axis, -1)
    out = np.zeros(moved.shape, type.np)
    for i in range(moved.shape[-1]):
        out[..., i] = narrowed(joined(np.add, moved[..., : i + 1], type.np, rng), type.np)
    return np.moveaxis(out, -1, axis)


def _matmul(rng: Rng, type: ArrayType, x1: Array, x2: Array) -> Array:
    inner = accumulators(type.np)[int(rng.integers(len(accumulators(type.np))))]
    a, b = x1[..., :, None, :].astype(inner), np.swapaxes(x2, -1, -2)[..., None, :, :].astype(inner)
    if rng.integers(2) or a.shape[-1] == 0:
        products = np.asarray(a * b)
        if products.shape[-1] == 0:
            total = np.zeros(type.shape, inner)
        else:
            total = joined(np.add, products, inner, rng) if inner in NAMES else folded(np.add, products, rng)
    else:  # contracted: the product is not rounded before it is added
        wider = LONG if inner.itemsize > 4 else np.dtype(np.float64)
        total = np.asarray((a[..., 0] * b[..., 0]).astype(inner))
        for i in rng.permutation(a.shape[-1] - 1) + 1:
            total = narrowed_to(a[..., i].astype(wider) * b[..., i].astype(wider) + total.astype(wider), inner)
    return narrowed(total, type.np).reshape(type.shape)


def narrowed_to(x: Array, dtype: np.dtype[Any]) -> Array:
    """`narrowed`, for accumulators that are in no table as well."""
    return narrowed(x, dtype) if dtype in NAMES else x.astype(dtype)


def _rounded(function: Callable[..., Any]) -> Any:
    def lawful(rng: Rng, type: ArrayType, *operands: Array, **attributes: Any) -> Array:
        if rng.integers(2) or type.dtype == "float64":
            return np.asarray(function(*[x.astype(type.np) for x in operands])).astype(type.np)
        return narrowed(function(*[x.astype(np.float64) for x in operands]), type.np)

    return lawful


def _ulps(function: Callable[..., Any], n: int) -> Any:
    """Moved by up to n / 2 numbers, each of which may be two ulps where the exponent grows."""

    def lawful(rng: Rng, type: ArrayType, *operands: Array, **attributes: Any) -> Array:
        wide = LONG if type.dtype == "float64" else np.dtype(np.float64)
        near = narrowed_to(np.asarray(function(*[x.astype(wide) for x in operands])), type.np)
        steps = rng.integers(-(n // 2), n // 2, near.shape, endpoint=True)
        moved = from_ordinal(ordinal(near).astype(np.int64) + steps, near.dtype)
        smallest = 4 * DTYPES[type.dtype].eta
        fixed = ~((np.abs(near) > smallest) & (np.abs(near) < DTYPES[type.dtype].max / 2))
        return np.where(fixed, near, moved)

    return lawful


def _extremum(function: Callable[..., Any]) -> Any:
    def lawful(rng: Rng, type: ArrayType, x1: Array, x2: Array) -> Array:
        result = np.asarray(function(x1, x2)).astype(type.np)
        zeros = (x1 == 0) & (x2 == 0)
        return np.where(zeros, (x1 if rng.integers(2) else x2).astype(type.np), result)

    return lawful


def _max(rng: Rng, type: ArrayType, x: Array, **attributes: Any) -> Array:
    terms = terms_last(x, attributes)
    terms = terms[..., rng.permutation(terms.shape[-1])]
    result = terms[..., 0]
    for i in range(1, terms.shape[-1]):
        result = _extremum(np.maximum)(rng, ArrayType(type.dtype, result.shape), result, terms[..., i])
    return np.asarray(result).reshape(type.shape)


def _floor_divide(rng: Rng, type: ArrayType, x1: Array, x2: Array) -> Array:
    x, y = (v.astype(type.np) for v in (x1, x2))
    choice = rng.integers(3)
    if choice == 0:
        return np.asarray(np.floor(x / y)).astype(type.np)
    if choice == 1:
        return np.asarray(np.floor_divide(x, y)).astype(type.np)
    inner: Any = np.float64 if x.dtype.itemsize == 8 else np.float32
    a, b = (np.asarray(v.astype(inner)) for v in (x, y))
    rest = np.fmod(a, b)  # as PyTorch does it
    quotient = (a - rest) / b
    quotient = np.where((rest != 0) & ((b < 0) != (rest < 0)), quotient - 1, quotient)
    floor = np.floor(quotient)
    floor = np.where(quotient - floor > 0.5, floor + 1, floor)
    zero = np.copysign(inner(0), a / b)
    result: Array = np.where(b == 0, a / b, np.where(quotient == 0, zero, floor))
    return result.astype(type.np)


def _remainder(rng: Rng, type: ArrayType, x1: Array, x2: Array) -> Array:
    x, y = (v.astype(type.np) for v in (x1, x2))
    rest = np.fmod(x, y)
    apart = (rest != 0) & ((y < 0) != (rest < 0))
    first = np.where(apart, rest + y, rest)
    if rng.integers(2):
        return np.asarray(first).astype(type.np)
    # by the rounded quotient, where it reaches the next integer
    reaches = np.isfinite(x) & np.isfinite(y) & (np.floor(x / y) > np.floor_divide(x, y))
    reaches &= np.abs(x / y) < 2.0 ** (DTYPES[type.dtype].precision - 3)
    second = np.where(apart, rest, rest - y)
    result: Array = np.where(reaches, second if rng.integers(2) else np.zeros_like(second), first)
    return result.astype(type.np)


def _astype(rng: Rng, type: ArrayType, x: Array, *, dtype: str) -> Array:
    if not is_floating(dtype):
        return (x.astype(np.float64) if x.dtype.kind == "V" else x).astype(type.np)
    finite = [math.isfinite(v) for v in x.ravel().tolist()]
    once = [
        rounded(Fraction(int(v)) if x.dtype.kind in "biu" else fraction(v), dtype) if f else float(v)
        for v, f in zip(x.ravel(), finite, strict=True)
    ]
    result = np.array(once, np.float64).reshape(x.shape)
    signed: Array = np.copysign(result, x.astype(np.float64)) if is_float(x.dtype) else result
    return np.asarray(signed).astype(type.np)


# ------------------------------------------------------------------------------------------------------ complex numbers
def _by_parts(lawful: Any) -> Any:
    """Each component on its own."""

    def both(rng: Rng, type: ArrayType, *operands: Array, **attributes: Any) -> Array:
        real = ArrayType(DTYPES[type.dtype].component, type.shape)
        wide = [x.astype(type.np) for x in operands]
        re = lawful(rng, real, *[x.real.copy() for x in wide], **attributes)
        return complex_of(re, lawful(rng, real, *[x.imag.copy() for x in wide], **attributes))

    return both


def complex_of(re: Array, im: Array) -> Array:
    """Complex numbers from their components."""
    out = np.empty(re.shape, f"c{2 * re.dtype.itemsize}")
    out.real, out.imag = re, im
    return out


def _complex_matmul(rng: Rng, type: ArrayType, x1: Array, x2: Array) -> Array:
    real = ArrayType(DTYPES[type.dtype].component, type.shape)
    a, b = (x.astype(type.np) for x in (x1, x2))
    left, right = np.concatenate([a.real, -a.imag], -1), np.concatenate([b.real, b.imag], -2)
    left2, right2 = np.concatenate([a.real, a.imag], -1), np.concatenate([b.imag, b.real], -2)
    return complex_of(_matmul(rng, real, left, right), _matmul(rng, real, left2, right2))


def _complex_multiply(rng: Rng, type: ArrayType, *operands: Array) -> Array:
    x, y = (np.broadcast_to(operands[i], type.shape)[..., None, None] for i in (0, -1))
    return _complex_matmul(rng, ArrayType(type.dtype, (*type.shape, 1, 1)), x, y).reshape(type.shape)


def _complex_astype(rng: Rng, type: ArrayType, x: Array, *, dtype: str) -> Array:
    component = DTYPES[dtype].component
    real = ArrayType(component, type.shape)
    re, im = (x.real.copy(), x.imag.copy()) if x.dtype.kind == "c" else (x, np.zeros(x.shape, real.np))
    return complex_of(*(_astype(rng, real, part, dtype=component) for part in (re, im)))


LAWFUL: dict[str, Callable[..., Array]] = {
    **{n: _rounded(f) for n, f in (("add", np.add), ("subtract", np.subtract), ("multiply", np.multiply))},
    **{n: _rounded(f) for n, f in (("divide", np.divide), ("sqrt", np.sqrt), ("square", lambda x: x * x))},
    **{n: _ulps(f, 4) for n, f in (("exp", np.exp), ("log", np.log), ("sin", np.sin), ("tanh", np.tanh))},
    "pow": _ulps(np.power, 4),
    "minimum": _extremum(np.minimum),
    "maximum": _extremum(np.maximum),
    "max": _max,
    "floor_divide": _floor_divide,
    "remainder": _remainder,
    "sum": _reduced(np.add),
    "prod": _reduced(np.multiply),
    "mean": _reduced(np.add, is_mean=True),
    "cumulative_sum": _cumulative,
    "matmul": _matmul,
}
LAWFUL.update(lawful_shaping.rows(sys.modules[__name__]))


COMPLEX: dict[str, Callable[..., Array]] = {
    **{n: _by_parts(LAWFUL[n]) for n in ("add", "subtract", "sum", "cumulative_sum")},
    "multiply": _complex_multiply,
    "square": _complex_multiply,
    "matmul": _complex_matmul,
    "astype": _complex_astype,
}


from .lawful_neural import LAWFUL as NEURAL  # noqa: E402  # it takes the arithmetic above


def evaluate(op: str, rng: Rng, type: ArrayType, operands: Sequence[Array], attributes: Mapping[str, Any]) -> Array:
    """A lawful result of `op` on known operands."""
    if is_complex(type.dtype) and op in COMPLEX:
        return COMPLEX[op](rng, type, *operands, **attributes)
    if op == "astype":
        return _astype(rng, type, *operands, **attributes)
    if op == "abs" and operands[0].dtype.kind == "c":
        (x,) = operands
        moved: Array = _ulps(np.hypot, 4)(rng, type, x.real.copy(), x.imag.copy())
        return moved
    if is_floating(type.dtype) and op in NEURAL:
        return NEURAL[op](rng, type, *operands, **attributes)
    if is_floating(type.dtype) and op in LAWFUL:
        return LAWFUL[op](rng, type, *operands, **attributes)
    result = np.asarray(OPS[op].numpy(*operands, **attributes)).astype(type.np)
    return np.where(np.isnan(result), -result, result) if _may_turn(op, result, rng) else result


def _may_turn(op: str, result: Array, rng: Rng) -> bool:
    """Whether to give NaN results another payload: arithmetic may, movement may not."""
    return is_float(result.dtype) and not OPS[op].moves and op not in ("setitem", "where") and bool(rng.integers(2))


# ------------------------------------------------------------------------------------------------- uncertain operands
def around(x: Array, rng: Rng) -> Enclosure:
    """A random enclosure that holds `x`: intervals of all widths, two intervals, NaN and infinities allowed or due."""
    if x.dtype.kind == "c":
        return from_parts(around(components(x), rng))
    if not is_float(x.dtype):
        if x.dtype.kind == "b":
            return Enclosure(
                np.where(rng.random(x.shape) < 0.5, x, False), np.where(rng.random(x.shape) < 0.5, x, True)
            )
        less, more = (x - x.dtype.type(1), x + x.dtype.type(2))
        return Enclosure(np.where(less > x, x, less), np.where(more < x, x, more))
    key = ordinal(np.where(np.isnan(x), np.zeros((), x.dtype), x)).astype(np.int64)
    top = int(ordinal(extremes(x.dtype)[1]))
    width = [0, 1, 3, 40, top // 8][int(rng.integers(5))]
    below, above = (rng.integers(0, width + 1, x.shape) * rng.integers(0, 2, x.shape) for _ in range(2))
    lo = from_ordinal(np.where(key < ~top + below, ~top, key - below), x.dtype)
    hi = from_ordinal(np.where(key > top - above, top, key + above), x.dtype)
    if width == 0:  # zeros of either sign
        lo, hi = np.where(x == 0, np.asarray(-0.0, x.dtype), lo), np.where(x == 0, np.asarray(0.0, x.dtype), hi)
    must = np.isnan(x)
    nan = np.asarray(must | (rng.random(x.shape) < (0.2 if rng.integers(3) == 0 else 0.0)))
    bottom, best = extremes(x.dtype)
    lo, hi = np.where(must, best, lo), np.where(must, bottom, hi)
    if rng.integers(4):
        return Enclosure(lo, hi, nan=nan if nan.any() else None)
    lo2, hi2 = (from_ordinal(np.clip(key + int(k), ~top, top), x.dtype) for k in sorted(rng.integers(-9, 9, 2)))
    if DTYPES[NAMES[x.dtype]].finite:
        return Enclosure(lo, hi, lo2, hi2, nan)
    ninf, pinf = (np.asarray((rng.random(x.shape) < 0.1) & ~must) for _ in range(2))
    return Enclosure(lo, hi, lo2, hi2, nan, ninf, pinf)


def member(e: Enclosure, rng: Rng) -> Array:
    """A random result that `e` allows: ends, what lies between, zeros, the flags."""
    if e.lo.dtype.kind == "c":
        return from_parts(exact(member(parts(e), rng))).lo
    found = _inside(e.lo, e.hi, rng)
    absent = ordinal(e.lo) > ordinal(e.hi)
    if e.lo2 is not None and e.hi2 is not None:
        second = (ordinal(e.lo2) <= ordinal(e.hi2)) & (absent | (rng.random(e.lo.shape) < 0.5))
        found, absent = np.where(second, _inside(e.lo2, e.hi2, rng), found), absent & ~second
    for flag, value in ((e.nan, np.nan), (e.ninf, -np.inf), (e.pinf, np.inf)):
        if flag is not None:
            take = flag & (absent | (rng.random(e.lo.shape) < 0.3))
            found, absent = np.where(take, np.asarray(value, e.lo.dtype), found), absent & ~take
    assert not absent.any()
    return np.asarray(found)


def _inside(lo: Array, hi: Array, rng: Rng) -> Array:
    if not is_float(lo.dtype):
        return np.where(rng.random(lo.shape) < 0.5, lo, hi)
    a, b = (ordinal(end).astype(np.int64) for end in (lo, hi))
    span = np.maximum(b.astype(np.float64) - a.astype(np.float64), 0.0)
    between = a + np.floor(rng.random(lo.shape) * span).astype(np.int64)
    zero = np.clip(rng.integers(-1, 1, lo.shape), np.minimum(a, b), np.maximum(a, b))
    choice = rng.integers(0, 4, lo.shape)
    key = np.select([choice == 0, choice == 1, choice == 2], [a, b, zero], between)
    return from_ordinal(np.minimum(np.maximum(key, a), np.maximum(a, b)), lo.dtype)
