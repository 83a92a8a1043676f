"""What each op is in PyTorch: op -> function(operands, attributes), with tensors for operands.

Operands of two dtypes are cast to the common dtype of the array API first, as PyTorch's own promotion differs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any, TypeAlias

from offload_fuzz.adapters import torch_elementwise, torch_shaping
from offload_fuzz.adapters.torch_neural import runs as neural_runs
from offload_fuzz.ops.statistical import accumulated_dtype
from offload_fuzz.types import DTYPES, promote

Tensor: TypeAlias = Any
Run: TypeAlias = Callable[[list[Tensor], dict[str, Any]], Tensor]
Into: TypeAlias = Callable[[list[Tensor], Tensor], Tensor]

#: Element-wise ops: array API name -> PyTorch's name. All but isnan also take `out=`.
UNARY = {
    "negative": "neg",
    "abs": "abs",
    "square": "square",
    "sqrt": "sqrt",
    "exp": "exp",
    "log": "log",
    "sin": "sin",
    "tanh": "tanh",
    "floor": "floor",
    "round": "round",
    "logical_not": "logical_not",
    "bitwise_invert": "bitwise_not",
    "isnan": "isnan",
    **torch_elementwise.UNARY,
}
BINARY = {
    "add": "add",
    "subtract": "sub",
    "multiply": "mul",
    "divide": "div",
    "floor_divide": "floor_divide",
    "remainder": "remainder",
    "pow": "pow",
    "minimum": "minimum",
    "maximum": "maximum",
    "equal": "eq",
    "less": "lt",
    "logical_and": "logical_and",
    "bitwise_and": "bitwise_and",
    "bitwise_xor": "bitwise_xor",
    **torch_elementwise.BINARY,
}
#: Views of their operand; the others are fresh memory but for reshape and getitem, which copy where they must.
ALIASING = {
    "*": "fresh",
    "permute_dims": "view",
    "broadcast_to": "view",
    "squeeze": "view",
    "expand_dims": "view",
    "real": "view",
    "imag": "view",
    "conj": "view",
    "reshape": "may",
    "getitem": "may",
    **torch_elementwise.ALIASING,
    **torch_shaping.ALIASING,
}


class TorchOps:
    """The ops of module `t` (torch) on `device`: `runs`, and `into` for the same with a place for the result."""

    def __init__(self, t: Any, device: Any = None) -> None:
        self.t = t
        self.dtypes: dict[str, Any] = {d.name: getattr(t, d.name) for d in DTYPES.values() if d.bits >= 8}
        self.names: dict[Any, str] = {dtype: name for name, dtype in self.dtypes.items()}
        self.runs: dict[str, Run] = {
            **{op: _unary(getattr(t, name)) for op, name in UNARY.items()},
            **{op: self._binary(getattr(t, name)) for op, name in BINARY.items()},
            **{op: _unary(getattr(t, name)) for op, name in torch_elementwise.UNARY_FRESH.items()},
            **torch_elementwise.runs(t, self.dtypes),
            "where": lambda o, a: t.where(o[0], *self.common(o[1], o[2])),
            "sum": self._sum,
            "prod": self._prod,
            "mean": lambda o, a: t.mean(o[0], axes, a["keepdims"]) if (axes := self.axes(o[0], a)) else o[0].clone(),
            "max": lambda o, a: t.amax(o[0], axes, a["keepdims"]) if (axes := self.axes(o[0], a)) else o[0].clone(),
            "argmax": lambda o, a: t.argmax(o[0], a["axis"], a["keepdims"]),
            "cumulative_sum": self._cumulative_sum,
            "sort": lambda o, a: t.sort(o[0], dim=a["axis"], stable=True).values,
            "matmul": lambda o, a: t.matmul(*self.common(*o)),
            "reshape": lambda o, a: t.reshape(o[0], a["shape"]),
            "permute_dims": lambda o, a: t.permute(o[0], a["axes"]),
            "flip": lambda o, a: t.flip(o[0], self.axes(o[0], a)),
            "broadcast_to": lambda o, a: t.broadcast_to(o[0], a["shape"]),
            "squeeze": lambda o, a: t.squeeze(o[0], a["axis"]),
            "expand_dims": lambda o, a: t.unsqueeze(o[0], a["axis"]),
            "concat": lambda o, a: t.cat(o, a["axis"]),
            "getitem": self._getitem,
            "setitem": self._setitem,
            "take": lambda o, a: t.index_select(o[0], a["axis"], o[1]),
            "real": lambda o, a: t.real(o[0]),
            "imag": lambda o, a: t.imag(o[0]),
            "conj": lambda o, a: t.conj(o[0]),
            **neural_runs(t, forward),
            "astype": lambda o, a: o[0].to(self.dtypes[a["dtype"]], copy=True),
            **torch_shaping.runs(self, device),
        }
        self.into: dict[str, Into] = {
            **{op: _unary_into(getattr(t, name)) for op, name in UNARY.items() if op != "isnan"},
            **{op: self._binary_into(getattr(t, name)) for op, name in BINARY.items()},
        }

    # ------------------------------------------------------------------------------------------------ operands
    def common(self, x1: Tensor, x2: Tensor) -> tuple[Tensor, Tensor]:
        """Both operands in their common dtype."""
        if x1.dtype is x2.dtype:
            return x1, x2
        dtype = self.dtypes[promote(self.names[x1.dtype], self.names[x2.dtype])]
        return x1.to(dtype), x2.to(dtype)

    @staticmethod
    def axes(x: Tensor, attributes: dict[str, Any]) -> tuple[int, ...]:
        """The axes as a tuple. Callers must not pass on an empty one, which PyTorch takes for all axes."""
        axis = attributes["axis"]
        return tuple(range(x.ndim)) if axis is None else axis

    def _getitem(self, operands: list[Tensor], attributes: dict[str, Any]) -> Tensor:
        """A view unless a step is negative: PyTorch has no negative strides, so `flip` copies."""
        (x,) = operands
        region, reversed_axes = forward(attributes["index"], x.shape)
        return self.t.flip(x[region], reversed_axes) if reversed_axes else x[region]

    def _setitem(self, operands: list[Tensor], attributes: dict[str, Any]) -> Tensor:
        x, value = operands
        return self.assign_region(x.clone(), value, attributes["index"])

    def assign_region(self, out: Tensor, value: Tensor, index: Any) -> Tensor:
        """`out` with the elements of `value` in the region."""
        region, reversed_axes = forward(index, out.shape)
        out[region].copy_(self.t.flip(value, reversed_axes) if reversed_axes else value)
        return out

    # ----------------------------------------------------------------------------------------------------- ops
    def _binary(self, function: Any) -> Run:
        common = self.common

        def run(operands: list[Tensor], attributes: dict[str, Any]) -> Tensor:
            x1, x2 = operands
            if x1.dtype is not x2.dtype:
                x1, x2 = common(x1, x2)
            return function(x1, x2)

        return run

    def _binary_into(self, function: Any) -> Into:
        return lambda operands, out: function(*self.common(*operands), out=out)

    def _accumulate(self, function: Any, x: Tensor, *arguments: Any) -> Tensor:
        """A sum or product in its result dtype. uint64, in which PyTorch cannot add, has the bits of int64."""
        dtype = accumulated_dtype(self.names[x.dtype])
        if dtype != "uint64":
            return function(x, *arguments, dtype=self.dtypes[dtype])
        return function(x, *arguments, dtype=self.t.int64).view(self.t.uint64)

    def _sum(self, operands: list[Tensor], attributes: dict[str, Any]) -> Tensor:
        (x,) = operands
        axes = self.axes(x, attributes)
        if not axes:
            return x.to(self.dtypes[accumulated_dtype(self.names[x.dtype])], copy=True)
        return self._accumulate(self.t.sum, x, axes, attributes["keepdims"])

    def _cumulative_sum(self, operands: list[Tensor], attributes: dict[str, Any]) -> Tensor:
        return self._accumulate(self.t.cumsum, operands[0], attributes["axis"])

    def _prod(self, operands: list[Tensor], attributes: dict[str, Any]) -> Tensor:
        """PyTorch multiplies along one axis at a time."""
        (x,) = operands
        axes, keepdims = self.axes(x, attributes), attributes["keepdims"]
        if not axes:
            return x.to(self.dtypes[accumulated_dtype(self.names[x.dtype])], copy=True)
        last_first = sorted((axis % x.ndim for axis in axes), reverse=True)
        return reduce(lambda y, axis: self._accumulate(self.t.prod, y, axis, keepdims), last_first, x)


def forward(index: tuple[Any, ...], shape: tuple[int, ...]) -> tuple[tuple[slice, ...], list[int]]:
    """The region of an `Index` attribute as slices of positive step, and the axes that then run backwards."""
    region, reversed_axes = [], []
    for axis, (part, n) in enumerate(zip(index, shape, strict=True)):
        r = range(*slice(*part).indices(n))
        if r.step < 0:
            reversed_axes.append(axis)
            r = r[::-1]
        region.append(slice(r.start, r.stop, r.step) if r else slice(0, 0))
    return tuple(region), reversed_axes


def _unary(function: Any) -> Run:
    return lambda operands, attributes: function(operands[0])


def _unary_into(function: Any) -> Into:
    return lambda operands, out: function(operands[0], out=out)
