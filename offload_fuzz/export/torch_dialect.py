"""PyTorch's words for the commands of a schedule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from offload_fuzz import schedule as s
from offload_fuzz.adapters.torch import DELAY_CYCLES
from offload_fuzz.adapters.torch_updates import memory_for
from offload_fuzz.device import Chunks, Place
from offload_fuzz.export.dialects import Fresh, Opening, region_lines
from offload_fuzz.export.trace import Module, Name, Traced, Untraceable, dtype_text, statements, without_types
from offload_fuzz.types import ArrayType


class Torch:
    """PyTorch's own functions; what each op is comes from the adapter's table."""

    def __init__(self, role: int, place: Place) -> None:
        import_name = place.spec.removeprefix("torch:")
        self.role, self.place, self.name, self.device = role, place, f"d{role - 1}", import_name
        self.cpu = place.device.device.type == "cpu"
        self.streams = place.features.streams > 0
        from offload_fuzz.adapters.torch_ops import TorchOps

        self.torch = place.device.torch
        names = {"torch.nn.functional": "F"}
        self.ops = TorchOps(Module(self.torch, "torch", names), Name(self.name))
        self.stream = 0

    def opening(self) -> Opening:
        setup = [f"{self.name} = torch.device({self.device!r})", f"torch.ones(1).to({self.name})"]
        setup.append("torch.set_num_threads(1)  # sums then do not depend on the number of threads")
        if self.streams:
            setup += [
                f"{self.name}_streams = [torch.accelerator.current_stream({self.name})]",
                f"{self.name}_streams += [torch.Stream(device={self.name}) for _ in range(3)]",
            ]
        return Opening(
            "PyTorch",
            ("import torch", "import torch.nn.functional as F"),
            tuple(setup),
            (TORCH_UPLOAD, TORCH_FROM_HOST, TORCH_PINNED, without_types(memory_for)),
        )

    def begin(self, seed: int) -> list[str]:
        self.stream = 0
        return [f"torch.accelerator.set_stream({self.name}_streams[0])"] if self.streams else []

    def _enter(self, stream: int) -> list[str]:
        if not self.streams or stream == self.stream:
            return []
        self.stream = stream
        return [f"torch.accelerator.set_stream({self.name}_streams[{stream}])"]

    def _carried(self, type: ArrayType) -> tuple[str, str] | None:
        from offload_fuzz.adapters.torch import CARRIERS

        carrier = CARRIERS.get(type.dtype)
        return None if carrier is None else (f"np.{carrier}", f"torch.{type.dtype}")

    def upload(self, c: s.Upload, given: str, made: str, type: ArrayType, plain: bool) -> list[str]:
        carried = self._carried(type)
        array = given if carried is None else f"{given}.view({carried[0]})"
        tensor = f"from_host({array})" + ("" if carried is None else f".view({carried[1]})")
        staged = f"torch.empty_like({tensor}, pin_memory=True).copy_({tensor})"
        source = tensor if self.cpu or c.blocking or c.pinned else staged
        if c.chunks is not None:
            host = f"{made}_host"
            lines = [f"{host} = {source}", f"{made} = memory_for({host}, {c.destination or 'own'!r}, {self.name})"]
            return [*self._enter(c.stream), *lines, *_by_pieces(made, host, c.chunks, c.blocking)]
        if c.destination is not None:
            target = f"memory_for({tensor}, {c.destination!r}, {self.name})"
            return [*self._enter(c.stream), f"{made} = {target}.copy_({source}, non_blocking={not c.blocking})"]
        if not self.cpu and not c.blocking:
            return [*self._enter(c.stream), f"{made} = {source}.to({self.name}, non_blocking=True)"]
        call = f"torch.from_numpy({array}).to({self.name}, copy=True)" if plain else f"upload({array}, {self.name})"
        view = "" if carried is None else f".view({carried[1]})"
        return [*self._enter(c.stream), f"{made} = {call}{view}"]

    def pinned(self) -> str:
        return "page_locked"

    def download(self, c: s.Download, given: str, made: str, type: ArrayType) -> list[str]:
        carried = self._carried(type)
        resolved = ".resolve_conj().resolve_neg()" if type.dtype.startswith("complex") else ""
        tensor = f"{given}{resolved}"
        if c.destination is not None:
            into = f"torch.from_numpy({made})" if carried is None else f"torch.from_numpy({made}.view({carried[0]}))"
            into += "" if carried is None else f".view({carried[1]})"
            if c.chunks is not None:
                return [*self._enter(c.stream), *_by_pieces(into, given, c.chunks, c.blocking)]
            return [*self._enter(c.stream), f"{into}.copy_({given}, non_blocking={not c.blocking})"]
        pieces: list[str] = []
        if c.chunks is not None:
            pinned, host = "" if self.cpu or c.blocking else ", pin_memory=True", f"{made}_tensor"
            pieces = [f"{host} = torch.empty({given}.shape, dtype={given}.dtype{pinned})"]
            pieces += _by_pieces(host, tensor, c.chunks, c.blocking)
        elif c.share:
            host = tensor
        elif self.cpu or c.blocking:
            host = f'{tensor}.to("cpu", copy=True)'
        else:
            empty = f"torch.empty({given}.shape, dtype={given}.dtype, pin_memory=True)"
            host = f"{empty}.copy_({tensor}, non_blocking=True)"
        if carried is None:
            return [*self._enter(c.stream), *pieces, f"{made} = {host}.numpy()"]
        bits, back = carried[0].replace("np.", "torch."), dtype_text(type.np)
        return [*self._enter(c.stream), *pieces, f"{made} = {host}.view({bits}).numpy().view({back})"]

    def copy(self, c: s.Copy, given: str, origin: str, made: str) -> list[str]:
        return [*self._enter(c.stream), f"{made} = {given}.to({self.name}, copy=True, non_blocking={not c.blocking})"]

    def _op(
        self, op: str, given: Sequence[str], attributes: Mapping[str, Any], made: str, types: Sequence[ArrayType],
        fresh: Fresh, out: int | None = None,
    ) -> list[str]:  # fmt: skip  # one signature
        dtypes = self.ops.dtypes
        operands = [Traced([n], dtypes[t.dtype], t.shape) for n, t in zip(given, types, strict=True)]
        if op not in self.ops.runs:
            raise Untraceable(f"{op} is a custom op, whose function is not in the adapter's table [export]")
        if out is None:
            return statements(op, lambda: self.ops.runs[op](operands, dict(attributes)), made, fresh)
        return statements(op, lambda: self.ops.into[op](operands, operands[out]), made, fresh)

    def launch(
        self, c: s.Launch, given: Sequence[str], made: str, types: Sequence[ArrayType], fresh: Fresh
    ) -> list[str]:
        if c.update is not None:
            return [*self._enter(c.stream), *self._update(c, given, made, types, fresh)]
        return [*self._enter(c.stream), *self._op(c.op, given, c.attributes, made, types, fresh, c.in_place)]

    def _update(
        self, c: s.Launch, given: Sequence[str], made: str, types: Sequence[ArrayType], fresh: Fresh
    ) -> list[str]:
        """The result once more, into memory made for it."""
        operands = [Traced([n], self.ops.dtypes[t.dtype], t.shape) for n, t in zip(given, types, strict=True)]
        target = Traced([made], operands[0].dtype, types[0].shape) if operands else None
        if c.op == "setitem":
            lines = [f"{made} = memory_for({given[0]}, {c.update!r}).copy_({given[0]})"]
            index, shape = c.attributes["index"], types[0].shape
            assigned = statements(c.op, lambda: self.ops.assign_region(target, operands[1], index, shape), made, fresh)
            return [*lines, *[line for line in assigned if line != f"{made} = {made}"]]
        result = fresh()
        lines = self._op(c.op, given, c.attributes, result, types, fresh)
        lines.append(f"{made} = memory_for({result}, {c.update!r})")
        if c.update == "assign":
            return [*lines, f"{made}[...] = {result}"]
        return [*lines, *statements(c.op, lambda: self.ops.into[c.op](operands, target), made, fresh)]

    def region(
        self, c: s.LaunchCompiled, given: Sequence[str], made: Sequence[str], types: Sequence[Sequence[ArrayType]],
        fresh: Fresh,
    ) -> list[str]:  # fmt: skip  # one signature
        name = fresh()
        lines = region_lines(
            c.nodes, given, c.results, name,
            lambda op, operands, attributes, made, at: self._op(op, operands, attributes, made, types[at], fresh),
        )  # fmt: skip  # one call
        call = f"torch.compile({name})({', '.join(given)})"
        return [*self._enter(c.stream), *lines, f"{', '.join(made)}{',' if len(made) == 1 else ''} = {call}"]

    def mark(self, c: s.Record | s.Wait | s.Synchronize | s.SynchronizeEvent, event: str) -> list[str]:
        match c:
            case s.Record():
                made = f"{event} = torch.Event(device={self.name})"
                return [made, f"{event}.record({self.name}_streams[{c.stream}])"]
            case s.Wait():
                return [f"{self.name}_streams[{c.stream}].wait_event({event})"]
            case s.Synchronize():
                return [f"{self.name}_streams[{c.stream}].synchronize()"]
        return [f"{event}.synchronize()"]

    def delay(self, c: s.Delay) -> list[str]:
        return [*self._enter(c.stream), f"torch.{self.place.device.device.type}._sleep({DELAY_CYCLES})"]

    def release(self, c: s.Release, given: str) -> list[str]:
        return [f"{given}.record_stream({self.name}_streams[{c.stream}])", f"{given}.untyped_storage().resize_(0)"]


def _by_pieces(target: str, source: str, chunks: Chunks, blocking: bool) -> list[str]:
    """Statements that copy the elements of a tensor into another piece by piece."""
    axis, bounds = chunks
    part = f"narrow({axis}, start, stop - start)"
    return [
        f"for start, stop in {list(pairwise(bounds))}:",
        f"    {target}.{part}.copy_({source}.{part}, non_blocking={not blocking})",
    ]


TORCH_UPLOAD = '''
def upload(array, device):
    """A tensor of the elements in the array's own layout, as far off 64 bytes as the array is."""
    if min(array.strides, default=0) < 0:
        array = array.copy()  # PyTorch has no negative strides
    x = torch.from_numpy(array)
    if not x.numel() or (x.is_contiguous() and x.data_ptr() % 16 == 0):
        return x.to(device, copy=True)
    small = x[tuple(slice(0, 1) if step == 0 else slice(None) for step in x.stride())]
    start = x.data_ptr() % 64 // x.element_size()
    span = 1 + sum((n - 1) * step for n, step in zip(small.shape, x.stride()))
    memory = torch.empty(start + span, dtype=x.dtype, device=device)
    return memory.as_strided(small.shape, x.stride(), start).copy_(small).expand(x.shape)
'''
TORCH_FROM_HOST = '''
def from_host(array):
    """A tensor over the memory of the array, or of a copy where a stride is negative, which PyTorch does not have."""
    return torch.from_numpy(array.copy() if min(array.strides, default=0) < 0 else array)
'''
TORCH_PINNED = '''
def page_locked(nbytes):
    """Host memory that PyTorch has page-locked."""
    return torch.empty(nbytes, dtype=torch.uint8, pin_memory=True).numpy()
'''
