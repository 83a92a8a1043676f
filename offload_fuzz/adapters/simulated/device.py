"""The simulated accelerator: a lawful device that uses every freedom it has, and can be made wrong on purpose."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from attrs import frozen

from offload_fuzz.adapters.simulated import regions, tiles
from offload_fuzz.adapters.simulated.arithmetic import Kernel, kernel_of
from offload_fuzz.adapters.simulated.draws import Draws
from offload_fuzz.adapters.simulated.faults import FAULTS
from offload_fuzz.adapters.simulated.hooks import Hooks
from offload_fuzz.adapters.simulated.ledger import Deed, Ledger, Mark
from offload_fuzz.adapters.simulated.memory import (
    Buffer,
    Layout,
    Memory,
    Strides,
    placed_for,
)
from offload_fuzz.adapters.simulated.profiles import PROFILES, features_of
from offload_fuzz.adapters.simulated.queues import DELAY, Event, Queues, finish, kernel
from offload_fuzz.adapters.simulated.subnormals import flushed
from offload_fuzz.adapters.simulated.transfers import WRITTEN, Transfers
from offload_fuzz.adapters.simulated.views import VIEWS, getitem
from offload_fuzz.errors import UsageError, one_of
from offload_fuzz.ops.base import find_op
from offload_fuzz.types import DTYPES, Array, ArrayType

DRAWN_ORDERS = ("late", "random", "late", "random", "late", "random", "late", "eager")
REMEMBERED = 4096
WATCHED = 2  # memory is watched in one of so many runs, by seed, and from the start, before there is a seed
REGION = "compiled region"  # stands for the op of a kernel that is compiled from several


@frozen(eq=False, slots=True)
class Instruction:
    """What the device knows of an op on operands of certain types.

    lawful_type: of the result, which the kernel computes; type, strides, nbytes: of the buffer that it goes to.
    view: gives the result's layout in the operand's storage, or None where it must copy. elementwise, flushes: whether
    it may run over padding as well, and take subnormals as zero.
    """

    lawful_type: ArrayType
    type: ArrayType
    strides: Strides
    nbytes: int
    kernel: Kernel
    view: Callable[[Buffer, ArrayType, Mapping[str, Any]], Layout | None] | None
    elementwise: bool
    flushes: bool


class Simulated(Transfers):
    """One simulated device. `reset` draws its order of commands and its lawful roundings from a seed.

    Under seed 0 every command runs when it is issued; other seeds draw one of `queues.ORDERS`, mostly not that.
    """

    def __init__(self, profile: str, index: int, faults: Sequence[str] = ()) -> None:
        self.profile, self.index = profile, index
        self.name = "+".join((f"{profile}:{index}", *faults))
        p = PROFILES[profile]
        self.features = features_of(p, self.name, index)
        self.hooks = Hooks((FAULTS[f].hook, FAULTS[f].function) for f in faults)
        self.memory = Memory(p.alignment, p.memory)
        self.queues = Queues(self.name, p.streams, p.copy_engines, p.blocking)
        self.tile, self.flushes, self.stages = p.tile, p.flushes, p.stages
        self.accumulators = {DTYPES[d].np: DTYPES[a].np for d, a in p.accumulators.items()}
        self.draws = Draws(0, self.accumulators)
        self.counted = Ledger(self.name)
        self.scratch: dict[str, Any] = {}
        self.evictable = {}
        self._instructions: dict[Hashable, Instruction] = {}

    def reset(self, seed: int, order: str | None = None) -> None:
        """Begin a run: empty memory and queues, draws from `seed` and the index; `order` overrides the drawn one."""
        self.draws = Draws(seed + (self.index << 20), self.accumulators)
        self.counted.reset(watching=seed % WATCHED == 1)
        drawn = DRAWN_ORDERS[self.draws.below(len(DRAWN_ORDERS))] if seed else "eager"
        self.memory.reset()
        self.scratch.clear()
        self.evictable.clear()
        self.queues.reset(order or drawn, Draws(~seed))

    # ------------------------------------------------------------------------------------------------------ memory
    def release(self, buffer: Buffer, *, stream: int = 0) -> None:
        """Give the buffer's storage back once the stream comes to it; every view of it ends."""
        storage, when = buffer.storage, self.hooks.frees("stream")
        if when == "stream":
            self.queues.issue(stream, lambda: storage.memory.free(storage))
        else:
            storage.memory.free(storage, untouched=when == "untouched")

    def ledger(self) -> dict[str, Any]:
        """What was moved, where kernels ran and what was read wrongly since `reset`; see `Ledger`."""
        return self.counted.told()

    def touched(self, array: Array, writes: bool) -> None:
        """The host reads or writes an array that it was given here, or has uploaded."""
        self.counted.touched(array, writes)

    def place_of(self, buffer: Buffer) -> str:
        """The name of the device that holds the buffer."""
        return buffer.place

    # ----------------------------------------------------------------------------------------------------- kernels
    def launch(
        self,
        op: str,
        operands: Sequence[Any],
        attributes: Mapping[str, Any],
        *,
        stream: int = 0,
        out: Buffer | None = None,
        donate: int | None = None,
        update: str | None = None,
    ) -> Buffer:
        """The buffer of the result: `out`, a view of the operand, or memory that a kernel writes when it runs.

        An `out` that cannot hold the result, as two of its elements share their bytes, is left alone. A donated operand
        is freed after the kernel, unless the result is a view of it. update: "assign" computes into memory of its own
        and copies from there, but setitem, and "view", write the region of a copy; views lie in larger memory.
        Host arrays among the operands are constants.
        """
        operands = [b if isinstance(b, Buffer) else self._constant(b, stream) for b in operands]
        instruction = self._instruction(op, tuple([b.type for b in operands]), attributes)
        type, hooks = instruction.type, self.hooks
        refusal = hooks.accepts(None, op, operands)
        if refusal is not None:
            raise RuntimeError(refusal)
        counted = self.counted
        launch, seen = counted.launched(), counted.seen(operands)
        if instruction.view is not None:
            layout: Layout | None = hooks.view(instruction.view(operands[0], type, attributes), op, operands[0], type)
            if layout is not None:
                return self._view(operands[0], seen, type, layout, Deed(op, stream, launch, operands[0]))
        in_place = out is not None and out.type == type and not out.overlaps_itself
        target = out if in_place else hooks.target(None, op, operands, type)
        is_new = target is None
        if target is not None and not in_place:
            target.storage.memory.share(target.storage)
        elif target is None:
            laid = instruction.strides, instruction.nbytes
            target = self._allocate(type, *placed_for(update, type, *laid), "result", op)

        deed = counted.writing(op, stream, launch, target)
        read, written, lawful_type = operands, target, instruction.lawful_type
        if self.tile and is_new and instruction.elementwise and (whole := tiles.whole([*operands, target], self.tile)):
            *read, written = whole
            lawful_type = tiles.padded(lawful_type, self.tile)

        def noted() -> None:  # once operands are read, by which a transfer that was put off arrives
            counted.ran(launch, hooks.unit(self.name, op, operands), operands, [type])
            if deed is not None:
                counted.check(operands, seen, deed)

        def compute() -> Any:
            arrays = [hooks.operand(self._array(b, i), i, op) for i, b in enumerate(read)]
            noted()
            if self.evictable:
                self._evict(operands)
            if instruction.flushes:
                arrays = [flushed(x, self.flushes, self.draws) for x in arrays]
            result = instruction.kernel(arrays, attributes, lawful_type, self.draws)
            if instruction.flushes:
                result = flushed(result, self.flushes, self.draws)
            return hooks.result(result, op, arrays, attributes)

        def write(result: Any, whole: bool = True) -> None:
            if hooks.written(True, written, op, read, in_place):
                self._array(written, WRITTEN)[...] = result
                if deed is not None and whole:
                    counted.wrote(target.storage, deed)

        def command(run: Callable[[], None]) -> Callable[[], None]:
            return kernel(run, op, self.name, launch)

        stream = hooks.queue(stream, op, self.index)
        if update is not None and is_new and (op == "setitem" or update == "assign"):
            for run in self._in_two_steps(op, operands, attributes, target, compute, write, noted):
                self.queues.issue(stream, command(run))
            if deed is not None and op == "setitem":
                self.queues.issue(stream, lambda: counted.wrote(target.storage, deed))
        elif not hooks.direct(True, op):
            self.queues.issue(stream, command(lambda: self.scratch.update(workspace=np.array(compute()))))
            self.queues.issue(stream, command(lambda: write(_reread(self.scratch["workspace"], written.type))))
        elif (when := hooks.runs("stream", op)) == "issue":
            with np.errstate(all="ignore"):
                command(lambda: write(compute()))()
        else:
            if when == "prefetched" and deed is not None:
                counted.check(operands, seen, deed)
            self.queues.issue(stream, command(lambda: write(compute())), hooks.overtakes(False, op))
        if donate is not None:
            self.release(operands[donate], stream=stream)
        return target

    def _in_two_steps(
        self,
        op: str,
        operands: Sequence[Buffer],
        attributes: Mapping[str, Any],
        target: Buffer,
        compute: Callable[[], Any],
        write: Callable[..., None],
        noted: Callable[[], None],
    ) -> tuple[Callable[[], None], Callable[[], None]]:
        """What the kernels of an update do: the first makes what the second puts into its place, or writes over."""
        if op == "setitem":
            copied, value = operands
            region = Buffer(target.storage, value.type, *getitem(target, value.type, attributes), target.place)

            def copy() -> None:
                write(np.array(self._array(copied, 0)), whole=False)
                noted()

            def put() -> None:
                self._array(region, WRITTEN)[...] = self._array(value, 1)
                noted()

            return copy, put
        made: list[Any] = []
        return lambda: made.append(np.array(compute())), lambda: write(made.pop())

    def launch_compiled(
        self,
        nodes: Sequence[tuple[str, Sequence[int], Mapping[str, Any]]],
        operands: Sequence[Any],
        results: Sequence[int],
        *,
        stream: int = 0,
    ) -> list[Buffer]:
        """One buffer for each of `results`, all written by one kernel that runs the nodes as a compiled region."""
        operands = [b if isinstance(b, Buffer) else self._constant(b, stream) for b in operands]
        counted, types = self.counted, [b.type for b in operands]
        launch, seen = counted.launched(), counted.seen(operands)
        steps: list[regions.Step] = []
        for op, numbers, attributes in nodes:
            instruction = self._instruction(op, tuple([types[n] for n in numbers]), attributes)
            types.append(instruction.type)
            steps.append((find_op(op), numbers, attributes, instruction.lawful_type))
        targets = []
        for n in results:
            type = types[n]
            target = self.hooks.region_target(None, type, operands)
            if target is None:
                target = self._allocate(type, 0, *tiles.placed(type, self.tile), "result", REGION)
            else:
                target.storage.memory.share(target.storage)
            targets.append(target)
        deeds = [counted.writing(REGION, stream, launch, target) for target in targets]

        def run() -> None:
            arrays = [self.hooks.operand(self._array(b, i), i, REGION) for i, b in enumerate(operands)]
            place = self.hooks.unit(self.name, REGION, operands)
            counted.ran(launch, place, operands, [t.type for t in targets])
            if deeds[0] is not None:
                counted.check(operands, seen, deeds[0])
            arrays = self.hooks.captured(arrays, steps, self.scratch)
            found = regions.run(steps, arrays, results, self.draws, self.hooks.fused)
            for target, deed, result in zip(targets, deeds, self.hooks.region_results(found), strict=True):
                if result is not None:
                    self._array(target, WRITTEN)[...] = result
                    if deed is not None:
                        counted.wrote(target.storage, deed)

        command = kernel(run, REGION, self.name, launch)
        self.queues.issue(self.hooks.queue(stream, REGION, self.index), command, self.hooks.overtakes(False, REGION))
        return targets

    def _view(self, x: Buffer, seen: list[int], type: ArrayType, layout: Layout, deed: Deed) -> Buffer:
        """A view of `x`, which is there once the stream has come to it."""
        counted, place = self.counted, self.hooks.unit(self.name, deed.name, (x,))
        counted.ran(deed.launch or 0, place, (x,), (type,))
        storage = self.hooks.holds(x.storage, deed.name)
        if not counted.watching:
            return Buffer(storage, type, *layout, x.place)
        mark = Mark(deed)

        def make() -> None:
            counted.check([x], seen, deed)
            mark.done = True

        self.queues.issue(deed.stream, make)
        return Buffer(storage, type, *layout, x.place, mark)

    def _instruction(self, op: str, types: tuple[ArrayType, ...], attributes: Mapping[str, Any]) -> Instruction:
        key = (op, types, tuple(attributes.items()))
        try:
            known = self._instructions.get(key)
        except TypeError:  # an attribute of a custom op that cannot be hashed
            return self._decode(op, types, attributes)
        if known is None:
            if len(self._instructions) >= REMEMBERED:
                self._instructions.clear()
            known = self._instructions[key] = self._decode(op, types, attributes)
        return known

    def _decode(self, op: str, types: tuple[ArrayType, ...], attributes: Mapping[str, Any]) -> Instruction:
        if op not in self.features.ops:
            raise one_of("op", op, sorted(self.features.ops), f"launch on {self.name}")
        row = find_op(op)
        type = row.result_type(types, attributes)
        for used in (*types, type):
            if used.dtype not in self.features.dtypes:
                raise one_of("dtype", used.dtype, sorted(self.features.dtypes), f"{op} on {self.name}")
        actual = self.hooks.result_type(type, op, types)
        strides, nbytes = tiles.placed(actual, self.tile)
        view, flushes = VIEWS.get(op), bool(self.flushes) and not row.moves
        return Instruction(type, actual, strides, nbytes, kernel_of(row, type), view, row.elementwise, flushes)

    # ------------------------------------------------------------------------------------------------------- order
    def record(self, stream: int) -> Event:
        """An event that has happened once everything issued so far on the stream is done."""
        event: Event = self.hooks.recorded(self.queues.record(stream))
        return event

    def wait(self, stream: int, event: Event) -> None:
        """What is issued on the stream from now on comes after the event, which may be of another simulated device."""
        if self.hooks.waits(True, event, self.name):
            self.queues.issue(stream, event)

    def delay(self, stream: int) -> None:
        """What is issued on the stream from now on runs only where a synchronisation requires it."""
        self.queues.issue(stream, DELAY)

    def synchronize(self, *, stream: int | None = None, event: Event | None = None) -> None:
        """Return when the event has happened, or when a stream, or every stream, is done."""
        if not self.hooks.synchronizes(True, stream, event):
            return
        if event is not None:
            finish(event.queue, event.position)
        else:
            self.queues.synchronize(stream)


