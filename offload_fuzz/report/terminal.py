"""What a person sees of a campaign: a live line where that is possible, each finding as it comes, a summary."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from offload_fuzz.campaign.report import Found, Report
from offload_fuzz.case import parse_case
from offload_fuzz.report.block import finding_block
from offload_fuzz.report.summary import number, summary, summary_text

#: Seconds between two progress lines where there is no terminal to draw on.
EVERY = 10.0


def found_block(found: Found, path: Path | None, options: Sequence[str] = (), count: int = 1) -> str:
    """The block of a finding of a campaign."""
    case, known = parse_case(found.text, found.id)
    return finding_block(case, known, None if path is None else str(path), options, count)


def progress_text(report: Report, elapsed: float) -> str:
    """One line: case runs, programs, findings, rate and time left."""
    c, options = report.counts, report.settings
    text = f"{number(c.cases, 'case run')}, {number(c.programs, 'program')}, {number(len(report.findings), 'finding')}"
    text += f", {c.cases / elapsed:,.0f}/s" if elapsed >= 0.1 else ""
    left = time_left(report, elapsed)
    if left is not None:
        text += f", {left:.0f} s left"
    elif options.max_cases is not None:
        text += f" of {options.max_cases:,}"
    return text


def time_left(report: Report, elapsed: float) -> float | None:
    """Seconds until the first limit is reached, as far as can be told."""
    c, options = report.counts, report.settings
    found = [] if options.max_time is None else [options.max_time - elapsed]
    if options.max_cases is not None and c.cases and elapsed >= 0.1:
        found.append((options.max_cases - c.cases) * elapsed / c.cases)
    return max(min(found), 0.0) if found else None


class Terminal:
    """Prints events of one campaign to `stream`. What cannot be written, as the reader has gone, is left out.

    Use it as a context: within, a live line is kept where `stream` is a terminal.
    """

    def __init__(self, stream: IO[str], clock: Callable[[], float] = time.monotonic) -> None:
        self.stream = stream
        self.clock = clock
        self.started = self.last_line = clock()
        self.report: Report | None = None
        self.live: Any = None
        self.mute = False

    def __enter__(self) -> Terminal:
        self.started = self.last_line = self.clock()
        if self.stream.isatty():
            from rich.console import Console
            from rich.live import Live
            from rich.text import Text

            console = Console(file=self.stream, highlight=False, soft_wrap=True)
            self.live = Live(
                console=console, get_renderable=lambda: Text(self._now()), refresh_per_second=4, transient=True
            )
            self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.live is not None:
            self.live.stop()
            self.live = None

    def _now(self) -> str:
        elapsed = self.clock() - self.started
        return progress_text(self.report, elapsed) if self.report is not None else f"starting, {elapsed:.0f} s"

    def line(self, text: str = "") -> None:
        """Print a text."""
        if self.mute:
            return
        try:
            if self.live is not None:
                self.live.console.print(text, markup=False, highlight=False)
            else:
                self.stream.write(text + "\n")
                self.stream.flush()
        except (BrokenPipeError, ValueError):
            self.mute = True

    def found(self, found: Found, path: Path | None, options: Sequence[str] = ()) -> None:
        """A finding, when it is first merged; one line for one that does not fail the run."""
        if found.excuse:
            self.line(f"{found.id}  {found.known['kind']}: {found.excuse}")
            return
        self.line()
        self.line(found_block(found, path, options))
        self.line()

    def progress(self, report: Report) -> None:
        """Called as units are merged: moves the live line, or prints one at most every `EVERY` seconds."""
        self.report = report
        now = self.clock()
        if self.live is None and now - self.last_line >= EVERY:
            self.last_line = now
            self.line(f"{now - self.started:.0f} s: {progress_text(report, now - self.started)}")

    def end(self, report: Report) -> None:
        """The summary."""
        self.line(summary(report))


def render(data: Mapping[str, Any]) -> str:
    """What a terminal shows of a finished campaign, from what report.json holds: each finding, then the summary."""
    blocks = [f"{f['id']}  {f['kind']}: {f['excuse']}" if f["excuse"] else f["text"] for f in data["findings"]]
    return "\n\n".join([*blocks, summary_text([(row["label"], row["text"]) for row in data["summary"]])]) + "\n"
