"""Operands and attributes of element-wise ops that need more than elements of one kind: for `cases`."""

from __future__ import annotations

from typing import Any

import numpy as np

from offload_fuzz.types import DTYPES, Array, type_of

Rng = np.random.Generator


def applied(rng: Rng, op: str, x: Array, manner: str) -> tuple[tuple[Array, ...], dict[str, Any]] | None:
    """Operands and attributes of `op` with first operand `x`; None where it needs nothing special."""
    dtype = type_of(x).dtype
    if op in ("bitwise_left_shift", "bitwise_right_shift"):
        return (x, rng.integers(0, DTYPES[dtype].bits, _shape(rng, x)).astype(x.dtype)), {}
    if op == "ldexp":
        reach = {"small": 9, "medium": 150, "wild": 2200, "bits": 2**31 - 1}[manner]
        return (x, rng.integers(-reach, reach, _shape(rng, x), endpoint=True).astype(np.int32)), {}
    if op == "clip":
        return (x,), {"min": int(rng.integers(-6, 3)), "max": int(rng.integers(2, 10))}
    if op == "bitcast":
        alike = [d for d in DTYPES if DTYPES[d].bits == DTYPES[dtype].bits and d != "bool"]
        return (x,), {"dtype": str(rng.choice(alike))}
    return None


def _shape(rng: Rng, x: Array) -> tuple[int, ...]:
    shape: tuple[int, ...] = x.shape
    return shape[1:] if x.ndim and rng.random() < 0.2 else shape
