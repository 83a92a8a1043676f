"""Constants of JAX's programs: host arrays that a `jit` is closed over, by the adapter and in a script."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from offload_fuzz.adapters.jax import JaxDevice
from offload_fuzz.adapters.pool import open_places
from offload_fuzz.case import Case
from offload_fuzz.crossings import LARGEST_CONSTANT
from offload_fuzz.export.script import script
from offload_fuzz.lower import lower
from offload_fuzz.plan import Plan
from offload_fuzz.program import Builder
from offload_fuzz.schedule import Upload

pytestmark = pytest.mark.real_device
X = np.array([1.5, -0.0, 4.25], np.float32)


def test_every_operand_may_be_a_constant_and_the_result_is_on_the_device(jax_device: JaxDevice) -> None:
    y = jax_device.upload(X)
    for given in ([X, y], [y, X], [X, X]):
        result = jax_device.launch("subtract", given, {})
        assert jax_device.download(result).tobytes() == (X - X).tobytes()
        assert jax_device.place_of(result) == jax_device.place
    minus = jax_device.download(jax_device.launch("negative", [X], {}))
    assert minus.tobytes() == (-X).tobytes()


def test_a_program_has_the_constants_of_its_own_call(jax_device: JaxDevice) -> None:
    y = jax_device.upload(X)
    for x in (X, 2 * X):
        assert jax_device.download(jax_device.launch("add", [x, y], {})).tobytes() == (x + X).tobytes()
        (total,) = jax_device.launch_compiled([("add", [0, 1], {}), ("negative", [2], {})], [x, y], [3])
        assert jax_device.download(total).tobytes() == (-(x + X)).tobytes()


def test_an_operand_beside_a_constant_is_given_away(jax_device: JaxDevice) -> None:
    beside, given = jax_device.upload(X), jax_device.upload(X)
    result = jax_device.launch("where", [X > 0, given, beside], {}, donate=1)
    assert jax_device.download(result).tobytes() == X.tobytes()
    assert not beside.is_deleted()


def test_an_array_of_more_than_64_kib_is_uploaded(jax_device: JaxDevice) -> None:
    for size, uploads in ((LARGEST_CONSTANT, 0), (LARGEST_CONSTANT + 1, 1)):
        b = Builder()
        program = b.returns(b.apply("bitwise_invert", b.input(np.zeros(size, np.uint8))))
        plan = Plan({("device", (1,)): 1, ("constant", (1, 0)): True})
        schedule = lower(program, plan, open_places((jax_device.name,)))
        assert sum(isinstance(c, Upload) for c in schedule.commands) == uploads


def test_a_script_closes_over_the_constant_as_the_adapter_does(jax_device: JaxDevice, tmp_path: Path) -> None:
    b = Builder()
    x, y = b.input(X), b.input(2 * X)
    total = b.apply("add", x, y)
    program = b.returns(b.apply("multiply", b.apply("negative", x), total))
    choices: dict[Any, Any] = {("device", (v,)): 1 for v in (2, 3, 4)}
    choices |= {("constant", (2, 0)): True, ("constant", (3, 0)): True, ("company", ()): "interleaved"}
    text = script(Case(program, Plan(choices), (jax_device.name,)), {}, "F.py")
    assert "d0_v2 = jax.jit(lambda x2: (lambda x1, x2: jnp.add(x1, x2))(jnp.asarray(v0), x2), keep_unused=True)" in text
    assert "d0_v3 = jax.jit(lambda: (lambda x1: jnp.negative(x1))(jnp.asarray(v0)), out_shardings=" in text
    assert "(jnp.asarray(w0), x2), keep_unused=True)(d0_w1)" in text
    (tmp_path / "F.py").write_text(text, encoding="utf-8")
    done = subprocess.run([sys.executable, "F.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
