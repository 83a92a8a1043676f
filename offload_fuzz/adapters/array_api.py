"""Any namespace of the array API standard: `array_api:MODULE` and `array_api:MODULE:DEVICE`, through array-api-compat.

    array_api:array_api_strict:device1    a device of array-api-strict, which holds every call to the standard
    array_api:numpy    array_api:torch:cuda:0    array_api:cupy

MODULE is imported when a device is made. Ops and dtypes are asked for as in the PyTorch adapter: those that the table
of ops has at start-up, that the namespace has, and that run on tiny operands of a dtype. Placement is by `device=`, and
`place_of` says what `array_api_compat.device` does. An upload keeps the order of the axes in memory, not gaps.
"""

from __future__ import annotations

import importlib
import re
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from attrs import frozen

from offload_fuzz.adapters.array_api_ops import WARNS, runs_of
from offload_fuzz.adapters.torch_probes import PROBES
from offload_fuzz.device import Features
from offload_fuzz.errors import MissingDevice, UsageError, one_of
from offload_fuzz.ops import base
from offload_fuzz.ops.base import OPS, Op
from offload_fuzz.types import DTYPES, Array, ArrayType

PREFIX = "array_api:"
SHAPE = (2, 2)


@frozen
class Facts:
    """What is known of a module beyond the standard: the contract of its numbers, and whether it is deterministic."""

    contract: str = "ieee"
    deterministic: bool = False


#: Modules that a stored file may name; any other is code that only the user may name.
MODULES: dict[str, Facts] = {
    "array_api_strict": Facts("numpy", True),  # computes by NumPy
    "numpy": Facts("numpy", True),
    "torch": Facts("torch-cpu"),
    "cupy": Facts(),
    "jax.numpy": Facts(),
    "dask.array": Facts(),
}

#: What an op without a row in `PROBES` is asked with, by the domain of an attribute.
PLAIN: dict[type, Callable[[Any, str], Any]] = {
    base.Axis: lambda domain, dtype: 0,
    base.Axes: lambda domain, dtype: (0,),
    base.Bool: lambda domain, dtype: False,
    base.Range: lambda domain, dtype: domain.lo,
    base.Choice: lambda domain, dtype: domain.values[0],
    base.DTypeName: lambda domain, dtype: dtype,
    base.SameSizeShape: lambda domain, dtype: (4,),
    base.BroadcastShape: lambda domain, dtype: (2, 2, 2),
    base.Permutation: lambda domain, dtype: (1, 0),
    base.UnitAxes: lambda domain, dtype: (),
    base.NewAxis: lambda domain, dtype: 0,
    base.Index: lambda domain, dtype: ((None, None, -1), (0, 2, 1)),
}


def module_of(spec: str) -> str:
    """The MODULE of `array_api:MODULE:DEVICE`."""
    return spec.removeprefix(PREFIX).partition(":")[0]


