"""A plan as a function of a script: the commands of its schedule, in order, as statements.

Each statement that a choice of the plan has made what it is carries that choice as a comment.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from offload_fuzz import schedule as s
from offload_fuzz.case import Case
from offload_fuzz.company import company_of
from offload_fuzz.device import Place
from offload_fuzz.execute import OVERWRITTEN
from offload_fuzz.export.dialects import Dialect
from offload_fuzz.export.numpy_ops import numpy_source
from offload_fuzz.export.trace import dtype_text
from offload_fuzz.host_arrays import constant_axes
from offload_fuzz.plan import Plan, Site, describe
from offload_fuzz.program import Program
from offload_fuzz.reference import Known
from offload_fuzz.schedule import HOST
from offload_fuzz.types import ArrayType

#: Freedoms of an operand that decide how a command is written, by the command.
SHOWN: dict[type, tuple[str, ...]] = {
    s.Arrange: ("layout", "alignment", "paging", "pinned", "readonly"),
    s.Upload: ("transfer", "route", "destination", "chunks"),
    s.Download: ("transfer", "route", "destination", "chunks"),
    s.Copy: ("transfer", "route", "destination", "chunks"),
    s.Overwrite: ("overwrite",),
    s.Launch: ("stream", "reuse", "update", "lifetime", "delay"),
    s.LaunchCompiled: ("compile", "stream", "delay"),
}


def plan_function(
    name: str,
    note: str,
    case: Case,
    plan: Plan,
    schedule: s.Schedule,
    places: Sequence[Place],
    dialects: Mapping[int, Dialect],
    values: Sequence[Known],
) -> list[str]:
    """The lines of function `name`, whose docstring is `note`; raises `Untraceable` for an op that has no source."""
    inputs = ", ".join(f"v{i}" for i in range(len(case.program.inputs)))
    writer = _Writer(case.program, plan, schedule, places, dialects, values)
    body = writer.body()
    return [f"def {name}({inputs}):", *[f"    {line}".rstrip() for line in [*docstring(note), *body]]]


def docstring(text: str) -> list[str]:
    """Text as a docstring, whatever is in it."""
    safe = text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    lines = safe.split("\n")
    return [f'"""{safe}"""'] if len(lines) == 1 else ['"""' + lines[0], *lines[1:], '"""']


def _claims(program: Program, schedule: s.Schedule) -> dict[int, list[Site]]:
    """Command number -> the sites whose choices it carries out: of its node, or of the operand that it hands over."""
    maker: dict[int, int] = {}
    uploads: dict[int, int] = {}
    claimed: dict[int, list[Site]] = {}

    def climb(buffer: int, site: Site) -> None:
        while buffer in maker and maker[buffer] not in claimed:
            at = maker[buffer]
            command = schedule.commands[at]
            if isinstance(command, s.Launch | s.LaunchCompiled):
                return
            claimed[at] = [site]
            buffer = command.source  # type: ignore[union-attr]  # those that are left have one

    for at, command in enumerate(schedule.commands):
        match command:
            case s.Arrange() | s.Upload() | s.Download() | s.Copy():
                maker[command.target] = at
                if isinstance(command, s.Upload):
                    uploads[command.source] = at
            case s.Launch():
                claimed[at] = [(command.value,)]
                maker[command.target] = at
                for k, b in enumerate(command.operands):
                    climb(b, (command.value, k))
            case s.LaunchCompiled():
                claimed[at] = [(v,) for v in command.values]
                maker |= dict.fromkeys(command.targets, at)
                for v, (_, numbers, _) in zip(command.values, command.nodes, strict=True):
                    for k, n in enumerate(numbers):
                        if n < len(command.operands):
                            climb(command.operands[n], (v, k))
    for k, b in enumerate(schedule.results):
        climb(b, (program.returns, k))
    for at, command in enumerate(schedule.commands):
        if isinstance(command, s.Overwrite) and command.buffer in uploads:
            claimed[at] = claimed.get(uploads[command.buffer], [])
    return claimed


class _Writer:
    """The state of one function: names of buffers, what has been said."""

    def __init__(
        self,
        program: Program,
        plan: Plan,
        schedule: s.Schedule,
        places: Sequence[Place],
        dialects: Mapping[int, Dialect],
        values: Sequence[Known],
    ) -> None:
        self.program, self.plan, self.schedule = program, plan, schedule
        self.places, self.dialects, self.values = places, dialects, values
        self.names: dict[int, str] = {}
        self.value_of: dict[int, int] = {}
        self.taken: set[str] = set()
        self.backing: dict[int, str] = {}
        self.claims = _claims(program, schedule)
        self.fresh_count = 0
        for v, b in enumerate((*schedule.inputs, *schedule.company)):
            v %= len(schedule.inputs)
            self.called(b, v, f"v{v}")

    def called(self, buffer: int, value: int, wanted: str) -> str:
        """A name for `buffer`, which holds `value`: `wanted`, numbered if it is taken."""
        end = f"v{value}"
        if buffer >= self.schedule.own and wanted.endswith(end):
            wanted = f"{wanted.removesuffix(end)}w{value}"
        name, n = wanted, 2
        while name in self.taken:
            name, n = f"{wanted}_{n}", n + 1
        self.taken.add(name)
        self.names[buffer], self.value_of[buffer] = name, value
        return name

    def on(self, place: int, value: int) -> str:
        return f"{self.dialects[place].name}_v{value}" if place else f"v{value}"

    def fresh(self) -> str:
        self.fresh_count += 1
        return f"t{self.fresh_count}"

    def types(self, buffers: Sequence[int]) -> list[Any]:
        return [self.schedule.buffers[b].type for b in buffers]

    def body(self) -> list[str]:
        used = {getattr(c, "place", HOST) for c in self.schedule.commands} - {HOST}
        lines = [line for role in sorted(used) for line in self.dialects[role].begin(self.plan.seed)]
        lines += self.company()
        for at, command in enumerate(self.schedule.commands):
            written = self.command(command)
            said = self.said(at, command)
            if said and written:
                lines.append(f"# choice of the plan: {said}")
            lines += written
        returned = ", ".join(self.names[b] for b in self.schedule.results)
        return [*lines, f"return [{returned}]"]

    def company(self) -> list[str]:
        """The inputs of the second program, if there is one."""
        if not self.schedule.company:
            return []
        program, choice = self.program, describe(self.program, ("company", ()), self.plan.get("company"))
        lines = [f"# choice of the plan: {choice}, whose values are w0, w1, ..."]
        same = company_of(program) is program.inputs
        for v, b in enumerate(self.schedule.company):
            reverse = f"v{v}.reshape(-1)[::-1].reshape(v{v}.shape)"
            lines.append(f"{self.names[b]} = {f'v{v}' if same else reverse}.copy()")
        return lines

    def said(self, at: int, command: s.Command) -> str:
        """The choices that a command carries out, as the printed case says them."""
        found = []
        for site in self.claims.get(at, ()):
            for freedom in SHOWN.get(type(command), ()):
                if (freedom, site) in self.plan.choices:
                    key = (freedom, site)
                    found.append(describe(self.program, key, self.plan.choices[key]))
        return "; ".join(found)

    def command(self, c: s.Command) -> list[str]:
        match c:
            case s.Arrange():
                return self.arrange(c)
            case s.Upload():
                value = self.value_of[c.source]
                made = self.called(c.target, value, self.on(c.place, value))
                plain = c.source in self.schedule.inputs + self.schedule.company
                type = self.schedule.buffers[c.target].type
                return self.dialects[c.place].upload(c, self.names[c.source], made, type, plain)
            case s.Download():
                value = self.value_of[c.source]
                made = self.called(c.target, value, f"v{value}")
                type = self.schedule.buffers[c.target].type
                memory = [] if c.destination is None else self.destination(made, type, c.destination)
                return [*memory, *self.dialects[c.place].download(c, self.names[c.source], made, type)]
            case s.Copy():
                value = self.value_of[c.source]
                made = self.called(c.target, value, self.on(c.place, value))
                origin = self.dialects[c.source_place].name
                return self.dialects[c.place].copy(c, self.names[c.source], origin, made)
            case s.Launch():
                return self.launch(c)
            case s.LaunchCompiled():
                return self.region(c)
            case s.Overwrite():
                return [f"{self.backing[c.buffer]}[:] = {OVERWRITTEN:#x}  # nobody needs the source any more"]
            case s.Drop():
                return [f"{self.names[c.buffer]} = None  # let go of; a view of it may live on"]
            case s.Delay():
                return self.dialects[c.place].delay(c)
            case s.Release():
                return self.dialects[c.place].release(c, self.names[c.buffer])
        event = f"event{c.event}" if not isinstance(c, s.Synchronize) else ""
        return self.dialects[c.place].mark(c, event)

    def launch(self, c: s.Launch) -> list[str]:
        given, types = [self.names[b] for b in c.operands], self.types(c.operands)
        if c.place:
            made = self.called(c.target, c.value, self.on(c.place, c.value))
            return self.dialects[c.place].launch(c, given, made, types, self.fresh)
        node = self.program.node_of(c.value)
        assert node is not None
        out = given[c.in_place] if c.in_place is not None else None
        made = self.called(c.target, c.value, f"v{c.value}")
        return [f"{made} = {numpy_source(node, given, types, out)}"]

    def region(self, c: s.LaunchCompiled) -> list[str]:
        given = [self.names[b] for b in c.operands]
        first = len(c.operands)
        of = [*self.types(c.operands), *[self.program.types[v] for v in c.values]]
        types = [[of[n] for n in numbers] for _, numbers, _ in c.nodes]
        made = []
        for result, target in zip(c.results, c.targets, strict=True):
            value = c.values[result - first]
            made.append(self.called(target, value, self.on(c.place, value)))
        return self.dialects[c.place].region(c, given, made, types, self.fresh)

    def destination(self, made: str, type: ArrayType, how: str) -> list[str]:
        """NumPy statements for the host array that a download fills."""
        gaps = how == "strided" and bool(type.shape)
        space = (*type.shape[:-1], 2 * type.shape[-1] + 1) if gaps else (type.size + 2,)
        memory = f"host_memory({type.np.itemsize * math.prod(space)})"
        form = "[..., 1::2]" if gaps else f"[1:-1].reshape({type.shape})"
        return [f"{made} = np.ndarray({space}, {dtype_text(type.np)}, {memory}){form}"]

    def arrange(self, c: s.Arrange) -> list[str]:
        """NumPy statements for a host array of a form."""
        type, value = self.schedule.buffers[c.target].type, self.value_of[c.source]
        given, shape, ends = self.names[c.source], type.shape, ""
        made = self.called(c.target, value, f"h{value}")
        memory = self.backing[c.target] = f"m{made[1:]}"
        small = given
        if c.layout == "strided" and shape:
            shape, ends = (*shape[:-1], 2 * shape[-1] + 1), "[..., 1::2]"
        elif c.layout == "fortran":
            shape, ends = shape[::-1], ".T"
        elif c.layout == "negative" and shape:
            ends = "[..., ::-1]"
        elif c.layout == "broadcast":
            axes = constant_axes(self.values[value].value)
            shape = tuple(1 if i in axes else n for i, n in enumerate(shape))
            if axes:
                small = f"{given}[{', '.join('0:1' if i in axes else ':' for i in range(max(axes) + 1))}]"
        size = type.np.itemsize
        offset = f", offset={size}" if c.alignment == 1 else ""
        nbytes = size * math.prod(shape)
        locked = f", allocate={self.dialects[c.pinned].pinned()}" if c.pinned else ""
        taken = f"across_pages({nbytes}, {size}{locked})" if c.across else f"host_memory({nbytes}{offset}{locked})"
        lines = [
            f"{memory} = {taken}",
            f"{made} = np.ndarray({shape}, {dtype_text(type.np)}, {memory}){ends}",
            f"{made}[...] = {small}",
        ]
        if c.layout == "broadcast":
            lines.append(f"{made} = np.broadcast_to({made}, {type.shape})")
        elif c.readonly:
            lines.append(f"{made}.flags.writeable = False")
        return lines
