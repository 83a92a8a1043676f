"""Cells of the boundary: counted as brute force counts them, reachable as features say, and sought by steering."""

from __future__ import annotations

from collections import Counter
from functools import cache
from math import gcd
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from offload_fuzz import schedule as s
from offload_fuzz.adapters.pool import open_places
from offload_fuzz.campaign.boundary import AXES, DIRECTIONS, TABLES, boundary, boundary_json, boundary_of, role_name
from offload_fuzz.campaign.cells import LAYOUTS, TRANSFERS, Cells, bit_of
from offload_fuzz.campaign.loop import Campaign, NoJournal
from offload_fuzz.campaign.reachable import REASONS, features_json, reachable, signatures
from offload_fuzz.campaign.report import Report
from offload_fuzz.campaign.settings import Settings
from offload_fuzz.campaign.steering import CELLS, STRIDE
from offload_fuzz.campaign.unit import Unit, open_workbench, plans_of
from offload_fuzz.case import Case
from offload_fuzz.device import Place
from offload_fuzz.errors import UsageError
from offload_fuzz.host_arrays import arrange
from offload_fuzz.lower import lower
from offload_fuzz.ops.base import OPS
from offload_fuzz.plan import FREEDOMS, Plan
from offload_fuzz.report.summary import summary
from offload_fuzz.strategies.builder import ALL_DTYPES
from offload_fuzz.types import Array

ROOT = Path(__file__).parents[2]
TWO = ("simulated:0", "simulated:1")
#: Peers, also with a third device between them, no peers, few ops and dtypes, and blocking transfers alone.
SETS = (
    TWO,
    ("simulated:0", "simulated:1", "simulated:2"),
    ("simulated.multichip:0", "simulated.multichip:5"),
    ("simulated.npu:0", "simulated:1"),
    ("simulated.dsp:0",),
)
Cell = tuple[str, str, str, str, int, int]


def generated(number: int = 0, size: int = 150, **options: Any) -> tuple[list[tuple[Case, list[Plan]]], Cells]:
    """The programs of a unit with their plans, which are not run, and the cells that it counts."""
    bench = open_workbench(Settings(seed=5, **options))
    unit = Unit(bench, number, size, lambda kind, data: None, NoJournal(), (0, 0))
    found: list[tuple[Case, list[Plan]]] = []
    unit._trial = lambda case, plans, counts, start: found.append((case, plans))  # type: ignore[method-assign]
    unit.run()
    return found, unit.cells


def listed(cells: Cells) -> set[Cell]:
    """The cells of masks, one by one."""
    return {
        (op, dtype, layout, transfer, p, q)
        for (op, dtype, p, q), mask in cells.masks.items()
        for layout in LAYOUTS
        for transfer in TRANSFERS
        if mask & bit_of(layout, transfer)
    }


def is_arranged(value: Array, layout: str) -> bool:
    """Whether the bytes of a value lie otherwise in this layout than row after row."""
    plain, _ = arrange(value, "contiguous", 64, False)
    other, _ = arrange(value, layout, 64, False)
    steps = [[step for n, step in zip(x.shape, x.strides, strict=True) if n > 1] for x in (plain, other)]
    return value.size > 0 and steps[0] != steps[1]


