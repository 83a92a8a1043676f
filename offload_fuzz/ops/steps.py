"""Interval arithmetic with rounding errors: what a formula may give when each of its steps is rounded.

A `Span` holds every value that a step may have given, on any lawful device. Every step takes the exact range of its
operands and widens it by its own error: `n` units relative to the result (one rounding is one unit; a function of
the libm is within `FUNCTION` units, which is 4 ulps), and one smallest number where a step can underflow. So a rule
that takes the formulas of the known implementations step by step, and joins what they give, holds each of their
results; cancellation needs no case of its own, as the errors of the terms stay as they are when the terms cancel.

Source: Moore, Kearfott and Cloud, "Introduction to Interval Analysis" (2009), chapters 2 and 6; the error of sums in
any order is (n-1) u sum|x| (Jeannerod and Rump, SIAM J. Matrix Anal. Appl. 34 (2013)).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from attrs import evolve, field, frozen

from offload_fuzz.contract import WIDE, Steps
from offload_fuzz.enclosure import Enclosure, between, either_zero, some
from offload_fuzz.ops.base import Application
from offload_fuzz.ops.flushing import or_flushed
from offload_fuzz.ops.rounding import LONG_DIGITS, narrowed, wide, wide_dtype
from offload_fuzz.types import DTYPES, NAMES, Array

#: Units of a call of exp, log, log1p, expm1 or tanh: 4 ulps, an ulp being at most two units.
FUNCTION = 8.0
#: The relative error of wide arithmetic itself, with room to spare: a few ulps of the host's libm.
HOST = {d: 2.0**-60 if d == "float64" and LONG_DIGITS >= 64 else 2.0**-50 for d in DTYPES}
#: erf and erfc are those of the C library in double precision, whatever is wide (glibc manual: within 5 ulps).
HOST_ERF = 2.0**-49

erf: Callable[[Array], Array] = np.vectorize(math.erf, otypes=[np.float64])
erfc: Callable[[Array], Array] = np.vectorize(math.erfc, otypes=[np.float64])


@frozen(eq=False)
class Span:
    """Per element the values from `lo` to `hi` (wide, never NaN), and NaN where it may (`nan`) or must (`must`) be."""

    lo: Array
    hi: Array
    nan: Array = field(factory=lambda: np.asarray(False))
    must: Array = field(factory=lambda: np.asarray(False))

    def part(self, take: Callable[[Array], Any]) -> Span:
        """A rearrangement of the elements."""
        shape = self.lo.shape
        return Span(*(np.asarray(take(np.broadcast_to(x, shape))) for x in (self.lo, self.hi, self.nan, self.must)))

    @property
    def magnitude(self) -> Array:
        """The largest size of an element."""
        return np.abs(self.lo) if self.hi is self.lo else np.maximum(np.abs(self.lo), np.abs(self.hi))


@frozen(eq=False)
class Arithmetic:
    """The steps of an op on `dtype` whose roundings are those of `steps`; each returns a `Span`.

    host: the relative error of the wide arithmetic itself. own: the format to which each step is rounded as well, where
    an op is somewhere a chain of ops whose results have the dtype of the operands.
    """

    dtype: str
    steps: Steps
    host: float
    flushes: bool = False
    own: Steps = WIDE

    # -------------------------------------------------------------------------------------------------- in and out
    def number(self, x: float) -> Span:
        """A number that every float dtype holds."""
        value = np.asarray(x, wide_dtype(self.dtype))
        return Span(value, value)

    def constant(self, x: Any) -> Span:
        """A number that may be rounded before it is used, to the dtype or to the format of the steps."""
        value, d = np.asarray(x, wide_dtype(self.dtype)), DTYPES[self.dtype]
        fits = narrowed(value, self.dtype).astype(value.dtype) == value
        if not self.steps.unit or (fits and self.steps.unit <= d.unit):
            return Span(value, value)
        return self.widened(value, value, 1.0, True, relative=d.unit, absolute=d.eta)

    def known(self, x: Array) -> Span:
        """A wide array."""
        nan = np.isnan(x)
        value = np.where(nan, x.dtype.type(0), x)
        return Span(value, value, nan, nan)

    def rounded(self, x: Span, n: float = 1.0) -> Span:
        """`x` rounded `n` times on the way."""
        return evolve(self.widened(x.lo, x.hi, n, underflows=True), nan=x.nan, must=x.must)

    def rounded_to_dtype(self, x: Span, n: float = 1.0) -> Span:
        """`x` rounded `n` times to the dtype of the operands, where steps are not wide."""
        if not self.steps.unit:
            return x
        d = DTYPES[self.dtype]
        s = self.widened(x.lo, x.hi, 0.0, relative=n * d.unit, absolute=n * d.eta, top=d.max)
        return evolve(s, nan=x.nan, must=x.must)

    def widened(
        self,
        lo: Array,
        hi: Array,
        n: float,
        underflows: bool = False,
        relative: float = 0.0,
        absolute: float = 0.0,
        top: float = math.inf,
    ) -> Span:
        """The ends moved outward by `n` units and more, and to an infinity beyond the largest number."""
        chained = n % FUNCTION + n // FUNCTION  # a function is one step
        eta = (n or 1.0) * self.steps.eta + (chained or 1.0) * self.own.eta
        lost = absolute + (eta if underflows or self.flushes else 0.0)
        rate = (n * self.steps.unit + chained * self.own.unit + relative) * (1.0 + 2.0**-5) + self.host
        top = min(top, self.steps.max, self.own.max)
        low = np.abs(lo) * rate + lost
        high = low if hi is lo else np.abs(hi) * rate + lost
        below, above = lo - low, hi + high
        if math.isfinite(top) or not np.isfinite(np.sum(low) + np.sum(high)):  # an infinity stays, else inf - inf
            inf = lo.dtype.type(np.inf)
            below = np.where(np.isinf(lo), lo, np.where(below < -top, -inf, below))
            above = np.where(np.isinf(hi), hi, np.where(above > top, inf, above))
        return Span(below, above)

    # ------------------------------------------------------------------------------------------------------- steps
    def negative(self, x: Span) -> Span:
        """-x."""
        lo = -x.hi
        return Span(lo, lo if x.hi is x.lo else -x.lo, x.nan, x.must)

    def absolute(self, x: Span) -> Span:
        """|x|."""
        crosses = (x.lo <= 0) & (x.hi >= 0)
        low = np.where(crosses, x.lo.dtype.type(0), np.minimum(np.abs(x.lo), np.abs(x.hi)))
        return Span(low, x.magnitude, x.nan, x.must)

    def clip(self, x: Span, lo: float = -math.inf, hi: float = math.inf) -> Span:
        """min(max(x, lo), hi); NaN stays."""
        bottom, top = (x.lo.dtype.type(v) for v in (lo, hi))
        low = np.clip(x.lo, bottom, top)
        return Span(low, low if x.hi is x.lo else np.clip(x.hi, bottom, top), x.nan, x.must)

    def add(self, x: Span, y: Span, n: float = 1.0) -> Span:
        """x + y. A sum that underflows is exact."""
        clash = ((x.lo == -np.inf) & (y.hi == np.inf)) | ((x.hi == np.inf) & (y.lo == -np.inf))
        sure = ((x.lo == np.inf) & (y.hi == -np.inf)) | ((x.hi == -np.inf) & (y.lo == np.inf))
        lo = _or(x.lo + y.lo, -np.inf)
        hi = lo if x.hi is x.lo and y.hi is y.lo and not some(clash) else _or(x.hi + y.hi, np.inf)
        return self._joined(self.widened(lo, hi, n), clash, sure, x, y)

    def subtract(self, x: Span, y: Span, n: float = 1.0) -> Span:
        """x - y."""
        return self.add(x, self.negative(y), n)

    def multiply(self, x: Span, y: Span, n: float = 1.0) -> Span:
        """x * y; NaN where 0 may meet an infinity."""
        lo, hi = _corners(np.multiply, (x.lo, x.hi), (y.lo, y.hi))
        clash = np.asarray(False)
        wild_x, wild_y = np.isinf(x.magnitude), np.isinf(y.magnitude)
        if some(wild_x) or some(wild_y):
            x0, y0 = ((s.lo <= 0) & (s.hi >= 0) for s in (x, y))
            clash = (x0 & wild_y) | (y0 & wild_x)
        return self._joined(self.widened(lo, hi, n, underflows=True), clash, np.asarray(False), x, y)

    def divide(self, x: Span, y: Span, n: float = 3.0) -> Span:
        """x / y, or x * (1 / y) with a rounded reciprocal; anything where y may be zero."""
        zero = (y.lo <= 0) & (y.hi >= 0)
        one = y.lo.dtype.type(1)
        ends = (np.where(zero, one, y.lo), np.where(zero, one, y.hi))
        ends = ends if y.hi is not y.lo else (ends[0], ends[0])
        lo, hi = _corners(np.divide, (x.lo, x.hi), ends)
        clash = zero | (np.isinf(x.magnitude) & np.isinf(y.magnitude))
        if some(zero):
            inf = lo.dtype.type(np.inf)
            lo, hi = np.where(zero, -inf, lo), np.where(zero, inf, hi)
        # a reciprocal that underflows or overflows on the way: 1 / y may be lost altogether
        least, most = (f(np.abs(ends[0]), np.abs(ends[1])) for f in (np.minimum, np.maximum))
        far = (least * self.steps.max < 2.0) | (most * self.steps.eta > self.steps.unit)
        far = far | (least * self.own.max < 2.0) | (most * self.own.eta > self.own.unit)
        s = self.widened(lo, hi, n, underflows=True)
        if some(far):
            reciprocal = self.widened(
                np.minimum(one / ends[0], one / ends[1]), np.maximum(one / ends[0], one / ends[1]), n, underflows=True
            )
            other = self.multiply(x, reciprocal, n)
            s = Span(np.where(far, np.minimum(s.lo, other.lo), s.lo), np.where(far, np.maximum(s.hi, other.hi), s.hi))
            clash = clash | (far & other.nan)
        return self._joined(s, clash, np.asarray(False), x, y)

    def increasing(self, function: Callable[[Array], Any], x: Span, n: float = FUNCTION, host: float = 0.0) -> Span:
        """A function that increases and is a number everywhere (exp, tanh, erf, log1p and sqrt of what is positive)."""
        lo = np.asarray(function(x.lo), x.lo.dtype)
        hi = lo if x.hi is x.lo else np.asarray(function(x.hi), x.lo.dtype)
        return evolve(self.widened(lo, hi, n, underflows=True, relative=host), nan=x.nan, must=x.must)

    def sqrt(self, x: Span) -> Span:
        """The root, NaN below zero; within 1 ulp."""
        below = x.lo < 0
        s = self.increasing(lambda v: np.sqrt(np.maximum(v, v.dtype.type(0))), x, 2.0)
        return evolve(s, nan=s.nan | below, must=s.must | (x.hi < 0))

    def log(self, x: Span) -> Span:
        """The logarithm, NaN below zero."""
        below = x.lo < 0
        s = self.increasing(lambda v: np.log(np.maximum(v, v.dtype.type(0))), x)
        return evolve(s, nan=s.nan | below, must=s.must | (x.hi < 0))

    # -------------------------------------------------------------------------------------------------- reductions
    def largest(self, x: Span, axis: int) -> Span:
        """The largest element along an axis, kept; NaN may be passed over."""
        nan = np.any(np.broadcast_to(x.nan, x.lo.shape), axis=axis, keepdims=True)
        inf = x.lo.dtype.type(np.inf)
        lo = np.max(np.where(x.must, -inf, x.lo), axis=axis, keepdims=True, initial=-np.inf)
        return Span(lo, np.max(np.where(x.must, -inf, x.hi), axis=axis, keepdims=True, initial=-np.inf), nan)

    def total(self, x: Span, axis: int, more: float = 0.0) -> Span:
        """The sum along an axis in any order, kept; each term may have `more` roundings of its own."""
        over: dict[str, Any] = {"axis": axis, "keepdims": True}
        lo, hi, magnitude = (np.sum(v, **over) for v in (x.lo, x.hi, x.magnitude))
        count = x.lo.shape[axis]
        nan, must = (np.any(np.broadcast_to(v, x.lo.shape), **over) for v in (x.nan, x.must))
        return evolve(self._sum(lo, hi, magnitude, max(count - 1, 0) + more, count if more else 0, nan), must=must)

    def products(self, x: Span, y: Span, more: float = 0.0) -> Span:
        """The matrix product of x and y over the last two axes, terms in any order, with `more` roundings of each."""
        open_x, open_y = (s.nan | ~np.isfinite(s.magnitude) for s in (x, y))
        zero = x.lo.dtype.type(0)
        (xl, xh), (yl, yh) = ((np.where(o, zero, s.lo), np.where(o, zero, s.hi)) for s, o in ((x, open_x), (y, open_y)))
        mid_x, mid_y, rad_x, rad_y = (xl + xh) / 2, (yl + yh) / 2, (xh - xl) / 2, (yh - yl) / 2
        big_y = np.maximum(np.abs(yl), np.abs(yh))
        center, magnitude = np.matmul(mid_x, mid_y), np.matmul(np.maximum(np.abs(xl), np.abs(xh)), big_y)
        k = x.lo.shape[-1]
        radius = (np.matmul(rad_x, big_y) + np.matmul(np.abs(mid_x), rad_y)) * (1 + self.host)
        radius = radius + magnitude * (k + 4) * self.host
        nan = np.any(open_x, axis=-1)[..., :, None] | np.any(open_y, axis=-2)[..., None, :]
        s = self._sum(center - radius, center + radius, magnitude, k + more, k + more, nan)
        return _opened(s, np.broadcast_to(nan, s.lo.shape))

    def _sum(self, lo: Array, hi: Array, magnitude: Array, n: float, underflows: float, nan: Array) -> Span:
        roundings = n * self.steps.unit + self.own.unit
        error = magnitude * (roundings * (1.0 + 2.0**-5) + (n + 8) * self.host)
        error = error + underflows * self.steps.eta + (n * self.steps.eta if self.flushes else 0.0) + self.own.eta
        below, above = lo - error, hi + error
        lost = np.isnan(below) | np.isnan(above) | ~np.isfinite(magnitude)
        risky = ~lost & (magnitude + error > min(self.steps.max, self.own.max))  # some partial sum may overflow
        zero = lo.dtype.type(0)
        s = Span(np.where(lost, zero, below), np.where(lost, zero, above), np.asarray(nan))
        inf = lo.dtype.type(np.inf)
        one_sign = risky & (lo >= 0)
        s = Span(s.lo, np.where(one_sign, inf, s.hi), s.nan)
        upward = lost & (lo >= 0)
        s = Span(np.where(upward, lo.dtype.type(0), s.lo), np.where(upward, inf, s.hi), s.nan)
        return _opened(s, (risky & ~one_sign) | (lost & ~upward))

    def _joined(self, s: Span, clash: Array, sure: Array, x: Span, y: Span) -> Span:
        return evolve(s, nan=x.nan | y.nan | clash, must=x.must | y.must | sure)


def _or(x: Array, otherwise: float) -> Array:
    """`x`, with `otherwise` for NaN."""
    nan = np.isnan(x)
    return np.where(nan, x.dtype.type(otherwise), x) if some(nan) else np.asarray(x)


def _corners(function: np.ufunc, x: tuple[Array, Array], y: tuple[Array, Array]) -> tuple[Array, Array]:
    """The least and the largest result at the ends, 0 for NaN."""
    found = [_or(function(p, q), 0.0) for p in x[: 1 + (x[1] is not x[0])] for q in y[: 1 + (y[1] is not y[0])]]
    if len(found) == 1:
        return found[0], found[0]
    return np.minimum.reduce(found), np.maximum.reduce(found)


def _opened(s: Span, open_: Array) -> Span:
    """`s`, and anything at all where `open_`."""
    inf = s.lo.dtype.type(np.inf)
    return Span(np.where(open_, -inf, s.lo), np.where(open_, inf, s.hi), np.asarray(s.nan | open_), s.must)


def union(*spans: Span) -> Span:
    """The smallest span that holds what each formula may give; NaN must be where it must by each."""
    lo, hi, nan, must = (
        np.minimum.reduce(np.broadcast_arrays(*[s.lo for s in spans])),
        np.maximum.reduce(np.broadcast_arrays(*[s.hi for s in spans])),
        np.logical_or.reduce(np.broadcast_arrays(*[s.nan for s in spans])),
        np.logical_and.reduce(np.broadcast_arrays(*[s.must for s in spans])),
    )
    return Span(lo, hi, nan | np.logical_or.reduce(np.broadcast_arrays(*[s.must for s in spans])), must)


def pick(where: Array, x: Span, y: Span) -> Span:
    """The elements of x where the mask says so, else of y."""
    return Span(*(np.where(where, p, q) for p, q in ((x.lo, y.lo), (x.hi, y.hi), (x.nan, y.nan), (x.must, y.must))))


# --------------------------------------------------------------------------------------------- operands and results
def arithmetic(a: Application, own: bool = False) -> Arithmetic:
    """The arithmetic of composite op `a`; own: its steps may be rounded to the dtype itself, one by one."""
    dtype, name = a.type.dtype, a.op.name
    steps, d = a.contract.steps_of(name, dtype), DTYPES[dtype]
    chained = Steps(d.unit, d.eta, d.max) if own and 0.0 < steps.unit < d.unit else WIDE
    return Arithmetic(dtype, steps, HOST[dtype], a.contract.flushes(name, dtype), chained)


def spans(a: Application) -> list[Span]:
    """The operands as spans; subnormals join zero where the contract lets the op take them so."""
    found = []
    for e in a.operands:
        dtype = NAMES[e.lo.dtype]
        b = (or_flushed(e) if a.contract.flushes(a.op.name, dtype) else e).bounds()
        lo = wide(b.lo, dtype)
        found.append(Span(lo, lo if b.hi is b.lo else wide(b.hi, dtype), b.nan, b.empty))
    return found


def enclosed(a: Application, s: Span) -> Enclosure:
    """The enclosure of a result that was computed as `s` and rounded to the dtype; a zero has either sign."""
    shape, dtype = a.type.shape, a.type.dtype
    lo, hi = (np.broadcast_to(narrowed(v + 0, dtype), shape) for v in (s.lo, s.hi))  # + 0: no -0 above +0
    nan, must = (np.broadcast_to(v, shape) for v in (s.nan | s.must, s.must))
    e = either_zero(between(lo, hi, nan, must))
    return or_flushed(e) if a.contract.flushes(a.op.name, dtype) else e


def widely(function: Callable[..., Array]) -> Callable[..., Array]:
    """The NumPy meaning of a composite op: `function` on widened operands, its result rounded once to the dtype."""

    def numpy(*operands: Array, **attributes: Any) -> Array:
        dtype = NAMES[operands[0].dtype]
        return narrowed(np.asarray(function(*[wide(x, dtype) for x in operands], **attributes)), dtype)

    return numpy
