"""Stored bugs of real backends still replay; one that does not is stale, and its file is to be removed."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from offload_fuzz.finding.replay import FAILED, replay_file

pytestmark = pytest.mark.real_device
FOLDER = Path(__file__).parent.parent / "findings"
#: Folder -> the fixture that brings its backend, the backend's module, and the version with which its bugs are stored.
STORED = {"torch-cpu": ("torch_device", "torch", "2.13.0"), "jax-cpu": ("jax_device", "jax", "0.10.2")}
#: Files of bugs that only a CPU with AVX512_BF16 has.
BFLOAT16_UNITS = {"F15e9f8cd", "F21a223f8"}


def _name(path: Path) -> str:
    return f"{path.parent.name}-{path.name.split('.')[0]}"


@pytest.mark.parametrize("path", [p for d in STORED for p in sorted((FOLDER / d).glob("*.offload.json"))], ids=_name)
def test_a_stored_bug_of_a_backend_replays(path: Path, request: pytest.FixtureRequest) -> None:
    fixture, module, version = STORED[path.parent.name]
    request.getfixturevalue(fixture)
    if path.name.split(".")[0] in BFLOAT16_UNITS:
        import torch

        if not torch.cpu._is_avx512_bf16_supported():
            pytest.skip("the bug is in kernels for AVX512_BF16, which this CPU has not")
    replay = replay_file(path, {})
    if importlib.import_module(module).__version__.split("+")[0] == version:
        assert replay.status == FAILED, f"{path.name} is stale: {replay.status} {replay.message}; remove it"
    else:
        assert not replay.message, replay.message
    assert replay.finding["kind"] in ("wrong value", "raised")