def _reread(workspace: Array, type: ArrayType) -> Array:
    """What a workspace holds, taken for elements of this type: its own, unless another kernel has written it since."""
    if (workspace.dtype, workspace.shape) == (type.np, type.shape):
        return workspace
    raw = np.frombuffer(workspace.tobytes() or b"\0", np.uint8)
    return np.resize(raw, type.nbytes).view(type.np).reshape(type.shape)


def make(spec: str) -> Simulated:
    """The device named `spec`: `simulated:0`, `simulated.npu:1`, `simulated:0+FAULT+FAULT`.

    Raises `UsageError` for a profile, index or fault that there is not.
    """
    base, *faults = spec.split("+")
    profile, _, index = base.partition(":")
    if profile not in PROFILES:
        raise one_of("device profile", profile, PROFILES, f"device {spec}")
    if not (index.isascii() and index.isdigit()):
        raise UsageError(f"device index is {index!r} but should be a number [device {spec}]; write {profile}:0")
    devices = PROFILES[profile].devices
    if devices is not None and int(index) >= devices:
        raise UsageError(
            f"device index is {index} but should be below {devices}, the number of {profile} devices "
            f"[device {spec}]; write {profile}:0"
        )
    for fault in faults:
        if fault not in FAULTS:
            raise one_of("fault", fault, sorted(FAULTS), f"device {spec}")
    return Simulated(profile, int(index), faults)
