"""Mutated files through every command that reads one: a result, or one clear line and exit code 2 or 4.

2,000 files here; OFFLOAD_FUZZ_MUTANTS=10000 runs as many through `replay` and a fifth of that through each other.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from offload_fuzz.ops.base import OPS

from ..doors import environment
from .mutants import ERRORS, MEMORY, RESULTS

COUNT = int(os.environ.get("OFFLOAD_FUZZ_MUTANTS", "1000"))
#: Seconds that a process may take for a file on average, before it is said to hang.
PATIENCE = 1.0


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS is kept by Linux")
@pytest.mark.parametrize("command", ["replay", "show", "shrink", "export", "report", "known"])
def test_a_mutated_file_gives_a_result_or_one_clear_line(command: str, tmp_path: Path) -> None:
    count = COUNT if command == "replay" else COUNT // 5
    done = subprocess.run(
        [sys.executable, "-m", "tests.files.mutants", command, str(count), "1"],
        cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=60 + count * PATIENCE, check=False,
    )  # fmt: skip  # one call
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    print(command, count, found)  # noqa: T201  # shown by -s: the figures of a full run
    assert found["problems"] == []
    codes = {int(code): n for code, n in found["codes"].items()}
    assert sum(codes.values()) == count
    assert codes.keys() <= {*RESULTS, *ERRORS}
    assert sum(codes.get(code, 0) for code in RESULTS) > count // 50
    assert codes[2] > count // 4
    assert found["peak"] < MEMORY / 2**20 / 2


def test_an_index_far_out_of_range_is_taken_at_once() -> None:
    """np.take(mode="wrap") takes a step per multiple of the size: a file with such an index hung for hours."""
    far = np.array([-8282683864919754678, 2**63 - 1, -1])
    found = OPS["take"].numpy(np.arange(6), far, axis=0)
    assert found.tolist() == [int(i) % 6 for i in far]
    assert OPS["take"].numpy(np.zeros((2, 0)), far, axis=1).shape == (2, 3)
