"""From a name to a device: `numpy`, `simulated:0+FAULT`, `torch:cuda:0`, `my.py:MyChip`, `pkg.mod:Chip`, entry points.

`file.py:Name` and a dotted `pkg.mod:Name` are code; all else is an adapter's name: a built-in one, or an entry point of
group `offload_fuzz.adapters`, whose object is called with the whole name. Each call makes a new device object. A fault
can be planted around any of them: `torch:cpu+FAULT`.
"""

from __future__ import annotations

import importlib.util
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from attrs import evolve, frozen

from offload_fuzz.adapters.code import load_code
from offload_fuzz.device import Place, place
from offload_fuzz.errors import AdapterError, MissingDevice, OffloadError, UsageError, one_of

GROUP = "offload_fuzz.adapters"
FILE = re.compile(r"(?P<module>.+\.py)(?::(?P<name>.*))?\Z")
DOTTED = re.compile(r"(?P<module>[A-Za-z_]\w*(?:\.\w+)+):(?P<name>[A-Za-z_]\w*)\Z")


def _numpy(spec: str) -> Any:
    from offload_fuzz.adapters.numpy import NumpyDevice

    return NumpyDevice(spec)


def _simulated(spec: str) -> Any:
    from offload_fuzz.adapters.simulated.device import make

    return make(spec)


def _torch(spec: str) -> Any:
    from offload_fuzz.adapters.torch import TorchDevice

    return TorchDevice(spec)


def _jax(spec: str) -> Any:
    from offload_fuzz.adapters.jax import JaxDevice

    return JaxDevice(spec)


def _noop(spec: str) -> Any:
    from offload_fuzz.adapters.noop import NoopDevice

    return NoopDevice(spec)


def _validating(spec: str) -> Any:
    from offload_fuzz.adapters.validating import inner_spec, validating

    return validating(resolve(inner_spec(spec)))


def _array_api(spec: str) -> Any:
    from offload_fuzz.adapters.array_api import ArrayApiDevice

    return ArrayApiDevice(spec)


#: adapter -> (how to make a device from its spec, the module that it needs, what to say of it)
BUILT_IN: dict[str, tuple[Callable[[str], Any], str | None, str]] = {
    "numpy": (_numpy, None, "the host: numpy"),
    "simulated": (_simulated, None, "a simulated accelerator: simulated:0, simulated.npu:1, simulated:0+FAULT"),
    "torch": (_torch, "torch", "a PyTorch device: torch:cpu, torch:cuda:0, torch:NAME of a PrivateUse1 backend"),
    "jax": (_jax, "jax", "a JAX device: jax:cpu, jax:cpu:1, jax:cuda:0, jax:NAME of a PJRT plugin"),
    "array_api": (_array_api, "array_api_compat", "a namespace of the array API: array_api:array_api_strict:device1"),
    "noop": (_noop, None, "the template of an adapter: right types, no elements"),
    "validating": (_validating, None, "DEVICE with each call checked: validating:simulated:0, validating:my.py:MyChip"),
}


def is_code(spec: str) -> bool:
    """Whether opening `spec` imports code that it names: never done because a file says so."""
    inner = spec.removeprefix("validating:")
    if not inner.endswith(".py"):
        inner = re.sub(r"(\+[a-z_0-9]+)+\Z", "", inner)  # faults around it
    return bool(FILE.match(inner) or DOTTED.match(inner)) or _names_a_module(inner)


def _names_a_module(spec: str) -> bool:
    """Whether an array API device is of a module that is not known here."""
    if not spec.startswith("array_api:"):
        return False
    from offload_fuzz.adapters.array_api import MODULES, module_of

    return module_of(spec) not in MODULES


def announce(specs: Iterable[str]) -> None:
    """Say which devices one process is about to open, to adapters that start all their platforms at once."""
    named = [spec.partition("+")[0] for spec in specs if spec.split(":")[0] == "jax"]
    if named:
        from offload_fuzz.adapters import jax

        jax.announce(named)


def resolve(spec: str) -> Place:
    """The device called `spec`, checked, with its features.

    Raises `UsageError` for a name, file or attribute that there is not, `AdapterError` for code that raises or breaks
    the protocol, `MissingDevice` for a device or library that is not on this machine.
    """
    return evolve(_resolve(spec), spec=spec)


