"""JAX devices: `jax:cpu`, `jax:cpu:1`, `jax:cuda:0`, and those of any other platform that a PJRT plugin brings.

jax is imported when a device is made, not before, with 64-bit dtypes on. What the user set (JAX_PLATFORMS, XLA_FLAGS,
jax.config) is kept; where nothing is set, only the platforms that are asked for are started, and the CPU as several
devices. JAX starts its platforms once per process: what has been started cannot be changed.

JAX has no streams for its users. A call returns an array that may still be being computed, and whatever takes it waits
for it (docs.jax.dev/en/latest/async_dispatch.html), so that order follows from the data. Nothing is written twice, so
no schedule can tell that from calls that return finished: the features declare no streams, and only `download` waits.
"""

from __future__ import annotations

import importlib
import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from attrs import evolve

from offload_fuzz.adapters.jax_ops import ALIASING, JaxArray, JaxOps, Traceable
from offload_fuzz.adapters.jax_probes import EXAMPLES, SQUARE, Example
from offload_fuzz.contract_files import shipped_contracts
from offload_fuzz.device import Features
from offload_fuzz.errors import MissingDevice, UsageError
from offload_fuzz.ops.base import OPS, find_op
from offload_fuzz.types import DTYPES, Array, is_complex

INSTALL = "pip install 'jax>=0.5', or for GPUs as docs.jax.dev/en/latest/installation.html says"
#: Devices that the host's CPU is split into, unless the user says otherwise.
CPU_DEVICES = 4
HOST_COUNT = "xla_force_host_platform_device_count"
#: Compiled ops that are kept. XLA needs about 1.5 MB for each (measured: jaxlib 0.10.2, CPU).
COMPILED = 512

#: One op of a compiled region: its name, the numbers of what it is given, its attributes.
Node: TypeAlias = tuple[str, Sequence[int], Mapping[str, Any]]

_custom: dict[str, Callable[..., JaxArray]] = {}
_announced: set[tuple[str, int]] = set()


def implement(name: str, function: Callable[..., JaxArray]) -> None:
    """Give custom op `name` its function of jax arrays and the attributes by name, traceable, on every device.

    Raises `UsageError` for an op that no `defop` defined.
    """
    find_op(name, "jax.implement")
    _custom[name] = function


def announce(specs: Iterable[str]) -> None:
    """Tell of devices that this process is going to open, so that JAX is started for all of them with the first."""
    _announced.update(_platform_and_index(spec) for spec in specs)


def import_jax() -> Any:
    """The jax module; raises `MissingDevice` where it cannot be imported."""
    try:
        return importlib.import_module("jax")
    except (ImportError, OSError) as error:
        why = "is not installed" if isinstance(error, ModuleNotFoundError) else f"cannot be imported: {_line(error)}"
        raise MissingDevice(f"jax {why} but device jax:* needs it [adapters.jax]; {INSTALL}") from None


def _line(error: BaseException) -> str:
    """The first line of an exception's text."""
    return str(error).strip().split("\n")[0][:200]


def _platform_and_index(name: str) -> tuple[str, int]:
    """The parts of `jax:PLATFORM` or `jax:PLATFORM:INDEX`; raises `UsageError`."""
    adapter, _, rest = name.partition(":")
    platform, _, index = rest.partition(":")
    if adapter != "jax" or not platform or not (index.isdecimal() or rest == platform):
        raise UsageError(
            f"device is {name!r} but should be jax:PLATFORM or jax:PLATFORM:INDEX such as jax:cpu:1, jax:cuda:0 [jax]"
        )
    return platform, int(index or 0)


