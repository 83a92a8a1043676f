"""The journal: where a worker is, written ahead into a mapped file that outlives the worker.

A case is named by (unit, program, plan), from which it is generated again: the journal costs no serialising, and what a
worker was doing when it died is known to the plan.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

from attrs import frozen

IDLE, GENERATING, RUNNING, SHRINKING = range(4)
_FORMAT = struct.Struct("<6q")


@frozen
class Entry:
    """phase: idle, generating, running or shrinking; program and plan count within the unit; tick: moves at each write.

    done: case runs of the current program that are finished.
    """

    phase: int
    unit: int
    program: int
    plan: int
    done: int
    tick: int


class Journal:
    """One mapped record, written by one worker and read by its supervisor."""

    def __init__(self, path: Path, create: bool = False) -> None:
        if create:
            path.write_bytes(bytes(_FORMAT.size))
        self.file = path.open("r+b")
        self.map = mmap.mmap(self.file.fileno(), _FORMAT.size)
        self.tick = 0

    def write(self, phase: int, unit: int = 0, program: int = 0, plan: int = 0, done: int = 0) -> None:
        """Write ahead what is about to happen."""
        self.tick += 1
        self.map[:] = _FORMAT.pack(phase, unit, program, plan, done, self.tick)

    def read(self) -> Entry:
        """What was written last."""
        return Entry(*_FORMAT.unpack(self.map[:]))

    def close(self) -> None:
        self.map.close()
        self.file.close()
