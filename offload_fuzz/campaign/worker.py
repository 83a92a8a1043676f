"""A worker process: reads units to run from standard input, writes one JSON record a line to its standard output.

Run as `python -m offload_fuzz.campaign.worker JOURNAL`. What a backend prints goes to standard error, so that the
records stay clean. The process holds nothing that cannot be had again: it may be killed at any time.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from pathlib import Path
from typing import Any

from attrs import evolve

from offload_fuzz.campaign.journal import IDLE, Journal
from offload_fuzz.campaign.reachable import features_json
from offload_fuzz.campaign.settings import Settings
from offload_fuzz.campaign.unit import Unit, Workbench, open_workbench
from offload_fuzz.case import dump_case, parse_case
from offload_fuzz.errors import EXIT_INTERNAL, OffloadError
from offload_fuzz.finding.examine import Examiner

#: New objects between two collections. Python's default of 700 costs 5% of a campaign, whose trials leave no cycles.
YOUNG_OBJECTS = 20_000


def serve(journal_path: str) -> int:
    """Serve requests until standard input ends."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    journal = Journal(Path(journal_path))

    def send(kind: str, **data: Any) -> None:
        out.write(json.dumps({"record": kind, **data}) + "\n")

    try:
        bench = open_workbench(Settings.from_json(sys.stdin.readline()))
    except OffloadError as error:
        send("error", message=str(error), exit_code=error.exit_code)
        return error.exit_code
    gc.freeze()  # what backends imported lives as long as the process: no collection need walk it
    gc.set_threshold(YOUNG_OBJECTS)
    send("ready", features=[features_json(p.features) for p in bench.places[1:]])
    for line in sys.stdin:
        request = json.loads(line)
        try:
            _answer(request, bench, journal, send)
        except OffloadError as error:
            send("error", message=str(error), exit_code=error.exit_code, unit=request.get("unit"))
        except Exception as error:  # noqa: BLE001  # our own mistake: reported as such, with where it happened
            where = _innermost(error)
            text = f"{type(error).__name__}: {error} [{where}]"
            send("error", message=text, exit_code=EXIT_INTERNAL, unit=request.get("unit"))
        journal.write(IDLE)
    return 0


def _innermost(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "unknown"
    return f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"


def _answer(request: dict[str, Any], bench: Workbench, journal: Journal, send: Any) -> None:
    kind = request["request"]
    if kind == "unit":
        number, size, skip = request["unit"], request["size"], tuple(request["skip"])
        unit = Unit(bench, number, size, lambda k, data: send(k, unit=number, **data), journal, skip)
        unit.run()
        send("done", unit=number)
    elif kind == "case":
        unit = Unit(bench, request["unit"], request["size"], lambda k, data: None, journal, (0, 0))
        case = unit.case_at(request["program"], request["plan"])
        send("case", text=None if case is None else dump_case(case))
    elif kind == "execute":
        case, _ = parse_case(request["text"], "worker")
        verdict = Examiner(bench.places, bench.examiner.oracles).examine(evolve(case, places=bench.places))
        send("executed", outcome=verdict.outcome, kind=verdict.kind)


if __name__ == "__main__":
    sys.exit(serve(sys.argv[1]))
