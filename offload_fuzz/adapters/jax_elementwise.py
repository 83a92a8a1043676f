"""Element-wise ops in JAX, as tables: array API name -> jax.numpy's, and functions where more than a name differs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

#: One operand; called as they are.
UNARY = {
    "negative": "negative",
    "positive": "positive",
    "abs": "abs",
    "square": "square",
    "sqrt": "sqrt",
    "reciprocal": "reciprocal",
    "exp": "exp",
    "exp2": "exp2",
    "expm1": "expm1",
    "log": "log",
    "log2": "log2",
    "log10": "log10",
    "log1p": "log1p",
    "sin": "sin",
    "cos": "cos",
    "tan": "tan",
    "asin": "arcsin",
    "acos": "arccos",
    "atan": "arctan",
    "sinh": "sinh",
    "cosh": "cosh",
    "tanh": "tanh",
    "asinh": "arcsinh",
    "acosh": "arccosh",
    "atanh": "arctanh",
    "floor": "floor",
    "ceil": "ceil",
    "trunc": "trunc",
    "round": "round",
    "sign": "sign",
    "signbit": "signbit",
    "isnan": "isnan",
    "isinf": "isinf",
    "isfinite": "isfinite",
    "isposinf": "isposinf",
    "isneginf": "isneginf",
    "nan_to_num": "nan_to_num",
    "logical_not": "logical_not",
    "bitwise_invert": "bitwise_not",
}
#: Two operands; called in their common dtype.
BINARY = {
    "add": "add",
    "subtract": "subtract",
    "multiply": "multiply",
    "divide": "divide",
    "floor_divide": "floor_divide",
    "remainder": "remainder",
    "fmod": "fmod",
    "pow": "power",
    "atan2": "arctan2",
    "hypot": "hypot",
    "logaddexp": "logaddexp",
    "copysign": "copysign",
    "nextafter": "nextafter",
    "heaviside": "heaviside",
    "minimum": "minimum",
    "maximum": "maximum",
    "fmin": "fmin",
    "fmax": "fmax",
    "gcd": "gcd",
    "lcm": "lcm",
    "equal": "equal",
    "not_equal": "not_equal",
    "less": "less",
    "less_equal": "less_equal",
    "greater": "greater",
    "greater_equal": "greater_equal",
    "logical_and": "logical_and",
    "logical_or": "logical_or",
    "logical_xor": "logical_xor",
    "bitwise_and": "bitwise_and",
    "bitwise_or": "bitwise_or",
    "bitwise_xor": "bitwise_xor",
    "bitwise_left_shift": "left_shift",
    "bitwise_right_shift": "right_shift",
}


def elementwise(jax: Any, of_common: Callable[[Any], Any]) -> dict[str, Callable[..., Any]]:
    """Those that are not a function of jax.numpy, or take attributes. of_common: casts two operands first."""
    jnp, lax, special = jax.numpy, jax.lax, jax.scipy.special
    return {
        "rsqrt": lax.rsqrt,
        "erf": lax.erf,
        "erfc": lax.erfc,
        "expit": special.expit,
        "xlogy": of_common(special.xlogy),
        "ldexp": lambda x1, x2: jnp.ldexp(x1, x2).astype(x1.dtype),
        "bitwise_count": lambda x: jnp.bitwise_count(x).astype("uint8"),
        "clip": lambda x, *, min, max: jnp.clip(x, bound(min, x.dtype), bound(max, x.dtype)),
        "bitcast": lambda x, *, dtype: x.view(dtype),
    }


def bound(value: float, dtype: Any) -> Any:
    """A bound of clip as a scalar of the operand's dtype, the nearest there is."""
    if np.issubdtype(dtype, np.integer):
        info = np.iinfo(dtype)
        value = min(max(value, info.min), info.max)
    return np.asarray(value).astype(dtype)
