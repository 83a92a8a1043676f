"""The host: NumPy itself as a device. Buffers are NumPy arrays; each op is the meaning that its row states."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from offload_fuzz.device import Chunks, Features
from offload_fuzz.errors import UsageError
from offload_fuzz.ops.base import OPS, Op, find_op, normalize_axes, slices
from offload_fuzz.ops.rounding import wide
from offload_fuzz.types import DTYPES, NAMES, Array, type_of

BFLOAT16 = DTYPES["bfloat16"].np

#: Ops whose NumPy result shares the operand's memory; reshape copies where it must, every other op always.
VIEWS = (
    *("permute_dims", "flip", "broadcast_to", "squeeze", "expand_dims", "getitem", "bitcast"),
    *("moveaxis", "swapaxes", "matrix_transpose", "rot90", "diagonal", "unstack"),
)


def _view(x: Array, region: tuple[slice, ...]) -> Array:
    """x[region]; the ellipsis keeps an array without axes a view instead of a scalar."""
    index: tuple[Any, ...] = (*region, ...)
    view: Array = x[index]
    return view


def _getitem(x: Array, *, index: Any) -> Array:
    """As the row's meaning, but always a view."""
    return _view(x, slices(index))


def _flip(x: Array, *, axis: tuple[int, ...] | None) -> Array:
    """As the row's meaning, but always a view."""
    axes = normalize_axes(axis, x.ndim)
    return _view(x, tuple(slice(None, None, -1 if i in axes else None) for i in range(x.ndim)))


def _matmul(x1: Array, x2: Array) -> Array:
    """As the row's meaning; ml_dtypes multiplies bfloat16 matrices into float32 (its own accumulator)."""
    product: Array = np.matmul(x1, x2)
    return product.astype(BFLOAT16) if x1.dtype == BFLOAT16 == x2.dtype else product


def _mean(x: Array, *, axis: Any, keepdims: bool) -> Any:
    """As the row's meaning; over no elements 0 / 0, without the warning that `np.errstate` does not reach."""
    if x.size:
        return np.mean(x, axis=axis, keepdims=keepdims)
    return np.sum(x, axis=axis, keepdims=keepdims) / x.dtype.type(0)


#: Where the row's own function would not do as it is.
DIFFERS: dict[str, Callable[..., Any]] = {"getitem": _getitem, "flip": _flip, "matmul": _matmul, "mean": _mean}


def _custom(op: Op) -> Callable[..., Array]:
    """A custom op by its row: operands widened and the result rounded once where it promises ulps; fresh memory."""
    widened = op.accuracy.kind == "ulps"

    def run(*operands: Array, **attributes: Any) -> Array:
        type = op.result_type([type_of(x) for x in operands], attributes)
        values = [wide(x, NAMES[x.dtype]) for x in operands] if widened else operands
        return np.array(op.numpy(*values, **attributes)).astype(type.np, copy=False)

    return run


class AllOps(Mapping[str, None]):
    """Every op there is, on every dtype it takes: also those that `--load` defines later."""

    def __getitem__(self, op: str) -> None:
        OPS[op]

    def __iter__(self) -> Iterator[str]:
        return iter(OPS)

    def __len__(self) -> int:
        return len(OPS)


def _like(array: Array) -> Array:
    """Uninitialised memory of the array's dtype, shape and layout: strides of either sign, gaps and stride 0 kept."""
    if array.size == 0 or array.flags.c_contiguous:
        return np.empty(array.shape, array.dtype)
    spans = [(n - 1) * step for n, step in zip(array.shape, array.strides, strict=True)]
    start = -sum(s for s in spans if s < 0)
    raw = np.empty(start + sum(s for s in spans if s > 0) + array.itemsize, np.uint8)
    return np.ndarray(array.shape, array.dtype, raw, start, array.strides)


def _placed(array: Array, destination: str) -> Array:
    """Uninitialised memory for `array`: one element into a larger array, or every second element of its rows."""
    if destination == "strided" and array.ndim:
        return np.empty((*array.shape[:-1], 2 * array.shape[-1] + 1), array.dtype)[..., 1::2]
    return np.empty(array.size + 2, array.dtype)[1:-1].reshape(array.shape)


def _parts(chunks: Chunks | None) -> list[tuple[Any, ...]]:
    """The parts that a transfer in `chunks` moves one after the other, as indices."""
    if chunks is None:
        return [(...,)]
    axis, bounds = chunks
    return [(*(slice(None),) * axis, slice(start, stop), ...) for start, stop in pairwise(bounds)]


class NumpyDevice:
    """The device `numpy`: the role of the host, and a device like any other when it is named as one."""

    def __init__(self, name: str = "numpy") -> None:
        if name != "numpy":
            raise UsageError(f"device is {name!r} but should be 'numpy', which has no number [adapters.numpy]")
        self.name = name
        self._runs = {op: DIFFERS.get(op, row.numpy) for op, row in OPS.items() if not row.custom}
        self.features = Features(
            ops=AllOps(),
            dtypes=frozenset(DTYPES),
            in_place=frozenset(op for op, f in self._runs.items() if OPS[op].elementwise and isinstance(f, np.ufunc)),
            source_free={"blocking": "return"},
            aliasing={"*": "fresh", "reshape": "may", **dict.fromkeys(VIEWS, "view")},
            deterministic=True,
            destination=frozenset(("upload", "download")),
            chunks=frozenset(("upload", "download")),
            drop=True,
            export=True,
            contract="numpy",
            place="numpy",
        )

    def upload(self, array: Array, destination: str | None = None, chunks: Chunks | None = None) -> Array:
        """A copy of `array` in its layout, or in memory of the form `destination`; piece by piece in `chunks`.

        Read-only where stride 0 gives one byte to several elements.
        """
        copy = _like(array) if destination is None else _placed(array, destination)
        for part in _parts(chunks):
            copy[part] = array[part]
        if array.size and any(step == 0 < n - 1 for n, step in zip(array.shape, copy.strides, strict=True)):
            copy.flags.writeable = False
        return copy

    def download(
        self, buffer: Array, into: Array | None = None, share: bool = False, chunks: Chunks | None = None
    ) -> Array:
        """A copy of `buffer`, in `into` if that is given, piece by piece in `chunks`; a view of it if it is shared."""
        if share:
            return buffer.view()
        target = np.empty(buffer.shape, buffer.dtype) if into is None else into
        for part in _parts(chunks):
            target[part] = buffer[part]
        return target

    def launch(self, op: str, operands: list[Array], attributes: dict[str, Any], out: Array | None = None) -> Array:
        """The row's NumPy meaning of `op`, into `out` (an operand) if given and if it can be written."""
        run = self._runs.get(op)
        if run is None:
            run = self._runs[op] = _custom(find_op(op, self.name))
        if out is not None and out.flags.writeable:
            run(*operands, out=out)
            return out
        result: Any = run(*operands, **attributes)
        return result if type(result) is np.ndarray else np.asarray(result)

    def place_of(self, buffer: Array) -> str:
        """Always here."""
        return "numpy" if isinstance(buffer, np.ndarray) else type(buffer).__name__