def walked(case: Case, plan: Plan, places: tuple[Place, ...]) -> set[Cell]:
    """The cells that the commands of a schedule go through: what each transfer carries, and which op uses that."""
    schedule = lower(case.program, plan.without(("company", ())), places)  # cells are of the program itself
    assert case.values is not None
    value_in = dict(zip(schedule.inputs, range(len(case.program.inputs)), strict=True))
    made: dict[int, tuple[int, str]] = {}  # device buffer -> place and op that made it
    crossed: dict[int, tuple[str, str, int, int]] = {}  # buffer -> how its value came there
    layouts: dict[int, str] = {}
    probes = {buffer for _, buffer in schedule.probes}
    found: set[Cell] = set()

    def use(op: str, buffers: tuple[int, ...], place: int) -> None:
        for b in buffers:
            if place and not schedule.buffers[b].place:  # a constant counts as the plain crossing
                found.add((op, schedule.buffers[b].type.dtype, "contiguous", "blocking", 0, place))
            if b in crossed:
                layout, transfer, p, q = crossed[b]
                found.add((op, schedule.buffers[b].type.dtype, layout, transfer, p, q))

    for c in schedule.commands:
        if isinstance(c, s.Arrange):
            value_in[c.target] = value_in.get(c.source, -1)
            if c.source in made:
                made[c.target] = made[c.source]
            plainly = c.layout == "contiguous" or not is_arranged(case.values[value_in[c.target]].value, c.layout)
            layouts[c.target] = "contiguous" if plainly else c.layout
        elif isinstance(c, s.Upload):
            value_in[c.target] = value_in[c.source]
            transfer = "shared" if c.share else "blocking" if c.blocking else "async"
            origin = made[c.source][0] if c.source in made else 0
            if c.source in made:
                made[c.target] = made[c.source]
            crossed[c.target] = (layouts.get(c.source, "contiguous"), transfer, origin, c.place)
        elif isinstance(c, s.Copy):
            value_in[c.target], made[c.target] = value_in[c.source], made[c.source]
            mode = "blocking" if c.blocking else "async"
            crossed[c.target] = ("contiguous", mode, made[c.source][0], c.place)  # also over a third device
        elif isinstance(c, s.Download):
            value_in[c.target], made[c.target] = value_in[c.source], made[c.source]
        elif isinstance(c, s.Launch):
            use(c.op, c.operands, c.place)
            value_in[c.target], made[c.target] = c.value, (c.place, c.op)
        elif isinstance(c, s.LaunchCompiled):
            for op, numbers, _ in c.nodes:
                use(op, tuple(c.operands[n] for n in numbers if n < len(c.operands)), c.place)
            for number, target in zip(c.results, c.targets, strict=True):
                at = number - len(c.operands)
                value_in[target], made[target] = c.values[at], (c.place, c.nodes[at][0])
    root = {b: b for b in range(len(schedule.buffers))}
    for c in schedule.commands:
        if isinstance(c, s.Arrange):
            root[c.target] = root[c.source]
    read = {root[b] for c in schedule.commands if isinstance(c, s.Launch) and c.place == 0 for b in c.operands}
    for c in schedule.commands:  # a value that comes to the host for a node there or as a result, not for the judge
        if isinstance(c, s.Download) and c.target not in probes and c.target in read | set(schedule.results):
            place, op = made[c.source]
            dtype = schedule.buffers[c.source].type.dtype
            found.add((op, dtype, "contiguous", "blocking" if c.blocking else "async", place, 0))
    return found


@pytest.mark.parametrize("devices", SETS)
def test_cells_are_those_that_the_commands_of_the_schedules_go_through(devices: tuple[str, ...]) -> None:
    found, cells = generated(devices=devices)
    places = open_places(devices)
    expected = {cell for case, plans in found for plan in plans for cell in walked(case, plan, places)}
    assert listed(cells) == expected
    assert cells.count == len(expected) > 200 or "dsp" in devices[0]


# ---------------------------------------------------------------------------------------------------------- reachable
def limits(devices: tuple[str, ...], **options: Any) -> Any:
    return reachable([features_json(p.features) for p in open_places(devices)[1:]], Settings(**options))


@pytest.mark.parametrize("devices", SETS)
def test_every_cell_that_is_reached_is_reachable_by_features(devices: tuple[str, ...]) -> None:
    bound = limits(devices)
    for number in (0, 1):
        for (op, dtype, p, q), mask in generated(number, devices=devices)[1].masks.items():
            assert (op, dtype) in bound.pairs[p, q], (op, dtype, p, q)
            assert not mask & ~bound.masks[p, q]


@pytest.mark.parametrize(
    "options", [{}, {"ops": ("add", "take", "argmax")}, {"dtypes": ("float32",)}, {"without": ("layout", "transfer")}]
)
@pytest.mark.parametrize("devices", SETS)
def test_what_is_reachable_and_what_is_not_for_a_reason_are_all_cells(devices: Any, options: dict[str, Any]) -> None:
    bound = limits(devices, **options)
    places = len(devices) + 1
    ways = places * (places - 1)
    ops = options.get("ops", OPS)
    assert bound.count + sum(bound.unreachable.values()) == len(ops) * len(ALL_DTYPES) * CELLS * ways
    assert bound.count > 0
    assert bool(bound.unreachable[REASONS[1]]) == bool(options.keys() & {"dtypes", "without"})


