"""What the ops that make, move, order, add up and multiply arrays are in PyTorch.

PyTorch has no nanmax and nanmin; they are those of what is left when NaN is the last to be chosen.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any, TypeAlias

Tensor: TypeAlias = Any
Run: TypeAlias = Callable[[list[Tensor], dict[str, Any]], Tensor]

#: Views of their operand; meshgrid gives a view of one of its two, diff and the rest are fresh memory.
ALIASING = {
    "moveaxis": "view",
    "swapaxes": "view",
    "matrix_transpose": "view",
    "diagonal": "view",
    "unstack": "view",
    "meshgrid": "may",
}

SQUARE, ROW = (2, 2), (17,)
OVER = {"axis": (0,), "keepdims": False}
ALONG = {"axis": 0}
#: As `adapters.torch.PROBES`: what a device is asked, as shapes and attributes.
PROBES: dict[str, list[tuple[tuple[int, ...], dict[str, Any]]]] = {
    **{
        key: [(SQUARE, OVER)] for key in ("min", "nanmax", "nanmin", "nansum", "nanmean", "all", "any", "count_nonzero")
    },
    **{key: [(SQUARE, {**OVER, "correction": 0})] for key in ("var", "std")},
    "vector_norm": [(SQUARE, {**OVER, "ord": order}) for order in (2, 1, math.inf)],
    "argmin": [(SQUARE, {"axis": 0, "keepdims": False})],
    "argsort": [(SQUARE, {"axis": 0, "descending": False})],
    **{key: [(SQUARE, ALONG)] for key in ("cumulative_prod", "cumulative_max", "cumulative_min")},
    "searchsorted": [(ROW, {"side": "left"})],
    "diff": [(SQUARE, {"axis": 0, "n": 1})],
    "moveaxis": [(SQUARE, {"source": 0, "destination": 1})],
    "swapaxes": [(SQUARE, {"axis1": 0, "axis2": 1})],
    "repeat": [(SQUARE, {"repeats": 2, "axis": 0})],
    "roll": [(SQUARE, {"shift": 1, "axis": 0}), (ROW, {"shift": 1, "axis": None})],
    "tile": [(SQUARE, {"repetitions": (2, 1)})],
    "unstack": [(SQUARE, {"axis": 0, "index": 1})],
    "pad": [(SQUARE, {"width": ((1, 0), (0, 1))})],
    "stack": [(SQUARE, ALONG)],
    "meshgrid": [(ROW, {"indexing": "xy", "index": 1})],
    "take_along_axis": [(SQUARE, ALONG)],
    **{key: [(SQUARE, {"k": 1})] for key in ("tril", "triu", "rot90")},
    **{key: [(SQUARE, {"offset": 0})] for key in ("diagonal", "trace")},
    "vecdot": [(SQUARE, {"axis": -1})],
    "tensordot": [(SQUARE, {"axes": 1})],
    "outer": [(ROW, {})],
    "cross": [((2, 3), {})],
    "full": [((), {"shape": (2,), "fill_value": 1})],
    **{key: [((), {"shape": (2,)})] for key in ("ones", "zeros")},
    "eye": [((), {"n_rows": 2, "n_cols": 2, "k": k}) for k in (0, 1)],
    "arange": [((), {"start": 1, "stop": 3, "step": 1})],
    "linspace": [((), {"start": 1, "stop": 3, "num": 3})],
    "full_like": [(SQUARE, {"fill_value": 1})],
}
#: How PyTorch says of these that a dtype is not there, in lower case.
ABSENT = ("expected a floating point",)


def runs(ops: Any, device: Any) -> dict[str, Run]:
    """op -> function(operands, attributes), for the `TorchOps` `ops`; what is made is made on `device`."""
    t, dtypes = ops.t, ops.dtypes

    def over(function: Callable[[Tensor, tuple[int, ...], bool, dict[str, Any]], Tensor]) -> Run:
        """A reduction; PyTorch takes no axes for all axes, so that a new one is reduced instead."""

        def run(operands: list[Tensor], attributes: dict[str, Any]) -> Tensor:
            (x,) = operands
            axes = ops.axes(x, attributes)
            if not axes:
                return function(x.unsqueeze(-1), (-1,), False, attributes)
            return function(x, axes, attributes["keepdims"], attributes)

        return run

    def count(x: Tensor, axes: tuple[int, ...], keepdims: bool, _: dict[str, Any]) -> Tensor:
        found = t.count_nonzero(x, axes)
        for axis in sorted(a % x.ndim for a in axes) if keepdims else ():
            found = found.unsqueeze(axis)
        return found

    def without_nan(function: Any, last: float) -> Run:
        def run(x: Tensor, axes: tuple[int, ...], keepdims: bool, _: dict[str, Any]) -> Tensor:
            nan = t.isnan(x)
            found = function(t.where(nan, last, x), axes, keepdims)
            return t.where(t.all(nan, axes, keepdims), math.nan, found)

        return over(run)

    def spread(function: Any) -> Run:
        def run(x: Tensor, axes: tuple[int, ...], keepdims: bool, attributes: dict[str, Any]) -> Tensor:
            correction = attributes["correction"]
            if x.numel() and math.prod(x.shape[a] for a in axes) > correction:
                return function(x, axes, correction=correction, keepdim=keepdims)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # PyTorch warns that nothing is left to divide by
                return function(x, axes, correction=correction, keepdim=keepdims)

        return over(run)

    def pad(operands: list[Tensor], attributes: dict[str, Any]) -> Tensor:
        last_first = [n for pair in reversed(attributes["width"]) for n in pair]
        return t.constant_pad_nd(operands[0], last_first) if last_first else operands[0].clone()

    def eye(operands: list[Tensor], attributes: dict[str, Any]) -> Tensor:
        rows, columns, k = attributes["n_rows"], attributes["n_cols"], attributes["k"]
        if k == 0:
            return t.eye(rows, columns, dtype=dtypes[attributes["dtype"]], device=device)
        out = t.zeros(rows, columns, dtype=dtypes[attributes["dtype"]], device=device)
        if -rows < k < columns:
            out.diagonal(k).fill_(1)
        return out

    def arange(operands: list[Tensor], attributes: dict[str, Any]) -> Tensor:
        """PyTorch refuses a stop that lies behind the start, where the standard gives no elements."""
        start, stop, step = (attributes[name] for name in ("start", "stop", "step"))
        stop = start if (stop - start) * step < 0 else stop
        return t.arange(start, stop, step, dtype=dtypes[attributes["dtype"]], device=device)

    def made(function: Any, *names: str) -> Run:
        return lambda o, a: function(*[a[n] for n in names], dtype=dtypes[a["dtype"]], device=device)

    return {
        "min": over(lambda x, axes, keepdims, _: t.amin(x, axes, keepdims)),
        "nanmax": without_nan(t.amax, -math.inf),
        "nanmin": without_nan(t.amin, math.inf),
        "all": over(lambda x, axes, keepdims, _: t.all(x, axes, keepdims).to(t.bool)),
        "any": over(lambda x, axes, keepdims, _: t.any(x, axes, keepdims).to(t.bool)),
        "count_nonzero": over(count),
        "nansum": over(lambda x, axes, keepdims, _: t.nansum(x, axes, keepdims)),
        "nanmean": over(lambda x, axes, keepdims, _: t.nanmean(x, axes, keepdims)),
        "var": spread(t.var),
        "std": spread(t.std),
        "vector_norm": over(lambda x, axes, keepdims, a: t.linalg.vector_norm(x, a["ord"], axes, keepdims)),
        "argmin": lambda o, a: t.argmin(o[0], a["axis"], a["keepdims"]),
        "argsort": lambda o, a: t.argsort(o[0], dim=a["axis"], descending=a["descending"], stable=True),
        "searchsorted": lambda o, a: t.searchsorted(o[0].contiguous(), o[1].contiguous(), side=a["side"]),
        "cumulative_prod": lambda o, a: ops._accumulate(t.cumprod, o[0], a["axis"]),
        "cumulative_max": lambda o, a: t.cummax(o[0], a["axis"]).values,
        "cumulative_min": lambda o, a: t.cummin(o[0], a["axis"]).values,
        "diff": lambda o, a: t.diff(o[0], n=a["n"], dim=a["axis"]),
        "moveaxis": lambda o, a: t.moveaxis(o[0], a["source"], a["destination"]),
        "swapaxes": lambda o, a: t.swapaxes(o[0], a["axis1"], a["axis2"]),
        "matrix_transpose": lambda o, a: o[0].mT,
        "rot90": lambda o, a: t.rot90(o[0], a["k"], (0, 1)),
        "diagonal": lambda o, a: t.diagonal(o[0], a["offset"], -2, -1),
        "trace": lambda o, a: ops._accumulate(t.sum, t.diagonal(o[0], a["offset"], -2, -1), -1),
        "repeat": lambda o, a: t.repeat_interleave(o[0], a["repeats"], a["axis"]),
        "roll": lambda o, a: t.roll(o[0], a["shift"], a["axis"]),
        "tile": lambda o, a: t.tile(o[0], a["repetitions"]),
        "pad": pad,
        "unstack": lambda o, a: t.unbind(o[0], a["axis"])[a["index"]],
        "stack": lambda o, a: t.stack(o, a["axis"]),
        "meshgrid": lambda o, a: t.meshgrid(*o, indexing=a["indexing"])[a["index"]],
        "take_along_axis": lambda o, a: t.take_along_dim(o[0], o[1], a["axis"]),
        "vecdot": lambda o, a: t.linalg.vecdot(*ops.common(*o), dim=a["axis"]),
        "tensordot": lambda o, a: t.tensordot(*ops.common(*o), dims=a["axes"]),
        "outer": lambda o, a: t.outer(*ops.common(*o)),
        "kron": lambda o, a: t.kron(*ops.common(*o)),
        "cross": lambda o, a: t.linalg.cross(*t.broadcast_tensors(*ops.common(*o)), dim=-1),
        "tril": lambda o, a: t.tril(o[0], a["k"]),
        "triu": lambda o, a: t.triu(o[0], a["k"]),
        "full": made(t.full, "shape", "fill_value"),
        "ones": made(t.ones, "shape"),
        "zeros": made(t.zeros, "shape"),
        "eye": eye,
        "arange": arange,
        "linspace": made(t.linspace, "start", "stop", "num"),
        "full_like": lambda o, a: t.full_like(o[0], a["fill_value"]),
        "ones_like": lambda o, a: t.ones_like(o[0]),
        "zeros_like": lambda o, a: t.zeros_like(o[0]),
    }
