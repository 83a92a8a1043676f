"""One bug ends at one case and one ID, whatever it was found with; different bugs end at different ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from offload_fuzz import api
from offload_fuzz.adapters.pool import open_places
from offload_fuzz.case import Case
from offload_fuzz.finding.examine import Examiner
from offload_fuzz.finding.identity import identity
from offload_fuzz.finding.reduction import Reduction
from offload_fuzz.finding.shrink import shrink
from offload_fuzz.plan import Key, Plan
from offload_fuzz.program import Builder, Program


def reduced(fault: str, program: Program, **choices: Any) -> Reduction:
    """The reduction of a program that runs on a device with a fault; choices: of the last node's first operand."""
    spec = f"simulated:0+{fault}"
    examiner = Examiner(open_places((spec,)))
    placed: dict[Key, Any] = {("device", (v,)): 1 for v, _ in program.numbered()}
    last = program.returns - 1
    extra: dict[Key, Any] = {(name, (last, 0)): choice for name, choice in choices.items()}
    case = Case(program, Plan({**placed, **extra}), (spec,))
    verdict = examiner.fails_like(case, "wrong value")
    assert verdict is not None
    reduction = shrink(case, verdict, examiner)
    assert reduction.minimal
    return reduction


def array(values: list[Any]) -> Any:
    return np.array(values, np.float32)


def of_one(op: str, data: Any, **attributes: Any) -> Program:
    b = Builder()
    return b.returns(b.apply(op, b.input(np.asarray(data)), **attributes))


def of_two(op: str, x1: Any, x2: Any) -> Program:
    b = Builder()
    return b.returns(b.apply(op, b.input(np.asarray(x1)), b.input(np.asarray(x2))))


def seen(r: Reduction) -> tuple[list[str], list[Any], str]:
    inputs = [x.tolist() for x in r.case.program.inputs]
    return [n.op for n in r.case.program.nodes], inputs, identity(r.verdict.kind, r.case)


@pytest.mark.parametrize("op", ["log1p", "tanh", "sqrt", "exp2"])
def test_functions_that_are_all_wrong_end_at_one_of_them(op: str) -> None:
    r = reduced("functions_in_float16", of_one(op, array([[0.7, 0.3], [0.2, 0.1]])))
    assert seen(r)[:2] == (["exp"], [1.0])
    assert r.executions <= 60


def test_results_that_are_wrong_on_their_way_back_end_at_the_plainest_op() -> None:
    tiny = array([3e-39, 1.0, 2.0])
    ends = [
        reduced("download_flushes_subnormals", of_two("multiply", tiny, array([1, 1, 1]))),
        reduced("download_flushes_subnormals", of_one("abs", tiny)),
    ]
    assert [seen(r) for r in ends] == [seen(ends[0])] * 2
    assert seen(ends[0])[:2] == (["reshape"], [0.0])


def test_the_element_at_fault_is_kept_where_it_stands_in_the_middle() -> None:
    x = np.ones((1, 100), np.float32)
    x[0, 77] = np.nan
    r = reduced("max_drops_nan", of_one("max", x, axis=(1,), keepdims=True))
    assert r.case.program.inputs[0].size == 2
    assert seen(r)[0] == ["max"]


def test_a_length_is_found_by_halves() -> None:
    r = reduced("grid_limit", of_one("square", np.arange(1000, dtype=np.float32)))
    assert [x.shape for x in r.case.program.inputs] == [(65,)]
    assert r.executions <= 60


def test_where_a_node_of_the_host_only_moves_elements_a_layout_takes_its_place() -> None:
    b = Builder()
    x = b.input(np.arange(6, dtype=np.float32).reshape(2, 3))
    moved = b.apply("flip", x, axis=(1,))
    program = b.returns(b.apply("add", x, moved))
    spec = "simulated:0+operand_strides_ignored"
    examiner = Examiner(open_places((spec,)))
    case = Case(program, Plan({("device", (2,)): 1}), (spec,))
    verdict = examiner.fails_like(case, "wrong value")
    assert verdict is not None
    small = shrink(case, verdict, examiner).case
    assert [n.op for n in small.program.nodes] == ["add"]
    assert {name for name, _ in small.plan.choices} == {"device", "layout"}


def test_two_nodes_that_share_an_input_and_two_that_do_not_are_one_finding() -> None:
    def program(shared: bool) -> Program:
        b = Builder()
        x = b.input(array([1, 2]))
        y = x if shared else b.input(array([3, 4]))
        return b.returns(b.apply("negative", x), b.apply("square", y))

    ends = [seen(reduced("downloads_share_staging", program(shared))) for shared in (True, False)]
    assert ends[0][2] == ends[1][2]


def test_neither_the_order_of_outputs_nor_that_of_operands_enters_the_id() -> None:
    def case(flip: bool) -> Case:
        b = Builder()
        x = b.input(array([1, 2]))
        first, second = b.apply("sort", x, axis=0), b.apply("exp", x)
        made = b.apply("add", second, x) if flip else b.apply("add", x, second)
        return Case(b.returns(made, first) if flip else b.returns(first, made), Plan({("device", (1,)): 1}), ("d",))

    assert identity("wrong value", case(True)) == identity("wrong value", case(False))


def test_two_faults_in_one_device_give_two_ids_each_as_that_fault_alone() -> None:
    def ids(faults: str) -> set[str]:
        ops = ["argmax", "argsort", "reshape", "negative", "flip"]
        report = api.run([f"simulated:0+{faults}"], max_cases=500, seed=3, ops=ops, isolation="inline", stop_after=2)
        return {f.id for f in report.findings}

    both = ids("index_dtype_narrowed+reversed_axes_uploaded_forward")
    assert len(both) == 2
    assert both & ids("index_dtype_narrowed")
    assert both & ids("reversed_axes_uploaded_forward")
