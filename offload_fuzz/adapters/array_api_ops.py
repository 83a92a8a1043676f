"""What each op is in a namespace of the array API standard: op -> function(namespace, operands, attributes).

An op of the standard has its own name there, in the namespace or in its `linalg` extension, and its attributes are the
keywords of the standard; here stands where the standard has an argument by position, a list of arrays or an operator.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

Namespace: TypeAlias = Any
Value: TypeAlias = Any
Run: TypeAlias = Callable[[Namespace, list[Value], dict[str, Any]], Value]

#: Functions of the standard (2024.12) whose operands are positional and whose attributes are keywords of the same name.
AS_THEY_ARE = """
abs acos acosh add asin asinh atan atan2 atanh bitwise_and bitwise_left_shift bitwise_invert bitwise_or
bitwise_right_shift bitwise_xor ceil clip copysign cos cosh divide equal exp expm1 floor floor_divide greater
greater_equal hypot isfinite isinf isnan less less_equal log log1p log2 log10 logaddexp logical_and logical_not
logical_or logical_xor maximum minimum multiply negative nextafter not_equal positive pow reciprocal remainder round
sign signbit sin sinh square sqrt subtract tan tanh trunc real imag conj
where searchsorted argmax argmin count_nonzero sort argsort all any diff
sum prod mean max min std var cumulative_sum cumulative_prod
reshape permute_dims flip broadcast_to squeeze expand_dims roll take take_along_axis
full_like ones_like zeros_like
matmul vecdot tensordot matrix_transpose tril triu
"""
#: Functions of the extension `linalg` alone; what a library has by that name elsewhere may be another function.
LINALG = "cross outer trace diagonal vector_norm"


def _astype(xp: Namespace, operands: list[Value], attributes: dict[str, Any]) -> Value:
    return xp.astype(operands[0], getattr(xp, attributes["dtype"]))


def _region(x: Value, attributes: dict[str, Any]) -> tuple[Any, ...]:
    """The region as slices within bounds: the standard leaves a start or stop beyond the axis open."""
    region: list[Any] = []
    for part, n in zip(attributes["index"], x.shape, strict=True):
        r = range(*slice(*part).indices(n))
        region.append(slice(r.start, r.stop if r.stop >= 0 else None, r.step) if r else slice(0, 0))
    return (*region, ...)


def _setitem(xp: Namespace, operands: list[Value], attributes: dict[str, Any]) -> Value:
    x, value = operands
    out = xp.asarray(x, copy=True)
    out[_region(x, attributes)] = value
    return out


def _getitem(xp: Namespace, operands: list[Value], attributes: dict[str, Any]) -> Value:
    return operands[0][_region(operands[0], attributes)]


def _repeat(xp: Namespace, operands: list[Value], attributes: dict[str, Any]) -> Value:
    return xp.repeat(operands[0], attributes["repeats"], axis=attributes["axis"])


def _moveaxis(xp: Namespace, operands: list[Value], attributes: dict[str, Any]) -> Value:
    return xp.moveaxis(operands[0], attributes["source"], attributes["destination"])


#: Where the standard's signature is another than ours.
DIFFERS: dict[str, Run] = {
    "astype": _astype,
    "getitem": _getitem,
    "setitem": _setitem,
    "concat": lambda xp, o, a: xp.concat(o, axis=a["axis"]),
    "stack": lambda xp, o, a: xp.stack(o, axis=a["axis"]),
    "repeat": _repeat,
    "tile": lambda xp, o, a: xp.tile(o[0], a["repetitions"]),
    "moveaxis": _moveaxis,
    "unstack": lambda xp, o, a: xp.unstack(o[0], axis=a["axis"])[a["index"]],
    "meshgrid": lambda xp, o, a: xp.meshgrid(*o, indexing=a["indexing"])[a["index"]],
}
#: Functions that make an array: the attributes that are positional there; dtype and device are keywords.
MAKES: dict[str, tuple[str, ...]] = {
    "full": ("shape", "fill_value"),
    "ones": ("shape",),
    "zeros": ("shape",),
    "eye": ("n_rows", "n_cols"),
    "arange": ("start", "stop", "step"),
    "linspace": ("start", "stop"),
}
#: The namespace's name of what `DIFFERS` calls, where it has one.
NEEDS = {"getitem": "asarray", "setitem": "asarray"}

#: Ops of which NumPy and PyTorch warn, beside `errstate`, where there are too few elements.
WARNS = frozenset({"mean", "var", "std"})


def runs_of(xp: Namespace, ops: Iterable[str], device: Any) -> dict[str, Run]:
    """The functions for those of `ops` that the namespace has, in their order; what they make is on `device`."""
    found: dict[str, Run] = {}
    as_they_are, linalg = AS_THEY_ARE.split(), LINALG.split()
    for op in ops:
        if op in DIFFERS and hasattr(xp, NEEDS.get(op, op)):
            found[op] = DIFFERS[op]
        elif op in MAKES and hasattr(xp, op):
            found[op] = _made(getattr(xp, op), MAKES[op], device)
        elif op in as_they_are and hasattr(xp, op):
            found[op] = _called(getattr(xp, op))
        elif op in linalg and hasattr(xp, "linalg") and hasattr(xp.linalg, op):
            found[op] = _called(getattr(xp.linalg, op))
    return found


def _made(function: Callable[..., Value], positional: tuple[str, ...], device: Any) -> Run:
    def run(xp: Namespace, operands: list[Value], attributes: dict[str, Any]) -> Value:
        keywords = {name: value for name, value in attributes.items() if name not in positional}
        keywords["dtype"] = getattr(xp, attributes["dtype"])
        return function(*(attributes[name] for name in positional), device=device, **keywords)

    return run


def _called(function: Callable[..., Value]) -> Run:
    return lambda xp, operands, attributes: function(*operands, **attributes)