def _resolve(spec: str) -> Place:
    if spec.startswith("validating:"):  # before what it names, which may be code
        return place(_validating(spec), spec)
    if "+" in spec and not spec.startswith("simulated"):
        from offload_fuzz.adapters.faulty import Faulty, split_faults

        base, faults = split_faults(spec)
        if faults:
            return place(Faulty(_resolve(base).device, faults), spec)
    if match := FILE.match(spec) or DOTTED.match(spec):
        return _from_code(spec, match["module"], match["name"] or "")
    adapter = spec.split(":")[0]
    built_in = BUILT_IN.get(adapter.split(".")[0])
    if built_in is not None:
        return place(built_in[0](spec), spec)
    installed = {e.name: e for e in entry_points(group=GROUP)}
    if adapter not in installed:
        hint = "Code is named as FILE.py:NAME or PACKAGE.MODULE:NAME." if ":" in spec else ""
        raise one_of("device", spec, sorted({*BUILT_IN, *installed}), "device name", hint)
    with _foreign_code(spec):
        return place(installed[adapter].load()(spec), spec)


# ------------------------------------------------------------------------------------------------------------ code
def _from_code(spec: str, module_name: str, name: str) -> Place:
    """The device that `name` in a file or module is, or makes when called without arguments."""
    module = _load(module_name, spec)
    if not hasattr(module, name):
        raise one_of("adapter", name, _candidates(module), spec, f"Name it as {module_name}:NAME.")
    with _foreign_code(spec, module.__file__):
        found = getattr(module, name)
        is_device = not isinstance(found, type) and hasattr(found, "launch")
        if not is_device and not callable(found):
            kind = type(found).__name__
            raise AdapterError(f"{name} is {kind} but should be a class, a function or a device [{spec}]")
        return place(found if is_device else found(), spec)


def _load(name: str, spec: str) -> ModuleType:
    """The module of an adapter; what lies beside its file can be imported by it, after all that is installed."""
    if name.endswith(".py") and (folder := str(Path(name).resolve().parent)) not in sys.path:
        sys.path.append(folder)
    try:
        return load_code(name, spec)
    except UsageError as error:
        cause = error.__cause__
        if cause is None:
            raise
        raise _in_one_line(cause, spec, str(Path(name).resolve())) from cause


def _candidates(module: ModuleType) -> list[str]:
    """What a module defines, as opposed to what it imports."""
    return [n for n, v in vars(module).items() if n[0] != "_" and getattr(v, "__module__", "") == module.__name__]


@contextmanager
def _foreign_code(spec: str, file: str | None = None) -> Iterator[None]:
    """Turn what somebody else's code raises into one line that says where; our own errors pass."""
    try:
        yield
    except OffloadError:
        raise
    except (Exception, SystemExit) as error:
        raise _in_one_line(error, spec, file) from error


def _in_one_line(error: BaseException, spec: str, file: str | None) -> OffloadError:
    where = f"{_line_of(error, file)}, {spec}"
    if isinstance(error, ModuleNotFoundError):
        return MissingDevice(f"module {error.name} is not installed but the adapter imports it [{where}]; install it")
    text = " ".join((error.msg if isinstance(error, SyntaxError) else str(error)).split())[:300]
    what = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return AdapterError(f"adapter raised {what} but should give a device [{where}]")


def _line_of(error: BaseException, file: str | None) -> str:
    """file:line that `error` comes from: the last one within `file`, or else the last of all."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{_short(error.filename)}:{error.lineno}"
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith("<frozen ")]
    inside = [f for f in frames if file is not None and os.path.realpath(f.filename) == os.path.realpath(file)]
    frame = (inside or frames)[-1]
    return f"{_short(frame.filename)}:{frame.lineno}"


def _short(path: str) -> str:
    relative = os.path.relpath(path)
    return path if relative.startswith("..") else relative


# -------------------------------------------------------------------------------------------------------- listing
@frozen
class Adapter:
    """An adapter for `offload-fuzz devices`: whether it can be used here, and what it is or why it cannot."""

    name: str
    available: bool
    summary: str


def known_adapters() -> list[Adapter]:
    """The built-in adapters and the installed ones, without importing any backend."""
    found = []
    for name, (_, module, summary) in BUILT_IN.items():
        missing = module is not None and importlib.util.find_spec(module) is None
        found.append(Adapter(name, not missing, f"{module} is not installed; {summary}" if missing else summary))
    return found + [_installed(e) for e in sorted(entry_points(group=GROUP), key=lambda e: e.name)]


def _installed(entry: EntryPoint) -> Adapter:
    source = f"{entry.dist.name} {entry.dist.version}" if entry.dist is not None else "an installed package"
    top = entry.module.split(".")[0]
    missing = importlib.util.find_spec(top) is None
    summary = f"{entry.value} of {source}"
    return Adapter(entry.name, not missing, f"{top} is not installed; {summary}" if missing else summary)
