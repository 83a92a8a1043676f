"""The simulated device's own arithmetic: what each op that rounds returns, with the freedom that the contract leaves.

Nothing here calls the NumPy meaning of an op that rounds, so agreement with the reference means something. Ops that
do not round (integers, comparison, movement) have one lawful result, and NumPy computes it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from offload_fuzz.adapters.simulated import complex_numbers, functions, shaping, sums
from offload_fuzz.adapters.simulated.draws import Draws
from offload_fuzz.adapters.simulated.neural import KERNELS as NEURAL
from offload_fuzz.adapters.simulated.rounding import BFLOAT16, BITS, FLOAT64, INFINITY, MAGNITUDE, WIDEST, rounded
from offload_fuzz.ops.base import Op, normalize_axes
from offload_fuzz.types import Array, ArrayType, is_complex, is_floating

Attributes: TypeAlias = Mapping[str, Any]
#: operands, attributes, type of the result, draws -> the result
Kernel: TypeAlias = Callable[[Sequence[Array], Attributes, ArrayType, Draws], Any]


def correctly_rounded(function: Callable[..., Any]) -> Kernel:
    """+ - * / and sqrt: in float64, then rounded once more.

    Two roundings to nearest equal one for formats of at most 25 bits below float64's 53 (Figueroa, "When is double
    rounding innocuous?", SIGNUM Newsletter 30 (1995)); float64 is computed natively.
    """

    def kernel(operands: Sequence[Array], attributes: Attributes, type: ArrayType, draws: Draws) -> Any:
        return rounded(function(*[x.astype(FLOAT64, copy=False) for x in operands]), type.np)

    return kernel


def within_ulps(function: Callable[..., Any]) -> Kernel:
    """exp, log, sin, tanh, pow: computed wider, then moved by up to two representable numbers.

    Two steps are at most three units in the last place of the exact result, which leaves one of the contract's four
    for the rounding. Zeros, infinities and NaN stay; nothing crosses into them.
    """

    def kernel(operands: Sequence[Array], attributes: Attributes, type: ArrayType, draws: Draws) -> Any:
        dtype = type.np
        wide = WIDEST if dtype == FLOAT64 else FLOAT64
        near = np.asarray(rounded(function(*[x.astype(wide) for x in operands]), dtype))
        bits = near.view(BITS[dtype])
        magnitude = bits & MAGNITUDE[dtype]
        inside = (magnitude > 2) & (magnitude < INFINITY[dtype] - 2)
        moved = bits + inside * draws.steps(near.size).reshape(near.shape)
        return np.asarray(moved).astype(BITS[dtype]).view(dtype)

    return kernel


def either_of_two_zeros(function: Callable[..., Any]) -> Kernel:
    """minimum, maximum: exact, but of two opposite zeros the device takes either."""

    def kernel(operands: Sequence[Array], attributes: Attributes, type: ArrayType, draws: Draws) -> Any:
        x1, x2 = operands
        result = function(x1, x2)
        if draws.below(2):
            zeros = (x1 == 0) & (x2 == 0)
            if zeros.any():
                return np.where(zeros, x1, result)
        return result

    return kernel


def largest(operands: Sequence[Array], attributes: Attributes, type: ArrayType, draws: Draws) -> Any:
    """max: exact, but of two opposite zeros either."""
    (x,) = operands
    over: dict[str, Any] = {"axis": attributes["axis"], "keepdims": attributes["keepdims"]}
    result = np.max(x, **over)
    if draws.below(2) and (np.asarray(result == 0)).any():
        zeros, minus = x == 0, np.signbit(x)
        both = np.any(zeros & minus, **over) & np.any(zeros & ~minus, **over) & (result == 0)
        return np.where(both, np.asarray(-0.0, x.dtype), result)
    return result


def floor_pair(function: Callable[..., Any], is_quotient: bool) -> Kernel:
    """floor_divide, remainder: by the floor of the exact quotient, or consistently by that of the rounded one."""

    def kernel(operands: Sequence[Array], attributes: Attributes, type: ArrayType, draws: Draws) -> Any:
        exact = function(*operands)
        if draws.below(2):
            return exact
        x, y = (o.astype(WIDEST if type.np == FLOAT64 else FLOAT64) for o in operands)
        reached = np.floor(rounded(np.divide(x, y), type.np))
        plain = np.isfinite(x) & np.isfinite(y) & (y != 0)
        if is_quotient:
            return np.where(plain, reached, exact)
        rest = np.fmod(x, y)  # exact, as is its distance to a divisor that is near
        below = (rest != 0) & (np.signbit(rest) != np.signbit(y))
        floor = rounded(np.rint(np.divide(x - rest, y)) - below, type.np)
        return np.where(plain & (reached > floor), rounded(np.where(below, rest, rest - y), type.np), exact)

    return kernel


def convert(operands: Sequence[Array], attributes: Attributes, type: ArrayType, draws: Draws) -> Any:
    """astype: rounded once; what does not fit an integer is left to the hardware."""
    (x,) = operands
    if is_complex(type.dtype):
        return complex_numbers.converted(x, type)
    if is_floating(type.dtype):
        return rounded(x, type.np)
    if x.dtype.kind == "V":
        x = x.astype(FLOAT64)  # ml_dtypes converts to NumPy's own dtypes only
    return x.astype(type.np)


def absolute(operands: Sequence[Array], attributes: Attributes, type: ArrayType, draws: Draws) -> Any:
    """abs: exact, but of complex numbers."""
    if operands[0].dtype.kind == "c":
        return complex_numbers.magnitude(operands, attributes, type, draws)
    return np.abs(operands[0])


def gather(operands: Sequence[Array], attributes: Attributes, type: ArrayType, draws: Draws) -> Any:
    """take: an index out of range wraps, as nothing checks it."""
    x, indices = operands
    n = x.shape[attributes["axis"]]
    if n == 0:
        return np.zeros(type.shape, type.np)
    return np.take(x, indices % n, axis=attributes["axis"])  # mode="wrap" would take a step per multiple of n


def reduction(ufunc: np.ufunc, is_mean: bool = False) -> Kernel:
    """sum, prod, mean: in an order and an accumulator of the device's choice."""

    def kernel(operands: Sequence[Array], attributes: Attributes, type: ArrayType, draws: Draws) -> Any:
        (x,) = operands
        axes = normalize_axes(attributes["axis"], x.ndim)
        kept = tuple(i for i in range(x.ndim) if i not in axes)
        terms = x.transpose(*kept, *axes).reshape(*(x.shape[i] for i in kept), -1 if x.size else _count(x, axes))
        narrow = ufunc is np.add
        return sums.reduced(ufunc, terms, type.np, draws, is_mean, narrow).reshape(type.shape)

    return kernel


