"""`validating:DEVICE`: a device that checks each call of the protocol, both ways, and changes no result.

What the fuzzer passes is checked before the call, what the adapter gives back after it. A promise that is broken raises
`BrokenPromise` there and then, which says whose it was; in a campaign that is a finding of kind `raised`. A buffer of
this device is the adapter's own together with what is known of it: its type, its device, whether it was released.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from attrs import define, evolve, field, frozen

from offload_fuzz.device import Place, are_peers, place
from offload_fuzz.errors import AdapterError, InvalidProgram, OffloadError, UsageError
from offload_fuzz.ledger import checked
from offload_fuzz.ops.base import find_op
from offload_fuzz.types import NAMES, Array, ArrayType, type_of

PREFIX = "validating:"
FUZZER, ADAPTER = "the fuzzer", "the adapter"


#: id of each host array that lives and that an asynchronous download fills, perhaps while an upload of it is issued.
_filled: dict[int, weakref.ref[Array]] = {}


def _note_filled(array: Array, modes: Mapping[str, Any]) -> None:
    """Remember an array that an asynchronous download fills, as long as it lives."""
    if not modes.get("blocking", True):
        key = id(array)
        _filled[key] = weakref.ref(array, lambda _: _filled.pop(key, None))


class BrokenPromise(OffloadError):
    """A call that breaks the protocol; the text says who broke it: the fuzzer or the adapter."""


@define(eq=False)
class Checked:
    """A buffer: the adapter's own, its type, the device that it is on, and whether it was released."""

    buffer: Any
    type: ArrayType
    device: ValidatingDevice
    released: bool = False


@frozen(eq=False)
class Marked:
    """An event: the adapter's own, and the device that recorded it."""

    event: Any
    device: ValidatingDevice


@define(eq=False)
class _Call:
    """One call: on which device, and what its errors say of it."""

    device: str
    text: str

    def hold(self, condition: bool, who: str, seen: str, expected: str) -> None:
        """Raise `BrokenPromise` unless `condition` holds."""
        if not condition:
            raise BrokenPromise(
                f"{who} broke a promise: {seen} but should be {expected} [{self.text} on {self.device}]"
            )


