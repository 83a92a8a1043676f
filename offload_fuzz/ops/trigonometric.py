"""Trigonometric and hyperbolic functions of the array API standard, with their inverses, atan2 and hypot.

Each result lies within the contract's ulps of the exact one, which is computed wide (`ulps_rule`). Where a device stops
short of the largest number (cosh, sinh), its contract says from which argument on (`[infinite_beyond]`).
"""

from __future__ import annotations

import numpy as np

from offload_fuzz.ops.base import ulps
from offload_fuzz.ops.elementwise import DOWN, FLOATING, OTHER, UP, row
from offload_fuzz.ops.function_ranges import FUNCTION_RANGES, for_known
from offload_fuzz.ops.ranges import RANGES, above_a_point, monotone, wave
from offload_fuzz.ops.rules import ulps_rule

FUNCTIONS = [
    row("acos", np.arccos, FLOATING, ulps(4), DOWN),
    row("acosh", np.arccosh, FLOATING, ulps(4), UP),
    row("asin", np.arcsin, FLOATING, ulps(4), UP),
    row("asinh", np.arcsinh, FLOATING, ulps(4), UP),
    row("atan", np.arctan, FLOATING, ulps(4), UP),
    row("atanh", np.arctanh, FLOATING, ulps(4), UP),
    row("cos", np.cos, FLOATING, ulps(4), "other"),
    row("cosh", np.cosh, FLOATING, ulps(4), "other"),
    row("sinh", np.sinh, FLOATING, ulps(4), UP),
    row("tan", np.tan, FLOATING, ulps(4), "other"),
    row("atan2", np.arctan2, FLOATING, ulps(4), *OTHER, enclose=for_known(ulps_rule)),
    row("hypot", np.hypot, FLOATING, ulps(4), *OTHER),
]

RANGES |= {
    **{name: FUNCTION_RANGES[name] for name in ("acos", "asin", "atanh", "cosh", "tan", "hypot")},
    "acosh": above_a_point(0.0),
    "asinh": monotone,
    "atan": monotone,
    "cos": wave(0.0, np.pi),
    "sinh": monotone,
}