def test_features_rule_out_ops_dtypes_layouts_and_transfer_modes() -> None:
    bound = limits(("simulated.npu:0",))
    assert ("add", "float32") in bound.pairs[0, 1]
    assert ("add", "float64") not in bound.pairs[0, 1]
    assert ("argmax", "float32") in bound.pairs[0, 1]
    assert ("argmax", "int64") in bound.pairs[1, 0]
    assert ("sort", "float32") not in bound.pairs[0, 1]
    assert bound.masks[1, 0] == bit_of("contiguous", "blocking") | bit_of("contiguous", "async")
    assert bound.masks[0, 1] & bit_of("broadcast", "async")
    peers, apart = limits(SETS[0]), limits(SETS[2])
    assert peers.masks[1, 2] & bit_of("fortran", "blocking")
    assert not limits(SETS[0], without=("route",)).masks[1, 2] & bit_of("fortran", "blocking")
    assert apart.masks[1, 2] & bit_of("fortran", "blocking")
    assert ("take", "int64") in peers.pairs[0, 1]
    assert not limits(("simulated.dsp:0",)).masks[0, 1] & bit_of("contiguous", "async")


def test_signatures_follow_the_type_rules() -> None:
    assert {s.result for s in signatures("isnan")} == {"bool"}
    assert {(s.operands, s.result) for s in signatures("astype", ("int8", "float32"))} == {
        (("int8",), "int8"), (("int8",), "float32"), (("float32",), "int8"), (("float32",), "float32"),
    }  # fmt: skip  # pairs
    assert all(signatures(op) for op in OPS)


# ------------------------------------------------------------------------------------------------------------- tables
def test_tables_and_least_covered_values_are_sums_of_the_cells() -> None:
    _, cells = generated(devices=TWO)
    b = boundary_of(cells, limits(TWO))
    found = listed(cells)
    names = {p: role_name(p) for p in range(3)}
    ways = {"host": {"d0": 0, "d1": 0}, "d0": {"host": 1, "d1": 2}, "d1": {"host": 1, "d0": 2}}

    def at(cell: Cell, axis: str) -> str:
        op, dtype, layout, transfer, p, q = cell
        way = DIRECTIONS[ways[names[p]][names[q]]]
        values = {"op": op, "dtype": dtype, "layout": layout, "transfer": transfer, "direction": way}
        return values.get(axis, f"{names[p]} to {names[q]}")

    for axes in (*TABLES, *((axis,) for axis in AXES)):
        expected = Counter(tuple(at(cell, axis) for axis in axes) for cell in found)
        reached, possible = b.counts(*axes)
        assert (reached <= possible).all()
        for index in np.ndindex(reached.shape):
            assert reached[index] == expected[tuple(b.names[axis][i] for axis, i in zip(axes, index, strict=True))]
    assert int(b.reached.sum()) == cells.count
    for row in b.least():
        reached, possible = b.counts(row.axis)
        assert row.reached / row.reachable == min(n / of for n, of in zip(reached, possible, strict=True) if of)


LINE = """\
cells     5 of 88 (5.7%) of op x dtype x layout x transfer x places; least: op abs 2.3%, dtype
          float32 5.7%, layout strided 0.0%, transfer async 0.0%, pair d1 to d0 0.0%; 3,332 more are
          unreachable by features and options
"""


def test_the_summary_says_in_a_line_what_was_reached_and_what_least() -> None:
    settings = Settings(devices=TWO, ops=("add", "abs"), dtypes=("float32",))
    report = Report(settings, features=[features_json(p.features) for p in open_places(TWO)[1:]])
    plain = bit_of("contiguous", "blocking")
    report.cells.merge(
        [["add", "float32", 0, 1, plain | bit_of("fortran", "blocking")], ["abs", "float32", 0, 1, plain]]
    )
    report.cells.merge([["add", "float32", 0, 2, plain], ["add", "float32", 1, 2, plain]])
    assert LINE in summary(report)
    assert "cells     none counted, as no device was opened" in summary(Report(settings))


