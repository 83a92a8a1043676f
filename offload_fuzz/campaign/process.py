"""A supervised worker process: started, spoken to by lines of JSON, watched through its journal, killed and reaped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from offload_fuzz.campaign.journal import IDLE, Entry, Journal
from offload_fuzz.campaign.settings import Settings


class Worker:
    """One worker process in a process group of its own."""

    def __init__(self, number: int, folder: Path, options: Settings) -> None:
        self.number = number
        path = folder / f"journal.{number}"
        self.journal = Journal(path, create=True)
        self.log = (folder / f"worker.{number}.log").open("wb")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "offload_fuzz.campaign.worker", str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        os.set_blocking(self.process.stdout.fileno(), False)
        self.buffer = b""
        self.ready = False
        self.ended = False
        self.unit: int | None = None
        self.size = 0
        self.last_entry = self.journal.read()
        self.last_change = time.monotonic()
        self.send_line(options.to_json())

    def fileno(self) -> int:
        assert self.process.stdout is not None
        return self.process.stdout.fileno()

    def send_line(self, text: str) -> None:
        """Write one line; a worker that has died is noticed by `records`."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(text.encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            self.ended = True

    def request(self, kind: str, **data: Any) -> None:
        """Ask for something."""
        self.last_change = time.monotonic()
        self.send_line(json.dumps({"request": kind, **data}))

    def records(self) -> list[dict[str, Any]]:
        """The records that have come; sets `ended` when there will be no more."""
        assert self.process.stdout is not None
        while True:
            try:
                chunk = os.read(self.process.stdout.fileno(), 1 << 16)
            except BlockingIOError:
                break
            if not chunk:
                self.ended = True
                break
            self.buffer += chunk
        *lines, self.buffer = self.buffer.split(b"\n")
        if lines:
            self.last_change = time.monotonic()
        return [json.loads(line) for line in lines if line]

    def silent_for(self) -> float:
        """Seconds since the journal last moved while the worker was at work."""
        entry = self.journal.read()
        now = time.monotonic()
        if entry.tick != self.last_entry.tick or (self.ready and entry.phase == IDLE and self.unit is None):
            self.last_entry, self.last_change = entry, now
        return now - self.last_change

    def entry(self) -> Entry:
        """Where the worker is."""
        return self.journal.read()

    def stop(self) -> int:
        """Kill the whole process group if it lives, and reap it; returns the exit status (negative: a signal)."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            self.ended = True
        status = self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    self.ended = True
        self.log.close()
        self.journal.close()
        return status

    def exit_status(self, wait: float = 2.0) -> int | None:
        """The exit status of a worker that has closed its output; None if it lives on."""
        try:
            return self.process.wait(wait)
        except subprocess.TimeoutExpired:
            return None

    def last_words(self) -> str:
        """The end of what it wrote to standard error."""
        path = Path(str(self.log.name))
        try:
            return path.read_bytes()[-400:].decode("utf-8", "replace").strip()
        except OSError:
            return ""


def status_text(status: int) -> str:
    """`signal SIGSEGV` or `exit code 3`."""
    if status < 0:
        try:
            return f"signal {signal.Signals(-status).name}"
        except ValueError:
            return f"signal {-status}"
    return f"exit code {status}"
