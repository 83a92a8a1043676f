"""Shapes, dtypes and input data: small dyadic numbers mostly, a share wild, a share large."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np

from offload_fuzz.program import frozen_input
from offload_fuzz.types import DTYPES, Array, ArrayType

from .choices import Choices

#: Axis lengths where implementations change: vector widths, unrolling, blocks and their neighbours.
EDGES = (7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 256, 257, 1023, 1024, 1025, 4095, 4096, 4097)
SMALL = (2, 3, 1, 4, 5, 6)
LARGE = (10_000, 16_384, 20_003, 65_536, 65_537, 100_000, 262_147, 1_000_003, 2_097_152)
MAX_SIZE = 8_192
#: Where a new shape is dear (`Features.shapes`), most inputs have one of these.
POOL = ((2, 3), (3,), (4, 4), (17,), (2, 3, 4), (), (1, 3), (64, 65), (4097,), (0, 3))
FLAVOURS = ("dyadic", "ones", "counting", "wild", "full")

#: Integers that change on their way through a narrower dtype: the ranges of 8, 16 and 32 bits, and what float32 and
#: float64 cannot hold.
NARROWING = (128, 255, 256, 32_768, 65_535, 65_536, 2**24 + 1, 2**31, 2**32 - 1, 2**32, 2**53 + 1, 2**63)

#: How often each dtype is drawn, in shares. Half of the ops take floats alone, and what they give is near at hand for
#: the others: so integers have a larger share here than they have of the operands in the end.
DTYPE_SHARES = {
    "float32": 16,
    "float64": 8,
    "float16": 6,
    "bfloat16": 6,
    "int32": 10,
    "int64": 10,
    "int8": 8,
    "int16": 6,
    "uint8": 7,
    "uint16": 5,
    "uint32": 5,
    "uint64": 5,
    "bool": 8,
    "complex64": 5,
    "complex128": 3,
    "float8_e4m3fn": 2,
    "float8_e5m2": 2,
    "int4": 2,
    "uint4": 2,
}


def draw_shape(choices: Choices, pooled: bool = False) -> tuple[int, ...]:
    """A shape of rank 0 to 5, of at most `MAX_SIZE` elements; in about 1 of 25 an axis is empty.

    pooled: 7 of 8 are from `POOL`.
    """
    if pooled and not choices.chance(13):
        return choices.pick(POOL)
    rank = choices.pick((2, 1, 2, 3, 1, 2, 3, 2, 1, 0, 4, 5))
    shape: list[int] = []
    room = MAX_SIZE
    edgy = choices.below(8)
    for i in range(rank):
        n = choices.pick(EDGES if edgy == 7 - i and rank <= 3 else SMALL)
        n = min(n, max(room, 1))
        room //= max(n, 1)
        shape.append(n)
    if rank and choices.chance(4):
        shape[choices.below(rank)] = 0
    return tuple(shape)


def draw_large_shape(choices: Choices) -> tuple[int, ...]:
    """A shape of 10 thousand to 2 million elements, the smaller ones more often."""
    n = LARGE[min(choices.below(len(LARGE)), choices.below(len(LARGE)))]
    return (n,) if choices.chance(50) else (n // 4, 4)


@cache
def share_table(dtypes: tuple[str, ...]) -> tuple[str, ...]:
    """`dtypes`, each as often as its share, the first of the table first."""
    return tuple(d for d, n in DTYPE_SHARES.items() if d in dtypes for _ in range(n))


def draw_dtype(choices: Choices, dtypes: tuple[str, ...]) -> str:
    """One of `dtypes` by share."""
    return choices.pick(share_table(dtypes))


# ------------------------------------------------------------------------------------------------------------ data
@cache
def table(dtype: str, flavour: str) -> Array:
    """The values from which data of a flavour is taken, the simplest first."""
    d = DTYPES[dtype]
    if d.kind == "bool":
        return np.array([False, True, True, False, True])
    if not d.precision:
        bottom, top = d.range
        small = [n for n in (1, 2, 3, 0, 4, 5, 7, 8, 10, 11) if n <= top]
        if flavour == "ones":
            small = [1]
        if bottom < 0 and flavour != "ones":
            small += [-1, -2, -3, -5, -8]
        if flavour == "wild":
            small += [top, bottom, top - 1, bottom + 1, top // 2, top // 3]
            small += [n for n in NARROWING if n < top]
        return np.array(small, d.np)
    dyadic = [1.0, 2.0, 3.0, 0.5, -1.0, 0.0, 1.5, -2.0, 4.0, 0.25, -0.5, 2.5, -3.0, 5.0, -1.5, 6.0, 0.75]
    if flavour == "ones":
        return np.array([1.0], d.np)
    if flavour != "wild":
        return np.array(dyadic, d.np)
    tiny = math.ldexp(1.0, d.emin)
    ulp = math.ldexp(1.0, 1 - d.precision)
    wild: list[Any] = [*dyadic[:6], math.nan, math.inf, -math.inf, -0.0, 0.0, d.eta, -d.eta, tiny, tiny - d.eta]
    wild += [d.max, -d.max, d.max / 2, 1 + ulp, 1 - ulp / 2, 1 / 3, 0.1, -0.1, 1e3, -1e3, math.pi, 2.0**d.precision]
    values = np.array(wild, np.float64).astype(d.np)
    payload = np.array([float("nan")], d.np).view(f"u{d.np.itemsize}") | np.array([3], f"u{d.np.itemsize}")
    return np.concatenate([values, payload.view(d.np)])


def scatter(seed: int, n: int) -> Array:
    """n well-spread 64-bit numbers out of a drawn seed (the splitmix64 finaliser over a counter)."""
    x = (np.arange(n, dtype=np.uint64) + np.uint64(seed)) * np.uint64(0x9E3779B97F4A7C15)
    x ^= x >> np.uint64(30)
    x *= np.uint64(0xBF58476D1CE4E5B9)
    return x ^ (x >> np.uint64(27))


def make_data(type: ArrayType, flavour: str, seed: int) -> Array:
    """Data of a type: taken from the flavour's table, counting, or full-range bits; seed 0 is the simplest."""
    n, d = type.size, DTYPES[type.dtype]
    if d.component:
        both = make_data(ArrayType(d.component, (*type.shape, 2)), flavour, seed)
        return frozen_input(both.view(d.np).reshape(type.shape))
    if flavour == "full" and d.kind != "bool":
        bits = scatter(seed + 1, n)
        return frozen_input((bits >> np.uint64(64 - d.bits)).astype(f"u{d.np.itemsize}").view(d.np).reshape(type.shape))
    if flavour == "counting" and d.kind != "bool":
        period = 100 if d.bits > 4 else 7
        return frozen_input((np.arange(n) % period + 1).astype(d.np).reshape(type.shape))
    values = table(type.dtype, flavour)
    if n <= len(values) and not seed:
        return frozen_input(values[:n].reshape(type.shape))
    picked = values[(scatter(seed, n) >> np.uint64(33)) % np.uint64(len(values))]
    return frozen_input(picked.reshape(type.shape))


def draw_data(choices: Choices, type: ArrayType, wild: bool) -> Array:
    """Input data; about one in eight has an axis of equal elements, so that stride 0 can hold it."""
    flavour = choices.pick(("wild", "wild", "full", "dyadic") if wild else ("dyadic", "dyadic", "dyadic", "counting"))
    seed = choices.below(65536)
    if choices.chance(14) and type.ndim and type.size > 1:
        axis = choices.below(type.ndim)
        small = ArrayType(type.dtype, tuple(1 if i == axis else n for i, n in enumerate(type.shape)))
        return frozen_input(np.broadcast_to(make_data(small, flavour, seed), type.shape))
    return make_data(type, flavour, seed)