class ArrayApiDevice:
    """One device of a namespace; buffers are its arrays."""

    def __init__(self, name: str) -> None:
        module, _, device = name.removeprefix(PREFIX).partition(":")
        if not name.startswith(PREFIX) or not all(part.isidentifier() for part in module.split(".")):
            raise UsageError(
                f"device is {name!r} but should be array_api:MODULE or array_api:MODULE:DEVICE such as "
                "array_api:array_api_strict:device1 [array_api]"
            )
        self.name = name
        self.compat = _imported("array_api_compat", "pip install array-api-compat")
        self.xp = _namespace(self.compat, _imported(module, "install it"), module)
        self.device = self._find(device)
        self._host = self._host_device()
        self._prefix = f"{PREFIX}{module}:"
        self.place = f"{self._prefix}{_label(self.device)}"
        dtypes = frozenset(d for d in DTYPES if self._holds(d))
        self._runs = runs_of(self.xp, [op for op, row in OPS.items() if not row.custom], self.device)
        asked = {op: frozenset(d for d in dtypes if self._has(op, d, dtypes)) for op in self._runs}
        facts = MODULES.get(module, Facts())
        self.features = Features(
            ops={op: found for op, found in asked.items() if found},
            dtypes=dtypes,
            peers=f"{PREFIX}{module}",
            source_free={"blocking": "return"},
            deterministic=facts.deterministic,
            contract=facts.contract,
            place=self.place,
        )

    # ------------------------------------------------------------------------------------------------- protocol
    def upload(self, array: Array) -> Any:
        """An array of the namespace on the device, out of a copy with the axes in the same order."""
        return self.xp.asarray(np.array(array, order="K", copy=True), device=self.device)

    def download(self, buffer: Any) -> Array:
        """A copy on the host."""
        if self._host is not None:
            buffer = self.compat.to_device(buffer, self._host)
        return np.array(np.asarray(buffer), copy=True)

    def launch(self, op: str, operands: list[Any], attributes: dict[str, Any]) -> Any:
        """The function of the namespace."""
        run = self._runs.get(op)
        if run is None:
            raise one_of("op", op, sorted(self._runs), f"launch on {self.name}")
        if op in WARNS:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of too few elements: the result says so
                return run(self.xp, operands, attributes)
        return run(self.xp, operands, attributes)

    def copy(self, buffer: Any, source: Any) -> Any:
        """A copy of another device's array here."""
        return self.xp.asarray(buffer, device=self.device, copy=True)

    def place_of(self, buffer: Any) -> str:
        """`array_api:MODULE:` and the device of the array."""
        return f"{self._prefix}{_label(self.compat.device(buffer))}"

    # ------------------------------------------------------------------------------------------------- start-up
    def _find(self, device: str) -> Any:
        """The device of that name, the default one without; raises `MissingDevice` where there is none."""
        if not device:
            return self.compat.device(self.xp.zeros(1))
        known = list(self.xp.__array_namespace_info__().devices())
        named = next((d for d in known if _label(d) == device), None)
        if named is not None:
            return named
        try:  # a name that the library takes though it does not list it
            return self.compat.device(self.xp.zeros(1, device=device))
        except Exception as error:  # noqa: BLE001  # each library has types of its own for a device that is not there
            raise MissingDevice(
                f"device {device!r} is not in the namespace but {self.name} should name one of "
                f"{', '.join(map(_label, known))}: {_line(error)} [array_api]"
            ) from None

    def _host_device(self) -> Any:
        """The device from which NumPy can read, None where this one is; raises `UsageError` where there is none."""
        x = self.xp.zeros(1, device=self.device)
        if _is_read(x):
            return None
        for device in self.xp.__array_namespace_info__().devices():
            if _is_read(self.compat.to_device(x, device)):
                return device
        raise UsageError(f"device is {self.name} but should hold data that NumPy can read [array_api]")

    def _holds(self, dtype: str) -> bool:
        """Whether arrays of a dtype can be made, keep it, and come back."""
        one = np.ones(1, DTYPES[dtype].np)
        try:
            back = self.download(self.upload(one))
        except Exception:  # noqa: BLE001  # whatever a library raises for a dtype that it does not have
            return False
        return hasattr(self.xp, dtype) and back.dtype == one.dtype and back.tobytes() == one.tobytes()

    def _has(self, op: str, dtype: str, dtypes: frozenset[str]) -> bool:
        """Whether `op` runs on tiny operands of a dtype, astype to each of `dtypes`, and gives a result of its type."""
        row = OPS[op]
        if dtype not in row.dtypes:
            return False
        probes: list[tuple[tuple[int, ...], Mapping[str, Any]]] = list(PROBES.get(op, ()))
        if op == "astype":
            probes = [(SHAPE, {"dtype": d}) for d in sorted(dtypes)]
        elif not probes:
            attributes = _plain(row, dtype)
            probes = [] if attributes is None else [(SHAPE, attributes)]
        over = [name for name, d in row.attributes.items() if d == base.Axes() or d == base.Axis(True)]
        if over:
            probes += [(shape, {**attributes, **dict.fromkeys(over)}) for shape, attributes in probes]
        if not row.operands:
            probes = [(shape, {**attributes, "dtype": dtype}) for shape, attributes in probes]
        return bool(probes) and all(self._runs_once(row, dtype, shape, attributes) for shape, attributes in probes)

    def _runs_once(self, row: Op, dtype: str, shape: tuple[int, ...], attributes: Mapping[str, Any]) -> bool:
        operands = [
            np.ones((1,) if o.relation == "indices" else shape, DTYPES[dtype if o.dtype == "same" else o.dtype].np)
            for o in row.operands
        ]
        try:
            type = row.result_type([ArrayType(str(x.dtype), x.shape) for x in operands], attributes)
            with np.errstate(all="ignore"):
                result = self.launch(row.name, [self.upload(x) for x in operands], dict(attributes))
                back = self.download(result)
        except Exception:  # noqa: BLE001  # whatever a library raises for an op that it does not have on a dtype
            return False
        return bool(back.dtype == type.np and back.shape == type.shape)


def _plain(row: Op, dtype: str) -> dict[str, Any] | None:
    """The plain attributes of an op, None where a domain is not known here."""
    if any(type(domain) not in PLAIN for domain in row.attributes.values()):
        return None
    return {name: PLAIN[type(domain)](domain, dtype) for name, domain in row.attributes.items()}


def _imported(module: str, how: str) -> Any:
    """A module; raises `MissingDevice` where it cannot be imported."""
    try:
        return importlib.import_module(module)
    except (ImportError, OSError) as error:
        why = "is not installed" if isinstance(error, ModuleNotFoundError) else f"cannot be imported: {_line(error)}"
        raise MissingDevice(f"{module} {why} but device array_api:* needs it [adapters.array_api]; {how}") from None


def _namespace(compat: Any, module: Any, name: str) -> Any:
    """The namespace of the arrays of `module`; raises `UsageError` where it makes none of the standard."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a library's own remarks on being asked
            found = compat.array_namespace(module.zeros(1))
            found.__array_namespace_info__()
    except (AttributeError, TypeError) as error:
        raise UsageError(
            f"module is {name!r} but should make arrays of the array API standard: {_line(error)} [array_api]"
        ) from None
    return found


def _is_read(x: Any) -> bool:
    """Whether NumPy can read an array."""
    try:
        np.asarray(x)
    except Exception:  # noqa: BLE001  # each library has its own type for data that is elsewhere
        return False
    return True


def _label(device: Any) -> str:
    """A device's name: `device1` for Device('device1'), else how it prints."""
    text = str(device)
    match = re.search(r"Device\('([^']+)'\)\Z", text)
    return match[1] if match else text


def _line(error: BaseException) -> str:
    return (str(error).strip().split("\n") or [""])[0][:200]
