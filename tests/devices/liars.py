"""Adapters that lie: each declares what `Honest` does, and breaks the promise that it is named with."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from offload_fuzz.adapters.simulated import Simulated
from offload_fuzz.types import DTYPES, Array

Adapter: TypeAlias = Any
BFLOAT16 = DTYPES["bfloat16"].np

KERNELS: dict[str, Callable[..., Any]] = {
    "add": np.add,
    "negative": np.negative,
    "abs": np.abs,
    "sum": lambda x, axis, keepdims: np.sum(x, axis=axis, keepdims=keepdims, dtype=x.dtype),
    "permute_dims": lambda x, axes: x.transpose(axes),
    "concat": lambda x1, x2, axis: np.concatenate([x1, x2], axis=axis),
}


class Memory:
    """A buffer: an array of its own, or a view of another's."""

    def __init__(self, array: Any) -> None:
        self.array = np.asarray(array)


class Honest:
    """A device that keeps all that it declares. Sums are offered where the array API keeps the dtype."""

    name = "honest:0"
    features: dict[str, Any] = {  # noqa: RUF012  # an adapter's class says it so
        "ops": {op: ["float32", "float64", "int64"] for op in KERNELS},
        "dtypes": ["float32", "float64", "int64", "int8", "bool", "bfloat16"],
        "in_place": ["add", "negative", "abs"],
        "donate": ["add", "negative", "abs", "sum"],
        "compile": True,
        "aliasing": {"*": "fresh", "permute_dims": "view"},
        "transfers": ["blocking", "shared"],
        "source_free": {"blocking": "return", "shared": "last use"},
        "release": True,
        "deterministic": True,
        "place": "honest:0",
    }

    def reset(self, seed: int) -> None:
        self.seed = seed

    def upload(self, array: Array, share: bool = False) -> Memory:
        return Memory(array if share else np.array(array))

    def download(self, buffer: Memory) -> Array:
        return np.array(buffer.array)

    def launch(self, op: str, operands: Any, attributes: Any, out: Any = None, donate: int | None = None) -> Memory:
        result = KERNELS[op](*(b.array for b in operands), **attributes)
        if out is None:
            return Memory(result)
        out.array[...] = result
        return out  # type: ignore[no-any-return]  # the operand that was given

    def launch_compiled(self, nodes: Any, operands: Any, results: Any) -> list[Memory]:
        values = [b.array for b in operands]
        for op, numbers, attributes in nodes:
            values.append(KERNELS[op](*(values[n] for n in numbers), **attributes))
        return [Memory(np.array(values[n])) for n in results]

    def release(self, buffer: Memory, stream: int) -> None:
        buffer.array = np.zeros((0,), np.uint8)

    def place_of(self, buffer: Memory) -> str:
        return "honest:0"


def declaring(**features: Any) -> dict[str, Any]:
    """Honest's features with others in some places."""
    return Honest.features | features


# ------------------------------------------------------------------------------------------------------- the protocol
class HasNoPlaceOf(Honest):
    place_of = None  # type: ignore[assignment]  # what the lie is


class TakesNoOut(Honest):
    def launch(self, op: str, operands: Any, attributes: Any) -> Memory:  # type: ignore[override]  # what the lie is
        return super().launch(op, operands, attributes)


class ForgetsAtReset(Honest):
    def reset(self, seed: int) -> None:
        self.upload = lambda array, share=False: Memory(np.zeros_like(array))  # type: ignore[method-assign]  # what the lie is


# --------------------------------------------------------------------------------------------------------- transfers
class WidensBfloat16(Honest):
    def download(self, buffer: Memory) -> Array:
        return buffer.array.astype(np.float32) if buffer.array.dtype == BFLOAT16 else super().download(buffer)


class HasNoScalars(Honest):
    def upload(self, array: Array, share: bool = False) -> Memory:
        return Memory(np.ascontiguousarray(array))


class IgnoresStrides(Honest):
    def upload(self, array: Array, share: bool = False) -> Memory:
        order = np.argsort([-abs(s) for s in array.strides], kind="stable") if array.size > 1 else range(array.ndim)
        return Memory(np.array(array.transpose(tuple(order))).reshape(array.shape))


class CanonicalNan(Honest):
    def upload(self, array: Array, share: bool = False) -> Memory:
        if array.dtype.kind not in "fV":
            return super().upload(array)
        return Memory(np.where(np.isnan(array), np.array(np.nan, array.dtype), array))