@define(eq=False)
class ValidatingDevice:
    """Another device, watched. Its name, features and results are the other's."""

    inner: Any
    name: str
    features: Any
    _methods: frozenset[str] = field(init=False)

    @_methods.default
    def _found(self) -> frozenset[str]:
        names = ("reset", "place_of", "copy", "release", "record", "wait", "synchronize")
        return frozenset(n for n in names if callable(getattr(self.inner, n, None)))

    # ------------------------------------------------------------------------------------------------- transfers
    def upload(
        self, array: Array, share: bool = False, destination: str | None = None, chunks: Any = None, **modes: Any
    ) -> Checked:
        """Checks the modes and the buffer, and that the host array is not written."""
        call, pinned = _Call(self.name, f"upload({_shown(array)})"), modes.pop("pinned", False)
        call.hold(isinstance(array, np.ndarray), FUZZER, f"source is {type(array).__name__}", "a NumPy array")
        call.hold(array.dtype in NAMES, FUZZER, f"source has dtype {array.dtype}", "one of the dtypes")
        type_ = type_of(array)
        call.hold(
            type_.dtype in self.features.dtypes, FUZZER, f"source has dtype {type_.dtype}", "one that is declared"
        )
        if share:
            call.hold("shared" in self.features.transfers, FUZZER, "share= is given", "declared by transfers")
        self._check_modes(call, modes)
        before = array.tobytes()
        to = self._destination(call, "upload", destination)
        to |= self._chunks(call, "upload", chunks, array.shape)
        if pinned:
            call.hold(bool(self.features.pinned), FUZZER, "pinned= is given", "declared")
            modes["pinned"] = True
        buffer = self.inner.upload(array, **modes, **to, **({"share": True} if share else {}))
        call.hold(buffer is not None, ADAPTER, "upload returned None", "a buffer")
        same = id(array) in _filled or array.tobytes() == before
        call.hold(same, ADAPTER, "upload changed the host array", "one that is left as it was")
        return self._placed(call, Checked(buffer, type_, self))

    def download(
        self, buffer: Checked, into: Array | None = None, share: bool = False, chunks: Any = None, **modes: Any
    ) -> Array:
        """Checks the buffer, the modes, and the type of the array, or that of `into`."""
        call = _Call(self.name, "download")
        self._check_buffer(call, buffer)
        self._check_modes(call, modes)
        modes |= self._chunks(call, "download", chunks, buffer.type.shape)
        if into is not None:
            call.hold("download" in self.features.destination, FUZZER, "into= is given", "declared by destination")
            call.hold(type_of(into) == buffer.type, FUZZER, f"into is {_shown(into)}", str(buffer.type))
            self.inner.download(buffer.buffer, into=into, **modes)
            _note_filled(into, modes)
            return into
        if share:
            call.hold(bool(self.features.export), FUZZER, "share= is given", "declared by export")
        array: Any = self.inner.download(buffer.buffer, **modes, **({"share": True} if share else {}))
        found = np.asarray(array) if isinstance(array, np.generic) else array
        call.hold(isinstance(found, np.ndarray), ADAPTER, f"download gave {type(array).__name__}", "a NumPy array")
        call.hold(
            NAMES.get(found.dtype) == buffer.type.dtype and found.shape == buffer.type.shape,
            ADAPTER, f"download gave {_shown(found)}", str(buffer.type),
        )  # fmt: skip  # who, what was seen, what should be
        _note_filled(found, modes)
        return array  # type: ignore[no-any-return]  # as the adapter gave it

    def copy(
        self, buffer: Checked, source: Any, destination: str | None = None, chunks: Any = None, **modes: Any
    ) -> Checked:
        """Checks that the source is a peer, and the buffer that comes of it."""
        call = _Call(self.name, "copy")
        call.hold(self.features.peers is not None, FUZZER, "copy is called", "declared by peers")
        call.hold(
            isinstance(buffer, Checked), FUZZER, f"buffer is {type(buffer).__name__}", "of a device that is validated"
        )
        call.hold(not buffer.released, FUZZER, "the source buffer was released", "in use")
        call.hold(buffer.device is source, FUZZER, f"buffer is of {buffer.device.name}", f"of the source {source.name}")
        peers = (self.features.peers, source.features.peers)
        call.hold(are_peers(*peers), FUZZER, f"source has peers {peers[1]!r}", repr(peers[0]))
        self._check_modes(call, modes)
        to = self._destination(call, "copy", destination) | self._chunks(call, "copy", chunks, buffer.type.shape)
        result = self.inner.copy(buffer.buffer, source.inner, **modes, **to)
        call.hold(result is not None, ADAPTER, "copy returned None", "a buffer")
        return self._placed(call, Checked(result, buffer.type, self))

    # ------------------------------------------------------------------------------------------------------- ops
    def launch(
        self,
        op: str,
        operands: Sequence[Any],
        attributes: Mapping[str, Any],
        out: Checked | None = None,
        donate: int | None = None,
        update: str | None = None,
        **modes: Any,
    ) -> Checked:
        """Checks op, operands, attributes, `out`, `donate`, modes; that the adapter leaves its arguments."""
        operands = [self._constant(b) for b in operands]
        types = [getattr(b, "type", None) for b in operands]
        call = _Call(self.name, f"launch {op}({', '.join(map(str, types))})")
        call.hold(op in self.features.ops, FUZZER, f"op is {op!r}", "one that is declared")
        for b in operands:
            self._check_buffer(call, b)
        try:
            result = find_op(op).result_type([b.type for b in operands], attributes)
        except InvalidProgram as error:
            raise BrokenPromise(f"{FUZZER} broke a promise: {error} [{call.text} on {self.name}]") from None
        supported = self.features.supports(op, [b.type for b in operands], result)
        call.hold(supported, FUZZER, f"{op} on these dtypes to {result}", "declared")
        self._check_modes(call, modes, transfer=False)
        arguments = dict(modes)
        if out is not None:
            call.hold(op in self.features.in_place, FUZZER, "out= is given", f"only for ops in in_place, not {op}")
            call.hold(any(b is out for b in operands), FUZZER, "out is another buffer", "one of the operands")
            call.hold(out.type == result, FUZZER, f"out is {out.type}", str(result))
            arguments["out"] = out.buffer
        if update is not None:
            declared = op in self.features.update.get(update, ())
            call.hold(declared, FUZZER, f"update={update!r} is given", f"declared for {op}")
            arguments["update"] = update
        if donate is not None:
            call.hold(op in self.features.donate, FUZZER, "donate= is given", f"only for ops in donate, not {op}")
            there = type(donate) is int and 0 <= donate < len(operands)
            call.hold(there, FUZZER, f"donate is {donate!r}", f"a number of an operand, below {len(operands)}")
            once = sum(b is operands[donate] for b in operands) == 1
            call.hold(once, FUZZER, "the donated buffer is another operand too", "given away alone")
            operands[donate].released = True
            arguments["donate"] = donate
        inner, given = [b.buffer for b in operands], dict(attributes)
        passed, passed_attributes = list(inner), dict(given)
        buffer = self.inner.launch(op, passed, passed_attributes, **arguments)
        kept = len(passed) == len(inner) and all(a is b for a, b in zip(passed, inner, strict=True))
        call.hold(kept and passed_attributes == given, ADAPTER, "launch changed its arguments", "leaving them alone")
        call.hold(buffer is not None, ADAPTER, "launch returned None", "a buffer")
        return self._placed(call, Checked(buffer, result, self))

    def launch_compiled(
        self,
        nodes: Sequence[tuple[str, Sequence[int], Mapping[str, Any]]],
        operands: Sequence[Any],
        results: Sequence[int],
        **modes: Any,
    ) -> list[Checked]:
        """Checks the operands and every node, the numbers of the results, and that there is a buffer for each."""
        call = _Call(self.name, f"launch_compiled {', '.join(op for op, *_ in nodes)}")
        call.hold(bool(self.features.compile), FUZZER, "launch_compiled is called", "declared by compile")
        operands = [self._constant(b) for b in operands]
        for b in operands:
            self._check_buffer(call, b)
        self._check_modes(call, modes, transfer=False)
        types = [b.type for b in operands]
        for op, numbers, attributes in nodes:
            call.hold(op in self.features.ops, FUZZER, f"op is {op!r}", "one that is declared")
            inside = all(0 <= n < len(types) for n in numbers)
            call.hold(inside, FUZZER, f"{op} takes {list(numbers)}", f"numbers below {len(types)}")
            try:
                types.append(find_op(op).result_type([types[n] for n in numbers], attributes))
            except InvalidProgram as error:
                raise BrokenPromise(f"{FUZZER} broke a promise: {error} [{call.text} on {self.name}]") from None
        made = all(len(operands) <= n < len(types) for n in results)
        call.hold(
            made, FUZZER, f"results are {list(results)}", f"numbers of nodes, {len(operands)} to {len(types) - 1}"
        )
        found = self.inner.launch_compiled(nodes, [b.buffer for b in operands], results, **modes)
        call.hold(len(found) == len(results), ADAPTER, f"{len(found)} buffers came back", f"{len(results)}")
        call.hold(all(b is not None for b in found), ADAPTER, "a result is None", "a buffer")
        return [self._placed(call, Checked(b, types[n], self)) for b, n in zip(found, results, strict=True)]

    # --------------------------------------------------------------------------------------------- order, memory
    def record(self, stream: int) -> Marked:
        """Checks the stream, and that there is an event."""
        call = _Call(self.name, f"record({stream!r})")
        self._check_stream(call, stream)
        event = self.inner.record(stream)
        call.hold(event is not None, ADAPTER, "record returned None", "an event")
        return Marked(event, self)

    def wait(self, stream: int, event: Marked) -> None:
        """Checks the stream, and that the event is this device's or a peer's."""
        call = _Call(self.name, f"wait({stream!r})")
        self._check_stream(call, stream)
        self._check_event(call, event)
        self.inner.wait(stream, event.event)

    def delay(self, stream: int) -> None:
        """Checks that it is declared, and the stream."""
        call = _Call(self.name, f"delay({stream!r})")
        call.hold(bool(self.features.delay), FUZZER, "delay is called", "declared")
        self._check_stream(call, stream)
        self.inner.delay(stream)

    def synchronize(self, stream: int | None = None, event: Marked | None = None) -> None:
        """Checks the stream or the event."""
        call = _Call(self.name, "synchronize")
        call.hold(stream is None or event is None, FUZZER, "both stream and event are given", "one of them")
        if event is not None:
            self._check_event(call, event)
            self.inner.synchronize(event=event.event)
        elif stream is not None:
            self._check_stream(call, stream)
            self.inner.synchronize(stream=stream)
        else:
            self.inner.synchronize()

    def release(self, buffer: Checked, **modes: Any) -> None:
        """Checks that the buffer was not released before; from then on it may not be used."""
        call = _Call(self.name, "release")
        call.hold(bool(self.features.release), FUZZER, "release is called", "declared")
        self._check_buffer(call, buffer)
        buffer.released = True
        self.inner.release(buffer.buffer, **modes)

    def reset(self, seed: int) -> None:
        """Passed on if the adapter has it."""
        if "reset" in self._methods:
            self.inner.reset(seed)

    def ledger(self) -> Mapping[str, Any]:
        """What the adapter says, which must have the form of a ledger; misreads name the adapter's own buffers."""
        call = _Call(self.name, "ledger")
        call.hold(bool(self.features.ledger), FUZZER, "ledger is called", "declared")
        try:
            return checked(self.inner.ledger(), self.features.ledger, self.name)
        except AdapterError as error:
            raise BrokenPromise(f"{ADAPTER} broke a promise: {error}") from None

    def pinned(self, nbytes: int) -> Array:
        """Checks that it is declared, and that there are so many bytes that the host may write."""
        call = _Call(self.name, f"pinned({nbytes})")
        call.hold(bool(self.features.pinned), FUZZER, "pinned is called", "declared")
        found: Any = self.inner.pinned(nbytes)
        there = isinstance(found, np.ndarray) and (found.dtype, found.shape) == (np.uint8, (nbytes,))
        call.hold(there and found.flags.writeable, ADAPTER, f"it gave {_shown(found)}", f"uint8[{nbytes}] to write")
        return found  # type: ignore[no-any-return]  # as the adapter gave it

    def touched(self, array: Array, writes: bool) -> None:
        """Passed on."""
        self.inner.touched(array, writes)

    def place_of(self, buffer: Checked) -> str:
        """What the adapter says, which must be a string."""
        found = self.inner.place_of(buffer.buffer)
        _Call(self.name, "place_of").hold(
            isinstance(found, str), ADAPTER, f"place_of gave {type(found).__name__}", "the name of a place"
        )
        return str(found)

    # ---------------------------------------------------------------------------------------------------- checks
    def _placed(self, call: _Call, buffer: Checked) -> Checked:
        expected = self.features.place
        if expected is not None:
            found = self.inner.place_of(buffer.buffer)
            call.hold(found == expected, ADAPTER, f"the buffer is at {found!r}", f"at {expected!r}")
        return buffer

    def _destination(self, call: _Call, kind: str, destination: str | None) -> dict[str, str]:
        if destination is None:
            return {}
        call.hold(kind in self.features.destination, FUZZER, "destination= is given", "declared")
        return {"destination": destination}

    def _chunks(self, call: _Call, kind: str, chunks: Any, shape: tuple[int, ...]) -> dict[str, Any]:
        """The argument, which must cut all of an axis into pieces that are not empty."""
        if chunks is None:
            return {}
        call.hold(kind in self.features.chunks, FUZZER, "chunks= is given", "declared")
        axis, bounds = chunks
        whole = 0 <= axis < len(shape) and (bounds[0], bounds[-1]) == (0, shape[axis])
        whole = whole and all(a < b for a, b in pairwise(bounds))
        call.hold(whole, FUZZER, f"chunks is {chunks}", f"pieces of shape {shape}")
        return {"chunks": chunks}

    def _constant(self, operand: Any) -> Any:
        """What is passed on of an operand: a host array as a buffer is, where the device takes constants."""
        if not self.features.constants or not isinstance(operand, np.ndarray):
            return operand
        return Checked(operand, type_of(operand), self)

    def _check_buffer(self, call: _Call, buffer: Any) -> None:
        call.hold(
            isinstance(buffer, Checked), FUZZER, f"buffer is {type(buffer).__name__}", "one that this device gave"
        )
        call.hold(buffer.device is self, FUZZER, f"buffer is of {buffer.device.name}", f"of {self.name}")
        call.hold(not buffer.released, FUZZER, "a buffer is used that was released", "in use")

    def _check_stream(self, call: _Call, stream: Any) -> None:
        n = self.features.streams
        call.hold(type(stream) is int and 0 <= stream < n, FUZZER, f"stream is {stream!r}", f"0 <= stream < {n}")

    def _check_event(self, call: _Call, event: Any) -> None:
        call.hold(isinstance(event, Marked), FUZZER, f"event is {type(event).__name__}", "one that was recorded")
        mine = event.device is self
        peers = are_peers(self.features.peers, event.device.features.peers)
        call.hold(mine or peers, FUZZER, f"event is of {event.device.name}", "of this device or a peer")

    def _check_modes(self, call: _Call, modes: Mapping[str, Any], transfer: bool = True) -> None:
        wanted = {"stream"} if self.features.streams else set()
        wanted |= {"blocking"} if transfer and "async" in self.features.transfers else set()
        call.hold(modes.keys() == wanted, FUZZER, f"modes are {sorted(modes)}", str(sorted(wanted)))
        if "stream" in modes:
            self._check_stream(call, modes["stream"])


def _shown(array: Any) -> str:
    if not isinstance(array, np.ndarray):
        return type(array).__name__
    return f"{NAMES.get(array.dtype, array.dtype)}[{','.join(map(str, array.shape))}]"


def validating(device: Any) -> ValidatingDevice:
    """`device`, an adapter object or a `Place`, watched; raises `UsageError` for what is no adapter."""
    watched = device if isinstance(device, Place) else place(device)
    peers = watched.features.peers  # only with others that are watched, whose buffers are of the same kind
    if isinstance(peers, tuple):
        peers = tuple(f"{PREFIX}{link}" for link in peers)
    features = evolve(watched.features, peers=f"{PREFIX}{peers}" if isinstance(peers, str) else peers)
    return ValidatingDevice(watched.device, f"{PREFIX}{watched.name}", features)


def inner_spec(spec: str) -> str:
    """The DEVICE of `validating:DEVICE`; raises `UsageError` where there is none."""
    inner = spec.removeprefix(PREFIX)
    if not inner or inner.startswith(PREFIX):
        raise UsageError(
            f"device is {spec!r} but should be validating:DEVICE such as validating:torch:cpu [validating]"
        )
    return inner
