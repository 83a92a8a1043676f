"""Stored bugs of real backends still replay; one that does not is stale, and its file is to be removed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from offload_fuzz.finding.replay import FAILED, replay_file

pytestmark = pytest.mark.real_device
FOLDER = Path(__file__).parent.parent / "findings" / "torch-cpu"
VERSION = "2.13.0"
#: Files of bugs that only a CPU with AVX512_BF16 has.
BFLOAT16_UNITS = {"F15e9f8cd", "F21a223f8"}


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.offload.json")), ids=lambda path: path.name.split(".")[0])
def test_a_stored_bug_of_pytorch_replays(path: Path, torch_device: Any) -> None:
    import torch

    if path.name.split(".")[0] in BFLOAT16_UNITS and not torch.cpu._is_avx512_bf16_supported():
        pytest.skip("the bug is in kernels for AVX512_BF16, which this CPU has not")
    replay = replay_file(path, {})
    if torch.__version__.split("+")[0] == VERSION:
        assert replay.status == FAILED, f"{path.name} is stale: {replay.status} {replay.message}; remove it"
    else:
        assert not replay.message, replay.message
    assert replay.finding["kind"] in ("wrong value", "raised")
