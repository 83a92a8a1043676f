"""The bench that promises are checked on: one device, called as the protocol says, and what checks have in common."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from attrs import frozen

from offload_fuzz.campaign.conformance.applied import Applied, Outcome, drawn
from offload_fuzz.device import Place
from offload_fuzz.ops.base import OPS
from offload_fuzz.text import format_element
from offload_fuzz.types import NAMES, Array, ArrayType, differing

#: Seeds under which a check of order or lifetime is repeated, for devices that have `reset`; others are asked so often.
SEEDS, REPEATS = range(12), 3
#: Seconds that one op may take; a device that compiles each op for each type takes longer, and is asked less.
PATIENCE = 2.0
#: Applications of such an op on which promises beyond `ops_run` and `results` are checked.
FEW = 4
#: Ops that change nearly every element of their operand, by which an operand is overwritten in place.
SPOILERS = ("negative", "logical_not", "bitwise_invert", "bitwise_xor", "subtract", "add")
#: The dtype of the arithmetic in checks of order.
COUNTED = ("int32", "float32", "int64", "float64", "int16", "uint8", "float16", "bfloat16")


@frozen
class Violation:
    """A promise that was seen broken: where, what was seen there, and what should have been."""

    where: str
    seen: str
    expected: str


class DeviceRaised(Exception):
    """The device raised where it should not have; the text says in which call, and what."""


class MemoryUsedUp(DeviceRaised):
    """The device said, as its features declare, that its memory is used up."""


class Bench:
    """A device under test. `at` is told where a check has come to; `avoid`: ops that have ended the process before.

    peer: another device of the same `peers`, for copies between two; `notes` and `hints` are what checks remark.
    """

    def __init__(
        self,
        place: Place,
        peer: Place | None = None,
        at: Callable[[str], None] = lambda where: None,
        avoid: Sequence[str] = (),
    ) -> None:
        self.place, self.peer = place, peer
        self.device, self.features = place.device, place.features
        self.tell = at
        self.where = ""
        self.avoid = frozenset(avoid)
        self.notes: list[str] = []
        self.hints: list[str] = []
        self._outcomes: list[Outcome] | None = None
        self._slow: set[str] = set()
        self._works: dict[str, list[Applied]] | None = None
        self._drawn: dict[str, list[Applied]] = {}

    # ------------------------------------------------------------------------------------------------- the protocol
    def call(self, method: str, *arguments: Any, **modes: Any) -> Any:
        """A call of the device; raises `DeviceRaised` for what it raises."""
        with np.errstate(all="ignore"):
            try:
                return getattr(self.device, method)(*arguments, **modes)
            except Exception as error:
                text = " ".join(f"{type(error).__name__}: {error}".split())[:300]
                names = {t.__name__ for t in type(error).__mro__}
                kind = DeviceRaised if names.isdisjoint(self.features.out_of_memory) else MemoryUsedUp
                raise kind(f"{method} raised {text}") from error

    def modes(self, stream: int, blocking: bool | None = None) -> dict[str, Any]:
        """The arguments that features bring: stream, and blocking for a transfer."""
        found: dict[str, Any] = {"stream": stream} if self.features.streams else {}
        if blocking is not None and self.has_async:
            found["blocking"] = blocking
        return found

    def upload(self, array: Array, stream: int = 0, blocking: bool = True) -> Any:
        return self.call("upload", array, **self.modes(stream, blocking))

    def download(self, buffer: Any, stream: int = 0, blocking: bool = True) -> Any:
        array = self.call("download", buffer, **self.modes(stream, blocking))
        return np.asarray(array) if isinstance(array, np.generic) else array  # as the executor takes it

    def launch(
        self,
        op: str,
        operands: Sequence[Any],
        attributes: Mapping[str, Any] | None = None,
        stream: int = 0,
        out: Any = None,
        donate: int | None = None,
        update: str | None = None,
    ) -> Any:
        given = {"out": out, "donate": donate, "update": update}
        modes = {**self.modes(stream), **{name: value for name, value in given.items() if value is not None}}
        return self.call("launch", op, list(operands), dict(attributes or {}), **modes)

    def release(self, buffer: Any, stream: int = 0) -> None:
        self.call("release", buffer, stream=stream)

    def settle(self, stream: int | None = None) -> None:
        """Wait for a stream, or for everything; nothing on a device whose calls return when done."""
        if self.features.streams:
            self.call("synchronize", **({} if stream is None else {"stream": stream}))

    def at(self, where: str) -> None:
        """Say where a check has come to: to whoever watches, and in the violation if the device raises there."""
        self.where = where
        self.tell(where)

    def reset(self, seed: int = 0) -> None:
        if callable(getattr(self.device, "reset", None)):
            self.call("reset", seed)

    def rounds(self) -> Iterator[int]:
        """Begin anew once per seed; the seed of each round."""
        seeds = SEEDS if callable(getattr(self.device, "reset", None)) else range(REPEATS)
        for seed in seeds:
            self.reset(seed)
            yield seed
        self.reset()

    # ------------------------------------------------------------------------------------------------ what there is
    @property
    def has_async(self) -> bool:
        return "async" in self.features.transfers

    @property
    def dtypes(self) -> list[str]:
        """The dtypes of the device in table order."""
        return [d for d in NAMES.values() if d in self.features.dtypes]

    def has(self, op: str, dtype: str) -> bool:
        """Whether the device runs element-wise `op` on operands and result of `dtype`."""
        row = OPS.get(op)
        if row is None or dtype not in row.dtypes or op in self.avoid:
            return False
        type = ArrayType(dtype, (1,))
        return self.features.supports(op, [type] * len(row.operands), type)

    @property
    def counted(self) -> str | None:
        """The dtype in which the device can count by `add`; None if it cannot."""
        return next((d for d in COUNTED if d in self.features.dtypes and self.has("add", d)), None)

    def counter(self, size: int) -> tuple[Array, Array]:
        """0, 1, 2, ... modulo 100 and ones, of the counted dtype."""
        dtype = ArrayType(self.counted or "float32", (size,)).np
        return (np.arange(size) % 100).astype(dtype), np.ones(size, dtype)

    # --------------------------------------------------------------------------------------------------------- ops
    def applied(self, op: str) -> list[Applied]:
        """Applications of `op` on the dtypes that the device runs it on."""
        if op not in self._drawn:
            self._drawn[op] = [] if op in self.avoid else list(drawn(self.place, op, self.dtypes))
        return self._drawn[op]

    def working(self, op: str) -> list[Applied]:
        """Those applications of `op` that give a result; that others do not is what `ops_run` says."""
        if self._works is None:
            self._works = {}
            for o in self.outcomes():
                if not o.error:
                    self._works.setdefault(o.applied.op, []).append(o.applied)
        return self._works.get(op, [])[: FEW if op in self._slow else None]

    def each(self, ops: Iterable[str], look: Callable[[str], Iterator[Violation]]) -> Iterator[Violation]:
        """What `look` sees on each op; one on which the device raises is named, and the next one is looked at."""
        for op in ops:
            self.at(op)
            try:
                yield from look(op)
            except MemoryUsedUp:
                self.notes.append(f"{op}: checked as far as the device's memory goes")
            except DeviceRaised as error:
                yield Violation(self.where, str(error), "no exception")

    def outcomes(self) -> list[Outcome]:
        """What every op gave on every application, run once for all checks that ask."""
        if self._outcomes is None:
            self._outcomes = []
            left = 0
            for op in self.features.ops:
                self.at(op)
                found = self._run(self.applied(op))
                left += len(self.applied(op)) - len(found)
                self._outcomes.extend(found)
            if left:
                self.notes.append(f"{left:,} applications left out, as the device is slow or small")
        return self._outcomes

    def _run(self, applied: Sequence[Applied]) -> list[Outcome]:
        """Their outcomes, in order; those that are not the first of their dtype only while `PATIENCE` lasts."""
        rank: dict[str, int] = {}
        order = []
        for i, a in enumerate(applied):
            dtype = str(a.operands[-1].dtype) if a.operands else a.type.dtype
            rank[dtype] = rank.get(dtype, -1) + 1
            order.append((rank[dtype], i))
        found: dict[int, Outcome] = {}
        started = time.monotonic()
        for k, i in sorted(order):
            if k and time.monotonic() - started > PATIENCE:
                self._slow.add(applied[i].op)
                break
            outcome = self._outcome(applied[i])
            if outcome is not None:
                found[i] = outcome
        return [found[i] for i in sorted(found)]

    def _outcome(self, a: Applied) -> Outcome | None:
        """What comes of one application; None where the device has not enough memory for it, as it declares."""
        try:
            buffers = [self.upload(x) for x in a.operands]
            result = self.launch(a.op, buffers, a.attributes)
            array = self.download(result)
            return Outcome(a, array, "", [self.download(b) for b in buffers], self.place_of(result))
        except MemoryUsedUp:
            return None
        except DeviceRaised as error:
            return Outcome(a, None, str(error), [], "")

    def place_of(self, buffer: Any) -> str:
        """What the device says of a buffer's place, empty where it need not say."""
        return str(self.call("place_of", buffer)) if self.features.place is not None else ""

    def spoiler(self, type: ArrayType) -> str | None:
        """An op that can overwrite a buffer of `type` in place; None if there is none."""
        if not type.size:
            return None
        return next((op for op in SPOILERS if op in self.features.in_place and self.has(op, type.dtype)), None)

    def spoil(self, op: str, buffer: Any) -> None:
        """Overwrite a buffer in place."""
        self.launch(op, [buffer] * len(OPS[op].operands), out=buffer)


# ------------------------------------------------------------------------------------------------------- comparison
def differs(where: str, got: Any, expected: Array) -> Violation | None:
    """The violation if `got` is not an array of the dtype, the shape and the bits of `expected`."""
    wanted = f"{NAMES[expected.dtype]}{list(expected.shape)}"
    if not isinstance(got, np.ndarray):
        return Violation(where, f"a {type(got).__name__}", f"a NumPy array {wanted}")
    if got.dtype != expected.dtype or got.shape != expected.shape:
        return Violation(where, f"an array {got.dtype}{list(got.shape)}", wanted)
    wrong = differing(got, expected)
    if not wrong.any():
        return None
    at = tuple(int(i) for i in np.argwhere(wrong)[0])
    label = f"[{', '.join(map(str, at))}]" if at else "the element"
    many = f" ({np.count_nonzero(wrong):,} of {wrong.size:,} elements wrong)" if wrong.size > 1 else ""
    return Violation(where, f"{label} is {format_element(got[at])}{many}", str(format_element(expected[at])))


def same_bits(a: Any, b: Array) -> bool:
    """Whether `a` is an array of the same type and bits."""
    return isinstance(a, np.ndarray) and a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