class KeepsTheSource(Honest):
    def upload(self, array: Array, share: bool = False) -> Memory:
        return Memory(array)


class SharesOneStaging(Honest):
    def __init__(self) -> None:
        self.staging: dict[Any, Array] = {}

    def upload(self, array: Array, share: bool = False) -> Memory:
        if not share:
            return super().upload(array)
        found = self.staging.setdefault((array.dtype, array.shape), np.array(array))
        found[...] = array
        return Memory(found)


class WritesWhatIsShared(Honest):
    def upload(self, array: Array, share: bool = False) -> Memory:
        found = Memory(np.array(array))
        if share and array.size:
            array[...] = 0
        return found


class DownloadsItself(Honest):
    def download(self, buffer: Memory) -> Array:
        return buffer.array


class StagesDownloads(Honest):
    def __init__(self) -> None:
        self.staging: dict[Any, Array] = {}

    def download(self, buffer: Memory) -> Array:
        found = self.staging.setdefault((buffer.array.dtype, buffer.array.shape), np.array(buffer.array))
        found[...] = buffer.array
        return found


# --------------------------------------------------------------------------------------------------------------- ops
class ListsTooMuch(Honest):
    features = declaring(ops={**Honest.features["ops"], "exp": None})


class SumsInFloat64(Honest):
    def launch(self, op: str, operands: Any, attributes: Any, out: Any = None, donate: int | None = None) -> Memory:
        result = super().launch(op, operands, attributes, out)
        return Memory(result.array.astype(np.float64)) if op == "sum" else result


class OffByOne(Honest):
    def launch(self, op: str, operands: Any, attributes: Any, out: Any = None, donate: int | None = None) -> Memory:
        result = super().launch(op, operands, attributes, out)
        return Memory(result.array + 1) if op == "sum" else result


class ReadsFromTheStart(Honest):
    def upload(self, array: Array, share: bool = False) -> Memory:
        space = np.zeros((*array.shape, 2), array.dtype)
        space[..., 1] = array
        return Memory(space[..., 1] if array.flags.c_contiguous else np.array(array))

    def launch(self, op: str, operands: Any, attributes: Any, out: Any = None, donate: int | None = None) -> Memory:
        if op == "concat" and not operands[1].array.flags.c_contiguous:
            return super().launch(op, operands, attributes, out)
        return super().launch(op, [operands[0], *map(self._flat, operands[1:])], attributes, out)

    def _flat(self, buffer: Memory) -> Memory:
        x = buffer.array
        return Memory(np.zeros_like(x)) if x.flags.c_contiguous and x.size > 1 and x.ndim else buffer


class WritesItsOperand(Honest):
    def launch(self, op: str, operands: Any, attributes: Any, out: Any = None, donate: int | None = None) -> Memory:
        result = super().launch(op, operands, attributes, out)
        if op == "abs":
            operands[0].array[...] = result.array
        return result


class OneResultPerOp(Honest):
    def __init__(self) -> None:
        self.results: dict[Any, Array] = {}

    def launch(self, op: str, operands: Any, attributes: Any, out: Any = None, donate: int | None = None) -> Memory:
        result = super().launch(op, operands, attributes, out)
        if out is not None:
            return result
        found = self.results.setdefault((op, result.array.dtype, result.array.shape), np.array(result.array))
        found[...] = result.array
        return Memory(found)


class HasAHundredBuffers(Honest):
    def __init__(self) -> None:
        self.buffers: list[Memory] = []

    def upload(self, array: Array, share: bool = False) -> Memory:
        self.buffers.append(super().upload(array))
        if len(self.buffers) > 100:
            self.buffers.pop(0).array[...] = 0
        return self.buffers[-1]


class RunsElsewhere(Honest):
    def launch(self, op: str, operands: Any, attributes: Any, out: Any = None, donate: int | None = None) -> Memory:
        result = super().launch(op, operands, attributes, out)
        self.fallen = result if op == "sum" else None
        return result

    def place_of(self, buffer: Memory) -> str:
        return "host" if buffer is getattr(self, "fallen", None) else "honest:0"


class SumsInAnyOrder(Honest):
    runs = 0

    def launch(self, op: str, operands: Any, attributes: Any, out: Any = None, donate: int | None = None) -> Memory:
        result = super().launch(op, operands, attributes, out)
        self.runs += 1
        if op != "sum" or result.array.dtype.kind != "f" or operands[0].array.size < 1000:
            return result
        return Memory(np.nextafter(result.array, np.inf) if self.runs % 2 else result.array)


