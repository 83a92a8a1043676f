"""Judging a device: a record for each promise, in this process or in one that is watched."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from offload_fuzz.adapters.resolve import resolve
from offload_fuzz.campaign.conformance.bench import Bench, DeviceRaised, MemoryUsedUp, Violation
from offload_fuzz.campaign.conformance.promises import PROMISES, Promise
from offload_fuzz.campaign.extension import load
from offload_fuzz.device import Place, are_peers, place
from offload_fuzz.errors import EXIT_FINDING, EXIT_INTERNAL, EXIT_OK, OffloadError
from offload_fuzz.finding.replay import supervised
from offload_fuzz.ops.base import OPS
from offload_fuzz.types import DTYPES

KEPT, BROKEN, ABSENT = "kept", "broken", "does not apply"
#: Violations of a promise that are kept; more are counted.
SHOWN, COUNTED = 5, 1000

Record = dict[str, Any]


def declared(place: Place) -> dict[str, Any]:
    """What the features say, as data for the head of the report."""
    f = place.features
    return {
        "name": place.name,
        "ops": len(f.ops),
        "dtypes": [d for d in DTYPES if d in f.dtypes],
        "streams": f.streams,
        "transfers": list(f.transfers),
        "source_free": {t: f.free_after(t) for t in f.transfers},
        "in_place": len(f.in_place),
        "donate": len(f.donate),
        "update": {way: len(ops) for way, ops in f.update.items()},
        "compile": f.compile,
        "destination": sorted(f.destination),
        "peers": f.peers,
        "release": f.release,
        "deterministic": f.deterministic,
        "contract": f.contract.name,
        "place": f.place,
    }


def judged(bench: Bench, promise: Promise) -> Record:
    """The record of one promise; what the device raises breaks it."""
    record: Record = {"promise": promise.name, "group": promise.group, "sentence": promise.sentence}
    reason = promise.needs(bench)
    if reason:
        return {**record, "status": ABSENT, "note": reason}
    bench.notes, bench.hints, bench.where = [], [], ""
    violations: list[Violation] = []
    try:
        bench.reset()
        violations.extend(islice(promise.check(bench), COUNTED))
    except MemoryUsedUp:
        bench.notes.append(f"checked as far as the device's memory goes: not {bench.where or 'all of it'}")
    except DeviceRaised as error:
        violations.append(Violation(bench.where or "a call", str(error), "no exception"))
    record |= {"status": BROKEN if violations else KEPT, "note": "; ".join(bench.notes), "hints": bench.hints}
    if violations:
        record |= {
            "broken": len(violations),
            "do": promise.advice,
            "violations": [_data(v) for v in violations[:SHOWN]],
        }
    return record


def _data(violation: Violation) -> dict[str, str]:
    return {"where": violation.where, "seen": violation.seen, "expected": violation.expected}


def conformance(device: Any, promises: Sequence[str] | None = None, peer: Any = None) -> list[Record]:
    """The records of `device`, an adapter object or a `Place`, checked in this process.

    promises: only these. peer: another device of the same `peers`; the device itself unless told.

    Raises `AdapterError` for what is no adapter. A device that ends or silences the process takes this one with it.
    """
    opened = place(device)
    second = opened if peer is None else place(peer)
    bench = Bench(opened, second if opened.features.peers else None)
    return [judged(bench, p) for name, p in PROMISES.items() if promises is None or name in promises]


# --------------------------------------------------------------------------------------------- in a watched process
def watched(spec: str, modules: Sequence[str], silence: float) -> Iterator[Record]:
    """The records of the device `spec`, checked in processes of their own; the first is what it declares.

    A promise whose check ends or silences the process is broken; another process goes on with the next, without the op
    at which it happened. Raises `OffloadError` with the exit code of what kept it from starting.
    """
    avoid: list[str] = []
    job = {"device": spec, "load": list(modules), "files": ["", *PROMISES], "avoid": avoid}
    for found in supervised([sys.executable, "-m", "offload_fuzz.campaign.conformance"], job, silence):
        if "verdict" in found:
            if not found["path"]:
                raise _no_start(spec, found)
            if found["at"] in OPS:
                avoid.append(found["at"])
            found = _death(PROMISES[found["path"]], found)
        yield found


def _no_start(spec: str, found: Mapping[str, Any]) -> OffloadError:
    error = OffloadError(f"opening the device failed: {found['verdict']['message']} [{spec}]; see what it printed")
    error.exit_code = EXIT_FINDING
    return error


def _death(promise: Promise, found: Mapping[str, Any]) -> Record:
    verdict = found["verdict"]
    violation = {
        "where": found["at"] or "somewhere",
        "seen": f"{verdict['kind']}: {verdict['message']}",
        "expected": "a result or an exception",
    }
    return {
        "promise": promise.name, "group": promise.group, "sentence": promise.sentence, "status": BROKEN, "note": "",
        "hints": [], "broken": 1, "do": promise.advice, "violations": [violation],
    }  # fmt: skip  # one record


def serve(line: str, send: Callable[[str], None]) -> None:
    """What the process does that `watched` starts: the job on one line, records out."""
    last = [""]

    def at(where: str) -> None:
        if where != last[0]:
            last[0] = where
            send(json.dumps({"record": "at", "at": where}))

    try:
        job = json.loads(line)
        load(job["load"])
        opened = resolve(job["device"])
        send(json.dumps({"record": "ready"}))
        bench = Bench(opened, _peer(opened), at, job["avoid"])
        for name in job["files"]:
            at("")
            send(json.dumps(judged(bench, PROMISES[name]) if name else {"declares": declared(opened)}))
    except OffloadError as error:
        send(json.dumps({"record": "error", "message": str(error), "exit_code": error.exit_code}))
    except Exception as error:  # noqa: BLE001  # our own mistake: reported as such, with where it happened
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        where = "unknown" if trace is None else f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
        text = f"internal error: {type(error).__name__}: {error} [{where}]; please report it"
        send(json.dumps({"record": "error", "message": text, "exit_code": EXIT_INTERNAL}))


def _peer(opened: Place) -> Place | None:
    """A second device, where this one has peers: that of the next number, or else another of the same name."""
    if opened.features.peers is None:
        return None
    following = re.sub(r":(\d+)(?!.*:\d)", lambda m: f":{int(m[1]) + 1}", opened.spec)
    try:
        peer = resolve(following)
    except OffloadError:
        peer = resolve(opened.spec)
    return peer if are_peers(peer.features.peers, opened.features.peers) else None


def exit_code(records: Sequence[Record]) -> int:
    """1 if a promise is broken."""
    return EXIT_FINDING if any(r["status"] == BROKEN for r in records) else EXIT_OK
