"""JAX's words for the commands of a schedule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from offload_fuzz import schedule as s
from offload_fuzz.device import Place
from offload_fuzz.export.dialects import Fresh, Opening, region_lines
from offload_fuzz.export.trace import Module, Traced, Untraceable, statements
from offload_fuzz.types import ArrayType


class Jax:
    """JAX's own functions, each op compiled by jax.jit as the adapter does."""

    def __init__(self, role: int, place: Place) -> None:
        self.role, self.place, self.name = role, place, f"d{role - 1}"
        from offload_fuzz.adapters.jax_ops import JaxOps

        _, _, rest = place.spec.partition(":")
        self.platform, _, index = rest.partition(":")
        self.index = int(index or 0)
        self.ops = JaxOps(Module(place.device.jax, "jax", {"jax.numpy": "jnp"}))

    def opening(self) -> Opening:
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

    def pinned(self) -> str:
        raise Untraceable("JAX gives no page-locked memory as an array of NumPy's [export]")

    def download(self, c: s.Download, given: str, made: str, type: ArrayType) -> list[str]:
        if c.share:
            return [f"{made} = np.asarray({given})  # in the buffer's memory"]
        return [f"{made} = np.array({given})" if c.destination is None else f"{made}[...] = np.asarray({given})"]

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
        if len(lines) == 1:
            function = f"lambda {', '.join(names)}: {lines[0].removeprefix('y = ')}".replace("lambda :", "lambda:")
            return [f"{made} = {self._call(function, names, given)}"]
        body = [f"    {line}" for line in lines]
        name = fresh()
        head = f"def {name}({', '.join(names)}):"
        return [head, *body, "    return y", f"{made} = {self._call(name, names, given)}"]

    def _call(self, function: str, names: Sequence[str], given: Sequence[str]) -> str:
        """The call of a function of these parameters, compiled; what is given on the host is a constant of it."""
        built_in = {n: g for n, g in zip(names, given, strict=True) if not g.startswith(f"{self.name}_")}
        left = [n for n in names if n not in built_in]
        if built_in:
            inner = ", ".join(f"jnp.asarray({built_in[n]})" if n in built_in else n for n in names)
            inside = function if function.isidentifier() else f"({function})"
            function = f"lambda {', '.join(left)}: {inside}({inner})".replace("lambda :", "lambda:")
        where = "keep_unused=True" if left else f"out_shardings=jax.sharding.SingleDeviceSharding({self.name})"
        return f"jax.jit({function}, {where})({', '.join(g for n, g in zip(names, given, strict=True) if n in left)})"

    def region(
        self, c: s.LaunchCompiled, given: Sequence[str], made: Sequence[str], types: Sequence[Sequence[ArrayType]],
        fresh: Fresh,
    ) -> list[str]:  # fmt: skip  # one signature
        name = fresh()
        lines = region_lines(
            c.nodes, given, c.results, name,
            lambda op, operands, attributes, made, at: self._op(op, operands, attributes, made, types[at], fresh),
        )  # fmt: skip  # one call
        call = self._call(name, [f"x{i}" for i in range(1, len(given) + 1)], given)
        return [*lines, f"{', '.join(made)}{',' if len(made) == 1 else ''} = {call}"]

    def mark(self, c: s.Record | s.Wait | s.Synchronize | s.SynchronizeEvent, event: str) -> list[str]:
        return []  # order follows from the data

    def delay(self, c: s.Delay) -> list[str]:
        return []  # there are no streams

    def release(self, c: s.Release, given: str) -> list[str]:
        return [f"{given}.delete()"]


JAX_UPLOAD = '''
def upload_to_jax(array, device):
    """A copy on the device that shares no memory with `array`, which JAX does otherwise (jax-ml/jax#37830)."""
    x = jax.device_put(array, device, may_alias=False).block_until_ready()
    shared = array.size and x.unsafe_buffer_pointer() == array.ctypes.data
    return jax.device_put(array.copy(), device) if shared else x
'''
