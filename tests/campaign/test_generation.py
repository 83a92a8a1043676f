"""Generation: one generator, no other randomness, blind to faults, simplest first, every placement."""

from __future__ import annotations

import ast
import random
from collections import Counter
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, find, given, settings

import offload_fuzz.strategies as ofs
from offload_fuzz.adapters.pool import open_places
from offload_fuzz.campaign.journal import GENERATING
from offload_fuzz.campaign.loop import NoJournal
from offload_fuzz.campaign.settings import Settings
from offload_fuzz.campaign.unit import Unit, open_workbench
from offload_fuzz.case import Case, dump_case
from offload_fuzz.plan import check_plan
from offload_fuzz.program import Program
from offload_fuzz.strategies.choices import Choices
from offload_fuzz.strategies.placements import coverage, node_edges, placements
from offload_fuzz.wellformed import check_program

SIMULATED = ("simulated:0", "simulated:1")
FEW = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), database=None)


def generated(device: str, count: int = 150) -> list[str]:
    """The case files that a unit generates, each program's first plan."""
    bench = open_workbench(Settings(devices=[device], seed=9))
    unit = Unit(bench, 0, count, lambda kind, data: None, NoJournal(), (0, 0))
    texts: list[str] = []
    unit._trial = lambda case, plans, counts, start: texts.extend(  # type: ignore[method-assign]  # generation alone
        dump_case(Case(case.program, plan, ("d",))) for plan in plans
    )
    unit.run()
    return texts


def test_generation_does_not_depend_on_the_planted_fault() -> None:
    plain = generated("simulated:0")
    assert len(plain) == 150
    assert generated("simulated:0+int64_narrowed+wait_ignored") == plain


def test_the_freedoms_that_take_more_than_one_crossing_are_in_one_plan_of_twenty() -> None:
    bench, found = open_workbench(Settings(devices=list(SIMULATED), seed=9)), Counter[str]()
    for number in range(4):
        unit = Unit(bench, number, 250, lambda kind, data: None, NoJournal(), (0, 0))
        unit._trial = lambda case, plans, counts, start: found.update(  # type: ignore[method-assign]  # generation alone
            name for plan in plans for name in {"plans", *[name for name, _ in plan.choices]}
        )
        unit.run()
    for name in ("company", "overwrite", "constant"):
        assert found[name] >= 0.05 * found["plans"] >= 40, (name, found)


def test_the_strategies_import_no_source_of_randomness() -> None:
    folder = Path(ofs.__file__).parent
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            used = node.attr if isinstance(node, ast.Attribute) else ""
            assert not {"random", "secrets", "uuid", "time"} & {n.split(".")[0] for n in names}, path
            assert used not in ("random", "default_rng", "urandom"), path


def test_generation_is_the_same_whatever_the_global_generators_hold() -> None:
    first = generated("simulated:0", 60)
    random.seed(1234)
    np.random.seed(99)  # the global generator is what is meant
    assert generated("simulated:0", 60) == first


@FEW
@given(ofs.cases(SIMULATED, max_nodes=10))
def test_cases_are_well_formed_and_their_plans_are_lawful(case: Case) -> None:
    check_program(case.program)
    check_plan(case.program, case.plan, len(case.devices))


def seeded() -> list[tuple[Case, bytes]]:
    found: list[tuple[Case, bytes]] = []

    @settings(
        max_examples=20, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )
    @given(ofs.seeded_cases(SIMULATED, 8, 3, None, None))
    def collect(drawn: Iterator[tuple[Case, bytes]]) -> None:
        found.extend(drawn)

    collect()
    return found


def test_a_seed_gives_several_cases_no_two_alike_and_the_seed_of_zeros_the_simplest() -> None:
    found = seeded()
    assert len(found) == 1 + 19 * ofs.PER_SEED
    (simplest, _), *rest = found
    assert not simplest.plan.choices
    assert len({dump_case(Case(case.program, case.plan, case.devices)) for case, _ in rest}) == len(rest)
    assert len({entropy for _, entropy in found}) == len(found)
    for case, _ in rest:
        check_program(case.program)
        check_plan(case.program, case.plan, len(case.devices))
        assert 1 <= len(case.program.nodes) <= 8


def test_seeded_cases_show_every_op_and_number_of_nodes() -> None:
    programs_ = [case.program for case, _ in seeded()]
    assert len({n.op for p in programs_ for n in p.nodes}) > 0.9 * len(ofs.known_ops(None))
    assert {len(p.nodes) for p in programs_} >= set(range(3, 9))


def test_the_simplest_case_is_one_node_on_the_host() -> None:
    case = find(ofs.cases(SIMULATED, max_nodes=10), lambda case: True)
    assert len(case.program.nodes) == 1
    assert not case.plan.choices


