"""Each freedom is drawn often enough, and shows a fault that no campaign without it sees."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import Any

import pytest

from offload_fuzz.adapters.simulated import FAULTS
from offload_fuzz.campaign.counts import Counts
from offload_fuzz.campaign.loop import NoJournal
from offload_fuzz.campaign.selftest import detect, devices_of
from offload_fuzz.campaign.settings import UNIT_CASES, Settings
from offload_fuzz.campaign.unit import Unit, open_workbench
from offload_fuzz.case import Case
from offload_fuzz.plan import FREEDOMS, Plan

#: freedom -> a fault that only a plan with a choice of it shows.
ONLY = {
    "route": "bounced_tail_lost",
    "delay": "wait_gives_up",
    "update": "strided_target_unwritten",
    "destination": "download_into_gaps",
    "transfer": "export_offset_dropped",
    "chunks": "later_chunk_at_base",
    "pinned": "pinned_offset_dropped",
    "paging": "second_page_lost",
    "lifetime": "view_without_its_base",
    "overwrite": "clean_upload_evicted",
    "constant": "constant_written_short",
    "company": "region_keeps_constant",
}
#: Choices that take more than the two devices of a default campaign, or features that no simulated device has.
MORE_DEVICES = {("route", "third device"): 3}


class _Drawn(Unit):
    """Draws the cases of a unit as a campaign does, and runs none."""

    plans: list[Plan]

    def _trial(self, case: Case, plans: list[Plan], counts: Counts, start: int) -> None:
        self.plans.extend(plans)


@cache
def drawn(devices: int) -> tuple[Plan, ...]:
    """The plans of 1,500 case runs of so many simulated devices."""
    bench = open_workbench(Settings(devices=[f"simulated:{i}" for i in range(devices)], seed=3))
    found: list[Plan] = []
    for number in range(6):
        unit = _Drawn(bench, number, UNIT_CASES, lambda kind, data: None, NoJournal(), (0, 0))
        unit.plans = found
        unit.run()
    return tuple(found)


@pytest.mark.parametrize("freedom", FREEDOMS)
def test_every_choice_is_drawn_in_two_of_a_hundred_plans(freedom: str) -> None:
    for devices in (2, 3):
        plans = drawn(devices)
        chosen = [{c for (name, _), c in plan.choices.items() if name == freedom} for plan in plans]
        counts = Counter(choice for choices in chosen for choice in choices)
        wanted = FREEDOMS[freedom].choices[1 : devices + 1 if freedom == "device" else None]
        for choice in wanted:
            if MORE_DEVICES.get((freedom, choice), 2) <= devices:
                assert counts[choice] >= 0.02 * len(plans), (choice, counts, len(plans))


class _Without(Unit):
    """Runs its cases with every choice of one freedom turned plain."""

    freedom: str

    def _trial(self, case: Case, plans: list[Plan], counts: Counts, start: int) -> None:
        kept = [plan.without(*[key for key in plan.choices if key[0] == self.freedom]) for plan in plans]
        super()._trial(case, kept, counts, start)


@pytest.mark.parametrize("freedom", ONLY)
def test_a_fault_of_a_freedom_shows_with_it_and_not_without(freedom: str) -> None:
    fault = FAULTS[ONLY[freedom]]
    assert freedom in fault.needs
    found = detect(fault, seed=1, max_time=60)
    assert found.found
    assert found.holds
    assert set(fault.needs) <= set(found.freedoms)
    failures: list[Any] = []
    bench = open_workbench(Settings(devices=devices_of(fault), seed=1, isolation="inline"))
    for number in range(3):
        unit = _Without(
            bench,
            number,
            UNIT_CASES,
            lambda kind, data: failures.append(data) if kind == "failure" else None,
            NoJournal(),
            (0, 0),
        )
        unit.freedom = freedom
        unit.run()
    assert not failures
