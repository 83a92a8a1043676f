"""What each op is in JAX: op -> function of jax arrays and attributes, written so that jax.jit can trace it.

Operands of two dtypes are cast to the common dtype of the array API first, as JAX's own promotion differs. The tables
name ops beyond those that are registered; a device offers the registered ones only.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

from offload_fuzz.adapters.jax_elementwise import BINARY, UNARY, elementwise
from offload_fuzz.adapters.jax_neural import neural
from offload_fuzz.adapters.jax_shaping import shaping
from offload_fuzz.ops.base import slices
from offload_fuzz.ops.statistical import accumulated_dtype
from offload_fuzz.types import promote

JaxArray: TypeAlias = Any
Traceable: TypeAlias = Callable[..., JaxArray]

#: Ops whose result may be the operand itself: jax.jit hands on an operand that is returned as it is (pjit's
#: forwarding of inputs, jax/_src/pjit.py), as where a shape or dtype is already the wanted one. All others are fresh.
HANDED_ON = (
    "positive", "sum", "prod", "mean", "max", "min", "cumulative_sum", "cumulative_prod", "reshape", "permute_dims",
    "broadcast_to", "squeeze", "expand_dims", "getitem", "setitem", "flip", "take", "astype", "moveaxis", "repeat",
    "roll", "tile", "meshgrid", "swapaxes", "rot90", "pad", "matrix_transpose", "diff", "clip", "bitcast", "unstack",
    "tril", "triu", "sort", "concat", "where", "nansum", "nanmax", "nanmin", "nanmean", "scatter_add", "index_add",
    "pixel_shuffle", "max_pool1d", "max_pool2d", "avg_pool1d", "avg_pool2d", "embedding", "floor", "ceil", "trunc",
    "round", "abs",
)  # fmt: skip  # names, as many as fit a line
ALIASING = {"*": "fresh", **dict.fromkeys(HANDED_ON, "may")}


class JaxOps:
    """The ops of module `jax`: `functions`, each called with arrays (or tracers) and the attributes by name."""

    def __init__(self, jax: Any) -> None:
        self.jax = jax
        self.np = np = jax.numpy
        self.functions: dict[str, Traceable] = {
            **{op: getattr(np, name) for op, name in UNARY.items()},
            **{op: self._of_common(getattr(np, name)) for op, name in BINARY.items()},
            **elementwise(jax, self._of_common),
            **shaping(jax, self._of_common),
            **neural(jax),
            "where": lambda condition, x1, x2: np.where(condition, *self.common(x1, x2)),
            "sum": self._accumulating(np.sum),
            "prod": self._accumulating(np.prod),
            "mean": np.mean,
            "max": np.max,
            "argmax": lambda x, *, axis, keepdims: np.argmax(x, axis=axis, keepdims=keepdims).astype("int64"),
            "cumulative_sum": self._accumulating(np.cumsum),
            "sort": lambda x, *, axis: np.sort(x, axis=axis, stable=True),
            "matmul": self._of_common(np.matmul),
            "reshape": lambda x, *, shape: np.reshape(x, shape),
            "permute_dims": lambda x, *, axes: np.transpose(x, axes),
            "flip": lambda x, *, axis: np.flip(x, axis),
            "broadcast_to": lambda x, *, shape: np.broadcast_to(x, shape),
            "squeeze": lambda x, *, axis: np.squeeze(x, axis),
            "expand_dims": lambda x, *, axis: np.expand_dims(x, axis),
            "concat": lambda x1, x2, *, axis: np.concatenate((x1, x2), axis=axis),
            "getitem": lambda x, *, index: x[slices(index)],
            "setitem": lambda x, value, *, index: x.at[slices(index)].set(value),
            "take": lambda x, indices, *, axis: np.take(x, indices, axis=axis),
            "astype": lambda x, *, dtype: x.astype(dtype),
        }

    def traceable(self, op: str, attributes: dict[str, Any]) -> Traceable:
        """A pure function of the operands alone: what jax.jit, jax.eval_shape and larger regions take."""
        return partial(self.functions[op], **attributes)

    # ------------------------------------------------------------------------------------------------ operands
    @staticmethod
    def common(x1: JaxArray, x2: JaxArray) -> tuple[JaxArray, JaxArray]:
        """Both operands in their common dtype."""
        if x1.dtype == x2.dtype:
            return x1, x2
        dtype = promote(x1.dtype.name, x2.dtype.name)
        return x1.astype(dtype), x2.astype(dtype)

    def _of_common(self, function: Traceable) -> Traceable:
        return lambda x1, x2, **attributes: function(*self.common(x1, x2), **attributes)

    @staticmethod
    def _accumulating(function: Traceable) -> Traceable:
        return lambda x, **attributes: function(x, dtype=accumulated_dtype(x.dtype.name), **attributes)