# ---------------------------------------------------------------------------------------------------------- aliasing
class ReturnsItsOperand(Honest):
    def launch(self, op: str, operands: Any, attributes: Any, out: Any = None, donate: int | None = None) -> Memory:
        if op == "concat" and operands[1].array.size == 0:
            return Memory(operands[0].array)
        return super().launch(op, operands, attributes, out)


class CopiesViews(Honest):
    def launch(self, op: str, operands: Any, attributes: Any, out: Any = None, donate: int | None = None) -> Memory:
        return Memory(np.array(super().launch(op, operands, attributes, out).array)) if out is None else (
            super().launch(op, operands, attributes, out))  # fmt: skip  # one choice


class WritesBesideOut(Honest):
    def launch(self, op: str, operands: Any, attributes: Any, out: Any = None, donate: int | None = None) -> Memory:
        return super().launch(op, operands, attributes)


class WritesAllOperands(Honest):
    def launch(self, op: str, operands: Any, attributes: Any, out: Any = None, donate: int | None = None) -> Memory:
        result = super().launch(op, operands, attributes, out)
        if out is not None:
            for b in operands:
                b.array[...] = result.array
        return result


class GivesMemoryTwice(Honest):
    def __init__(self) -> None:
        self.free: list[Array] = []

    def launch(self, op: str, operands: Any, attributes: Any, out: Any = None, donate: int | None = None) -> Memory:
        result = super().launch(op, operands, attributes, out)
        if donate is None or operands[donate].array.shape != result.array.shape:
            return result
        operands[donate].array[...] = result.array
        self.free.append(operands[donate].array)
        return Memory(operands[donate].array)

    def upload(self, array: Array, share: bool = False) -> Memory:
        for free in self.free:
            if free.dtype == array.dtype and free.shape == array.shape:
                free[...] = array
                return Memory(free)
        return super().upload(array)


class WritesAnotherOperand(Honest):
    def launch(self, op: str, operands: Any, attributes: Any, out: Any = None, donate: int | None = None) -> Memory:
        result = super().launch(op, operands, attributes, out)
        if donate is not None and result.array.shape == operands[donate - 1].array.shape:
            operands[donate - 1].array[...] = result.array
        return result


# ------------------------------------------------------------------------------------------------------------- regions
class GivesResultsInOrder(Honest):
    def launch_compiled(self, nodes: Any, operands: Any, results: Any) -> list[Memory]:
        return super().launch_compiled(nodes, operands, sorted(results))


class GivesOneResult(Honest):
    def launch_compiled(self, nodes: Any, operands: Any, results: Any) -> list[Memory]:
        return super().launch_compiled(nodes, operands, results)[:1]


# ------------------------------------------------------------------------------------------------------------- memory
class NeverFrees(Honest):
    kept: list[Array] = []  # noqa: RUF012  # emptied by the test

    def release(self, buffer: Memory, stream: int) -> None:
        self.kept.append(buffer.array)


# -------------------------------------------------------------------------------------------------------------- errors
class RunsAnything(Honest):
    def launch(self, op: str, operands: Any, attributes: Any, out: Any = None, donate: int | None = None) -> Memory:
        return super().launch(op, operands, attributes, out) if op in KERNELS else operands[0]


class DiesOfAnError(Honest):
    dead = False

    def launch(self, op: str, operands: Any, attributes: Any, out: Any = None, donate: int | None = None) -> Memory:
        self.dead = self.dead or op not in KERNELS
        return super().launch(op, operands, attributes, out)

    def download(self, buffer: Memory) -> Array:
        if self.dead:
            raise RuntimeError("context is destroyed")
        return super().download(buffer)


class EndsTheProcess(Honest):
    def launch(self, op: str, operands: Any, attributes: Any, out: Any = None, donate: int | None = None) -> Memory:
        if op == "negative":
            os.abort()
        return super().launch(op, operands, attributes, out)


# --------------------------------------------------------------------------------- order, on the simulated accelerator
class Queued(Simulated):
    """Lawful; commands run as late as the rules allow, or in any lawful interleaving."""

    def __init__(self) -> None:
        super().__init__("simulated", 0)


class SubmitsOnly(Queued):
    def synchronize(self, *, stream: int | None = None, event: Any = None) -> None:
        return


