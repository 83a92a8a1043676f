"""Stored bugs of real backends still replay; one that does not is stale, and its file is to be removed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from offload_fuzz.finding.replay import FAILED, replay_file

pytestmark = pytest.mark.real_device
FOLDER = Path(__file__).parent.parent / "findings" / "torch-cpu"
VERSION = "2.13.0"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.offload.json")), ids=lambda path: path.name.split(".")[0])
def test_a_stored_bug_of_pytorch_replays(path: Path, torch_device: Any) -> None:
    import torch

    replay = replay_file(path, {})
    if torch.__version__.split("+")[0] == VERSION:
        assert replay.status == FAILED, f"{path.name} is stale: {replay.status} {replay.message}; remove it"
    else:
        assert not replay.message, replay.message
    assert replay.finding["kind"] in ("wrong value", "raised")
