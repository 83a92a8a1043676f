"""Nodes compiled together: how a plan's choices become regions, and what the simulated device does in one."""

from __future__ import annotations

from typing import Any

import numpy as np
from attrs import evolve

from offload_fuzz import run
from offload_fuzz.adapters.pool import open_places
from offload_fuzz.adapters.simulated import Simulated, make
from offload_fuzz.finding.examine import Examiner
from offload_fuzz.happens_before import prove
from offload_fuzz.issuing import regions
from offload_fuzz.lower import lower
from offload_fuzz.plan import Plan
from offload_fuzz.program import Builder, Program
from offload_fuzz.reference import evaluate_program
from offload_fuzz.schedule import LaunchCompiled


def chain() -> Program:
    """v2 = v0 * v1, v3 = v2 + v1, v4 = v3 + v3; v3 and v4 are returned."""
    b = Builder()
    x, y = b.input(np.array([1.5, 0.1], np.float32)), b.input(np.array([0.3, 3.0], np.float32))
    v2 = b.apply("multiply", x, y)
    v3 = b.apply("add", v2, y)
    return b.returns(v3, b.apply("add", v3, v3))


def on(*roles: int, together: tuple[int, ...] = (), **more: Any) -> Plan:
    """A plan that places v2, v3, ... on `roles` and compiles each of `together` with the node before."""
    choices: dict[Any, Any] = {("device", (v,)): role for v, role in enumerate(roles, 2) if role}
    choices |= {("compile", (v,)): True for v in together}
    return Plan(choices | {(name, ()): choice for name, choice in more.items()}, 3)


PLACES = open_places(("simulated:0", "simulated:1", "numpy"))


def test_nodes_of_one_queue_in_a_row_are_a_region() -> None:
    program = chain()
    assert regions(program, on(1, 1, 1, together=(3, 4)), PLACES) == [(2, 3, 4)]
    assert regions(program, on(1, 1, 1, together=(3,)), PLACES) == [(2, 3), (4,)]
    assert regions(program, on(1, 1, 1, together=(2, 4)), PLACES) == [(2,), (3, 4)]
    assert regions(program, on(1, 2, 2, together=(3, 4)), PLACES) == [(2,), (3, 4)]


def test_no_region_on_the_host_on_a_device_that_does_not_compile_or_where_results_are_read_back() -> None:
    program = chain()
    apart = [(2,), (3,), (4,)]
    assert regions(program, on(0, 0, 0, together=(3, 4)), PLACES) == apart
    assert regions(program, on(3, 3, 3, together=(3, 4)), PLACES) == apart
    assert regions(program, on(1, 1, 1, together=(3, 4), readback=True), PLACES) == apart


def test_a_region_is_one_command_that_gives_what_is_used_outside() -> None:
    program = chain()
    schedule = lower(program, on(1, 1, 1, together=(3, 4)), PLACES)
    (command,) = [c for c in schedule.commands if isinstance(c, LaunchCompiled)]
    assert [(op, numbers) for op, numbers, _ in command.nodes] == [
        ("multiply", (0, 1)),
        ("add", (2, 1)),
        ("add", (3, 3)),
    ]
    assert (command.values, command.results) == ((2, 3, 4), (3, 4))
    assert schedule.regions == ((2, 3, 4),)
    assert prove(schedule) is None


def test_the_simulated_device_contracts_by_draw_and_stays_within_the_region() -> None:
    b = Builder()
    x, y = b.input(np.array([1 + 2.0**-12], np.float32)), b.input(np.array([-1 - 2.0**-11], np.float32))
    program = b.returns(b.apply("add", b.apply("square", x), y))
    device = make("simulated:0")
    found = set()
    for seed in range(40):
        device.reset(seed)
        buffers = [device.upload(a) for a in program.inputs]
        nodes: list[Any] = [("square", [0], {}), ("add", [2, 1], {})]
        (result,) = device.launch_compiled(nodes, buffers, [3])
        found.add(float(device.download(result)[0]))
    assert found == {0.0, 2.0**-24}
    apart, together = (evaluate_program(program, PLACES[1].features.contract, r)[-1] for r in ((), [(2, 3)]))
    assert apart.enclosure is not None
    assert together.enclosure is not None
    assert not apart.enclosure.contains(np.array([2.0**-24], np.float32)).any()
    assert together.enclosure.contains(np.array([2.0**-24], np.float32)).all()


class DropsTheLast(Simulated):
    """In a region of several nodes the last one is left out where it does not change the type."""

    def launch_compiled(self, nodes: Any, operands: Any, results: Any, **more: Any) -> Any:
        last = len(operands) + len(nodes) - 1
        before = nodes[-1][1][0]
        if last in results and before >= len(operands) and nodes[-1][0] in ("negative", "square"):
            return super().launch_compiled(nodes[:-1], operands, [before if n == last else n for n in results], **more)
        return super().launch_compiled(nodes, operands, results, **more)


def test_a_fault_that_only_a_region_shows_is_found_and_its_diagnosis_names_the_region() -> None:
    report = run(
        [DropsTheLast("simulated", 0, [])], max_cases=3000, seed=1, dtypes=["float32"],
        ops=["negative", "square", "add", "multiply"],
    )  # fmt: skip  # one campaign
    assert report.findings
    text = report.findings[0].text
    assert "compiled together with the node before" in text
    assert '"compile"' in text


def test_plans_that_compile_agree_with_those_that_do_not() -> None:
    program = chain()
    examiner = Examiner(open_places(("simulated:0",)))
    plans = [on(1, 1, 1), on(1, 1, 1, together=(3, 4)), on(0, 1, 1, together=(4,))]
    assert examiner.verdicts(examiner.trial(program, plans)) == []


# ---------------------------------------------------------------------------- what is rewritten is not judged by value
def test_a_named_rewrite_is_seen_through_what_only_moves_data() -> None:
    b = Builder()
    x = b.input(np.array([1.0, 3.0], np.float32))
    quotient = b.apply("flip", b.apply("divide", x, x), axis=None)
    program = b.returns(b.apply("divide", quotient, x), b.apply("add", quotient, x))
    contract = evolve(PLACES[1].features.contract, compiled_rewrites=frozenset({"divide>divide"}))
    apart, together = (evaluate_program(program, contract, r) for r in ((), [(1, 2, 3, 4)]))
    assert [k.enclosure is None for k in apart] == [False] * 5
    assert [k.enclosure is None for k in together] == [False, False, False, True, False]
