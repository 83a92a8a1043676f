"""When a host source is overwritten: at once, after a wait, or late; and what that shows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from offload_fuzz.adapters.pool import open_places
from offload_fuzz.device import Place
from offload_fuzz.finding.examine import Examiner
from offload_fuzz.happens_before import prove
from offload_fuzz.lower import lower
from offload_fuzz.plan import FREEDOMS, PLAIN, Plan, describe
from offload_fuzz.program import Builder, Program
from offload_fuzz.schedule import Upload
from tests.algebra.explorer import unsafe

STREAMS, NONE = open_places(("simulated:0",)), open_places(("numpy",))
TIMES = FREEDOMS["overwrite"].choices[1:]


def two_users(*more: str) -> Program:
    """v1 = negative v0, v2 = abs v0, and further ones on v2."""
    b = Builder()
    x = b.input(np.array([1, -2, 4], np.float32))
    y, z = b.apply("negative", x), b.apply("abs", x)
    for op in more:
        z = b.apply(op, z)
    return b.returns(y, z)


def plan(when: Any, **more: Any) -> Plan:
    """All nodes on d0; v0 is overwritten after it was uploaded for v1; further choices of that crossing, or of sync."""
    choices: dict[Any, Any] = {("device", (v,)): 1 for v in (1, 2)} | {("overwrite", (1, 0)): when}
    return Plan(choices | {(name, () if name == "sync" else (1, 0)): c for name, c in more.items()}, 5)


def commands(program: Program, chosen: Plan, places: tuple[Place, ...] = STREAMS) -> str:
    """The first letters of the kinds of commands, but for releases, of a schedule that is proved and explored."""
    schedule = lower(program, chosen, places)
    assert prove(schedule) is None
    assert unsafe(schedule) is None
    examiner = Examiner(places)
    assert examiner.verdicts(examiner.trial(program, [PLAIN, chosen])) == []
    names = {"Synchronize": "s", "SynchronizeEvent": "e"}
    kinds = [type(c).__name__ for c in schedule.commands]
    return "".join(names.get(kind, kind[0] if kind != "Release" else "") for kind in kinds)


@pytest.mark.parametrize(
    ("when", "places", "more", "expected"),
    [
        (True, STREAMS, {"sync": "minimal"}, "AUOLULDD"),
        (True, STREAMS, {"sync": "minimal", "transfer": "async"}, "AUReOLULDD"),
        ("after a wait", STREAMS, {"sync": "minimal"}, "AUsOLULDD"),
        ("after a wait", STREAMS, {"sync": "minimal", "transfer": "async"}, "AUsOLULDD"),
        ("late", STREAMS, {"sync": "minimal"}, "AULsOLDD"),
        ("late", STREAMS, {"sync": "minimal", "transfer": "async"}, "AULULsODD"),
        ("late", STREAMS, {}, "AULsOLsDD"),
        (True, NONE, {}, "AUOLULDD"),
        ("after a wait", NONE, {}, "AUOLULDD"),
        ("late", NONE, {}, "AULOLDD"),
    ],
)
def test_a_source_is_overwritten_when_the_plan_says(
    when: Any, places: tuple[Place, ...], more: dict[str, Any], expected: str
) -> None:
    assert commands(two_users(), plan(when, **more), places).replace("ss", "s") == expected


def test_the_copy_of_a_source_that_is_overwritten_late_is_used_again_and_none_other() -> None:
    for when in TIMES:
        uploads = [c for c in lower(two_users(), plan(when), STREAMS).commands if isinstance(c, Upload)]
        assert len(uploads) == (1 if when == "late" else 2)
    uploads = [c for c in lower(two_users(), plan("late", layout="strided"), STREAMS).commands if isinstance(c, Upload)]
    assert len(uploads) == 2


def test_a_choice_of_a_file_that_was_written_before_means_at_once() -> None:
    key, program = ("overwrite", (1, 0)), two_users()
    assert [describe(program, key, when) for when in TIMES] == [
        "v1: source of v0 overwritten once free",
        "v1: source of v0 overwritten after a wait",
        "v1: source of v0 overwritten late",
    ]


def test_a_device_that_reads_a_source_again_is_found_by_a_late_write_alone() -> None:
    examiner, program = Examiner(open_places(("simulated:0+clean_upload_evicted",))), two_users()
    found = {when: examiner.verdicts(examiner.trial(program, [plan(when, sync="minimal")])) for when in TIMES}
    assert [when for when, verdicts in found.items() if verdicts] == ["late"]
    assert found["late"][0].kind == "wrong value"
