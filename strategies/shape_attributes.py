"""Attributes of ops that make, pad and repeat arrays: what each holds for a (first or made) array of type `x`."""

from __future__ import annotations

from typing import Any

from offload_fuzz.types import DTYPES, ArrayType, is_floating

from .arrays import table
from .choices import Choices


def draw_fill(_: Any, x: ArrayType, choices: Choices, __: Any) -> Any:
    """An element of x's dtype as a Python number, which holds it exactly; 1 in 8 of floats is special."""
    flavour = "wild" if choices.chance(12) else "dyadic"
    value = choices.pick(table(x.dtype, flavour).tolist() if x.dtype != "bfloat16" else _bfloat16s(flavour))
    return value


def _bfloat16s(flavour: str) -> list[float]:
    return [float(v) for v in table("bfloat16", flavour)]


def draw_number(domain: Any, x: ArrayType, choices: Choices, __: Any) -> int | float:
    """A small number that x's dtype holds: ints for integers, mostly dyadic for floats."""
    if not is_floating(x.dtype):
        signed = DTYPES[x.dtype].kind == "signed integer"
        ints = (domain.plain, 1, 2, 0, 3, 5, 8, 17, 40, *((-1, -2, -3, -9) if signed else ()))
        return choices.pick(ints) or (0 if domain.zero else 1)
    if choices.chance(20):
        thirds = choices.pick((1, 2, 4, 10, -1, -7)) / choices.pick((3, 10, 7))
        return float(DTYPES[x.dtype].np.type(thirds))
    dyadic = (float(domain.plain), 1.0, 2.0, 0.0, 0.5, 3.0, -1.0, 0.25, 5.0, 8.0, -2.0, 17.0, 40.0, -0.5, 1.5)
    return choices.pick(dyadic) or (0.0 if domain.zero else 1.0)


def draw_repetitions(_: Any, x: ArrayType, choices: Choices, __: Any) -> tuple[int, ...]:
    """1 to 3 for each axis of x, seldom 0; at times for a new axis before or for fewer axes."""
    n = x.ndim + choices.pick((0, 0, 0, 1)) - choices.pick((0, 0, 0, 1))
    return tuple(choices.pick((1, 2, 1, 3, 2, 1, 2, 0) if choices.chance(10) else (1, 2, 3)) for _ in range(max(n, 0)))


def draw_widths(_: Any, x: ArrayType, choices: Choices, __: Any) -> tuple[tuple[int, int], ...]:
    """0 to 3 elements before and after on each axis of x."""
    return tuple((choices.pick((1, 0, 2)), choices.pick((0, 1, 3))) for _ in range(x.ndim))


__all__ = ["draw_fill", "draw_number", "draw_repetitions", "draw_widths"]
