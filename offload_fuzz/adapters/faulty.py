"""Faults planted around any device: `torch:cpu+FAULT`, `jax:cpu:0+FAULT`, `my.py:MyChip+FAULT`.

A fault is a function on a hook of the simulated device. Where a hook is about what crosses, what a call returns or what
it waits for, the same function is applied here to the calls of the protocol: the device itself stays as it is. Hooks of
memory, layout and the order inside a queue have nothing outside that could stand for them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from attrs import frozen

from offload_fuzz.adapters.simulated import FAULTS, Fault
from offload_fuzz.adapters.simulated.hooks import Hooks
from offload_fuzz.adapters.simulated.memory import NEVER_WRITTEN
from offload_fuzz.device import Features, parse_features
from offload_fuzz.errors import UsageError, one_of
from offload_fuzz.types import Array, ArrayType, bits_of, type_of

#: hook that can be realised by the calls of the protocol -> the feature that the device must have for it.
OUTSIDE = {
    "host_array": "", "carried": "", "moved": "", "copies": "", "host_target": "", "host_waits": "async transfers",
    "placed": "place", "accepts": "", "operand": "", "result_type": "", "result": "", "written": "",
    "region_results": "compile", "waits": "streams", "queue": "streams", "synchronizes": "streams",
}  # fmt: skip  # a table
NEEDED: Mapping[str, Callable[[Features], bool]] = {
    "": lambda f: True,
    "async transfers": lambda f: "async" in f.transfers,
    "place": lambda f: f.place is not None,
    "compile": lambda f: f.compile,
    "streams": lambda f: f.streams > 0,
    "peers": lambda f: f.peers is not None,
}
#: Hooks that change what a download returns, which therefore has to be complete.
DOWNLOADED = frozenset({"carried", "moved", "host_target"})


@frozen
class Seen:
    """A buffer as a fault sees it that is planted outside: its type alone."""

    type: ArrayType


def split_faults(spec: str) -> tuple[str, tuple[str, ...]]:
    """A device's name, and the faults planted around it; raises `UsageError` for a fault that there is not.

    A path may have a plus sign in it: `file+v2.py:Name` names no fault.
    """
    base, *names = spec.split("+")
    if any("." in name or ":" in name for name in names):
        return spec, ()
    for name in names:
        if name not in FAULTS:
            raise one_of("fault", name, sorted(FAULTS), f"device {spec}")
    return base, tuple(names)


def missing(fault: Fault, features: Features) -> str:
    """Why the fault cannot be planted around a device of these features; empty if it can be."""
    if fault.hook not in OUTSIDE or fault.inside:
        return "the inside of a simulated device"
    peer_copy = fault.cls == "multi-device" and fault.hook in ("carried", "moved")
    feature = "peers" if peer_copy else OUTSIDE[fault.hook]
    return "" if NEEDED[feature](features) else f"a device with {feature}"


class Faulty:
    """A device with each call passed through the hooks of its faults. What is not said here the device does itself."""

    def __init__(self, device: Any, faults: Sequence[str]) -> None:
        self.inner = device
        self.name = "+".join((device.name, *faults))
        self.features = parse_features(device.features, self.name)
        for fault in faults:
            lacks = missing(FAULTS[fault], self.features)
            if lacks:
                able = [f.name for f in FAULTS.values() if not missing(f, self.features)]
                raise UsageError(
                    f"fault {fault} needs {lacks} but is planted around {device.name} [device {self.name}]; "
                    f"write simulated:0+{fault}, or plant one of {', '.join(able[:6])}, ..."
                )
        self.planted = frozenset(FAULTS[f].hook for f in faults)
        self.hooks = Hooks((FAULTS[f].hook, FAULTS[f].function) for f in faults)
        self.index = int(tail) if (tail := device.name.rpartition(":")[2]).isdecimal() else 0
        self.scratch: dict[str, Any] = {}
        self.known: dict[int, tuple[Any, ArrayType, str]] = {}
        self.kept: list[Array] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def reset(self, seed: int) -> None:
        """Begin a run."""
        self.scratch.clear()
        self.known.clear()
        self.kept.clear()
        if (reset := getattr(self.inner, "reset", None)) is not None:
            reset(seed)

    # ----------------------------------------------------------------------------------------------------- transfers
    def upload(self, array: Array, **how: Any) -> Any:
        """Upload what the hooks make of the host array."""
        self.hooks.copies(True, array)
        source = self.hooks.carried(self.hooks.host_array(array), "upload")
        source = self._partly(source, self.hooks.moved(source.nbytes, "upload"))
        self.kept.append(source)  # until an asynchronous transfer has read it
        buffer = self.inner.upload(source, **self._queued(how, "upload"))
        return self._note(buffer, type_of(array), "upload")

    def download(self, buffer: Any, **how: Any) -> Array:
        """What the hooks make of the downloaded array."""
        how = self._queued(how, "download")
        if self.planted & DOWNLOADED and "blocking" in how:
            how["blocking"] = True
        array: Array = self.inner.download(buffer, **how)
        if self.planted & DOWNLOADED:
            array = np.asarray(self.hooks.carried(array, "download"))
            array = self._partly(array, self.hooks.moved(array.nbytes, "download"))
            fresh = how.get("into", np.empty(array.shape, array.dtype))
            target: Array = self.hooks.host_target(fresh, self.scratch)
            target[...] = array
            return target
        return array

    def copy(self, buffer: Any, source: Any = None, **how: Any) -> Any:
        """A copy from a peer, read back and changed where a hook says so."""
        source = source.inner if isinstance(source, Faulty) else source
        copied = self.inner.copy(buffer, source, **self._queued(how, "copy"))
        if self.planted & {"carried", "moved"}:
            array = self._read(copied)
            changed = np.asarray(self.hooks.carried(array, "copy"))
            copied = self._replaced(copied, array, self._partly(changed, self.hooks.moved(array.nbytes, "copy")))
        return self._note(copied, None, "copy")

    def _queued(self, how: dict[str, Any], kind: str) -> dict[str, Any]:
        """The arguments of a call, on the stream and with the waiting that the hooks say."""
        if how.get("blocking") and not self.hooks.host_waits(True, kind):
            how = {**how, "blocking": False}
        if "stream" in how:
            how = {**how, "stream": self.hooks.queue(how["stream"], kind, self.index)}
        return dict(how)

    def _partly(self, array: Array, nbytes: int) -> Array:
        """The first bytes of an array, and what memory holds before it is written."""
        if nbytes >= array.nbytes:
            return array
        raw = _unwritten(type_of(array)).reshape(-1).view(np.uint8)
        raw[:nbytes] = np.ascontiguousarray(array).reshape(-1).view(np.uint8)[:nbytes]
        return raw.view(array.dtype).reshape(array.shape)

    # ------------------------------------------------------------------------------------------------------- kernels
    def launch(self, op: str, operands: list[Any], attributes: dict[str, Any], **how: Any) -> Any:
        """The device's own result, changed as the hooks say: then a new upload takes its place."""
        hooks, planted = self.hooks, self.planted
        types = [self._type(b) for b in operands]
        if (refusal := hooks.accepts(None, op, [Seen(t) for t in types])) is not None:
            raise RuntimeError(refusal)
        reads = planted & {"operand", "result"}
        arrays = [self._read(b) for b in operands] if reads else []
        out = how.get("out")
        before = None if out is None or "written" not in planted else self._read(out)
        if "operand" in planted:
            wrong = [np.asarray(hooks.operand(x, i, op)) for i, x in enumerate(arrays)]
            operands = [self._replaced(b, x, y) for b, x, y in zip(operands, arrays, wrong, strict=True)]
            arrays = wrong
        buffer = self.inner.launch(op, operands, attributes, **self._queued(how, op))
        if self.features.alias_of(op) != "view":
            buffer = self._changed(buffer, op, types, arrays, attributes, before)
        return self._note(buffer, None, "result", op)

    def _changed(
        self,
        buffer: Any,
        op: str,
        types: Sequence[ArrayType],
        arrays: Sequence[Array],
        attributes: Mapping[str, Any],
        before: Array | None,
    ) -> Any:
        """The result with the hooks of results applied; before: what an operand held that it is written into."""
        hooks = self.hooks
        if not self.planted & {"result", "result_type", "written"}:
            return buffer
        right = self._read(buffer)
        wrong = np.asarray(hooks.result(right.copy(), op, arrays, attributes)).astype(right.dtype, copy=False)
        type = hooks.result_type(type_of(right), op, types)
        wrong = wrong.astype(type.np, copy=False).reshape(type.shape)
        if not hooks.written(True, Seen(type), op, [Seen(t) for t in types], before is not None):
            wrong = _unwritten(type) if before is None else before
        return self._replaced(buffer, right, wrong)

    def launch_compiled(self, nodes: Any, operands: list[Any], results: list[int], **how: Any) -> list[Any]:
        """The results of a compiled region, of which a hook may leave some unwritten or change the order."""
        found: list[Any] = self.inner.launch_compiled(nodes, operands, results, **self._queued(how, "compiled region"))
        if "region_results" in self.planted:
            right = [self._read(b) for b in found]
            wrong = self.hooks.region_results(list(right))
            given = [_unwritten(type_of(x)) if y is None else y for x, y in zip(right, wrong, strict=True)]
            found = [self._replaced(b, x, y) for b, x, y in zip(found, right, given, strict=True)]
        return [self._note(b, None, "result", "compiled region") for b in found]

    # --------------------------------------------------------------------------------------------------------- order
    def wait(self, stream: int, event: Any) -> None:
        """Wait, unless a hook says not to."""
        if self.hooks.waits(True, event, self.name):
            self.inner.wait(stream, event)

    def synchronize(self, **what: Any) -> None:
        """Synchronise, unless a hook says not to."""
        if self.hooks.synchronizes(True, what.get("stream"), what.get("event")):
            self.inner.synchronize(**what)

    # ------------------------------------------------------------------------------------------------------- buffers
    def place_of(self, buffer: Any) -> str:
        """Where the buffer is, or where a hook puts it."""
        known = self.known.get(id(buffer))
        return known[2] if known is not None and known[2] else str(self.inner.place_of(buffer))

    def _note(self, buffer: Any, type: ArrayType | None, kind: str, op: str = "") -> Any:
        """Remember the type of a buffer, and where a hook says that it is."""
        if self.planted & {"accepts", "written", "result_type", "placed"}:
            place = ""
            if "placed" in self.planted:
                true = self.inner.place_of(buffer)
                said = self.hooks.placed(true, self.index, self.inner.name.rpartition(":")[0], kind, op)
                place = "" if said == true else said
            needed = "placed" not in self.planted or len(self.planted) > 1
            known = type or (type_of(self._read(buffer)) if needed else ArrayType("bool", ()))
            self.known[id(buffer)] = (buffer, known, place)
        return buffer

    def _type(self, buffer: Any) -> ArrayType:
        if self.features.constants and isinstance(buffer, np.ndarray):
            return type_of(buffer)
        known = self.known.get(id(buffer))
        return type_of(self._read(buffer)) if known is None or known[0] is not buffer else known[1]

    def _read(self, buffer: Any) -> Array:
        """The elements of a buffer, after everything that is queued, or of a constant."""
        if self.features.constants and isinstance(buffer, np.ndarray):
            return np.array(buffer)
        if self.features.streams:
            self.inner.synchronize()
        return np.array(self.inner.download(buffer))

    def _replaced(self, buffer: Any, right: Array, wrong: Array) -> Any:
        """`buffer`, or a new one where the elements differ."""
        same = right is wrong or (type_of(right) == type_of(wrong) and bool((bits_of(right) == bits_of(wrong)).all()))
        return buffer if same else self.inner.upload(np.ascontiguousarray(wrong).reshape(wrong.shape))


def _unwritten(type: ArrayType) -> Array:
    """An array of the bytes that the simulated device's memory has before it is written."""
    pattern = np.array([NEVER_WRITTEN], np.uint16).view(np.uint8)
    return np.resize(pattern, type.size * type.np.itemsize).view(type.np).reshape(type.shape)
