"""Adapters for the campaign's tests: they wrap the host and misbehave on purpose, logging every run."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path
from typing import Any

from offload_fuzz.adapters.resolve import resolve
from offload_fuzz.ops import OPS
from offload_fuzz.types import DTYPES


class Killer:
    """Kills its process in one of 200 runs and hangs in another, and writes a byte to a log at each run."""

    name = "killer:0"
    features: dict[str, Any] = {"ops": list(OPS), "dtypes": list(DTYPES), "contract": "numpy"}  # noqa: RUF012  # read only

    def __init__(self) -> None:
        self.inner = resolve("numpy").device
        self.random = random.Random(os.getpid())
        self.fate = 1.0
        self.log = Path(os.environ["OFFLOAD_FUZZ_TEST_LOG"])

    def reset(self, seed: int) -> None:
        self.fate = self.random.random()
        with self.log.open("ab") as log:
            log.write(b".")

    def upload(self, array: Any) -> Any:
        return array.copy()

    def download(self, buffer: Any) -> Any:
        return buffer.copy()

    def launch(self, op: str, operands: list[Any], attributes: dict[str, Any]) -> Any:
        if self.fate < 0.005:
            os.abort()
        if self.fate < 0.01:
            time.sleep(600)
        return self.inner.launch(op, operands, attributes)


class Segfault(Killer):
    """Dies whenever it is asked for a sine."""

    def reset(self, seed: int) -> None:
        self.fate = 1.0

    def launch(self, op: str, operands: list[Any], attributes: dict[str, Any]) -> Any:
        if op == "sin":
            os.abort()
        return self.inner.launch(op, operands, attributes)
