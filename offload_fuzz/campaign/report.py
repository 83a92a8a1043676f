"""What a campaign found, as data: the one source that all printed reports are made from."""

from __future__ import annotations

import json
from typing import Any

from attrs import asdict, define, field

from offload_fuzz.campaign.cells import Cells
from offload_fuzz.campaign.counts import Counts
from offload_fuzz.campaign.settings import Settings
from offload_fuzz.errors import EXIT_FINDING, EXIT_INCONCLUSIVE, EXIT_NOTHING_TESTED, EXIT_OK

FORMAT = "offload-fuzz report"
VERSION = 1


@define
class Found:
    """One finding: its ID, the text of its case file, how often it came up, and why it does not fail the run, if so."""

    id: str
    text: str
    count: int = 1
    excuse: str = ""

    @property
    def data(self) -> dict[str, Any]:
        """The case file as JSON data."""
        return dict(json.loads(self.text))

    @property
    def known(self) -> dict[str, Any]:
        """What is known of the failure."""
        return dict(self.data["finding"])


@define
class Report:
    """settings, honesty counts and findings of a campaign; seconds: wall time; error: why it stopped early.

    cells: those of the boundary that were reached; features: what those of each device say of them, none where no
    device was opened.
    """

    settings: Settings
    counts: Counts = field(factory=Counts)
    findings: list[Found] = field(factory=list)
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    error: str = ""
    error_code: int = 0
    folder: str = ""
    warnings: list[str] = field(factory=list)
    cells: Cells = field(factory=Cells)
    features: list[dict[str, Any]] = field(factory=list)

    @property
    def counting(self) -> list[Found]:
        """The findings that fail the run."""
        return [f for f in self.findings if not f.excuse]

    @property
    def exit_code(self) -> int:
        """The exit code of the command line."""
        if self.error_code:
            return self.error_code
        if self.counting:
            return EXIT_FINDING
        if self.counts.judged and self.counts.unknown >= self.counts.judged:
            return EXIT_INCONCLUSIVE
        if self.counts.out_of_memory and not self.counts.judged:
            return EXIT_INCONCLUSIVE
        return EXIT_OK if self.counts.cases else EXIT_NOTHING_TESTED

    def to_json(self) -> dict[str, Any]:
        """What the campaign itself knows of report.json; `report.document` adds the rest."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "settings": asdict(self.settings),
            "counts": self.counts.as_json(),
            "median_nodes": self.counts.median_nodes,
            "seconds": round(self.seconds, 3),
            "exit_code": self.exit_code,
            "error": self.error,
            "warnings": self.warnings,
            "findings": [{"id": f.id, "count": f.count, "excuse": f.excuse, "case": f.data} for f in self.findings],
        }
