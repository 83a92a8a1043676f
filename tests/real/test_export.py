"""Exported scripts on real backends fail where the finding does; each op is written as the adapter runs it."""

from __future__ import annotations

import importlib
import itertools
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from attrs import evolve

from offload_fuzz.case import read_case
from offload_fuzz.device import place
from offload_fuzz.export.jax_dialect import Jax
from offload_fuzz.export.machine import environment
from offload_fuzz.export.script import script
from offload_fuzz.export.torch_dialect import Torch
from offload_fuzz.finding.store import files_below
from offload_fuzz.ops.base import OPS
from offload_fuzz.plan import Plan
from offload_fuzz.program import Node
from offload_fuzz.schedule import Launch
from tests.freedoms import varied_case
from tests.programs import random_program
from tests.real.test_findings import BFLOAT16_UNITS, FOLDER, STORED, _name

pytestmark = pytest.mark.real_device
NO_PACKAGE = "import runpy, sys; sys.modules['offload_fuzz'] = None; runpy.run_path(sys.argv[1], run_name='__main__')"
SEEDS = range(2)


@pytest.mark.parametrize("path", [p for d in STORED for p in files_below(FOLDER / d)], ids=_name)
def test_the_script_of_a_finding_fails_without_this_package(
    path: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    fixture, module, version = STORED[path.parent.name]
    request.getfixturevalue(fixture)
    backend = importlib.import_module(module)
    if path.name.split(".")[0] in BFLOAT16_UNITS and not backend.cpu._is_avx512_bf16_supported():
        pytest.skip("the bug is in kernels for AVX512_BF16, which this CPU has not")
    if backend.__version__.split("+")[0] != version:
        pytest.skip(f"the bug is stored with {module} {version}")
    case, known = read_case(path)
    (tmp_path / "F.py").write_text(script(case, known, "F.py"), encoding="utf-8")
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    command = [sys.executable, "-c", NO_PACKAGE, str(tmp_path / "F.py")]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, ""), done.stdout
    assert "\nplain plan: everything on the host\n  as expected\n" in done.stdout
    assert done.stdout.endswith("\nreproduced\n")


@pytest.mark.parametrize(("fixture", "device"), [("torch_device", "torch:cpu"), ("jax_device", "jax:cpu")])
def test_a_script_runs_what_the_freedoms_of_a_backend_are(
    fixture: str, device: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue(fixture)
    case = varied_case(device)
    both = Plan({**case.plan.choices, ("company", ()): "interleaved"})
    text = script(evolve(case, plan=both, control=case.plan), {}, "F.py")
    if device == "torch:cpu":
        assert "    d0_v1 = torch.neg(d0_v0, out=d0_v1)\n" in text
        assert "    d0_v5[0:3, 0:2].copy_(d0_v4)\n" in text
        assert (
            "torch.from_numpy(v5).narrow(0, start, stop - start).copy_(d0_v5.narrow(0, start, stop - start), " in text
        )
    (tmp_path / "F.py").write_text(text, encoding="utf-8")
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    command = [sys.executable, "-c", NO_PACKAGE, str(tmp_path / "F.py")]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout


def written(dialect: Any, node: Node, types: Any) -> list[str]:
    """The statements of a node that runs alone."""
    names = [f"d0_x{i}" for i in range(1, len(types) + 1)]
    launch = Launch(1, 0, 0, node.op, (), node.attributes, 0, None, True)
    numbers = itertools.count(1)
    return list(dialect.launch(launch, names, "y", types, lambda: f"t{next(numbers)}"))


@pytest.fixture(params=["torch", "jax"])
def written_device(request: pytest.FixtureRequest) -> Any:
    """(place, dialect, names that its source uses) of a device."""
    device: Any = request.getfixturevalue(f"{request.param}_device")
    found = place(device)
    if request.param == "torch":
        return found, Torch(1, found), {"torch": device.torch, "F": device.torch.nn.functional, "d0": device.device}
    return found, Jax(1, found), {"jax": device.jax, "jnp": device.jax.numpy, "d0": device.device}


@pytest.mark.parametrize("op", sorted(OPS))
@pytest.mark.filterwarnings("ignore::UserWarning")  # PyTorch's, of a variance over too few elements
def test_an_op_is_written_as_the_adapter_runs_it(written_device: Any, op: str) -> None:
    at, dialect, known = written_device
    for seed in SEEDS:
        program = random_program(random.Random(f"{op} {seed}"), [op], size=1)
        (node,) = program.nodes
        types = [program.types[v] for v in node.operands]
        if not at.features.supports(op, types, node.type):
            continue
        operands = [at.device.upload(program.inputs[v]) for v in node.operands]
        try:
            should_be = at.device.download(at.device.launch(op, operands, dict(node.attributes)))
        except Exception:  # noqa: BLE001  # an operand that the backend refuses says nothing about the source
            continue
        source = "\n".join(written(dialect, node, types))
        scope = {**known, "np": np, "ml_dtypes": ml_dtypes, **{f"d0_x{i}": x for i, x in enumerate(operands, 1)}}
        exec(source, scope)  # noqa: S102  # source of our own making
        found = at.device.download(scope["y"])
        assert (found.dtype, found.shape) == (should_be.dtype, should_be.shape), source
        assert found.tobytes() == should_be.tobytes(), source


@pytest.mark.parametrize(("backend", "rows"), [
    ("torch", ["torch", "PyTorch commit", "CPU kernels"]), ("jax", ["jax", "jaxlib", "JAX devices", "platform"]),
])  # fmt: skip  # a table
def test_an_issue_says_what_the_backend_says_of_itself(
    backend: str, rows: list[str], request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue(f"{backend}_device")
    found = dict(environment([f"{backend}:cpu"], {}))
    assert [name for name in found if name in rows] == rows
    assert all(found.values())
    assert f"{backend} says" not in found
