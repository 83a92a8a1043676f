"""Faulty devices that are not in the catalogue, written from bug reports as adapters of somebody else's would be.

Each class is named on a command line as `tests/campaign/unseen_devices.py:NAME`. It wraps a simulated device, or NumPy,
and is wrong in the one way that its docstring says, with a public report of the like. Nothing here uses the hooks of
the simulated device or its table of faults.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from attrs import evolve

from offload_fuzz.adapters.numpy import NumpyDevice
from offload_fuzz.adapters.simulated import make
from offload_fuzz.ops.base import OPS
from offload_fuzz.types import Array, ArrayType

Attributes = Mapping[str, Any]


class Wrapped:
    """A simulated device behind another adapter; what is not said here is as that device does it."""

    def __init__(self) -> None:
        self.inner: Any = make("simulated:0")
        self.name = f"unseen:{type(self).__name__}"
        self.features = evolve(self.inner.features, constants=False)  # operands have strides and types here

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


class Kernels(Wrapped, ABC):
    """A device with wrong kernels: `result` is given what the right kernel would return."""

    ops: tuple[str, ...] = ()

    def __init__(self) -> None:
        super().__init__()
        decode = self.inner._decode

        def wrong(op: str, types: tuple[ArrayType, ...], attributes: Attributes) -> Any:
            instruction = decode(op, types, attributes)
            if self.ops and op not in self.ops:
                return instruction
            right = instruction.kernel

            def kernel(arrays: Sequence[Array], attributes: Attributes, type: ArrayType, draws: Any) -> Any:
                with np.errstate(all="ignore"):
                    return self.result(op, right(arrays, attributes, type, draws), arrays, attributes)

            return evolve(instruction, kernel=kernel)

        self.inner._decode = wrong

    @abstractmethod
    def result(self, op: str, right: Any, arrays: Sequence[Array], attributes: Attributes) -> Any:
        """What the wrong kernel returns."""


# --------------------------------------------------------------------------------------------------------- op semantics
class SumOfNarrowWraps(Kernels):
    """sum of 8-bit integers is kept in 8 bits and widened at the end (pytorch/pytorch#90635)."""

    ops = ("sum",)

    def result(self, op: str, right: Any, arrays: Sequence[Array], attributes: Attributes) -> Any:
        (x,) = arrays
        return np.asarray(right).astype(x.dtype).astype(right.dtype) if x.dtype.kind in "iu" else right


class SumOfRankFive(Kernels):
    """sum over one axis of five reduces the last axes together with it (pytorch/pytorch#132732)."""

    ops = ("sum",)

    def result(self, op: str, right: Any, arrays: Sequence[Array], attributes: Attributes) -> Any:
        (x,) = arrays
        return np.asarray(right)[..., ::-1] if x.ndim >= 5 and np.ndim(right) else right


class BoolFromLowByte(Kernels):
    """A cast of integers to bool looks at the low byte, so 256 is false (pytorch/pytorch#79849)."""

    ops = ("astype",)

    def result(self, op: str, right: Any, arrays: Sequence[Array], attributes: Attributes) -> Any:
        (x,) = arrays
        return (x & np.asarray(0xFF, x.dtype)) != 0 if right.dtype == np.bool_ and x.dtype.kind in "iu" else right


class UnsignedAsSigned(Kernels):
    """A cast of uint64 to a float dtype takes it for int64 (llvm/llvm-project, several back ends)."""

    ops = ("astype",)

    def result(self, op: str, right: Any, arrays: Sequence[Array], attributes: Attributes) -> Any:
        (x,) = arrays
        return x.view(np.int64).astype(right.dtype) if x.dtype == np.uint64 and right.dtype.kind == "f" else right


class AbsByComparison(Kernels):
    """abs is x < 0 ? -x : x, which keeps the sign of -0.0 (a fast-math form of many shading languages)."""

    ops = ("abs",)

    def result(self, op: str, right: Any, arrays: Sequence[Array], attributes: Attributes) -> Any:
        (x,) = arrays
        return np.where(x < 0, -x, x) if x.dtype.kind == "f" else right


class FloorThroughInt32(Kernels):
    """floor, ceil, trunc and round of float32 go through int32 and saturate (apache/tvm, ONNX runtimes for NPUs)."""

    ops = ("floor", "ceil", "trunc", "round")

    def result(self, op: str, right: Any, arrays: Sequence[Array], attributes: Attributes) -> Any:
        top = np.float32(2**31)
        return np.where(np.abs(right) > top, np.copysign(top, right), right) if right.dtype == np.float32 else right


class TakeByInt8(Kernels):
    """take keeps its indices in int8 (in int32 in pytorch/pytorch#182052)."""

    ops = ("take",)

    def result(self, op: str, right: Any, arrays: Sequence[Array], attributes: Attributes) -> Any:
        x, indices = arrays
        return np.take(x, indices.astype(np.int8), axis=attributes["axis"], mode="wrap") if x.size else right


class ConcatAfterEmpty(Kernels):
    """concat stops at the first operand that is empty (pytorch/pytorch#176254)."""

    ops = ("concat",)

    def result(self, op: str, right: Any, arrays: Sequence[Array], attributes: Attributes) -> Any:
        return np.zeros_like(right) if arrays[0].size == 0 else right


class ArgsortUnstable(Kernels):
    """argsort of more than 8 elements puts equal ones in the reverse order (pytorch/pytorch#195595)."""

    ops = ("argsort",)

    def result(self, op: str, right: Any, arrays: Sequence[Array], attributes: Attributes) -> Any:
        (x,), axis = arrays, attributes["axis"]
        if x.shape[axis] <= 8 or attributes["descending"]:
            return right
        flipped = x.shape[axis] - 1 - np.argsort(np.flip(x, axis), axis=axis, kind="stable")
        return flipped.astype(right.dtype)


class BatchOfFirst(Kernels):
    """matmul takes the first matrix of a batch for all (pytorch/pytorch#197636)."""

    ops = ("matmul",)

    def result(self, op: str, right: Any, arrays: Sequence[Array], attributes: Attributes) -> Any:
        return np.broadcast_to(right[:1], right.shape) if np.ndim(right) > 2 and right.shape[0] > 1 else right


class SetitemReversed(Kernels):
    """setitem with a negative step writes forward (pytorch/pytorch#165257, in another form)."""

    ops = ("setitem",)

    def result(self, op: str, right: Any, arrays: Sequence[Array], attributes: Attributes) -> Any:
        _, region = arrays
        steps = [slice(None, None, -1 if (s[2] or 1) < 0 else None) for s in attributes["index"]]
        out = np.array(right)
        out[tuple(slice(*s) for s in attributes["index"])] = region[tuple(steps)]
        return out


class WhereBeyond4096(Kernels):
    """where numbers elements in 12 bits (in 32 in pytorch/pytorch#122916)."""

    ops = ("where",)

    def result(self, op: str, right: Any, arrays: Sequence[Array], attributes: Attributes) -> Any:
        flat = np.ravel(right)
        return flat[np.arange(flat.size) % 4096].reshape(right.shape) if flat.size > 4096 else right


class ConjLost(Wrapped):
    """conj sets a flag that matmul, sum and the like do not look at (pytorch/pytorch, the lazy conjugate)."""

    IGNORE = frozenset({"matmul", "sum", "mean", "prod", "vecdot", "cumulative_sum", "outer", "tensordot"})

    def reset(self, seed: int) -> None:
        self.inner.reset(seed)
        self.plain: dict[int, Any] = {}

    def launch(self, op: str, operands: list[Any], attributes: dict[str, Any], **how: Any) -> Any:
        if op in self.IGNORE:
            operands = [self.plain.get(id(b), (b, b))[1] for b in operands]
        buffer = self.inner.launch(op, operands, attributes, **how)
        if op == "conj" and "out" not in how and "donate" not in how:
            self.plain[id(buffer)] = (buffer, operands[0])
        return buffer

    def release(self, buffer: Any, **how: Any) -> None:
        """A conjugate holds its operand's memory, which therefore stays."""
        if all(buffer is not operand for _, operand in self.plain.values()):
            self.inner.release(buffer, **how)


# -------------------------------------------------------------------------------------------------- caches of kernels
class CacheForgetsAttributes(Wrapped):
    """Kernels are cached by op and types, so the first attributes serve for all (tinygrad/tinygrad#570)."""

    def reset(self, seed: int) -> None:
        self.inner.reset(seed)
        self.known: dict[Any, dict[str, Any]] = {}

    def launch(self, op: str, operands: list[Any], attributes: dict[str, Any], **how: Any) -> Any:
        types = tuple(b.type for b in operands)
        if not operands:
            return self.inner.launch(op, operands, attributes, **how)
        key = op, types, OPS[op].result_type(types, attributes)
        return self.inner.launch(op, operands, self.known.setdefault(key, attributes), **how)


class CacheForgetsStrides(Wrapped):
    """Kernels are cached by op and types, with the strides of the first operands (ROCm/FlyDSL#317)."""

    def reset(self, seed: int) -> None:
        self.inner.reset(seed)
        self.known: dict[Any, Any] = {}

    def launch(self, op: str, operands: list[Any], attributes: dict[str, Any], **how: Any) -> Any:
        key = op, tuple(b.type for b in operands)
        strides = self.known.setdefault(key, tuple(b.strides for b in operands))
        seen = [evolve(b, strides=s) if _fits(b, s) else b for b, s in zip(operands, strides, strict=True)]
        return self.inner.launch(op, seen, attributes, **how)


def _fits(buffer: Any, strides: tuple[int, ...]) -> bool:
    """Whether the elements stay inside the storage with other strides."""
    if not buffer.type.size:
        return False
    reach = [(n - 1) * s for n, s in zip(buffer.type.shape, strides, strict=True)]
    low, high = buffer.offset + sum(r for r in reach if r < 0), buffer.offset + sum(r for r in reach if r > 0)
    return bool(low >= 0 and high + buffer.type.np.itemsize <= buffer.storage.nbytes)


class FullIsCached(Wrapped):
    """full, zeros and ones of one value and type return the same buffer again (wrapped numbers that are cached)."""

    def reset(self, seed: int) -> None:
        self.inner.reset(seed)
        self.known: dict[Any, Any] = {}

    def launch(self, op: str, operands: list[Any], attributes: dict[str, Any], **how: Any) -> Any:
        if op not in ("full", "zeros", "ones"):
            return self.inner.launch(op, operands, attributes, **how)
        key = op, tuple(sorted((k, str(v)) for k, v in attributes.items()))
        if key not in self.known:
            self.known[key] = self.inner.launch(op, operands, attributes, **how)
        return self.known[key]

    def release(self, buffer: Any, **how: Any) -> None:
        """What is cached stays."""
        if all(buffer is not b for b in self.known.values()):
            self.inner.release(buffer, **how)


# ----------------------------------------------------------------------------------------------------------- ordering
class EventsOfARing(Wrapped):
    """Two event slots are used in turn, so a third record changes what the first stands for (a pool without a lock)."""

    def reset(self, seed: int) -> None:
        self.inner.reset(seed)
        self.slots: list[Any] = [None, None]
        self.next = 0

    def record(self, stream: int) -> int:
        slot, self.next = self.next % 2, self.next + 1
        self.slots[slot] = self.inner.record(stream)
        return slot

    def wait(self, stream: int, event: int) -> None:
        self.inner.wait(stream, self.slots[event])

    def synchronize(self, *, stream: int | None = None, event: int | None = None) -> None:
        self.inner.synchronize(stream=stream, event=None if event is None else self.slots[event])


class ReleaseOnStreamZero(Wrapped):
    """Memory is given back in the order of stream 0, whatever stream used it (meta-pytorch/torchrec#4231)."""

    def release(self, buffer: Any, *, stream: int = 0) -> None:
        self.inner.release(buffer, stream=0)


class WaitOnce(Wrapped):
    """A stream that has waited for an event of a stream does not wait for a later one of it (ROCm/hip#13)."""

    def reset(self, seed: int) -> None:
        self.inner.reset(seed)
        self.waited: set[Any] = set()

    def wait(self, stream: int, event: Any) -> None:
        key = stream, id(event.queue)
        if key not in self.waited:
            self.inner.wait(stream, event)
        self.waited.add(key)


class LargeUploadIsNotWaitedFor(Wrapped):
    """A blocking upload of more than 1 KiB returns early, as it is staged in parts (boostorg/compute#715)."""

    def upload(self, array: Array, *, blocking: bool = True, **how: Any) -> Any:
        return self.inner.upload(array, blocking=blocking and array.nbytes <= 1024, **how)


class DownloadsShareTwoPages(Wrapped):
    """Asynchronous downloads are staged in one page, which the next one of the size takes (pytorch/pytorch#182190)."""

    def reset(self, seed: int) -> None:
        self.inner.reset(seed)
        self.staged: dict[Any, Array] = {}

    def download(self, buffer: Any, *, blocking: bool = True, **how: Any) -> Array:
        array: Array = self.inner.download(buffer, blocking=blocking, **how)
        return array if blocking else self.staged.setdefault((array.dtype, array.shape), array)


# ----------------------------------------------------------------------------------------------------------- transfers
class BroadcastSourceIsDense(Wrapped):
    """An upload of an expanded array sends the elements that are there, over and over (pytorch/pytorch#12230)."""

    def upload(self, array: Array, **how: Any) -> Any:
        if 0 in array.strides and array.size:
            there = array[tuple(slice(0, 1) if s == 0 else slice(None) for s in array.strides)]
            array = np.resize(there.reshape(-1), array.shape)
        return self.inner.upload(array, **how)


class PageTailLost(Wrapped):
    """A download of more than a page of 4 KiB loses what does not fill a page (pytorch/pytorch#80844)."""

    def download(self, buffer: Any, **how: Any) -> Array:
        array: Array = self.inner.download(buffer, **how)
        if how.get("blocking", True) and array.nbytes > 4096 and array.nbytes % 4096:
            raw = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
            raw[array.nbytes - array.nbytes % 4096 :] = 0
            array = raw.view(array.dtype).reshape(array.shape)
        return array


class BoolViewWrittenAtWord(Wrapped):
    """A write in place into a view of bytes that is off 4 bytes begins at the word (pytorch/pytorch#195074)."""

    def launch(self, op: str, operands: list[Any], attributes: dict[str, Any], **how: Any) -> Any:
        out = how.get("out")
        if out is not None and out.type.np.itemsize == 1 and out.offset % 4 and min(out.strides, default=0) >= 0:
            how = {**how, "out": evolve(out, offset=out.offset - out.offset % 4)}
            self.inner.launch(op, operands, attributes, **how)
            return out
        return self.inner.launch(op, operands, attributes, **how)


class ReadOnlyIsShared(NumpyDevice):
    """A host array that says it is read-only is taken without a copy (jax-ml/jax#37830, on NumPy)."""

    def __init__(self) -> None:
        super().__init__()
        self.name = "unseen:ReadOnlyIsShared"

    def upload(self, array: Array, destination: str | None = None, chunks: Any = None) -> Array:
        return super().upload(array, destination, chunks) if array.flags.writeable else array


# ---------------------------------------------------------------------------------------------------- compiled regions
class RegionOutputsSwapped(Wrapped):
    """Of three results and more of a compiled region the second and third change places (jax-ml/jax#39625)."""

    def launch_compiled(self, nodes: Any, operands: list[Any], results: list[int], **how: Any) -> list[Any]:
        found: list[Any] = self.inner.launch_compiled(nodes, operands, results, **how)
        if len(found) > 2 and found[1].type == found[2].type:
            found[1], found[2] = found[2], found[1]
        return found


class RegionOperandsMerged(Wrapped):
    """A compiled region takes two operands of one type for one, as its cache key has only types."""

    def launch_compiled(self, nodes: Any, operands: list[Any], results: list[int], **how: Any) -> list[Any]:
        first: dict[Any, Any] = {}
        merged = [first.setdefault(b.type, b) for b in operands]
        found: list[Any] = self.inner.launch_compiled(nodes, merged, results, **how)
        return found
