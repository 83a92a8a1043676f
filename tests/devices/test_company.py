"""A second program on the same devices: how the two schedules become one, and that neither sees the other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from offload_fuzz import schedule as s
from offload_fuzz.adapters.pool import open_places
from offload_fuzz.company import company_of
from offload_fuzz.finding.examine import Examiner
from offload_fuzz.happens_before import prove
from offload_fuzz.ledger import values_of
from offload_fuzz.lower import lower
from offload_fuzz.plan import PLAIN, Plan
from offload_fuzz.program import Builder, Program
from offload_fuzz.trial import Trial
from offload_fuzz.types import Array
from tests.algebra.explorer import unsafe

PLACES = open_places(("simulated:0", "simulated:1"))
X = np.array([[1.0, -0.0, 2.0], [4.0, np.nan, 16.0]], np.float32)
WAYS = ("before", "interleaved")


def program(*ops: str, x: Array = X) -> Program:
    b = Builder()
    v = b.input(x)
    for op in ops:
        v = b.apply(op, v)
    return b.returns(v)


def plan(how: str, **more: Any) -> Plan:
    """Two nodes on d0; further choices of the second node, of its operand, or of the schedule."""
    sites: dict[str, Any] = {"transfer": (1, 0), "layout": (1, 0), "overwrite": (1, 0), "sync": (), "repeat": ()}
    choices = {("device", (v,)): 1 for v in (1, 2)} | {(name, sites.get(name, (2,))): c for name, c in more.items()}
    return Plan({**choices, ("company", ()): how}, 5)


def trial(of: Program, *plans: Plan) -> Trial:
    """The trial of plans that no oracle finds fault with."""
    examiner = Examiner(PLACES)
    found = examiner.trial(of, [PLAIN, *plans])
    assert examiner.verdicts(found) == []
    return found


@pytest.mark.parametrize("how", WAYS)
def test_each_of_two_programs_has_its_commands_in_order_and_buffers_of_its_own(how: str) -> None:
    of, chosen = program("negative", "square"), plan(how, sync="minimal")
    alone, both = lower(of, chosen.without(("company", ())), PLACES), lower(of, chosen, PLACES)
    count = len(alone.buffers)
    assert (alone.own, alone.company) == (count, ())
    assert (both.own, both.company, both.inputs, both.results) == (count, (count,), alone.inputs, alone.results)
    assert both.buffers[:count] == alone.buffers
    assert {b.storage for b in both.buffers[:count]}.isdisjoint({b.storage for b in both.buffers[count:]})

    def first(c: Any) -> int:
        found: int = next(getattr(c, name) for name in ("source", "target", "buffer") if hasattr(c, name))
        return found

    own = [c for c in both.commands if first(c) < count]
    others = [c for c in both.commands if first(c) >= count]
    assert own == list(alone.commands)
    assert [type(c) for c in others] == [type(c) for c in own]
    if how == "before":
        assert both.commands == (*others, *own)
    else:
        turns = [first(c) < count for c in both.commands]
        assert turns == [n % 4 in (1, 2) for n in range(len(turns))]
    assert all(values_of(both)[b] == values_of(alone)[b % count] for b in values_of(both))


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"sync": "minimal", "transfer": "async", "overwrite": True, "layout": "strided"},
        {"sync": "early-event", "stream": 1, "transfer": "async"},
        {"donate": True, "repeat": 2},
        {"reuse": True, "readback": True},
        {"compile": True, "repeat": 2},
    ],
)
def test_the_merged_schedule_is_proved_and_explored_and_changes_no_answer(how: str, more: dict[str, Any]) -> None:
    if "readback" in more:
        chosen = Plan({**plan(how).choices, ("reuse", (2,)): True, ("readback", ()): True}, 5)
    else:
        chosen = plan(how, **more)
    of = program("negative", "square")
    schedule = lower(of, chosen, PLACES)
    assert prove(schedule) is None
    assert unsafe(schedule) is None
    found = trial(of, chosen, Plan(chosen.choices, 6))
    assert len(found.planned[1].run.results) == more.get("repeat", 1)
    ledger = found.planned[1].run.ledger
    assert ledger is not None
    uploads = [t for t in ledger.asked(1) if t[0] == "upload"]
    assert uploads == [("upload", X.nbytes)] * 2 * more.get("repeat", 1)


def test_a_schedule_in_which_the_two_share_bytes_is_refused() -> None:
    both = lower(program("negative", "square"), plan("interleaved", sync="minimal", transfer="async"), PLACES)
    mixed = [s.Buffer(b.place, b.type, b.storage % both.own, b.start, b.stop) for b in both.buffers]
    found = prove(s.Schedule(both.commands, tuple(mixed), both.inputs, both.results, company=both.company))
    assert found is not None


def test_the_companion_has_the_elements_in_reverse_order() -> None:
    (other,) = company_of(program("negative"))
    assert other.tobytes() == X.reshape(-1)[::-1].tobytes()
    assert (other.shape, other.flags.writeable) == (X.shape, False)
    (scalar,) = company_of(program("negative", x=np.array(3, np.int8)))
    assert (scalar.shape, scalar.item()) == ((), 3)


def test_the_companion_has_the_same_elements_where_reversed_ones_would_have_no_result() -> None:
    def divided_by_sums(less: list[int]) -> Program:
        """[3, 1] divided by its sums, 3 and 4, less these; reversed, by 1 and 4 less these in reverse order."""
        b = Builder()
        x, y = b.input(np.array([3, 1], np.int64)), b.input(np.array(less, np.int64))
        return b.returns(b.apply("floor_divide", x, b.apply("subtract", b.apply("cumulative_sum", x, axis=0), y)))

    good, bad = divided_by_sums([5, 2]), divided_by_sums([5, 1])
    assert [x.tolist() for x in company_of(good)] == [[1, 3], [2, 5]]
    assert company_of(bad) is bad.inputs
    trial(bad, Plan({("device", (4,)): 1, ("company", ()): "before"}, 5))


def test_what_a_device_keeps_of_another_program_is_found() -> None:
    places = open_places(("simulated:0+region_keeps_constant",))
    of = program("negative", "square")
    examiner = Examiner(places)
    alone = Plan({("device", (1,)): 1, ("device", (2,)): 1, ("compile", (2,)): True, ("repeat", ()): 2})
    assert examiner.verdicts(examiner.trial(of, [alone])) == []
    both = Plan({**alone.choices, ("company", ()): "before"})
    (verdict,) = examiner.verdicts(examiner.trial(of, [both]))
    assert verdict.kind == "wrong value"