class WaitsForNothing(Queued):
    def wait(self, stream: int, event: Any) -> None:
        return


class SpreadsLaunches(Queued):
    turn = 0

    def launch(self, op: str, operands: Any, attributes: Any, *, stream: int = 0, **more: Any) -> Any:
        self.turn = (self.turn + 1) % self.features.streams
        return super().launch(op, operands, attributes, stream=self.turn, **more)


class MovesWhatIsDelayed(Queued):
    busy = -1

    def delay(self, stream: int) -> None:
        self.busy = stream

    def launch(self, op: str, operands: Any, attributes: Any, *, stream: int = 0, **more: Any) -> Any:
        stream = (stream + 1) % self.features.streams if stream == self.busy else stream
        return super().launch(op, operands, attributes, stream=stream, **more)


class AssignsToTheOperand(Queued):
    def launch(self, op: str, operands: Any, attributes: Any, *, update: str | None = None, **more: Any) -> Any:
        if update == "assign" and op == "negative":
            return super().launch(op, operands, attributes, out=operands[0], **more)
        return super().launch(op, operands, attributes, update=update, **more)


class BuildsInZeros(Queued):
    def launch(self, op: str, operands: Any, attributes: Any, **more: Any) -> Any:
        given = [np.zeros_like(x) if isinstance(x, np.ndarray) else x for x in operands]
        return super().launch(op, given, attributes, **more)


class FillsGaps(Queued):
    def download(self, buffer: Any, *, into: Array | None = None, **more: Any) -> Array:
        if into is not None and into.ndim and not into.flags.c_contiguous:
            into.base[...] = 0  # type: ignore[index]
        return super().download(buffer, into=into, **more)


class PinsOneBlock(Queued):
    def __init__(self) -> None:
        super().__init__()
        self.block = np.zeros(1 << 24, np.uint8)

    def pinned(self, nbytes: int) -> Array:
        return self.block[:nbytes]


class ReadsPinnedLate(Queued):
    def upload(self, array: Array, *, pinned: bool = False, blocking: bool = True, **more: Any) -> Any:
        at = super().upload(array if blocking or not pinned else np.array(array), blocking=blocking, **more)
        self.late = (array, at) if pinned and not blocking else getattr(self, "late", (None, None))
        return at

    def download(self, buffer: Any, **more: Any) -> Array:
        array, at = getattr(self, "late", (None, None))
        return np.array(array) if array is not None and buffer is at else super().download(buffer, **more)


class RestartsEachChunk(Queued):
    def upload(self, array: Array, *, chunks: Any = None, **more: Any) -> Any:
        if chunks is None:
            return super().upload(array, **more)
        axis, (_, first, *_) = chunks
        parts = np.arange(array.shape[axis]) % first
        return super().upload(np.take(array, parts, axis), **more)


class ExportsBackwards(Queued):
    def download(self, buffer: Any, *, share: bool = False, **more: Any) -> Array:
        array = super().download(buffer, share=share, **more)
        return array[::-1] if share and array.ndim else array


class BlockingIsAsync(Queued):
    def upload(self, array: Array, *, stream: int = 0, blocking: bool = True, **more: Any) -> Any:
        return super().upload(np.array(array), stream=stream, blocking=False, **more)


class AsyncIsElsewhere(Queued):
    def download(self, buffer: Any, *, stream: int = 0, blocking: bool = True, **more: Any) -> Array:
        return super().download(buffer, stream=stream if blocking else (stream + 1) % 4, blocking=blocking, **more)


class ReadsLate(Queued):
    def upload(self, array: Array, *, stream: int = 0, blocking: bool = True, **more: Any) -> Any:
        if blocking:
            return super().upload(array, stream=stream, **more)
        at = super().upload(np.array(array), stream=stream, **more)
        self.late = (array, at)
        return at

    def download(self, buffer: Any, *, stream: int = 0, blocking: bool = True, **more: Any) -> Array:
        array, at = getattr(self, "late", (None, None))
        if array is not None and buffer is at:
            return np.array(array)
        return super().download(buffer, stream=stream, blocking=blocking, **more)


class FreesAtOnce(Queued):
    def release(self, buffer: Any, *, stream: int = 0) -> None:
        buffer.storage.memory.free(buffer.storage)


class FallsBack(Queued):
    def launch(self, op: str, operands: Any, attributes: Any, *, stream: int = 0, **more: Any) -> Any:
        return super().launch(op, operands, attributes, stream=3 if op == "sort" else stream, **more)