def power_of_two(operands: Sequence[Array], attributes: Attributes, type: ArrayType, draws: Draws) -> Any:
    """ldexp: wider, then rounded once."""
    x, power = operands
    return rounded(np.ldexp(x.astype(WIDEST if x.dtype == FLOAT64 else FLOAT64), power), type.np)


def neighbour(operands: Sequence[Array], attributes: Attributes, type: ArrayType, draws: Draws) -> Any:
    """nextafter: by the bits, as integers; of two zeros either."""
    x, y = (np.broadcast_to(o, type.shape).astype(type.np) for o in operands)
    bits = x.view(BITS[type.np])
    grows = (y > x) == ~np.signbit(x)
    step = np.where(grows, bits + 1, bits - 1).astype(bits.dtype).view(type.np)
    step = np.where(x == 0, np.copysign(np.ones((), bits.dtype).view(type.np), y), step)
    near = np.where(x == y, y if draws.below(2) else x, step)
    return np.where(np.isnan(x) | np.isnan(y), x + y, near)


def clamp(operands: Sequence[Array], attributes: Attributes, type: ArrayType, draws: Draws) -> Any:
    """clip: one bound after the other, in either order; of two zeros the one that comes last."""
    (x,) = operands
    low, high = (np.asarray(float(attributes[k])).astype(type.np) for k in ("min", "max"))
    if draws.below(2):
        return np.where(x < low, low, np.where(x > high, high, x))
    return np.where(x >= high, high, np.where(x <= low, low, x))