def test_hypothesis_shrinks_to_the_node_and_placement_that_matter() -> None:
    def sine_on_a_device(case: Case) -> bool:
        return any(n.op == "sin" and case.plan.get("device", v) for v, n in case.program.numbered())

    enough = settings(max_examples=5000, database=None)
    case = find(ofs.cases(SIMULATED, max_nodes=8), sine_on_a_device, settings=enough)
    assert [n.op for n in case.program.nodes] == ["sin"]


def test_a_case_prints_as_its_program_and_a_step_by_its_op() -> None:
    case = find(ofs.cases(SIMULATED, max_nodes=10), lambda case: True)
    assert repr(case).startswith("program(v0: ")
    assert repr(find(ofs.steps(["negative"], SIMULATED), lambda step: True)) == "step(negative, plain)"


# ------------------------------------------------------------------------------------------------------- placements
def brute_force(program: Program, allowed: list[tuple[int, ...]], found: list[tuple[int, ...]]) -> tuple[int, int]:
    """(pairs covered, pairs reachable), counted the slow way."""
    edges = node_edges(program)
    wanted = {(a, b, p, q) for a, b in edges for p, q in product(allowed[a], allowed[b])}
    reached = {(a, b, row[a], row[b]) for row in found for a, b in edges}
    return len(wanted & reached), len(wanted)


def programs(max_nodes: int) -> list[Program]:
    found: list[Program] = []

    @settings(
        max_examples=160,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(ofs.programs(max_nodes=max_nodes))
    def collect(program: Program) -> None:
        found.append(program)

    collect()
    return found


PLACES = [("simulated:0",), SIMULATED, ("simulated:0", "simulated.npu:1"), ("simulated.npu:0",) * 3]


@pytest.mark.parametrize("devices", PLACES)
def test_edges_covers_every_reachable_pair_on_every_edge(devices: tuple[str, ...]) -> None:
    places = open_places(devices)
    for program in programs(12):
        found, allowed = placements(program, places, "edges", Choices(b""))
        covered, reachable = brute_force(program, allowed, found)
        assert covered == reachable
        counted = coverage(program, allowed, len(places), found)
        assert (counted.covered, counted.reachable) == (covered, reachable)
        assert counted.unreachable == len(node_edges(program)) * len(places) ** 2 - reachable
        assert all(role in allowed[i] for row in found for i, role in enumerate(row))


@pytest.mark.parametrize("devices", PLACES)
@pytest.mark.parametrize("spec", ["operands", "chains"])
def test_operand_pairs_and_two_hop_chains_show_every_lawful_combination(spec: str, devices: tuple[str, ...]) -> None:
    places, groups_seen = open_places(devices), 0
    for program in programs(12):
        found, allowed = placements(program, places, spec, Choices(b""))
        first = len(program.inputs)
        for c, node in enumerate(program.nodes):
            producers = {o - first for o in node.operands if o >= first}
            if spec == "operands":
                groups = [(a, b, c) for a in producers for b in producers if a < b]
            else:
                groups = [(o - first, b, c) for b in producers for o in program.nodes[b].operands if o >= first]
            for group in groups:
                groups_seen += 1
                shown = {tuple(row[n] for n in group) for row in found}
                assert shown == set(product(*(allowed[n] for n in group)))
        assert all(role in allowed[i] for row in found for i, role in enumerate(row))
    assert groups_seen >= 3


def test_groups_of_three_take_few_more_plans_than_the_cube_of_the_places() -> None:
    for program in programs(16):
        assert len(placements(program, open_places(("simulated:0",)), "chains", Choices(b""))[0]) <= 24
        assert len(placements(program, open_places(SIMULATED), "operands", Choices(b""))[0]) <= 60


def test_edges_takes_about_the_square_of_the_places_at_any_size() -> None:
    for program in programs(16):
        assert len(placements(program, open_places(("simulated:0",)), "edges", Choices(b""))[0]) <= 6
        assert len(placements(program, open_places(SIMULATED), "edges", Choices(b""))[0]) <= 9


def test_exhaustive_gives_every_placement_once() -> None:
    places = open_places(SIMULATED)
    for program in programs(4):
        found, allowed = placements(program, places, "exhaustive", Choices(b""))
        assert sorted(found) == sorted(product(*allowed))


def test_covering_three_shows_every_triple_of_nodes_all_placements() -> None:
    places = open_places(("simulated:0",))
    for program in programs(6)[:20]:
        found, allowed = placements(program, places, "covering:3", Choices(b""))
        n = len(program.nodes)
        for nodes in {tuple(sorted({i, (i + 1) % n, (i + 2) % n})) for i in range(n)}:
            wanted = set(product(*(allowed[i] for i in nodes)))
            assert {tuple(row[i] for i in nodes) for row in found} == wanted


def test_the_journal_stand_in_takes_what_a_journal_takes() -> None:
    NoJournal().write(GENERATING, 1, 2, 3, 4)