class JaxDevice:
    """One JAX device; buffers are jax arrays committed to it."""

    def __init__(self, name: str) -> None:
        platform, index = _platform_and_index(name)
        self.name = name
        self.jax = jax = import_jax()
        self.device = _find(jax, name, platform, index)
        self.place = _place(self.device)
        self._ops = JaxOps(jax)
        self._functions = dict(self._ops.functions)
        self._compiled: dict[Any, Callable[..., Any]] = {}
        self._here = jax.sharding.SingleDeviceSharding(self.device)
        on_cpu = self.device.platform == "cpu"
        dtypes = frozenset(filter(self._has_dtype, DTYPES))
        asked = {op: frozenset(d for d in dtypes if self._has_op(op, d, dtypes)) for op in self._functions if op in OPS}
        self.features = Features(
            ops={op: found for op, found in asked.items() if found},
            dtypes=dtypes,
            transfers=("blocking", "shared") if on_cpu else ("blocking",),
            source_free={"blocking": "return", "shared": "last use"},
            aliasing=ALIASING,
            deterministic=on_cpu,
            contract=_contract_for(self.device.platform),
            place=self.place,
            shapes="pool",
            compile=True,
            drop=True,
            export=on_cpu,
            constants=True,
            destination=frozenset(("download",)),
            donate=frozenset(op for op, found in asked.items() if found) if self._donates() else frozenset(),
        )
        for op, function in _custom.items():
            self.implement(op, function)

    # ------------------------------------------------------------------------------------------------- protocol
    def upload(self, array: Array, *, share: bool = False) -> JaxArray:
        """A copy of `array` on the device, made before this returns. JAX has one layout: row-major, 64-byte aligned.

        share: the CPU platform uses an array of that layout where it lies, and copies another, perhaps later.

        `may_alias=False` should see to that, but up to JAX 0.10.2 at least a NumPy array that is contiguous and aligned
        is aliased all the same (github.com/jax-ml/jax/issues/37830), and a larger one is copied later.
        """
        if share:
            return self.jax.device_put(array, self.device, may_alias=True)
        buffer = self.jax.device_put(array, self.device, may_alias=False)
        buffer.block_until_ready()
        if buffer.unsafe_buffer_pointer() != array.ctypes.data or not array.size:
            return buffer
        return self.jax.device_put(array.copy(), self.device)

    def download(self, buffer: JaxArray, *, into: Array | None = None, share: bool = False) -> Array:
        """A host array of the elements, `into` if that is given; waits for them.

        share: NumPy's view of the buffer, which lies in its memory on the CPU platform.
        """
        if share:
            return np.asarray(buffer)
        if into is None:
            return np.array(buffer)
        into[...] = np.asarray(buffer)
        return into

    def launch(
        self, op: str, operands: list[JaxArray], attributes: dict[str, Any], *, donate: int | None = None
    ) -> JaxArray:
        """Run `op`, compiled for these attributes and operand types. donate: the operand that is given to XLA.

        JAX deletes a donated array, or leaves it as it is where its type is not the result's and XLA has no use for it.
        """
        if any(isinstance(x, np.ndarray) for x in operands):
            closed: JaxArray = self._closed_over(self.traceable(op, attributes), operands, donate)
            return closed
        key = (op, donate, repr(attributes), *[(x.shape, x.dtype) for x in operands])
        compiled = self._compiled.get(key)
        if compiled is None:
            compiled = self._compile(key, partial(self._functions[op], **attributes), not operands, donate)
        if donate is None:
            return compiled(*operands)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Some donated buffers were not usable")
            return compiled(*operands)

    def launch_compiled(
        self, nodes: Sequence[Node], operands: Sequence[JaxArray], results: Sequence[int]
    ) -> list[JaxArray]:
        """Run several nodes as one program of XLA's, compiled for these ops, numbers, attributes and operand types."""
        if any(isinstance(x, np.ndarray) for x in operands):
            return list(self._closed_over(self._region(nodes, results), operands))
        structure = [(op, tuple(numbers), repr(attributes)) for op, numbers, attributes in nodes]
        key = (*structure, tuple(results), *[(x.shape, x.dtype) for x in operands])
        compiled = self._compiled.get(key)
        if compiled is None:
            compiled = self._compile(key, self._region(nodes, results), not operands)
        return list(compiled(*operands))

    def _closed_over(
        self, function: Callable[..., Any], operands: Sequence[JaxArray], donate: int | None = None
    ) -> Any:
        """What `function` gives, compiled once with the host arrays among its operands as constants of the program."""
        built_in = {k: x for k, x in enumerate(operands) if isinstance(x, np.ndarray)}
        given = [x for k, x in enumerate(operands) if k not in built_in]
        asarray = self.jax.numpy.asarray

        def closed(*left: JaxArray) -> Any:
            others = iter(left)
            return function(*[asarray(built_in[k]) if k in built_in else next(others) for k in range(len(operands))])

        if not given:
            return self.jax.jit(closed, out_shardings=self._here)()
        at = None if donate is None else sum(k not in built_in for k in range(donate))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Some donated buffers were not usable")
            return self.jax.jit(closed, keep_unused=True, donate_argnums=at)(*given)

    def _region(self, nodes: Sequence[Node], results: Sequence[int]) -> Callable[..., list[JaxArray]]:
        """The nodes as one traceable function of the operands, which gives the values numbered `results`."""
        steps = [(self.traceable(op, attributes), tuple(numbers)) for op, numbers, attributes in nodes]

        def region(*operands: JaxArray) -> list[JaxArray]:
            values = list(operands)
            for function, numbers in steps:
                values.append(function(*[values[n] for n in numbers]))
            return [values[n] for n in results]

        return region

    def place_of(self, buffer: JaxArray) -> str:
        """`jax:`, platform and number of the device that holds the array, or of each of several."""
        return "+".join(sorted(_place(device) for device in buffer.devices()))

    def implement(self, name: str, function: Callable[..., JaxArray]) -> None:
        """Give custom op `name` its traceable function on this device; the features then list it."""
        op = find_op(name, self.name)
        self._functions[name] = function
        self.features = evolve(
            self.features,
            ops={**self.features.ops, name: self.features.dtypes & op.dtypes},
            aliasing={**self.features.aliasing, name: "may"},
        )

    def traceable(self, op: str, attributes: Mapping[str, Any]) -> Traceable:
        """`op` with its attributes as a pure function of jax arrays, for jax.jit over more than one op."""
        return partial(self._functions[op], **attributes)

    # -------------------------------------------------------------------------------------------------- compiling
    def _compile(
        self, key: Any, function: Callable[..., Any], creates: bool, donate: int | None = None
    ) -> Callable[..., Any]:
        """`function` as jax.jit makes it, kept; the longest kept are dropped, and with them their programs.

        creates: whether there are no operands, whose device the result could be on. Operands that the result does not
        depend on are kept, as it would be made on the first device without them.
        """
        if len(self._compiled) >= COMPILED:
            for old in list(self._compiled)[: COMPILED // 4]:
                del self._compiled[old]
        jit = self.jax.jit
        compiled: Callable[..., Any] = (
            jit(function, out_shardings=self._here)
            if creates
            else jit(function, keep_unused=True, donate_argnums=donate)
        )
        self._compiled[key] = compiled
        return compiled

    # -------------------------------------------------------------------------------------------------- start-up
    def _donates(self) -> bool:
        """Whether the platform takes what `jax.jit(donate_argnums=...)` gives it: the CPU has since JAX 0.4.31."""
        given = self.jax.device_put(np.zeros(8, np.float32), self.device, may_alias=False)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # JAX warns where it does not
            self.jax.jit(lambda x: x + 1, donate_argnums=0)(given).block_until_ready()
        return bool(given.is_deleted())

    def _has_dtype(self, dtype: str) -> bool:
        """Whether an element of a dtype goes to the device and comes back in it."""
        element = np.zeros(1, DTYPES[dtype].np)
        try:
            return bool(self.download(self.upload(element)).dtype == element.dtype)
        except (TypeError, ValueError, RuntimeError):
            return False

    def _has_op(self, op: str, dtype: str, dtypes: frozenset[str]) -> bool:
        """Whether JAX can trace `op` on a dtype; astype to each of `dtypes`, complex numbers to complex ones."""
        if dtype not in OPS[op].dtypes:
            return False
        attributes = EXAMPLES.get(op, Example()).attributes
        if "dtype" not in attributes:
            return self._traces(op, dtype, attributes)
        wanted = [d for d in sorted(dtypes) if is_complex(d) or not is_complex(dtype)] if op == "astype" else [dtype]
        return all(self._traces(op, dtype, {**attributes, "dtype": d}) for d in wanted)

    def _traces(self, op: str, dtype: str, attributes: dict[str, Any]) -> bool:
        """Whether JAX can trace an example of `op`; what it cannot do it says by one of three exceptions."""
        example = EXAMPLES.get(op, Example())
        shapes = example.shapes or (SQUARE,) * len(OPS[op].operands)
        operands = [
            self.jax.ShapeDtypeStruct(shape, DTYPES[example.dtypes.get(i, dtype)].np) for i, shape in enumerate(shapes)
        ]
        try:
            self.jax.eval_shape(self.traceable(op, attributes), *operands)
        except (TypeError, ValueError, NotImplementedError):
            return False
        return True


def _find(jax: Any, name: str, platform: str, index: int) -> Any:
    """The device called `name`, JAX being started for it if it was not; raises `MissingDevice` where there is none."""
    _configure(jax, platform, index)
    try:
        devices = jax.devices(platform)
    except RuntimeError as error:
        hint = f"install the jaxlib or the PJRT plugin that brings it: {INSTALL}"
        if (started := jax.config.jax_platforms) and platform not in started.split(","):
            hint = f"JAX was started for {started!r} alone: set JAX_PLATFORMS={platform},{started}"
        raise MissingDevice(
            f"jax has no platform {platform!r} but {name} should name one: {_line(error)} "
            f"[jax {jax.__version__}]; {hint}"
        ) from None
    if index >= len(devices):
        hint = f"; set XLA_FLAGS=--{HOST_COUNT}={index + 1}" if platform == "cpu" else ""
        raise MissingDevice(
            f"jax has no device {platform}:{index} but {name} should name one of {len(devices)} on that platform "
            f"[jax {jax.__version__}]{hint}"
        )
    return devices[index]


def _configure(jax: Any, platform: str, index: int) -> None:
    """64-bit dtypes; and, where neither the user nor an earlier device has said so, platforms and CPU devices."""
    jax.config.update("jax_enable_x64", True)
    asked = {*_announced, (platform, index)}
    if not jax.config.jax_platforms:
        # the CPU comes with every other platform, for JAX's own constants; it starts no accelerator
        others = sorted({p for p, _ in asked} - {"cpu"})
        jax.config.update("jax_platforms", ",".join((*others, "cpu")))
    if HOST_COUNT not in os.environ.get("XLA_FLAGS", "") and jax.config.jax_num_cpu_devices < 0:
        try:
            jax.config.update("jax_num_cpu_devices", max(CPU_DEVICES, *(1 + i for p, i in asked if p == "cpu"), 1))
        except RuntimeError:  # JAX is running already, with as many as it has: `_find` says so if they are too few
            return


def _place(device: Any) -> str:
    return f"jax:{device.platform}:{device.id}"


def _contract_for(platform: str) -> str:
    """The contract of a platform: its own where one is shipped, or that of the CPU until it has one."""
    own = f"xla-{platform}"
    return own if own in shipped_contracts() else "xla-cpu"