def _count(x: Array, axes: tuple[int, ...]) -> int:
    return int(np.prod([x.shape[i] for i in axes], dtype=np.int64))


def running_sum(operands: Sequence[Array], attributes: Attributes, type: ArrayType, draws: Draws) -> Any:
    """cumulative_sum."""
    (x,) = operands
    terms = np.moveaxis(x, attributes["axis"], -1)
    return np.moveaxis(sums.prefixes(terms, type.np, draws, narrow=True), -1, attributes["axis"])


def product(operands: Sequence[Array], attributes: Attributes, type: ArrayType, draws: Draws) -> Any:
    """matmul."""
    x1, x2 = operands
    return sums.matrix_product(x1, x2, type.np, draws, narrow=True)


#: What runs for a result of a float dtype; for the rest, and for float ops that are not here, the op does not round.
FLOATING: dict[str, Kernel] = {
    "add": correctly_rounded(np.add),
    "subtract": correctly_rounded(np.subtract),
    "multiply": correctly_rounded(np.multiply),
    "divide": correctly_rounded(np.divide),
    "square": correctly_rounded(lambda x: x * x),
    "sqrt": correctly_rounded(np.sqrt),
    "exp": within_ulps(np.exp),
    "log": within_ulps(np.log),
    "sin": within_ulps(np.sin),
    "tanh": within_ulps(np.tanh),
    "pow": within_ulps(np.power),
    "minimum": either_of_two_zeros(np.minimum),
    "maximum": either_of_two_zeros(np.maximum),
    "max": largest,
    "floor_divide": floor_pair(np.floor_divide, True),
    "remainder": floor_pair(np.remainder, False),
    "sum": reduction(np.add),
    "mean": reduction(np.add, is_mean=True),
    "prod": reduction(np.multiply),
    "cumulative_sum": running_sum,
    "matmul": product,
    **{name: correctly_rounded(f) for name, f in functions.CORRECTLY_ROUNDED.items()},
    **{name: within_ulps(f) for name, f in functions.WITHIN_ULPS.items()},
    "fmin": either_of_two_zeros(np.fmin),
    "fmax": either_of_two_zeros(np.fmax),
    "ldexp": power_of_two,
    "nextafter": neighbour,
    "clip": clamp,
    **shaping.FLOATING,
    **NEURAL,
}
#: What runs whatever the dtype.
ALWAYS: dict[str, Kernel] = {"astype": convert, "take": gather, "abs": absolute}


def exactly(op: Op) -> Kernel:
    """An op with one lawful result, which NumPy computes."""

    def kernel(operands: Sequence[Array], attributes: Attributes, type: ArrayType, draws: Draws) -> Any:
        return op.numpy(*operands, **attributes)

    return kernel


def widened(op: Op) -> Kernel:
    """A custom op that rounds: its own meaning on operands widened, float64 too, rounded once."""

    def kernel(operands: Sequence[Array], attributes: Attributes, type: ArrayType, draws: Draws) -> Any:
        floats = [x.dtype.kind == "f" or x.dtype == BFLOAT16 for x in operands]
        wide = [
            x.astype(WIDEST if x.dtype == FLOAT64 else FLOAT64) if is_float else x
            for x, is_float in zip(operands, floats, strict=True)
        ]
        result = np.asarray(op.numpy(*wide, **attributes))
        return rounded(result, type.np) if is_floating(type.dtype) else result.astype(type.np)

    return kernel


def kernel_of(op: Op, result: ArrayType) -> Kernel:
    """What the device runs for `op` with a result of this type."""
    if op.custom and op.accuracy.kind != "exact":
        return widened(op)
    if op.name in ALWAYS:
        return ALWAYS[op.name]
    if is_floating(result.dtype) and op.name in FLOATING:
        return FLOATING[op.name]
    if is_complex(result.dtype) and op.name in complex_numbers.COMPLEX:
        return complex_numbers.COMPLEX[op.name]
    return exactly(op)
