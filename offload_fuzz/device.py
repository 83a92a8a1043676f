"""A device, as the fuzzer sees it: the protocol that an adapter implements, and the features that it declares.

An adapter imports nothing of ours. Required: `name`, `features` and three methods,

    upload(array) -> buffer             array: a NumPy array, in any layout, perhaps read-only
    download(buffer) -> array           a NumPy array that the device never writes again
    launch(op, operands, attributes) -> buffer    op: array API name; operands: list of buffers; attributes: dict

Everything else is optional and declared in `features`; only then are further arguments passed:

    feature          then
    streams: n       calls take `stream=` (0 <= stream < n) and `launch` may return before it is done;
                     record(stream) -> event, wait(stream, event), synchronize(stream=None, event=None)
    transfers        with "async": upload, download and copy take `blocking=`; with False they may return early.
                     with "shared": `upload(..., share=True)` may give a buffer that lies in the host array itself
    export           `download(..., share=True)` may give a host array that lies in the buffer, which nobody writes then
    in_place: ops    `launch(..., out=buffer)` writes the result into the buffer of an operand
    donate: ops      `launch(..., donate=k)` gives the device the memory of operand k, where it may put the result; the
                     host does not use that buffer again
    update: how: ops `launch(..., update=how)` brings the result to memory of its own in another way: "assign", by item
                     assignment to a new array (setitem: to the region of a copy); "out", by `out=` a new array; "view",
                     by an op that writes into a view of a larger array; "strided view", into one with gaps
    destination: transfers "upload", "copy": they take `destination=`, the form of the new buffer: "offset", one element
                     into larger memory; "strided", every second element of its rows. "download": it takes `into=`, a
                     host array of any layout, which it fills, and nothing around it
    chunks: transfers  of "upload", "download", "copy": they take `chunks=(axis, bounds)` and move the elements from
                     bounds[i] to bounds[i + 1] of that axis by a transfer of their own, one after the other
    pinned           pinned(nbytes) -> array of uint8: host memory of the host's own, page-locked, which lasts as long
                     as the array; upload(..., pinned=True): the array lies there. `source_free["pinned"]`: when the
                     source of an asynchronous upload from it is free
    peers: name      copy(buffer, source, stream=..., blocking=...) -> buffer, from a device of the same `peers`;
                     events may be waited for across these devices; a tuple: names of links, one of which both have
    release          release(buffer, stream=...) gives the memory back in stream order
    drop             the host may let go of a buffer, dropping its references: queued work and views keep its memory
    delay            delay(stream) puts off what follows on the stream, so that what does not wait for it comes first
    memory: bytes    so many may be allocated at once: running out of memory with far less is a finding. With it may go
                     padding: n, if arrays take up to n times the bytes that they need (1 unless told)
    compile          launch_compiled(nodes, operands, results, stream=...) -> list of buffers: runs several ops as one.
                     nodes: list of (op, numbers, attributes), where number i < len(operands) is operands[i] and node j
                     makes number len(operands) + j; results: the numbers to give back, in fresh memory
    constants        `launch` and `launch_compiled` may be given NumPy arrays among operands: constants of the kernel
    ledger: names    ledger() -> dict of what the device itself counted since `reset`, below its runtime, by name:
                     "transfers": list of (kind, bytes of elements) of all that were done, kind upload, download or
                     copy; "launches": for each call of a launch, in order, the name of the place where it ran, as
                     `place` says it, None if it has not run; "misreads": list of dicts, {"text": sentence, "buffer":
                     a buffer or None} for each read of memory that should not have been;
                     "watched": False beside them where the device did not look in this run.
                     touched(array, writes) is called when the host reads or writes an array, if "misreads" is there

An exception whose type, or a base of it, is named in `out_of_memory` says that an allocation did not fit: that run is
counted, and judged neither right nor wrong. The device then has to work on: without a `reset`, the same plan comes as
far again, and a small program gives its results. One with `launch`, the number of launches since `reset` before the one
at fault (and `device`, the name of the device that it was on), may be raised by any later call that waits for it.

`reset(seed)` (before each run) and `place_of(buffer) -> str` (the device that holds it) are called if there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import zip_longest
from typing import Any, Protocol, TypeAlias, runtime_checkable

from attrs import field, frozen

from offload_fuzz.contract import Contract
from offload_fuzz.contract_files import contract_named, contract_of
from offload_fuzz.errors import AdapterError, one_of
from offload_fuzz.ops.base import OPS
from offload_fuzz.types import DTYPES, Array, ArrayType, common_dtype

SOURCE_FREE = ("return", "completion", "last use", "never")
SHARING = ("last use", "never")
ALIASING = ("fresh", "view", "may")
TRANSFERS = ("blocking", "async", "shared")
SHAPES = ("any", "pool")
LEDGER = ("transfers", "launches", "misreads")
#: A transfer in pieces: the axis that is cut, and where each begins; the last number is where the last one ends.
Chunks: TypeAlias = tuple[int, tuple[int, ...]]
DESTINATIONS = ("upload", "download", "copy")
UPDATES = ("assign", "out", "view", "strided view")


@runtime_checkable
class Device(Protocol):
    """The required part of the protocol."""

    name: str
    features: Any

    def upload(self, array: Array) -> Any: ...

    def download(self, buffer: Any) -> Array: ...

    def launch(self, op: str, operands: list[Any], attributes: dict[str, Any]) -> Any: ...


@frozen
class Features:
    """What a device declares. An answer that is not given takes the weakest value.

    ops: op -> dtypes it runs on, or None for all of `dtypes`. streams: 0 when calls return finished.
    source_free: per transfer mode, when the host may overwrite what it handed over ("pinned": asynchronously, from
    page-locked memory). aliasing: per op, whether a result
    is fresh memory, a view of an operand, or may be either ("*": every other op). in_place, donate: ops, or "all".
    update: one of `UPDATES` -> the ops that have it, or "all".
    place: what `place_of` must answer.
    shapes: "any", or "pool" where each new shape costs so much (a compiler runs) that inputs should share a few.
    out_of_memory: names of the exceptions that say so. memory: bytes that may be allocated at once; None: not told.
    padding: by how much an allocation may be larger than it need be, as where arrays are padded to tiles.
    ledger: what the device tells of a run, of `LEDGER`.
    """

    ops: Mapping[str, frozenset[str] | None]
    dtypes: frozenset[str]
    streams: int = 0
    transfers: tuple[str, ...] = ("blocking",)
    in_place: frozenset[str] = frozenset()
    donate: frozenset[str] = frozenset()
    update: Mapping[str, frozenset[str]] = field(factory=dict)
    destination: frozenset[str] = frozenset()
    chunks: frozenset[str] = frozenset()
    pinned: bool = False
    peers: str | tuple[str, ...] | None = None
    release: bool = False
    compile: bool = False
    delay: bool = False
    drop: bool = False
    export: bool = False
    constants: bool = False
    source_free: Mapping[str, str] = field(factory=dict)
    aliasing: Mapping[str, str] = field(factory=dict)
    deterministic: bool = False
    contract: Contract = field(factory=lambda: contract_named("ieee"), converter=contract_of)
    place: str | None = None
    shapes: str = "any"
    out_of_memory: tuple[str, ...] = ()
    memory: int | None = None
    padding: int = 1
    ledger: tuple[str, ...] = ()

    def supports(self, op: str, operands: Iterable[ArrayType], result: ArrayType) -> bool:
        """Whether the device may be given `op` with operands and a result of these types."""
        if op not in self.ops:
            return False
        dtypes = self.ops[op] or self.dtypes
        needs = OPS[op].operands if op in OPS else ()
        if op in OPS and not needs:
            return result.dtype in dtypes
        free: set[str] = set()
        for t, need in zip_longest(operands, needs):
            if need is None or need.dtype == "same":
                free.add(t.dtype)
            elif t.dtype not in self.dtypes and t.dtype != "bool":
                return False  # a dtype that the op fixes, such as that of indices, is the device's business as a whole
        free.discard("bool")
        if len(free) == 2 and (common := common_dtype(*free)) is not None:
            free.add(common)  # operands of two dtypes are computed in the one that they promote to
        return result.dtype in self.dtypes and free <= dtypes

    def alias_of(self, op: str) -> str:
        """fresh, view or may."""
        return self.aliasing.get(op, self.aliasing.get("*", "may"))

    def free_after(self, transfer: str) -> str:
        """When a source handed over by this transfer mode may be overwritten; a shared one at its last use."""
        return self.source_free.get(transfer, "last use" if transfer == "shared" else "never")


def are_peers(peers: str | tuple[str, ...] | None, others: str | tuple[str, ...] | None) -> bool:
    """Whether two devices of these `peers` copy from each other: they have the same, or a link in common."""
    if isinstance(peers, tuple) and isinstance(others, tuple):
        return not set(peers).isdisjoint(others)
    return peers is not None and peers == others


KEYS = tuple(a.name for a in Features.__attrs_attrs__)


def parse_features(value: Any, where: str) -> Features:
    """Features from what an adapter declares (a mapping or a `Features`); raises `AdapterError`."""
    if isinstance(value, Features):
        return value
    if not isinstance(value, Mapping):
        raise AdapterError(
            f"features is {type(value).__name__} but should be a dict such as {{'ops': [...]}} [{where}]"
        )
    try:
        return _parse_features(value, where)
    except (TypeError, AttributeError, ValueError) as error:
        raise AdapterError(f"features are malformed: {error} [{where}]; see offload_fuzz.device") from None


def _parse_features(value: Mapping[str, Any], where: str) -> Features:
    for key in value:
        if key not in KEYS:
            raise one_of("feature", key, KEYS, where)
    for key in ("ops", "dtypes"):
        if not value.get(key):
            raise AdapterError(f"features has no {key} but should list them [{where}]")
    dtypes = frozenset(value["dtypes"])
    for dtype in dtypes:
        if dtype not in DTYPES:
            raise one_of("dtype", dtype, DTYPES, f"{where}, features['dtypes']")
    raw = value["ops"]
    ops = {op: frozenset(d) if d is not None else None for op, d in raw.items()} if isinstance(raw, Mapping) else None
    ops = dict.fromkeys(raw) if ops is None else ops
    for op in ops:
        if op not in OPS:
            raise one_of("op", op, sorted(OPS), f"{where}, features['ops']", "A custom op needs --load.")
    given: dict[str, Any] = {k: v for k, v in value.items() if k not in ("ops", "dtypes")}
    for name, known in (("source_free", SOURCE_FREE), ("aliasing", ALIASING)):
        for answer in dict(given.get(name, {})).values():
            if answer not in known:
                raise one_of(name, answer, known, where)
    for transfer in given.get("transfers", ()):
        if transfer not in TRANSFERS:
            raise one_of("transfer", transfer, TRANSFERS, where)
    if (when := dict(given.get("source_free", {})).get("shared", "never")) not in SHARING:
        raise one_of("source_free of shared", when, SHARING, where)
    if not isinstance(given.get("streams", 0), int) or given.get("streams", 0) < 0:
        raise AdapterError(f"features['streams'] is {given['streams']!r} but should be an int >= 0 [{where}]")
    if given.get("shapes", "any") not in SHAPES:
        raise one_of("shapes", given["shapes"], SHAPES, where)
    names = given.get("out_of_memory", ())
    if isinstance(names, str) or not all(isinstance(n, str) for n in names):
        raise AdapterError(f"features['out_of_memory'] is {names!r} but should be names of exceptions [{where}]")
    given["out_of_memory"] = tuple(names)
    for name in ("memory", "padding"):
        n = given.get(name)
        if n is not None and (type(n) is not int or n < 1):
            raise AdapterError(f"features[{name!r}] is {n!r} but should be an int >= 1 [{where}]")
    given["ledger"] = tuple(given.get("ledger", ()))
    for name in given["ledger"]:
        if name not in LEDGER:
            raise one_of("ledger", name, LEDGER, where)
    if isinstance(given.get("peers"), list):
        given["peers"] = tuple(given["peers"])
    if "transfers" in given:
        given["transfers"] = tuple(given["transfers"])
    for key in ("in_place", "donate"):
        if key in given:
            given[key] = frozenset(ops) if given[key] == "all" else frozenset(given[key])
    for key in ("destination", "chunks"):
        given[key] = frozenset(given.get(key, ()))
        for kind in given[key]:
            if kind not in DESTINATIONS:
                raise one_of(key, kind, DESTINATIONS, where)
    ways = dict(given.get("update", {}))
    for way in ways:
        if way not in UPDATES:
            raise one_of("update", way, UPDATES, where)
    given["update"] = {way: frozenset(ops) if of == "all" else frozenset(of) for way, of in ways.items()}
    return Features(ops=ops, dtypes=dtypes, **given)


OPTIONAL_METHODS = {
    "streams": ("record", "wait", "synchronize"),
    "peers": ("copy",),
    "release": ("release",),
    "compile": ("launch_compiled",),
    "ledger": ("ledger", "touched"),
    "delay": ("delay",),
    "pinned": ("pinned",),
}


def check_device(device: Any, where: str) -> Features:
    """The features of an adapter object; raises `AdapterError` naming the first thing that it lacks."""
    name = getattr(device, "name", None)
    if not isinstance(name, str) or not name:
        raise AdapterError(f"adapter's name is {name!r} but should be a string such as 'mychip:0' [{where}]")
    if not hasattr(device, "features"):
        raise AdapterError(f"adapter has no features but should declare {{'ops': [...], 'dtypes': [...]}} [{where}]")
    for method in ("upload", "download", "launch"):
        if not callable(getattr(device, method, None)):
            raise AdapterError(f"adapter has no method {method}() but needs it; see offload_fuzz.device [{where}]")
    features = parse_features(device.features, where)
    for feature, methods in OPTIONAL_METHODS.items():
        if getattr(features, feature):
            for method in methods:
                if not callable(getattr(device, method, None)):
                    raise AdapterError(f"features declare {feature} but there is no method {method}() [{where}]")
    return features


@frozen(eq=False)
class Place:
    """A role filled: the device object and its features. Role 0 is always the host.

    spec: what the user named it by, by which a replay opens it again; the device's own name unless told.
    """

    device: Any
    features: Features
    spec: str = field(kw_only=True)

    @spec.default
    def _own_name(self) -> str:
        return str(self.device.name)

    @property
    def name(self) -> str:
        return str(self.device.name)


def place(device: Any, where: str = "device") -> Place:
    """Check an adapter object and pair it with its features; raises `UsageError`."""
    if isinstance(device, Place):
        return device
    return Place(device, check_device(device, where))


@lru_cache(maxsize=1024)
def relay(places: tuple[Place, ...], p: int, q: int, dtype: str) -> int | None:
    """The first role that copies from `p`, holds `dtype` and is copied from by `q`; the host, role 0, is none."""
    peers = [f.features.peers for f in places]
    for i, third in enumerate(places):
        linked = i not in (0, p, q) and are_peers(peers[p], peers[i]) and are_peers(peers[i], peers[q])
        if linked and dtype in third.features.dtypes:
            return i
    return None
