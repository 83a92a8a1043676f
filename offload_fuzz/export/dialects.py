"""How the commands of a schedule are written for one kind of device; and any adapter: the calls of the protocol."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from attrs import frozen

from offload_fuzz import schedule as s
from offload_fuzz.adapters.resolve import DOTTED, FILE
from offload_fuzz.device import Place
from offload_fuzz.export.trace import source
from offload_fuzz.types import ArrayType

#: A name that is not used yet.
Fresh = Callable[[], str]


@frozen
class Opening:
    """What stands at the top of a script for a device. needs: what has to be installed, in words.

    imports: statements that fail where the backend is not there. setup: that open `name`, likewise. helpers: functions.
    """

    needs: str
    imports: tuple[str, ...]
    setup: tuple[str, ...]
    helpers: tuple[str, ...] = ()


class Dialect(Protocol):
    """Statements for the commands of one role, whose device is called `name`; buffers are given by their names."""

    name: str

    def opening(self) -> Opening: ...

    def begin(self, seed: int) -> list[str]: ...

    def upload(self, c: s.Upload, given: str, made: str, type: ArrayType, plain: bool) -> list[str]: ...

    def download(self, c: s.Download, given: str, made: str, type: ArrayType) -> list[str]: ...

    def pinned(self) -> str: ...

    def copy(self, c: s.Copy, given: str, origin: str, made: str) -> list[str]: ...

    def launch(
        self, c: s.Launch, given: Sequence[str], made: str, types: Sequence[ArrayType], fresh: Fresh
    ) -> list[str]: ...

    def region(
        self, c: s.LaunchCompiled, given: Sequence[str], made: Sequence[str], types: Sequence[Sequence[ArrayType]],
        fresh: Fresh,
    ) -> list[str]: ...  # fmt: skip  # one signature

    def mark(self, c: s.Record | s.Wait | s.Synchronize | s.SynchronizeEvent, event: str) -> list[str]: ...

    def delay(self, c: s.Delay) -> list[str]: ...

    def release(self, c: s.Release, given: str) -> list[str]: ...


def region_lines(
    nodes: Sequence[Any], given: Sequence[str], results: Sequence[int], name: str,
    launch: Callable[[str, Sequence[str], Mapping[str, Any], str, int], list[str]],
) -> list[str]:  # fmt: skip  # one signature
    """A function `name` of several nodes, its parameters called as what it is given."""
    names = [f"x{i}" for i in range(1, len(given) + 1)]
    lines = []
    for at, (op, operands, attributes) in enumerate(nodes):
        names.append(f"y{at + 1}")
        lines += launch(op, [names[i] for i in operands], attributes, names[-1], at)
    body = [f"    {line}" for line in lines]
    returned = ", ".join(names[i] for i in results)
    return [f"def {name}({', '.join(names[: len(given)])}):", *body, f"    return ({returned},)"]


class Protocolled:
    """Any adapter: the calls of the device protocol, in order."""

    def __init__(self, role: int, place: Place) -> None:
        self.role, self.place, self.name = role, place, f"d{role - 1}"
        self.streams = place.features.streams > 0
        self.modes = len(place.features.transfers) > 1

    def opening(self) -> Opening:
        spec = self.place.spec
        if match := FILE.match(spec):
            call = f"adapter({match['module']!r}, {match['name']!r})"
            return Opening(f"the adapter {spec}", (), (f"{self.name} = {call}",), (FROM_FILE,))
        if match := DOTTED.match(spec):
            call = f"adapter({match['module']!r}, {match['name']!r})"
            return Opening(f"the package of {spec}", (), (f"{self.name} = {call}",), (FROM_MODULE,))
        return Opening(
            f"offload-fuzz, as {spec} is a part of it",
            ("from offload_fuzz.adapters.resolve import resolve",),
            (f"{self.name} = resolve({spec!r}).device  # a device of offload-fuzz itself",),
        )

    def begin(self, seed: int) -> list[str]:
        return [f"{self.name}.reset({seed})"] if hasattr(self.place.device, "reset") else []

    def _arguments(self, stream: int, blocking: bool | None = None) -> str:
        found = [f"stream={stream}"] if self.streams else []
        if self.modes and blocking is not None:
            found.append(f"blocking={blocking}")
        return "".join(f", {a}" for a in found)

    def _to(self, c: s.Upload | s.Copy) -> str:
        return ("" if c.destination is None else f", destination={c.destination!r}") + self._cut(c)

    @staticmethod
    def _cut(c: s.Upload | s.Download | s.Copy) -> str:
        return "" if c.chunks is None else f", chunks={c.chunks}"

    def upload(self, c: s.Upload, given: str, made: str, type: ArrayType, plain: bool) -> list[str]:
        to = self._to(c) + (", pinned=True" if c.pinned else "")
        return [f"{made} = {self.name}.upload({given}{self._arguments(c.stream, c.blocking)}{to})"]

    def pinned(self) -> str:
        return f"{self.name}.pinned"

    def download(self, c: s.Download, given: str, made: str, type: ArrayType) -> list[str]:
        how = f"{self._arguments(c.stream, c.blocking)}{self._cut(c)}"
        if c.destination is not None:
            return [f"{self.name}.download({given}, into={made}{how})"]
        share = ", share=True" if c.share else ""
        return [f"{made} = {self.name}.download({given}{how}{share})"]

    def copy(self, c: s.Copy, given: str, origin: str, made: str) -> list[str]:
        return [f"{made} = {self.name}.copy({given}, {origin}{self._arguments(c.stream, c.blocking)}{self._to(c)})"]

    def launch(
        self, c: s.Launch, given: Sequence[str], made: str, types: Sequence[ArrayType], fresh: Fresh
    ) -> list[str]:
        out = "" if c.in_place is None else f", out={given[c.in_place]}"
        out += "" if c.update is None else f", update={c.update!r}"
        attributes = f"{{{', '.join(f'{k!r}: {source(v)}' for k, v in c.attributes.items())}}}"
        call = f"{self.name}.launch({c.op!r}, [{', '.join(given)}], {attributes}{out}{self._arguments(c.stream)})"
        return [f"{made} = {call}"]

    def region(
        self, c: s.LaunchCompiled, given: Sequence[str], made: Sequence[str], types: Sequence[Sequence[ArrayType]],
        fresh: Fresh,
    ) -> list[str]:  # fmt: skip  # one signature
        nodes = [
            f"    ({op!r}, {list(numbers)}, {{{', '.join(f'{k!r}: {source(v)}' for k, v in attributes.items())}}}),"
            for op, numbers, attributes in c.nodes
        ]
        name = fresh()
        call = f"{self.name}.launch_compiled({name}, [{', '.join(given)}], "
        call += f"{list(c.results)}{self._arguments(c.stream)})"
        return [f"{name} = [", *nodes, "]", f"{''.join(f'{m}, ' for m in made).rstrip()} = {call}"]

    def mark(self, c: s.Record | s.Wait | s.Synchronize | s.SynchronizeEvent, event: str) -> list[str]:
        match c:
            case s.Record():
                return [f"{event} = {self.name}.record({c.stream})"]
            case s.Wait():
                return [f"{self.name}.wait({c.stream}, {event})"]
            case s.Synchronize():
                return [f"{self.name}.synchronize(stream={c.stream})"]
        return [f"{self.name}.synchronize(event={event})"]

    def delay(self, c: s.Delay) -> list[str]:
        return [f"{self.name}.delay({c.stream})"]

    def release(self, c: s.Release, given: str) -> list[str]:
        return [f"{self.name}.release({given}, stream={c.stream})"]


FROM_FILE = '''
def adapter(path, name):
    """The device that `name` in a Python file is or makes; the file lies beside this one or in the working folder."""
    folders = [Path(__file__).resolve().parent, Path.cwd()]
    found = next((folder / path for folder in folders if (folder / path).is_file()), None)
    if found is None:
        raise ImportError(f"{path} is neither beside this script nor in the working folder")
    sys.path.append(str(found.parent))
    spec = importlib.util.spec_from_file_location("adapter_" + found.stem, found)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made = getattr(module, name)
    return made if hasattr(made, "launch") and not isinstance(made, type) else made()
'''
FROM_MODULE = '''
def adapter(module, name):
    """The device that `name` in a module is or makes."""
    sys.path.append(os.getcwd())
    made = getattr(importlib.import_module(module), name)
    return made if hasattr(made, "launch") and not isinstance(made, type) else made()
'''
