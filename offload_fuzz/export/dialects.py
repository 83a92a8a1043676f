"""How the commands of a schedule are written for one kind of device, in the backend's own words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from attrs import frozen

from offload_fuzz import schedule as s
from offload_fuzz.adapters.resolve import DOTTED, FILE
from offload_fuzz.device import Place
from offload_fuzz.export.trace import Module, Name, Traced, Untraceable, dtype_text, source, statements
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

    def opening(self, schedules: Sequence[s.Schedule]) -> Opening: ...

    def begin(self, seed: int) -> list[str]: ...

    def upload(self, c: s.Upload, given: str, made: str, type: ArrayType, plain: bool) -> list[str]: ...

    def download(self, c: s.Download, given: str, made: str, type: ArrayType) -> list[str]: ...

    def copy(self, c: s.Copy, given: str, origin: str, made: str) -> list[str]: ...

    def launch(
        self, c: s.Launch, given: Sequence[str], made: str, types: Sequence[ArrayType], fresh: Fresh
    ) -> list[str]: ...

    def region(
        self, c: s.LaunchCompiled, given: Sequence[str], made: Sequence[str], types: Sequence[Sequence[ArrayType]],
        fresh: Fresh,
    ) -> list[str]: ...  # fmt: skip  # one signature

    def mark(self, c: s.Record | s.Wait | s.Synchronize | s.SynchronizeEvent, event: str) -> list[str]: ...

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


# --------------------------------------------------------------------------------------------------------- protocol
class Protocolled:
    """Any adapter: the calls of the device protocol, in order."""

    def __init__(self, role: int, place: Place) -> None:
        self.role, self.place, self.name = role, place, f"d{role - 1}"
        self.streams = place.features.streams > 0
        self.modes = len(place.features.transfers) > 1

    def opening(self, schedules: Sequence[s.Schedule]) -> Opening:
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

    def upload(self, c: s.Upload, given: str, made: str, type: ArrayType, plain: bool) -> list[str]:
        return [f"{made} = {self.name}.upload({given}{self._arguments(c.stream, c.blocking)})"]

    def download(self, c: s.Download, given: str, made: str, type: ArrayType) -> list[str]:
        return [f"{made} = {self.name}.download({given}{self._arguments(c.stream, c.blocking)})"]

    def copy(self, c: s.Copy, given: str, origin: str, made: str) -> list[str]:
        return [f"{made} = {self.name}.copy({given}, {origin}{self._arguments(c.stream, c.blocking)})"]

    def launch(
        self, c: s.Launch, given: Sequence[str], made: str, types: Sequence[ArrayType], fresh: Fresh
    ) -> list[str]:
        out = "" if c.in_place is None else f", out={given[c.in_place]}"
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
        call = (
            f"{self.name}.launch_compiled({name}, [{', '.join(given)}], {list(c.results)}{self._arguments(c.stream)})"
        )
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


# ------------------------------------------------------------------------------------------------------------ torch
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

    def opening(self, schedules: Sequence[s.Schedule]) -> Opening:
        setup = [f"{self.name} = torch.device({self.device!r})", f"torch.ones(1).to({self.name})"]
        setup.append("torch.set_num_threads(1)  # sums then do not depend on the number of threads")
        if self.streams:
            setup += [
                f"{self.name}_streams = [torch.accelerator.current_stream({self.name})]",
                f"{self.name}_streams += [torch.Stream(device={self.name}) for _ in range(3)]",
            ]
        return Opening("PyTorch", ("import torch", "import torch.nn.functional as F"), tuple(setup), (TORCH_UPLOAD,))

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
        if not self.cpu and not c.blocking:
            tensor = f"torch.from_numpy({array})" + ("" if carried is None else f".view({carried[1]})")
            pinned = f"torch.empty_like({tensor}, pin_memory=True).copy_({tensor})"
            return [*self._enter(c.stream), f"{made} = {pinned}.to({self.name}, non_blocking=True)"]
        call = f"torch.from_numpy({array}).to({self.name}, copy=True)" if plain else f"upload({array}, {self.name})"
        view = "" if carried is None else f".view({carried[1]})"
        return [*self._enter(c.stream), f"{made} = {call}{view}"]

    def download(self, c: s.Download, given: str, made: str, type: ArrayType) -> list[str]:
        carried = self._carried(type)
        resolved = ".resolve_conj().resolve_neg()" if type.dtype.startswith("complex") else ""
        tensor = f"{given}{resolved}"
        if self.cpu or c.blocking:
            host = f'{tensor}.to("cpu", copy=True)'
        else:
            empty = f"torch.empty({given}.shape, dtype={given}.dtype, pin_memory=True)"
            host = f"{empty}.copy_({tensor}, non_blocking=True)"
        if carried is None:
            return [*self._enter(c.stream), f"{made} = {host}.numpy()"]
        bits, back = carried[0].replace("np.", "torch."), dtype_text(type.np)
        return [*self._enter(c.stream), f"{made} = {host}.view({bits}).numpy().view({back})"]

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
        return [*self._enter(c.stream), *self._op(c.op, given, c.attributes, made, types, fresh, c.in_place)]

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

    def release(self, c: s.Release, given: str) -> list[str]:
        return [f"{given}.record_stream({self.name}_streams[{c.stream}])", f"{given}.untyped_storage().resize_(0)"]


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


# -------------------------------------------------------------------------------------------------------------- jax
class Jax:
    """JAX's own functions, each op compiled by jax.jit as the adapter does."""

    def __init__(self, role: int, place: Place) -> None:
        self.role, self.place, self.name = role, place, f"d{role - 1}"
        from offload_fuzz.adapters.jax_ops import JaxOps

        _, _, rest = place.spec.partition(":")
        self.platform, _, index = rest.partition(":")
        self.index = int(index or 0)
        self.ops = JaxOps(Module(place.device.jax, "jax", {"jax.numpy": "jnp"}))

    def opening(self, schedules: Sequence[s.Schedule]) -> Opening:
        imports = ["import jax", "import jax.numpy as jnp", "import jax.scipy.special"]
        setup = ['jax.config.update("jax_enable_x64", True)']
        if self.platform == "cpu" and self.index:
            setup.append(f'jax.config.update("jax_num_cpu_devices", {max(4, self.index + 1)})')
        setup.append(f"{self.name} = jax.devices({self.platform!r})[{self.index}]")
        return Opening("JAX", tuple(imports), tuple(setup), (JAX_UPLOAD,))

    def begin(self, seed: int) -> list[str]:
        return []

    def upload(self, c: s.Upload, given: str, made: str, type: ArrayType, plain: bool) -> list[str]:
        if plain:
            return [f"{made} = jax.device_put({given}, {self.name})"]
        return [f"{made} = upload_to_jax({given}, {self.name})"]

    def download(self, c: s.Download, given: str, made: str, type: ArrayType) -> list[str]:
        return [f"{made} = np.array({given})"]

    def copy(self, c: s.Copy, given: str, origin: str, made: str) -> list[str]:
        return [f"{made} = jax.device_put({given}, {self.name})"]

    def _op(
        self, op: str, given: Sequence[str], attributes: Mapping[str, Any], made: str, types: Sequence[ArrayType],
        fresh: Fresh,
    ) -> list[str]:  # fmt: skip  # one signature
        operands = [Traced([n], t.np, t.shape) for n, t in zip(given, types, strict=True)]
        if op not in self.ops.functions:
            raise Untraceable(f"{op} is a custom op, whose function is not in the adapter's table [export]")
        return statements(op, lambda: self.ops.functions[op](*operands, **attributes), made, fresh)

    def launch(
        self, c: s.Launch, given: Sequence[str], made: str, types: Sequence[ArrayType], fresh: Fresh
    ) -> list[str]:
        names = [f"x{i}" for i in range(1, len(given) + 1)]
        lines = self._op(c.op, names, c.attributes, "y", types, fresh)
        where = "keep_unused=True" if names else f"out_shardings=jax.sharding.SingleDeviceSharding({self.name})"
        if len(lines) == 1:
            function = f"lambda {', '.join(names)}: {lines[0].removeprefix('y = ')}".replace("lambda :", "lambda:")
            return [f"{made} = jax.jit({function}, {where})({', '.join(given)})"]
        body = [f"    {line}" for line in lines]
        name = fresh()
        head = f"def {name}({', '.join(names)}):"
        return [head, *body, "    return y", f"{made} = jax.jit({name}, {where})({', '.join(given)})"]

    def region(
        self, c: s.LaunchCompiled, given: Sequence[str], made: Sequence[str], types: Sequence[Sequence[ArrayType]],
        fresh: Fresh,
    ) -> list[str]:  # fmt: skip  # one signature
        name = fresh()
        lines = region_lines(
            c.nodes, given, c.results, name,
            lambda op, operands, attributes, made, at: self._op(op, operands, attributes, made, types[at], fresh),
        )  # fmt: skip  # one call
        call = f"jax.jit({name}, keep_unused=True)({', '.join(given)})"
        return [*lines, f"{', '.join(made)}{',' if len(made) == 1 else ''} = {call}"]

    def mark(self, c: s.Record | s.Wait | s.Synchronize | s.SynchronizeEvent, event: str) -> list[str]:
        return []  # order follows from the data

    def release(self, c: s.Release, given: str) -> list[str]:
        return [f"{given}.delete()"]


JAX_UPLOAD = '''
def upload_to_jax(array, device):
    """A copy on the device that shares no memory with `array`, which JAX does otherwise (jax-ml/jax#37830)."""
    x = jax.device_put(array, device, may_alias=False).block_until_ready()
    shared = array.size and x.unsafe_buffer_pointer() == array.ctypes.data
    return jax.device_put(array.copy(), device) if shared else x
'''


def dialect(role: int, place: Place) -> Dialect:
    """The dialect of a role's device."""
    kind = place.spec.split(":")[0]
    if FILE.match(place.spec) or DOTTED.match(place.spec):
        return Protocolled(role, place)
    makers: dict[str, Callable[[int, Place], Dialect]] = {"torch": Torch, "jax": Jax}
    return makers.get(kind, Protocolled)(role, place)