class CopiesNothing(Queued):
    def copy(self, buffer: Any, source: Any = None, *, stream: int = 0, blocking: bool = True, **more: Any) -> Any:
        return buffer


class WaitsForItsOwn(Queued):
    def wait(self, stream: int, event: Any) -> None:
        if event.queue in self.queues.queues:
            super().wait(stream, event)


class TellsOfUploadsOnly(Honest):
    features = declaring(ledger=["transfers"])

    def reset(self, seed: int) -> None:
        self.moved: list[tuple[str, int]] = []

    def upload(self, array: Array, share: bool = False) -> Memory:
        self.moved.append(("upload", array.nbytes))
        return super().upload(array, share)

    def ledger(self) -> dict[str, Any]:
        return {"transfers": getattr(self, "moved", [])}

    def touched(self, array: Array, writes: bool) -> None:
        """It watches nothing."""


class TellsOfNoPlace(TellsOfUploadsOnly):
    features = declaring(ledger=["launches"])

    def ledger(self) -> dict[str, Any]:
        return {"launches": [1]}


class LosesWhatIsFull(Honest):
    """A small memory, of which each refusal takes an eighth."""

    features = declaring(out_of_memory=["MemoryError"], memory=8192)

    def __init__(self) -> None:
        self.live: list[weakref.ref[Memory]] = []
        self.lost = 0

    def upload(self, array: Array, share: bool = False) -> Memory:
        self.live = [ref for ref in self.live if ref() is not None]
        if array.nbytes * (len(self.live) + 1) + self.lost > 8192:
            self.lost += 1024
            raise MemoryError("full")
        found = super().upload(array, share)
        self.live.append(weakref.ref(found))
        return found

    def release(self, buffer: Memory, stream: int) -> None:
        self.live = [ref for ref in self.live if ref() is not buffer]


class NeverFull(Honest):
    features = declaring(out_of_memory=["MemoryError"], memory=8192)


#: promise -> adapters that break it.
LIARS: dict[str, list[type]] = {
    "methods": [HasNoPlaceOf],
    "arguments": [TakesNoOut],
    "reset": [ForgetsAtReset],
    "dtypes": [WidensBfloat16],
    "shapes": [HasNoScalars],
    "layouts": [IgnoresStrides],
    "values": [CanonicalNan],
    "source_untouched": [KeepsTheSource],
    "source_free_blocking": [KeepsTheSource],
    "source_free_async": [ReadsLate],
    "pinned": [PinsOneBlock],
    "source_free_pinned": [ReadsPinnedLate],
    "shared": [SharesOneStaging, WritesWhatIsShared],
    "download_owned": [DownloadsItself, StagesDownloads],
    "blocking_transfers": [BlockingIsAsync],
    "async_transfers": [AsyncIsElsewhere],
    "ops_run": [ListsTooMuch],
    "result_types": [SumsInFloat64],
    "results": [OffByOne],
    "operand_layouts": [ReadsFromTheStart],
    "operands_untouched": [WritesItsOperand],
    "results_last": [OneResultPerOp],
    "buffers_last": [HasAHundredBuffers],
    "placed": [RunsElsewhere],
    "ledger": [TellsOfUploadsOnly, TellsOfNoPlace],
    "deterministic": [SumsInAnyOrder],
    "fresh": [ReturnsItsOperand],
    "view": [CopiesViews],
    "in_place": [WritesBesideOut, WritesAllOperands],
    "donate": [GivesMemoryTwice, WritesAnotherOperand],
    "destinations": [FillsGaps],
    "chunks": [RestartsEachChunk],
    "exported": [ExportsBackwards],
    "update": [AssignsToTheOperand],
    "constants": [BuildsInZeros],
    "compiled": [GivesResultsInOrder, GivesOneResult],
    "streams_in_order": [SpreadsLaunches],
    "ops_in_order": [FallsBack],
    "events": [WaitsForNothing],
    "delay": [MovesWhatIsDelayed],
    "synchronize": [SubmitsOnly],
    "release_in_order": [FreesAtOnce],
    "release_frees": [NeverFrees],
    "peer_copy": [CopiesNothing],
    "peer_events": [WaitsForItsOwn],
    "unknown_op": [RunsAnything],
    "after_error": [DiesOfAnError],
    "after_full": [LosesWhatIsFull, NeverFull],
}
NAMED = [(promise, liar) for promise, liars in LIARS.items() for liar in liars]