# ----------------------------------------------------------------------------------------------------------- steering
def plan_texts(found: list[tuple[Case, list[Plan]]]) -> list[str]:
    return [repr(plan) for _, plans in found for plan in plans]


def test_a_unit_is_steered_by_itself_alone() -> None:
    alone, cells = generated(3, devices=TWO)
    for number in (0, 1, 2):
        generated(number, devices=TWO)
    again, same = generated(3, devices=TWO)
    assert plan_texts(again) == plan_texts(alone)
    assert same.rows() == cells.rows()


def test_without_steering_plans_are_as_they_are_drawn() -> None:
    bench = open_workbench(Settings(seed=5, devices=TWO, steer=False))
    drawn: list[str] = []
    unit = Unit(bench, 0, 150, lambda kind, data: None, NoJournal(), (0, 0))
    inner = unit._one

    def one(case: Case, entropy: bytes) -> None:
        drawn.extend(map(repr, plans_of(case, entropy, "default", bench.places)[0]))
        inner(case, entropy)

    unit._one = one  # type: ignore[method-assign]  # to see what comes in
    unit._trial = lambda *_: None  # type: ignore[method-assign]  # generation alone
    unit.run()
    assert drawn[:150] == plan_texts(generated(devices=TWO, steer=False)[0])


def test_steering_changes_transfer_modes_and_layouts_alone() -> None:
    steered, drawn = (generated(devices=TWO, steer=steer)[0] for steer in (True, False))
    assert [case for case, _ in steered] == [case for case, _ in drawn]
    changed = 0
    for (_, plans), (_, others) in zip(steered, drawn, strict=True):
        for plan, other in zip(plans, others, strict=True):
            assert plan.seed == other.seed
            keys = {key for key in {*plan.choices, *other.choices} if plan.choices.get(key) != other.choices.get(key)}
            assert {name for name, _ in keys} <= {"transfer", "layout"}
            changed += bool(keys)
    assert changed > 50


@cache
def reached(steer: bool) -> int:
    total = Cells()
    for number in range(4):
        total.merge(generated(number, devices=TWO, steer=steer)[1].rows())
    return total.count


def test_steering_reaches_more_cells_with_as_many_case_runs() -> None:
    assert reached(True) > 1.25 * reached(False)


def test_units_begin_their_search_at_every_cell() -> None:
    assert gcd(STRIDE, CELLS) == 1


def test_a_freedom_that_is_switched_off_is_in_no_plan() -> None:
    for name in FREEDOMS:
        found, cells = generated(size=60, devices=TWO, without=(name,))
        assert all(key[0] != name for _, plans in found for plan in plans for key in plan.choices), name
        assert bool(cells.masks) == (name != "device")
    with pytest.raises(UsageError, match=r"^freedom is 'layot' but should be .*--without.*layout"):
        Settings(without=("layot",))


# ----------------------------------------------------------------------------------------------------------- campaign
def test_one_and_two_workers_give_the_same_boundary() -> None:
    options: dict[str, Any] = {"devices": TWO, "max_cases": 500, "seed": 3, "ops": ("add", "sum", "astype")}
    one, two = (boundary_json(Campaign(Settings(**options, workers=n)).run()) for n in (1, 2))
    assert one == two
    assert one is not None
    assert one["reached"] > 500


def test_a_campaign_counts_its_cells_inline_as_in_processes() -> None:
    options: dict[str, Any] = {"devices": ("simulated.dsp:0",), "max_cases": 100, "seed": 3}
    first, second = (Campaign(Settings(**options, isolation=kind)).run() for kind in ("inline", "process"))
    assert first.cells.rows() == second.cells.rows()
    found = boundary(first)
    assert found is not None
    assert int(found.reached.sum()) == first.cells.count > 0


# --------------------------------------------------------------------------------------------------------------- docs
def test_docs_say_of_every_freedom_and_reason_what_is_never_reached() -> None:
    text = (ROOT / "docs" / "coverage.md").read_text()
    told = text.partition("## Which cells are never reached, by freedom")[2]
    for name in FREEDOMS:
        assert f"\n| `{name}` | " in told, name
    for reason in REASONS:
        assert f"| {reason} |" in text, reason
