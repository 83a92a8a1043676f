"""A script is run before it is offered: it must fail where the case fails."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from offload_fuzz.errors import EXIT_FINDING, EXIT_OK, InternalError, MissingDevice
from offload_fuzz.finding.replay import FIXED, replay_command, supervised

#: Time that a script may take, the import of its backend included.
SECONDS = 300.0


def verify(text: str, filename: str, path: str, devices: Mapping[str, str]) -> tuple[str, str]:
    """Run the script `text` of the case at `path` in a process of its own.

    Returns what is to be said of it, or "", and what it printed.

    Raises `MissingDevice` where it finds no device, `InternalError` where it passes while the case still fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / filename
        file.write_text(text, encoding="utf-8")
        try:
            done = subprocess.run(
                [sys.executable, str(file)], capture_output=True, text=True, timeout=SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            raise InternalError(f"script took more than {SECONDS:g} s [{path}]; --no-verify writes it unrun") from None
    if done.returncode == EXIT_FINDING and done.stdout.rstrip().split("\n")[-1].startswith("reproduced"):
        return "", done.stdout
    last = (done.stdout + done.stderr).strip().split("\n")[-1][:200]
    if last.startswith("device or library missing"):
        raise MissingDevice(f"{last} [the script of {path}]; --no-verify writes it unrun")
    job = {"files": [path], "load": [], "oracles": None, "contract": None, "repeat": 1, "devices": dict(devices)}
    (record,) = supervised(replay_command(), job, SECONDS)
    if done.returncode == EXIT_OK and record["status"] == FIXED:
        return "the case does not fail here now, so the script exits 0", done.stdout
    raise InternalError(
        f"script gave exit code {done.returncode} ({last}) but the case is {record['status']} [{path}]; "
        "--no-verify writes it all the same"
    )
