"""MovedAsPlanned and ReadsLastWritten: what the devices' own ledgers tell, even where every value is right."""

from __future__ import annotations

from collections.abc import Sequence

from offload_fuzz.ledger import Ledger, Transfer, values_of
from offload_fuzz.trial import Trial

from .verdict import FAIL, PASS, Verdict

MOVED = "a device moves what the plan asks for and no more, and runs each node itself"
READ = "each read finds the bytes that were written last in the order of the program"


class MovedAsPlanned:
    """No transfer that the plan did not ask for, nor a larger one, and no node that ran on another place.

    A device may leave a transfer out, as its results are judged. Runs that ended in an error are not judged.
    """

    def judge(self, trial: Trial) -> Verdict:
        for i, planned in enumerate(trial.planned):
            ledger = planned.run.ledger
            if ledger is None or planned.run.failure is not None:
                continue
            for place in ledger.told:
                verdict = _elsewhere(trial, i, ledger, place) or _unasked(trial, i, ledger, place)
                if verdict is not None:
                    return verdict
        return Verdict(PASS, claim=MOVED)


def _elsewhere(trial: Trial, i: int, ledger: Ledger, place: int) -> Verdict | None:
    """A launch that ran on another place than the device's own."""
    own = trial.places[place].features.place or trial.places[place].name
    if {*ledger.ran(place)} <= {own, None}:
        return None
    ran = ledger.ran(place)
    values = ledger.launches(place)
    number = next(n for n, where in enumerate(ran) if where is not None and where != own)
    v, got = values[number % len(values)][-1], str(ran[number])
    node = trial.program.node_of(v)
    op = "" if node is None else f" {node.op}"
    text = f"v{v}{op} ran on {got} but should run on {own}, as the device's ledger tells"
    return Verdict(FAIL, "hidden fallback", MOVED, text, i, v, expected=own, got=got)


def _unasked(trial: Trial, i: int, ledger: Ledger, place: int) -> Verdict | None:
    """A transfer beyond those that the schedule asks of the device; by kind, largest first, each covers a smaller."""
    moved = ledger.moved(place)
    if moved is None or sorted(moved) == sorted(ledger.asked(place)):
        return None
    moved, asked = ledger.moved(place) or (), ledger.asked(place)
    for kind in ("upload", "download", "copy"):
        done, due = _sizes(moved, kind), _sizes(asked, kind)
        for k, nbytes in enumerate(done):
            if k >= len(due) or nbytes > due[k]:
                name = trial.places[place].name
                text = f"{name} did {_many(done, kind)} but should do {_many(due, kind)}, as the plan asks for no more"
                return Verdict(FAIL, "extra transfer", MOVED, text, i, expected=f"{due}", got=f"{done}")
    return None


def _many(sizes: Sequence[int], kind: str) -> str:
    kinds = {"upload": "uploads", "download": "downloads", "copy": "copies"}
    return f"{len(sizes)} {kind if len(sizes) == 1 else kinds[kind]} of {sum(sizes):,} bytes"


def _sizes(transfers: Sequence[Transfer], kind: str) -> list[int]:
    return sorted((nbytes for k, nbytes in transfers if k == kind), reverse=True)


class ReadsLastWritten:
    """No read of memory that is stale, never written or released, as devices say that watch their memory."""

    def judge(self, trial: Trial) -> Verdict:
        for i, planned in enumerate(trial.planned):
            ledger = planned.run.ledger
            if ledger is None or planned.run.failure is not None:
                continue
            for place, misread in ledger.misreads():
                number = misread.get("number")
                value = None if number is None else values_of(ledger.schedule).get(number)
                of = "" if number is None else f", buffer {number}"
                of += "" if value is None else f" of v{value}"
                text = f"{misread['text']} [{trial.places[place].name}{of}]"
                return Verdict(FAIL, "stale read", READ, text, i, value)
        return Verdict(PASS, claim=READ)
