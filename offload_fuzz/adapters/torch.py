"""PyTorch devices: `torch:cpu`, `torch:cuda:0`, and any other that PyTorch knows, third-party PrivateUse1 names too.

torch is imported when a device is made, not before. Which ops and dtypes a device has is found by asking it: each op
runs once on a tiny tensor of each dtype, and one that PyTorch says is not implemented is not among the features.

A device limits PyTorch to one intra-op thread per process: campaigns run worker processes, whose threads would fight
over the cores, and sums are the same from run to run only while they are not split by the number of threads.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from attrs import evolve

from offload_fuzz.adapters.torch_neural import PROBES as NEURAL
from offload_fuzz.adapters.torch_ops import ALIASING, Tensor, TorchOps
from offload_fuzz.adapters.torch_probes import ABSENT, PLAIN, PROBES, SQUARE
from offload_fuzz.adapters.torch_updates import Writable, memory_for, overlaps, put, updated, ways
from offload_fuzz.contract_files import shipped_contracts
from offload_fuzz.device import Chunks, Features
from offload_fuzz.errors import InternalError, MissingDevice, UsageError
from offload_fuzz.ops.base import OPS, find_op
from offload_fuzz.types import DTYPES, Array, is_complex

#: dtypes that NumPy and PyTorch know apart from each other -> the dtype in which their bits go over.
CARRIERS = {"bfloat16": "int16", "float8_e4m3fn": "uint8", "float8_e5m2": "uint8"}
INSTALL = "see pytorch.org/get-started for PyTorch's own ways to install it"
READ_ONLY = np.broadcast_to(np.zeros(1), (1,))
STREAMS = 4  # as many as the `stream` freedom has choices
#: How long a delay is: about a millisecond at the clock rates of GPUs, in cycles.
DELAY_CYCLES = 2_000_000

_custom: dict[str, Callable[..., Tensor]] = {}


def implement(name: str, function: Callable[..., Tensor]) -> None:
    """Give custom op `name` its PyTorch function, called with tensors and the attributes by name, on every device.

    Raises `UsageError` for an op that no `defop` defined.
    """
    find_op(name, "torch.implement")
    _custom[name] = function


def import_torch() -> Any:
    """The torch module; raises `MissingDevice` where it cannot be imported."""
    try:
        return importlib.import_module("torch")
    except (ImportError, OSError) as error:
        why = "is not installed" if isinstance(error, ModuleNotFoundError) else f"cannot be imported: {_line(error)}"
        raise MissingDevice(f"torch {why} but device torch:* needs it [adapters.torch]; {INSTALL}") from None


def _line(error: BaseException) -> str:
    """The first line of an exception's text."""
    return str(error).strip().split("\n")[0][:200]


