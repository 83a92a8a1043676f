"""More element-wise ops in PyTorch: names for `TorchOps`, functions where a name will not do, and what to ask."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from offload_fuzz.ops.clamping import limits
from offload_fuzz.types import DTYPES

Tensor: TypeAlias = Any
Run: TypeAlias = Callable[[list[Tensor], dict[str, Any]], Tensor]

#: array API name -> PyTorch's name.
UNARY = {
    **{n: n for n in ("acos", "acosh", "asin", "asinh", "atan", "atanh", "cos", "cosh", "sinh", "tan")},
    **{n: n for n in ("exp2", "expm1", "log10", "log1p", "log2", "erf", "erfc", "rsqrt", "reciprocal")},
    **{n: n for n in ("ceil", "trunc", "sign", "nan_to_num")},
    "expit": "sigmoid",
}
#: Functions without `out=`, or whose result has another dtype.
UNARY_FRESH = {n: n for n in ("positive", "isfinite", "isinf", "isneginf", "isposinf", "signbit")}
BINARY = {
    **{n: n for n in ("atan2", "copysign", "fmax", "fmin", "fmod", "heaviside", "hypot", "logaddexp", "nextafter")},
    **{n: n for n in ("xlogy", "gcd", "lcm", "logical_or", "logical_xor", "bitwise_or")},
    **{n: n for n in ("bitwise_left_shift", "bitwise_right_shift")},
    "greater": "gt",
    "greater_equal": "ge",
    "less_equal": "le",
    "not_equal": "ne",
}
ALIASING = {"positive": "view", "bitcast": "view"}
#: op -> shapes and attributes that a device is asked about.
PROBES: dict[str, list[tuple[tuple[int, ...], dict[str, Any]]]] = {"clip": [((2, 2), {"min": 0, "max": 2})]}


def runs(t: Any, dtypes: dict[str, Any]) -> dict[str, Run]:
    """The functions of module `t` (torch) for ops that need more than a name."""
    names = {dtype: name for name, dtype in dtypes.items()}

    def clip(operands: list[Tensor], attributes: dict[str, Any]) -> Tensor:
        """Bounds beyond an integer dtype are its ends, as PyTorch would wrap them."""
        (x,) = operands
        low, high = limits(DTYPES[names[x.dtype]].np, attributes["min"], attributes["max"])
        return t.clamp(x, low.item(), high.item())

    counts = [n.bit_count() for n in range(256)]

    def bitwise_count(operands: list[Tensor], attributes: dict[str, Any]) -> Tensor:
        """PyTorch counts no bits: by bytes, of the magnitude, from a table."""
        (x,) = operands
        if not x.numel():
            return t.zeros(x.shape, dtype=t.uint8, device=x.device)
        size = t.abs(x) if names[x.dtype].startswith("int") else x
        dense = t.cat([size.reshape(-1)])  # new memory; contiguous() keeps the stride of one element
        octets = dense.view(t.uint8).to(t.int64)
        table = t.tensor(counts, dtype=t.uint8, device=x.device)
        return table[octets].reshape(*x.shape, x.element_size()).sum(-1, dtype=t.uint8)

    return {
        "clip": clip,
        "bitwise_count": bitwise_count,
        "bitcast": lambda o, a: o[0].view(dtypes[a["dtype"]]),
        "ldexp": lambda o, a: t.ldexp(o[0], o[1]),
    }