class TorchDevice:
    """One PyTorch device, named `torch:` and PyTorch's own device string; buffers are tensors."""

    def __init__(self, name: str) -> None:
        kind, _, device = name.partition(":")
        if kind != "torch" or not device:
            raise UsageError(f"device is {name!r} but should be torch:DEVICE such as torch:cpu, torch:cuda:0 [torch]")
        self.name = name
        self.torch = import_torch()
        self.torch.set_num_threads(1)
        self._from_numpy: Callable[[Array], Tensor] = self.torch.from_numpy
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._from_numpy(READ_ONLY)  # never written: what is uploaded is only copied from
        self.device = self._find(device)
        self.place = f"torch:{self.device}"
        self._on_cpu = self.device.type == "cpu"
        self._ops = TorchOps(self.torch, self.device)
        self._carriers = {DTYPES[d].np: (np.dtype(c), self._ops.dtypes[d]) for d, c in CARRIERS.items()}
        self._carried = {self._ops.dtypes[d]: (self._ops.dtypes[c], DTYPES[d].np) for d, c in CARRIERS.items()}
        self._runs = dict(self._ops.runs)
        self._streams = self._make_streams()
        dtypes = frozenset(d for d in self._ops.dtypes if self._has(partial(self._ones, (1,), d), f"dtype {d}"))
        asked = {op: frozenset(d for d in dtypes if self._has_op(op, d, dtypes)) for op in self._runs}
        ops = {op: found for op, found in asked.items() if found}
        self._written = frozenset(op for op in self._ops.into if op in ops and self._writes_in_place(op, ops[op]))
        self.features = Features(
            ops=ops,
            dtypes=dtypes,
            streams=len(self._streams),
            transfers=("blocking", "async") if self._streams else ("blocking",),
            in_place=self._written,
            drop=self._on_cpu,  # where there are streams, memory is kept for the one that it was made on alone
            export=self._on_cpu,
            destination=frozenset(("upload", "download")),
            chunks=frozenset(("upload", "download")),
            update=ways(ops, self._written),
            release=bool(self._streams),
            delay=bool(self._streams) and hasattr(getattr(self.torch, self.device.type, None), "_sleep"),
            pinned=bool(self._streams) and self._has(partial(self.pinned, 1), "pinned memory"),
            # a blocking copy returns when done; an async one reads pinned memory that this adapter filled before, or is
            # told to read where it is
            source_free={"blocking": "return", "async": "return", "pinned": "completion"},
            aliasing=ALIASING,
            deterministic=self._on_cpu,
            contract=_contract_for(self.device.type),
            place=self.place,
            out_of_memory=() if self._on_cpu else ("OutOfMemoryError",),  # torch.OutOfMemoryError, of any accelerator
        )
        for op, function in _custom.items():
            self.implement(op, function)

    # ------------------------------------------------------------------------------------------------- protocol
    def upload(
        self,
        array: Array,
        stream: int = 0,
        blocking: bool = True,
        destination: str | None = None,
        chunks: Chunks | None = None,
        pinned: bool = False,
    ) -> Tensor:
        """A tensor of `array`'s elements on the device in its layout: gaps, stride 0, offset, no negative stride.

        destination: in a view of a larger tensor instead. chunks: copied into it, or into a row-major one, by pieces.
        pinned: an asynchronous copy reads the array itself, where PyTorch has a tensor over it, and else a pinned copy.
        """
        if self._streams:
            self._enter(stream)
        source = self._alias(array)
        if not (self._on_cpu or blocking or (pinned and source.data_ptr() == array.ctypes.data)):
            source = self.torch.empty_like(source, pin_memory=True).copy_(source)
        if chunks is not None:
            return put(memory_for(source, destination or "own", self.device), source, chunks, blocking)
        if self._on_cpu or blocking:
            if destination is not None:
                return memory_for(source, destination, self.device).copy_(source)
            return self._copy(source)
        if destination is not None:
            return memory_for(source, destination, self.device).copy_(source, non_blocking=True)
        return source.to(self.device, non_blocking=True)

    def pinned(self, nbytes: int) -> Array:
        """Host memory that PyTorch has page-locked; the tensor that owns it lives as long as the array.

        See docs.pytorch.org/tutorials/intermediate/pinmem_nonblock.html: it may be read when the stream comes to the
        copy, pageable memory is staged.
        """
        memory: Array = self.torch.empty(nbytes, dtype=self.torch.uint8, pin_memory=True).numpy()
        return memory

    def download(
        self,
        buffer: Tensor,
        stream: int = 0,
        blocking: bool = True,
        into: Array | None = None,
        share: bool = False,
        chunks: Chunks | None = None,
    ) -> Array:
        """A host array of the tensor's elements, which PyTorch never writes again; `into` if that is given.

        share: in the tensor's own memory. chunks: filled piece by piece.
        """
        if self._streams:
            self._enter(stream)
        if into is not None:
            put(self._alias(into), buffer, chunks, blocking)
            return into
        if buffer.is_conj() or buffer.is_neg():  # such views are resolved when they are read
            buffer = buffer.resolve_conj().resolve_neg()
        if chunks is not None:
            pinned = not (self._on_cpu or blocking)
            host = self.torch.empty(buffer.shape, dtype=buffer.dtype, pin_memory=pinned)
            put(host, buffer, chunks, blocking)
        elif self._on_cpu:
            host = buffer if share else buffer.clone()
        elif blocking:
            host = buffer.to("cpu", copy=True)
        else:
            host = self.torch.empty(buffer.shape, dtype=buffer.dtype, pin_memory=True).copy_(buffer, non_blocking=True)
        carried = self._carried.get(host.dtype)
        if carried is not None:
            bits: Array = host.view(carried[0]).numpy()
            return bits.view(carried[1])
        array: Array = host.numpy()
        return array

    def launch(
        self,
        op: str,
        operands: list[Tensor],
        attributes: dict[str, Any],
        out: Tensor | None = None,
        stream: int = 0,
        update: str | None = None,
    ) -> Tensor:
        """Run `op`, into `out` (an operand) if given, unless several of its elements share memory.

        update: the result is put into memory made for it, by assignment or by the op's own `out=`.
        """
        if self._streams:
            self._enter(stream)
        if update is not None:
            return updated(self._ops, op, operands, attributes, update)
        if out is None or 0 in out.stride():
            return self._runs[op](operands, attributes)
        return self._ops.into[op](operands, out)

    def record(self, stream: int) -> Any:
        """An event that happens when everything on the stream so far is done."""
        event = self.torch.Event(device=self.device)
        event.record(self._streams[stream])
        return event

    def wait(self, stream: int, event: Any) -> None:
        """Make what follows on the stream wait for the event."""
        self._streams[stream].wait_event(event)

    def delay(self, stream: int) -> None:
        """Let the stream spin for about a millisecond, as PyTorch's own tests of streams do."""
        self._enter(stream)
        getattr(self.torch, self.device.type)._sleep(DELAY_CYCLES)

    def synchronize(self, stream: int | None = None, event: Any = None) -> None:
        """Wait on the host for an event, for a stream, or for all streams."""
        if event is not None:
            event.synchronize()
            return
        for queue in self._streams if stream is None else (self._streams[stream],):
            queue.synchronize()

    def release(self, buffer: Tensor, stream: int = 0) -> None:
        """Give the tensor's memory back to PyTorch's allocator, for reuse after what `stream` has done so far."""
        buffer.record_stream(self._streams[stream])
        buffer.untyped_storage().resize_(0)

    def place_of(self, buffer: Tensor) -> str:
        """`torch:` and the device that holds the tensor."""
        device = buffer.device
        return self.place if device == self.device else f"torch:{device}"

    def implement(self, name: str, function: Callable[..., Tensor]) -> None:
        """Give custom op `name` its PyTorch function on this device; the features then list it."""
        op = find_op(name, self.name)
        self._runs[name] = lambda operands, attributes: function(*operands, **attributes)
        self.features = evolve(
            self.features,
            ops={**self.features.ops, name: self.features.dtypes & op.dtypes},
            aliasing={**self.features.aliasing, name: "may"},
        )

    # ------------------------------------------------------------------------------------------------ transfers
    def _alias(self, array: Array) -> Tensor:
        """A CPU tensor over the array's own memory, to copy from; over a copy where a stride is negative.

        PyTorch warns of a read-only array once per process, and has done so when the device was made.
        """
        carried = self._carriers.get(array.dtype)
        bits = array if carried is None else array.view(carried[0])
        if min(bits.strides, default=0) < 0:
            bits = bits.copy()
        elif not bits.flags.writeable and self.torch.is_warn_always_enabled():
            bits = np.asarray(Writable(bits))
        tensor = self._from_numpy(bits)
        return tensor if carried is None else tensor.view(carried[1])

    def _copy(self, source: Tensor) -> Tensor:
        """A copy on the device in the layout of `source`, as far off 64 bytes as it is.

        NumPy's own arrays are off by a multiple of 16 by chance; where they are contiguous they count as aligned.
        """
        offset, size = source.data_ptr() % 64, source.element_size()
        if source.is_contiguous() and (offset % (16 if size < 16 else 64) == 0 or not source.numel()):
            return source.clone() if self._on_cpu else source.to(self.device, copy=True)
        shape, strides = source.shape, source.stride()
        small = source[tuple(slice(0, 1) if s == 0 else slice(None) for s in strides)] if 0 in strides else source
        span = 1 + sum((n - 1) * s for n, s in zip(small.shape, strides, strict=True))
        if overlaps(small.shape, strides):
            return source.to(self.device, copy=True)
        start = offset // size
        storage = source.new_empty(start + span, device=self.device)
        copy = storage.as_strided(small.shape, strides, start).copy_(small)
        return copy if small is source else copy.expand(shape)

    # -------------------------------------------------------------------------------------------------- start-up
    def _find(self, device: str) -> Any:
        """The device that the string names, with its number; raises `MissingDevice` where there is none."""
        try:
            found = self.torch.empty(1, device=device).device
        except Exception as error:  # noqa: BLE001  # PyTorch raises five types for a device that is not there
            raise MissingDevice(
                f"torch has no device {device!r} but {self.name} should name one: {_line(error)} [torch "
                f"{self.torch.__version__}]; install the PyTorch build or the package that brings it"
            ) from None
        if found.type == "meta":
            raise UsageError(f"device is {self.name} but should be one that holds data, which 'meta' does not [torch]")
        return found

    def _make_streams(self) -> list[Any]:
        """Streams, the first the device's current one, where its type has streams and events; else none."""
        accelerator: Any = getattr(self.torch, "accelerator", None)
        current = accelerator and accelerator.current_accelerator()
        if self._on_cpu or current is None or current.type != self.device.type or self.device.type == "mps":
            return []
        try:
            streams = [accelerator.current_stream(self.device)]
            streams += [self.torch.Stream(device=self.device) for _ in range(STREAMS - 1)]
            self.torch.Event(device=self.device).record(streams[0])
        except (RuntimeError, NotImplementedError, TypeError, AttributeError):
            return []
        return streams

    def _enter(self, stream: int) -> None:
        """Make `stream` the one that PyTorch issues to."""
        self.torch.accelerator.set_stream(self._streams[stream])

    def _ones(self, shape: tuple[int, ...], dtype: str) -> Tensor:
        return self.torch.ones(shape, dtype=self._ops.dtypes[dtype]).to(self.device)

    def _has(self, attempt: Callable[[], object], what: str) -> bool:
        """Whether `attempt` works; raises `InternalError` when it fails in another way than by not being there."""
        try:
            attempt()
        except NotImplementedError:
            return False
        except (RuntimeError, TypeError) as error:
            # other vendors word it in their own ways; PyTorch's own words are known, so that any other is our mistake
            if not self._on_cpu or any(word in str(error).lower() for word in ABSENT):
                return False
            raise InternalError(f"{what} raised {type(error).__name__}: {_line(error)} [{self.name}]") from error
        return True

    def _operands(self, op: str, dtype: str, shape: tuple[Any, ...]) -> list[Tensor]:
        """Tiny operands for `op`, all ones; for ops of neural networks `shape` is one for each operand."""
        if op in NEURAL:
            return [self._zeros() if s == "int64" else self._ones(s, dtype) for s in shape]
        operands = [self._ones(shape, dtype if o.dtype == "same" else o.dtype) for o in OPS[op].operands]
        if op == "take":
            operands[1] = self._ones((1,), "int64")
        return operands

    def _zeros(self) -> Tensor:
        return self.torch.zeros((1,), dtype=self.torch.int64).to(self.device)

    def _has_op(self, op: str, dtype: str, dtypes: frozenset[str]) -> bool:
        """Whether the device has `op` on a dtype; astype must go to each of `dtypes`, bitcast to those as wide."""
        if dtype not in OPS[op].dtypes:
            return False
        probes = PROBES.get(op, PLAIN)
        if op in ("astype", "bitcast"):  # PyTorch drops imaginary parts, where the standard has no conversion
            alike = {d for d in dtypes if op == "astype" or (DTYPES[d].bits == DTYPES[dtype].bits and d != "bool")}
            probes = [(SQUARE, {"dtype": d}) for d in sorted(alike) if is_complex(d) or not is_complex(dtype)]
        if not OPS[op].operands:
            probes = [(shape, {**attributes, "dtype": dtype}) for shape, attributes in probes]
        run = self._runs[op]
        return all(
            self._has(partial(run, self._operands(op, dtype, shape), attributes), f"{op} on {dtype}")
            for shape, attributes in probes
        )

    def _writes_in_place(self, op: str, dtypes: frozenset[str]) -> bool:
        """Whether `op` takes `out=` on every dtype that is its own result's."""
        for dtype in dtypes:
            operands = self._operands(op, dtype, SQUARE)
            out = operands[0].clone()
            if self._runs[op](operands, {}).dtype is out.dtype:
                into = partial(self._ops.into[op], operands, out)
                if not self._has(into, f"{op} in place on {dtype}"):
                    return False
        return True


def _contract_for(kind: str) -> str:
    """The contract of a device type: the CPU's, or the weaker one of the GPUs for every other until it has its own."""
    return "torch-cpu" if kind == "cpu" or "torch-cuda" not in shipped_contracts() else "torch-cuda"
